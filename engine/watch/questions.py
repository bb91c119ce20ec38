"""What an assistant may ask of runs, and all it may: status, explain, query, report, runs. Nothing here changes a run.

Each answer is a document as JSON knows it; what is wrong is an EngineError that says what to do.
"""
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from engine.config import Config
from engine.errors import UsageError
from engine.store.client import client_of, number_of
from engine.trail.checked import JournalError, damage_of, reader_of, survey
from engine.trail.rundir import RunDir
from engine.trail.signs import is_running, summary, troubles, vital_signs
from engine.watch import day_report
from engine.watch.explain import against_training, candidate_of, explain
from engine.watch.figures import losing_streak, mean_seconds, win_rate
from engine.watch.follow import Follow
from engine.watch.notes import Notes
from engine.watch.server.runs import Runs
from engine.watch.state import RunState
from engine.watch.trades import KEPT, trades_of

NUMBER_MAX, SQL_MAX, NAME_MAX = (1 << 53) - 1, 8000, 200
ROWS_MAX, BYTES_MAX = 1000, 256 << 10
"""Of one answer to `query`."""
RUNS_MAX = 100


class Questions:
    """Of `run` and the other runs of its folder."""

    def __init__(self, run: RunDir, config: Config):
        self.run, self.config = run, config
        self.runs = Runs(run.path.parent, Follow(run))

    def folder(self, name: str) -> RunDir:
        """The run of this name, NAME or NAME/DAY; empty: the one given. EngineError for any other place."""
        _text("run", name, NAME_MAX)
        return RunDir.existing(self.runs.path_of(name)) if name else self.run

    def status(self, run: str = "") -> dict[str, Any]:
        """Vital signs of a run, money in rupees, and all that is wrong with it."""
        folder = self.folder(run)
        signs, is_alive = vital_signs(folder), is_running(folder)
        wrong = troubles(folder, *signs)
        if not is_alive:
            try:
                damage = survey(folder.path)
            except JournalError as error:
                damage = str(error)
            wrong += [damage] if damage and damage not in wrong else []
        return plain(summary(folder, *signs, wrong) | {"run": folder.path.name, "running": is_alive})

    def explain(self, number: int, is_order: bool = False, run: str = "") -> dict[str, Any]:
        """The chain of a candidate, or of the candidate an order belongs to, with what people noted of it."""
        _whole("number", number, NUMBER_MAX)
        if not isinstance(is_order, bool):
            raise UsageError("is_order is true or false")
        folder = self.folder(run).path
        wanted = candidate_of(folder, number) if is_order else number
        if wanted is None:
            raise UsageError(f"there is no order {number} in this run: `query` with SELECT id, event FROM orders has them")
        found = explain(folder, wanted)
        if found is None:
            raise UsageError(f"there is no candidate {wanted} in this run: `query` with SELECT id, reason FROM signals has them")
        return plain(found | {"against_training": against_training(found, Path(self.config.models)),
                              "notes": [note.shown() for note in Notes(folder).of(wanted)]})

    def query(self, sql: str, rows: int = 100, run: str = "") -> dict[str, Any]:
        """The first `rows` rows of one SELECT. What ClickHouse's client raises has its words."""
        _text("sql", sql, SQL_MAX)
        _whole("rows", rows, ROWS_MAX)
        if not sql.strip():
            raise UsageError("sql is empty: write one SELECT")
        folder = self.folder(run)
        with self._client(folder) as client:
            parameters = {"run": number_of(folder)} if "{run:" in sql else None
            found: list[list[Any]] = []
            size, is_whole = 0, True
            with client.query_rows_stream(sql, parameters=parameters) as stream:
                names = list(stream.source.column_names)
                for row in stream:
                    cells = [_cell(value) for value in row]
                    size += len(orjson.dumps(cells))
                    if len(found) >= rows or size > BYTES_MAX:
                        is_whole = False
                        break
                    found.append(cells)
        return plain({"columns": names, "rows": found, "is_whole": is_whole})

    @contextmanager
    def _client(self, folder: RunDir) -> Iterator[Any]:
        """A reader's client. Of a server of one's own only where its user may not write: ours is guarded, theirs is not by us."""
        with client_of(self.config, folder) as client:
            if self.config.store.url and not int(client.query("SELECT toUInt8(getSetting('readonly'))").result_rows[0][0]):
                raise UsageError("the user of [store] url may write: give the one an assistant asks with a profile of readonly = 1")
            yield client

    def report(self, run: str = "") -> dict[str, Any]:
        """What the day did: entries, exits, alarms, trades; money in rupees, realised and after charges."""
        folder = self.folder(run)
        reader = reader_of(folder.path)
        state = RunState()
        kept: list[tuple[int, int, bytes]] = []
        for kind, _, now, payload in reader:
            state.take(kind, payload)
            if kind in KEPT:
                kept.append((kind, now, payload))
        trades = trades_of(kept, "", state.symbols, state.sources)
        closed = [trade for trade in trades if trade.is_closed]
        return plain(day_report.summary(state) | {
            "run": folder.path.name, "trades": len(closed), "wins": sum(trade.net > 0 for trade in closed),
            "win_rate": win_rate(trades), "mean_seconds": mean_seconds(trades), "losing_streak": losing_streak(trades),
            "best": max((trade.net / 100 for trade in closed), default=None),
            "worst": min((trade.net / 100 for trade in closed), default=None), "problem": damage_of(folder.path, reader)})

    def listed(self) -> dict[str, Any]:
        """Runs of the folder, the newest first; `net` in paise, after charges."""
        return plain({"rows": self.runs.listed()[:RUNS_MAX], "own": self.run.path.name})


def _whole(name: str, value: object, most: int) -> None:
    """UsageError where `value` is no whole number of 1 to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise UsageError(f"{name} is a whole number of 1 to {most:,}, not {str(value)[:40]!r}")


def _text(name: str, value: object, most: int) -> None:
    """UsageError where `value` is no text of at most `most` characters."""
    if not isinstance(value, str) or len(value) > most:
        raise UsageError(f"{name} is a text of at most {most:,} characters")


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """As JSON knows it: a number that is none becomes null."""
    known: dict[str, Any] = orjson.loads(orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))
    return known


def _cell(value: Any) -> Any:
    if isinstance(value, int | float | bool | type(None)) and not (isinstance(value, int) and abs(value) > NUMBER_MAX):
        return value
    text = str(value)
    return text if len(text) <= 2000 else f"{text[:2000]} ..."
