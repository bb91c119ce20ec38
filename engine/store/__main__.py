"""The store process alone: `python -m engine.store`. What `python -m engine store` becomes, in an environment without secrets.

A module of its own, since a process can be confined only while it has one thread, and what the command line imports starts some.
"""
import argparse
import sys
from pathlib import Path

from engine import config as configuration
from engine.store import confinement
from engine.trail.checked import JournalError
from engine.trail.rundir import RunDir, RunError


def main() -> None:
    options = argparse.ArgumentParser("python -m engine store")
    options.add_argument("--run-dir", type=Path, required=True)
    for name in ("--once", "--drain-only", "--serve", "--unconfined"):
        options.add_argument(name, action="store_true")
    chosen = options.parse_args()
    try:
        from engine.store.process import main as work

        work(configuration.load(), RunDir(chosen.run_dir), chosen.once, chosen.drain_only, chosen.serve, not chosen.unconfined)
    except (RunError, confinement.ConfinementError) as error:
        sys.exit(_say(error, 1))
    except (configuration.ConfigurationError, JournalError) as error:
        sys.exit(_say(error, 2))


def _say(error: object, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
