"""Command line: `python -m engine`, also installed as `spike`. Exit 0 success, 1 a failed check, 2 bad usage or configuration."""
import os
import sys
from importlib import import_module

try:
    import_module("_ext.wiring")
except ImportError as problem:
    sys.exit(f"the compiled path is missing or stale ({problem}): run `make install`")

import typer

from _ext.signals.scorer import ModelRefused
from engine import config as configuration
from engine.commands import examining, learning, looking, operating, running, screening
from engine.commands.options import Failed, app
from engine.market.master import MasterError
from engine.sim.recorded import DataError
from engine.trade.answers import BrokerError
from engine.trade.login import LoginError, LoginRefused
from engine.trail.replay import JournalError
from engine.trail.rundir import RunError

__all__ = ["examining", "learning", "looking", "main", "operating", "running", "screening"]


def main() -> None:
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except (BrokerError, Failed, LoginRefused, LookupError, ModelRefused, RunError) as error:
        sys.exit(_say(error, 1))
    except (configuration.ConfigurationError, DataError, JournalError, LoginError, MasterError) as error:
        sys.exit(_say(error, 2))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):
            sys.exit(_say(error.format_message(), 2))
        if os.environ.get("ENGINE_DEBUG"):
            raise
        sys.exit(_say(f"{type(error).__name__}: {error}", 1))


def _say(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
