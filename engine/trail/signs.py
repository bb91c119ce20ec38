"""What is wrong with a run, in words: the one list that the view, `status`, the closing summary and the exit code go by."""
import contextlib
import os
import time
from pathlib import Path
from typing import Any

import orjson

from _ext.core.records import OPERATOR_STATES, TRADING_STATES
from _ext.trail.status import StatusBlock
from engine.strategies import stops
from engine.trail.note import read_note
from engine.trail.rundir import RunDir, is_held, start_time

NOT_READY, READY, ENDED = range(3)
"""What the status block's field `ready` says of the engine."""
FRESH_NS = 3_000_000_000
"""An engine that lives has beaten within so long."""
ENOUGH = 2
"""Deaths of a process from which on they are told of: one may be chance, and is mended by the next start."""


def vital_signs(run: RunDir, block: StatusBlock | None = None) -> tuple[Any, dict[str, Any]]:
    """(the engine's status record or None, what the store says of itself)."""
    try:
        status = (block or StatusBlock(run.status)).read()
    except (OSError, ValueError):
        status = None
    return status, read_note(run.store)


def is_running(run: RunDir) -> bool:
    """Whether an engine of this run lives: its heartbeat is fresh."""
    status, _ = vital_signs(run)
    if status is None or status["ready"] != READY:
        return False
    return (time.time_ns() - int(status["heartbeat"]) < FRESH_NS
            and Path(f"/proc/{int(status['pid'])}").exists())


def is_alive(run: RunDir) -> bool:
    """Whether the engine that introduced itself in this folder still runs, whatever it does."""
    note = about_engine(run)
    return bool(note) and start_time(int(note["pid"])) == int(note["started"])


def cores_of_engine(run: RunDir) -> list[int]:
    """The cores the engine of this run may use; empty where none runs."""
    note = about_engine(run)
    if not note or start_time(int(note["pid"])) != int(note["started"]):
        return []
    with contextlib.suppress(OSError):
        return sorted(os.sched_getaffinity(int(note["pid"])))
    return []


def about_engine(run: RunDir) -> dict[str, Any]:
    """What the engine wrote about itself; empty where there never was one."""
    try:
        note = orjson.loads(run.engine.read_bytes())
        return note if isinstance(note, dict) and {"pid", "started"} <= set(note) else {}
    except (OSError, ValueError):
        return {}


def troubles(run: RunDir, status: Any, store: dict[str, Any], launcher: dict[str, Any] | None = None) -> list[str]:
    """Everything that is wrong, the worst first. `launcher`: what the launcher says of the processes, by default its note."""
    launcher = read_note(run.launcher) if launcher is None else launcher
    found = [launcher.get("failure") or ""]
    found += bytes(status["trouble"]).decode(errors="replace").splitlines() if status is not None else []
    if is_held(run.path / "store.lock"):                   # at rest, what lies in memory tells
        found += [store.get("drain") or "", f"ClickHouse: {store['trouble']}" if store.get("trouble") else ""]
    found += [launcher.get("damage") or store.get("damage") or ""]
    if store.get("trouble") or store.get("at", 0) < launcher.get("at", 0):           # since then `store --once` may have mended it
        found.append(launcher.get("rows") or "")
    for name, (count, words) in (launcher.get("deaths") or {}).items():
        if count >= ENOUGH:
            found.append(f"the {name} process has died {count} times, last: {words}")
    found += [launcher.get("sign") or "", *_of_the_dead(run, status)]
    return list(dict.fromkeys(text for text in found if text))


def _of_the_dead(run: RunDir, status: Any) -> list[str]:
    """What is left of a run nobody runs any more, and the word where nobody looks after one that lives."""
    attended = is_held(run.path / "launcher.lock")
    if is_held(run.lock):
        if attended or not run.beat.exists():
            return []
        number = about_engine(run).get("pid", "unknown")
        return [f"the engine (process {number}) runs without a launcher: {take_over(run.path)} goes on with it"]
    found = []
    if status is not None and status["ready"] == READY and not attended and not (run.path / "killed.json").exists():
        found.append(f"the engine (process {int(status['pid'])}) has died without an end of its journal")
    if (call := stops.under_way(run.path)) is not None:
        found.append(f"a strategy had not come back from its call {call.number:,} when the engine ended: neither a restart nor a "
                     "replay makes that call (engine.out may name the line)")
    if status is not None and (left := _left_by_kill(run, status)):
        found.append(f"`kill` could not close {', '.join(sorted(left))}: run it again, or close them in the broker's app")
    if not is_held(run.path / "store.lock") and (rest := run.undrained()):
        found.append(rest_words(run, rest))
    return found


def rest_words(run: RunDir, rest: int) -> str:
    return (f"{max(rest >> 20, 1):,} MB of the journal lie in shared memory alone ({run.memory}) and are lost when this machine "
            f"stops: make room on the disk, then `python -m engine store --once --run-dir {run.path}` saves them")


def take_over(path: Path) -> str:
    return f"`python -m engine run --run-dir {path}`"


def without_filter(status: Any) -> bool:
    """Whether an engine that is ready has no model: every candidate is refused."""
    return status is not None and status["ready"] != NOT_READY and not status["filter"]


def summary(run: RunDir, status: Any, store: dict[str, Any], wrong: list[str]) -> dict[str, Any]:
    """What a run did and what is wrong with it, as a document; `problem` is the worst."""
    out: dict[str, Any] = {"run_dir": str(run.path), "problem": wrong[0] if wrong else None, "troubles": wrong}
    return out if status is None else _figures(run, status, store) | out


def _figures(run: RunDir, status: Any, store: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a status record and of the store; money in rupees."""
    names = ("updates", "frames", "candidates", "signals", "orders", "requests", "gaps", "late", "repeats", "rejected",
             "reconnects", "instruments", "positions", "epoch")
    out: dict[str, Any] = {name: int(status[name]) for name in names}
    left = _left_by_kill(run, status)
    money = {name: int(status[name]) / 100 for name in ("realised", "charges", "open")}
    first = (int(status["first_update"]) - int(status["started"])) / 1e9 if status["first_update"] else None
    return out | money | {
        "trading": TRADING_STATES[status["trading"]], "operator": OPERATOR_STATES[status["operator"]],
        "filter": "OFF" if without_filter(status) else "on" if status["ready"] else None,
        "net": round(money["realised"] + money["open"] - money["charges"], 2), "digest": f"{int(status['digest']):016x}",
        "tick_path_us": {n: int(status[n]) / 1000 for n in ("p50", "p99", "p999", "max")},
        "first_update_s": None if first is None else round(first, 2), "stored": store.get("stored", 0),
        "cores": cores_of_engine(run) or None,
        "store_trouble": store.get("trouble") or None} | ({} if left is None else {"positions": len(left)})


def _left_by_kill(run: RunDir, status: Any) -> dict[str, int] | None:
    """Key -> quantity of what `kill` could not close of an engine it has ended; None where it has ended none since the engine's
    last sign of life, whose word of its positions is the newer one then."""
    try:
        report = orjson.loads((run.path / "killed.json").read_bytes())
        is_newer = (run.path / "killed.json").stat().st_mtime_ns > int(status["heartbeat"])
        return dict(report["left"]) if is_newer else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
