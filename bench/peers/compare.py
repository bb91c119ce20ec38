"""Processor time of this engine and of other backtesters on the same rows: `python -m bench.peers.compare --data FOLDER`.

Each is run whole and with one row, by turns; the difference is what the rows cost. README.md here says what is the same and what is
not.
"""
import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PEERS = ("nautilus", "hftbacktest", "raptorbt")
ROWS, DRAWS = 700_000, 2000
OURS, IDLE = "engine, cross in Python", "engine, idle strategy in Python"


class Run(NamedTuple):
    """One process: seconds of user and system time together, largest memory, and what it says came of it."""
    cpu_s: float
    mb: float
    said: dict[str, Any]


class Middle(NamedTuple):
    """Median, with the least and the most, or with the middle 95 % of the draws."""
    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        digits = 1 if self.middle >= 10 else 2
        return f"{self.middle:.{digits}f} ({self.low:.{digits}f}-{self.high:.{digits}f})"


@dataclass
class Side:
    """One of those that are compared. `command` of the folder of an input; `read` makes what it printed into what came of it;
    `base` is the side of ours that does the same."""
    name: str
    command: Callable[[Path], list[str]]
    environment: dict[str, str] = field(default_factory=dict)
    read: Callable[[str], dict[str, Any]] = lambda text: json.loads(text.splitlines()[-1])
    base: str = OURS
    empty: list[Run] = field(default_factory=list)
    full: list[Run] = field(default_factory=list)

    @property
    def net(self) -> np.ndarray:
        """Seconds the rows cost, round by round."""
        return _seconds(self.full) - _seconds(self.empty)

    @property
    def inside(self) -> np.ndarray:
        """The same of the peer's own run alone, its data being prepared; NaN where it does not say."""
        return np.array([a.said.get("run_s", np.nan) - b.said.get("run_s", np.nan)
                         for a, b in zip(self.full, self.empty, strict=True)])


def _seconds(runs: Iterable[Run]) -> np.ndarray:
    return np.array([run.cpu_s for run in runs])


# ---- what is run -------------------------------------------------------------------------------------------------------
def environment(peer: str, folder: Path, python: str) -> str:
    """The Python of a peer's own environment, made where it is not there or its requirements have changed."""
    home, wanted = folder / peer, (HERE / f"{peer}.txt").read_text()
    made, own = home / "requirements.txt", str(home / "bin" / "python")
    if not made.exists() or made.read_text() != wanted:
        print(f"installing {wanted.split()[0]}", file=sys.stderr)
        shutil.rmtree(home, ignore_errors=True)
        subprocess.run([python, "-m", "venv", str(home)], check=True)
        subprocess.run([own, "-m", "pip", "install", "--quiet", "-r", str(HERE / f"{peer}.txt")], check=True)
        made.write_text(wanted)
    return own


def inputs(data: Path, folder: Path, count: int) -> dict[str, Path]:
    """Folders of the same rows, all of them and one: no row at all is refused by most."""
    from bench.peers import rows

    days = data
    if not list(data.glob("*.ticks.day")):
        days = folder / "days"
        if not list(days.glob("*.ticks.day")):
            subprocess.run([sys.executable, "-m", "engine", "data", "import", str(data.resolve()), "--out", str(days)], check=True,
                           cwd=ROOT, stdout=sys.stderr)
    day = rows.day_of(days, count)
    return {name: rows.cut(day, many, folder / name) for name, many in (("full", count), ("empty", 1))}


def sides(folder: Path, python: str) -> list[Side]:
    def ours(name: str, settings: Path, base: str = OURS) -> Side:
        into = folder / "run"
        command = [sys.executable, "-m", "engine", "backtest", "--json", "--run-dir", str(into), "--data"]

        def fresh(given: Path) -> list[str]:
            shutil.rmtree(into, ignore_errors=True)
            return [*command, str(given)]

        return Side(name, fresh, {"ENGINE_CONFIG": str(settings), "PYTHONPATH": str(ROOT)}, _of_document, base=base)

    defaults = folder / "defaults.toml"
    defaults.write_text("")
    own = {peer: environment(peer, folder, python) for peer in PEERS}

    def peer(name: str, script: str, *mode: str, base: str = OURS) -> Side:
        return Side(name, lambda given: [own[script], str(HERE / f"on_{script}.py"), str(given / "rows.npz"), *mode],
                    {"PYTHONWARNINGS": "ignore"}, base=base)

    return [ours(OURS, HERE / "cross.toml"), ours(IDLE, HERE / "idle.toml", IDLE),
            ours("engine, shipped defaults (compiled)", defaults),
            peer("nautilus_trader, quotes", "nautilus", "quotes"), peer("nautilus_trader, quotes and trades", "nautilus", "trades"),
            peer("nautilus_trader, quotes, idle strategy", "nautilus", "idle", base=IDLE),
            peer("hftbacktest, depth and trades", "hftbacktest"), peer("raptorbt, bars as arrays", "raptorbt", "bars"),
            peer("raptorbt, ticks by class", "raptorbt", "ticks")]


