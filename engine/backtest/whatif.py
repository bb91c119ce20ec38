"""What if: a run's day made again with other settings or another strategy, and what became different.

The run is referred to and never written into. What the venue answers is made by the engine's own matching in both accounts, so that
nothing but the change can make a difference; of a run on paper the first account is the run itself.
"""
import datetime as dt
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import orjson

from engine.backtest.differences import account_of, by_rule, differences
from engine.backtest.remade import Beginning, Changed, Remade, remake, start_of, symbols_of
from engine.config import Config, Share
from engine.config.changes import changed
from engine.strategies import loading, stops
from engine.strategies.base import StrategyError
from engine.trail.checked import reader_of
from engine.trail.rundir import RunDir, RunError
from engine.watch.trades import END, KEPT, trades_of

RUNS = Path("runs")


def whatif(run: RunDir, settings: Sequence[str], files: Sequence[Path], config: Config, into: Path | None = None,
           say: Callable[[str], Any] = lambda _: None) -> dict[str, Any]:
    """Makes the day of `run` again as it was and with `settings` (section.name=value) and the strategies of `files`, in folders of
    `into`; both accounts side by side, as `whatif.json` of `into` has them. EngineError where that cannot be."""
    began = time.perf_counter()
    folder = into if into is not None else RUNS / f"whatif-{dt.datetime.now():%Y-%m-%d-%H%M%S}"
    start, strategies = _asked(run, settings, files)
    if folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty: name a new folder with --run-dir")
    say(f"{run.path}: its day as it was")
    before = RunDir.new(folder / "before")
    was = remake(Beginning(run, config, before.path), before)
    say(f"{run.path}: its day with the change")
    after = RunDir.new(folder / "after")
    now = remake(Changed(run, config, after.path, start, strategies), after)
    rows = differences(*(account_of(made.kept, made.symbols, made.core.pipeline.names, made.trades) for made in (was, now)))
    document = {
        "run": str(run.path), "run_dir": str(folder), "changes": [*settings, *(f"strategy {path}" for path in files)],
        "day": was.day, "updates": was.core.counts()["updates"], "as_run": _as_run(run, was),
        "before": _figures(was, before), "after": _figures(now, after), "net": round(_net(now) - _net(was), 2),
        "differences": rows, "rules": by_rule(rows), "problem": was.problem or now.problem, "stopped": now.stopped,
        "seconds": round(time.perf_counter() - began, 2)}
    (folder / "whatif.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    return document


def _asked(run: RunDir, settings: Sequence[str], files: Sequence[Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The START document with all changes, and the strategies that are loaded anew."""
    start = start_of(run)
    known = {entry["name"]: dict(entry.get("parameters", {})) for entry in start["sources"] if "sha256" in entry}
    paths = {}
    for path in files:
        name = path.stem
        if any(entry["name"] == name and "sha256" not in entry for entry in start["sources"]):
            raise StrategyError(f"{path}: {name} is a source of the engine's own; give the file another name")
        paths[name] = loading.path_of(str(path))
        if all(entry["name"] != name for entry in start["sources"]):
            start["sources"].append({"name": name, "file": "", "sha256": "", "parameters": {}, "limits": Share().model_dump()})
    start = changed(start, settings)
    strategies = {}
    for entry in start["sources"]:
        name = entry["name"]
        if "sha256" not in entry or (name not in paths and entry["parameters"] == known.get(name)):
            continue
        path = paths.get(name, run.path / stops.KEPT / name / entry["file"])
        if not path.is_file():
            raise StrategyError(f"{path}: the run's copy of strategy {name} is gone; name its file with --strategy")
        strategy, text = loading.load(name, path, entry["parameters"])
        strategies[name] = strategy, text
        entry |= {"file": text.file, "sha256": text.sha256, "parameters": strategy.parameters.model_dump(mode="json")}
    return start, strategies


def _net(made: Remade) -> float:
    return sum(trade.net for trade in made.trades) / 100


def _figures(made: Remade, folder: RunDir) -> dict[str, Any]:
    """What an account of the day comes to, rupees."""
    counts = made.core.counts()
    return {"run_dir": str(folder.path), "candidates": counts["candidates"], "signals": counts["signals"],
            "trades": len(made.trades), "open": sum(trade.reason == END for trade in made.trades),
            "wins": sum(trade.net > 0 for trade in made.trades), "charges": sum(trade.charges for trade in made.trades) / 100,
            "net": round(_net(made), 2)}


def _as_run(run: RunDir, was: Remade) -> dict[str, Any]:
    """Whether the day made again is the day that was run, and what that came to; another venue fills otherwise."""
    records = reader_of(run.path).pick(KEPT)
    if was.has_decided(records):
        return {"is_same": True, "trades": len(was.trades), "net": round(_net(was), 2)}
    trades = trades_of(records, was.day, symbols_of(run), was.core.pipeline.names)
    return {"is_same": False, "trades": len(trades), "net": round(sum(trade.net for trade in trades) / 100, 2)}
