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
from engine.commands import examining, learning, looking, operating, running, screening
from engine.commands.options import app
from engine.errors import EngineError
from engine.trail.resources import in_words

__all__ = ["examining", "learning", "looking", "main", "operating", "running", "screening"]


def main() -> None:
    try:
        app(standalone_mode=False)
    except typer.Exit as leave:
        sys.exit(leave.exit_code)
    except EngineError as error:
        sys.exit(_say(error, error.exit_code))
    except (LookupError, ModelRefused) as error:
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
