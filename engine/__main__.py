"""Command line: `python -m engine`, also installed as `spike`. Exit 0 success, 1 a failed check, 2 bad usage or configuration."""
import contextlib
import os
import sys

CALLERS = frozenset({"run", "day", "backtest", "kill", "parity", "paper", "replay", "strategy", "whatif"})
"""Commands that call strategies."""


def begin() -> None:
    """The command, in a process whose sets have the same order each time: a strategy that goes through one decides the same in a
    run and in its replay. Python takes that from its environment alone, so the process begins anew before anything is loaded."""
    asked = sys.argv[1] if len(sys.argv) > 1 else "run"
    if (asked in CALLERS or asked.startswith("-")) and os.environ.get("PYTHONHASHSEED") != "0":
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    main()


def main() -> None:
    import typer

    from engine.cli import app
    from engine.errors import EngineError

    try:
        code = app(standalone_mode=False)                  # what leaves early, Ctrl-C among it, comes back as its exit code
        sys.exit(code if isinstance(code, int) else 0)
    except EngineError as error:
        sys.exit(_say(error, error.exit_code))
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if isinstance(error, ImportError) and (error.name or "").startswith("_ext"):
            sys.exit(_say(f"the compiled path is missing or stale ({error}): run `make install`", 1))
        if isinstance(error, LookupError):
            sys.exit(_say(error, 1))
        if hasattr(error, "format_message"):
            sys.exit(_say(error.format_message(), 2))
        if os.environ.get("ENGINE_DEBUG"):
            raise
        from engine.trail.resources import in_words

        sys.exit(_say(in_words(error), 1))


def _say(error: object, code: int) -> int:
    with contextlib.suppress(OSError):                     # the terminal may be gone, the disk full
        print(f"error: {error}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    begin()