def _of_document(text: str) -> dict[str, Any]:
    found = json.loads(text)
    return {"events": found["rows"], "trades": found["result"].get("trades", 0)}


def measured(side: Side, given: Path, cwd: Path) -> Run:
    """Runs it and waits: user and system time of the process and its children, imports and all."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(side.command(given), cwd=cwd, env=os.environ | side.environment, stdout=out, stderr=err)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)         # or Popen waits for it once more
        out.seek(0)
        err.seek(0)
        if process.returncode:
            raise SystemExit(f"{side.name}: exit {process.returncode}\n{err.read()[-2000:]}")
        return Run(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, side.read(out.read()))


# ---- what comes of it --------------------------------------------------------------------------------------------------
def spread(values: np.ndarray) -> Middle:
    return Middle(float(np.median(values)), float(values.min()), float(values.max()))


def ratio(theirs: np.ndarray, ours: np.ndarray) -> Middle:
    """How many times as long, the median of the rounds; with the middle 95 % of the medians of draws of rounds with replacement."""
    quotients = theirs / ours
    draws = np.random.default_rng(1).integers(0, len(quotients), (DRAWS, len(quotients)))
    low, high = np.percentile(np.median(quotients[draws], axis=1), [2.5, 97.5])
    return Middle(float(np.median(quotients)), float(low), float(high))


def table(found: Sequence[Side]) -> str:
    """A row each: processor seconds, median (least-most) of the rounds; how many times those of its base, median (95 %)."""
    heads = ("side", "events", "trades", "empty, s", "whole, s", "rows alone, s", "times ours", "its run(), s", "times ours", "MB")
    lines = [f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|"]
    for side in found:
        last, within = side.full[-1].said, side.inside
        ours = next(base for base in found if base.name == side.base)
        cells = [side.name, f"{last['events']:,}", f"{last['trades']:,}", spread(_seconds(side.empty)), spread(_seconds(side.full)),
                 spread(side.net), ratio(side.net, ours.net) if side is not ours else 1]
        cells += ["", ""] if np.isnan(within).any() else [spread(within), ratio(within, ours.net)]
        cells.append(f"{max(run.mb for run in side.full):,.0f}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    asked.add_argument("--data", type=Path, required=True, help="ticks: day files, or files `data import` takes")
    asked.add_argument("--rows", type=int, default=ROWS, help="of the first day that has as many")
    asked.add_argument("--rounds", type=int, default=9, help="a round runs every side with all rows and with one")
    asked.add_argument("--folder", type=Path, default=ROOT / ".peers", help="environments, input and results; kept")
    asked.add_argument("--python", default="python3.12", help="for the peers' environments")
    asked.add_argument("--only", default="", help="sides whose name begins so, separated by commas, beside two of ours")
    options = asked.parse_args()
    if shutil.which(options.python) is None:
        raise SystemExit(f"no {options.python} here: name a Python 3.12 with --python")
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    given = inputs(options.data, folder, options.rows)
    begins = tuple(options.only.split(","))
    found = [side for side in sides(folder, options.python) if side.name in (OURS, IDLE) or side.name.startswith(begins)]
    with contextlib.suppress(KeyboardInterrupt):           # what was measured is shown
        for number in range(-1, options.rounds):           # the first is not counted: files are read, code is compiled to bytes
            order = np.random.default_rng(number + 1).permutation(len(found))
            runs = {place: [measured(found[place], given[name], folder) for name in ("empty", "full")] for place in order}
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            if number >= 0:
                for place, (empty, full) in runs.items():
                    found[place].empty.append(empty)
                    found[place].full.append(full)
    if found[0].full:
        print(table(found))


if __name__ == "__main__":
    main()
