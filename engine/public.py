"""What the engine offers to Python, as the command line does it. EngineError says in a line what cannot be done."""
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from engine.backtest.options import BacktestOptions
from engine.config import Config, load
from engine.run.options import RunOptions, made
from engine.run.session import Confirm
from engine.run.session import run as session
from engine.trail.rundir import RunDir, RunError
from engine.watch import explain as explaining


def run(options: RunOptions | None = None, *, config: Config | None = None, quiet: bool = True,
        say: Callable[[str], Any] = lambda _: None, confirm: Confirm | None = None, **fields: Any) -> dict[str, Any]:
    """Runs a day until it ends and returns its summary, as `python -m engine run --json` prints it; `problem` is None where all
    went well.

    Options are those of the command line by their field names (`engine.run(names=20, speed="max", minutes=60)`), or one object;
    `config` is engine.toml and the environment by default. `say` hears the progress of `speed="max"`. A live run begins only
    where `confirm(doctor's document, words)` answers True. Processes are started with this interpreter: call it from a module that
    is guarded by `if __name__ == "__main__"`, in the main thread.
    """
    return session(made(RunOptions, fields) if options is None else options, config or load(), quiet, say, confirm)


def backtest(options: BacktestOptions | None = None, *, config: Config | None = None, say: Callable[[str], Any] = lambda _: None,
             **fields: Any) -> dict[str, Any]:
    """Trades recorded days on paper and returns what came of it, as `python -m engine backtest --json` prints it.

    Options are those of the command line by their field names (`engine.backtest(data="days", names="SBIN,TCS")`), or one object;
    `config` is engine.toml and the environment by default. `say` hears the progress.
    """
    from engine.backtest.session import backtest as work

    return work(made(BacktestOptions, fields) if options is None else options, config or load(), say)


def replay(folder: Path | str | None = None, *, config: Config | None = None) -> dict[str, Any]:
    """Recomputes every decision of a run from its inputs: `identical`, what differs first, and how fast it went. By default the
    latest run."""
    from engine.backtest.remade import replayed

    return replayed(_path(folder), config or load())


def whatif(folder: Path | str | None = None, settings: Sequence[str] = (), strategies: Sequence[Path | str] = (), *,
           run_dir: Path | str | None = None, config: Config | None = None) -> dict[str, Any]:
    """Makes the day of a run again as it was and with `settings` (such as "risk.stop=0.01") and `strategies` (files), as `python -m
    engine whatif --json` prints it: both accounts, and every decision that differs. By default of the latest run, into a new
    folder."""
    from engine.backtest.whatif import whatif as work

    return work(RunDir.existing(_path(folder)), settings, [Path(file) for file in strategies], config or load(),
                Path(run_dir) if run_dir is not None else None)


def parity(folder: Path | str | None = None, *, config: Config | None = None) -> dict[str, Any]:
    """Holds a recorded day against the same day made again by the backtester's matching, trade by trade; `alarms` says what has
    drifted. By default the latest run."""
    from engine.backtest.parity import parity as work

    return work(RunDir.existing(_path(folder)), config or load())


def explain(number: int, folder: Path | str | None = None) -> dict[str, Any]:
    """The chain of candidate `number` of a run, by default the latest. RunError where the run has none of it."""
    found = explaining.explain(_path(folder), number)
    if found is None:
        raise RunError(f"there is no candidate {number} in this run")
    return found


def _path(folder: Path | str | None) -> Path:
    return RunDir.existing(Path(folder) if folder is not None else RunDir.latest()).path
