"""Command line: `python -m engine`, also installed as `spike`. Exit 0 success, 1 a failed check, 2 bad usage or configuration."""
import contextlib
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
from engine.trail.checked import JournalError
from engine.trail.resources import in_words
from engine.trail.rundir import FolderError, RunError

__all__ = ["examining", "learning", "looking", "main", "operating", "running", "screening"]


def main() -> None:
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except LoginRefused as error:                          # before its base: the broker's word, not bad usage
        sys.exit(_say(error, 1))
    except (configuration.ConfigurationError, DataError, FolderError, JournalError, LoginError, MasterError) as error:
        sys.exit(_say(error, 2))
    except (BrokerError, Failed, LookupError, ModelRefused, RunError) as error:
        sys.exit(_say(error, 1))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "format_message"):
            sys.exit(_say(error.format_message(), 2))
        if os.environ.get("ENGINE_DEBUG"):
            raise
        sys.exit(_say(in_words(error), 1))


def _say(error: object, code: int) -> int:
    with contextlib.suppress(OSError):                     # the terminal may be gone, the disk full
        print(f"error: {error}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    main()
