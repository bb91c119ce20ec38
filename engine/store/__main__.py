"""The store process alone: `python -m engine.store`. What `python -m engine store` becomes, in an environment without secrets.

A module of its own, since a process can be confined only while it has one thread, and what the command line imports starts some.
"""
import argparse
import sys
from pathlib import Path

from engine import config as configuration
from engine.errors import DataError
from engine.store import confinement
from engine.trail.checked import JournalError
from engine.trail.rundir import RunDir, RunError


def main() -> None:
    options = argparse.ArgumentParser("python -m engine store")
    options.add_argument("--run-dir", type=Path, required=True)
    for name in ("--once", "--drain-only", "--serve", "--export", "--move", "--unconfined", "--backtest"):
        options.add_argument(name, action="store_true")
    chosen = options.parse_args()
    try:
        _work(chosen)
    except (RunError, confinement.ConfinementError) as error:
        sys.exit(_say(error, 1))
    except (configuration.ConfigurationError, JournalError, DataError) as error:
        sys.exit(_say(error, 2))


def _work(chosen: argparse.Namespace) -> None:
    run = RunDir(chosen.run_dir)
    if chosen.move or chosen.export:
        from engine.store import earlier

        if chosen.export:
            earlier.export(run)
        else:
            print(f"{earlier.take(run):,} rows are in the database of {run.home} now")
        return
    from engine.store.process import main as work

    work(configuration.load(), run, chosen.once, chosen.drain_only, chosen.serve, not chosen.unconfined,
         chosen.backtest)


def _say(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
