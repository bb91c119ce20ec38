"""What one server serves: the run it follows, the other runs of its folder, their moments, its models, alerts and files."""
import asyncio
import contextlib
import getpass
import os
import time
import traceback
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import MINUTE
from _ext.quotes import CANDLE
from engine.config import Config
from engine.errors import EngineError
from engine.signals import models
from engine.trail.rundir import RunDir
from engine.trail.signs import about_engine, is_running
from engine.watch import recorded, rows
from engine.watch.alerts.answers import Answers
from engine.watch.alerts.telegram import Listener, bots
from engine.watch.follow import Follow
from engine.watch.moment import moment, positions, states
from engine.watch.notes import NoteRefused
from engine.watch.panels import PANELS, NothingThere
from engine.watch.server.hub import Hub, hash_of
from engine.watch.server.measures import Measures
from engine.watch.server.operations import Desk
from engine.watch.server.runs import Runs, kind_of
from engine.watch.server.seeker import Seeker

PAGE = Path(__file__).parents[1] / "page"
"""Where the bundled page lies."""
CHAT_S = 15.0
NO_CHAT = "alerts.chats is on and no address names a chat by its number: write tgram://TOKEN/NUMBER, or turn it off"


class Serving:
    """Everything the routes ask. `csrf`: the word the page sends with an operation. `listens`: chats may ask too; of one run at a
    time, since a bot's messages go to one process."""

    def __init__(self, run: RunDir, config: Config, csrf: str, sectors: list[str], listens: bool = False):
        self.listens = listens
        self.config, self.csrf, self.sectors = config, csrf, sectors
        self.follow = Follow(run)
        self.models = Path(config.models)
        self.runs = Runs(run.path.parent, self.follow)
        self.seeker = Seeker(self.models)
        self.measures = Measures(self.follow, config, lambda: self.mode(self.follow), self.earlier_days)
        self.hub = Hub(self.follow, self.alerts_open, self.measures.look, hash_of(self.follow.name))
        self.tasks: set[asyncio.Task[None]] = set()
        self.on_failure: Callable[[], Any] = lambda: None
        self.desk = Desk(run, self.models, f"page: {user_name()}", self.acknowledge)
        self.listeners: list[Listener] = []
        self.files = {str(path.relative_to(PAGE)): path for path in PAGE.rglob("*") if path.is_file()} if PAGE.is_dir() else {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follows the run for as long as the block lasts."""
        self._listen(asyncio.get_running_loop())
        tasks = [asyncio.create_task(work) for work in (self.hub.run(), self.measures.run())]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            yield
        finally:
            for listener in self.listeners:
                listener.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.seeker.close()
            self.measures.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """What follows the run has failed: a page that stands still would pass for a calm market, so the process ends and is
        started again."""
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)
            self.on_failure()

    # ---- chats ---------------------------------------------------------------------------------------------------------
    def _listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Answers chats where that is wanted: what they ask is looked up and done here, in the loop, not in their threads."""
        if not self.listens:
            return

        async def facts() -> dict[str, Any]:
            return self.facts()

        def operate(name: str, who: str) -> str:
            desk = Desk(self.follow.run, self.models, f"chat: {who}", self.acknowledge)
            return str(asyncio.run_coroutine_threadsafe(desk.at_once(name), loop).result(CHAT_S))

        def look() -> dict[str, Any]:
            return asyncio.run_coroutine_threadsafe(facts(), loop).result(CHAT_S)

        watching = self.measures.watching
        self.listeners = [Listener(bot, Answers(look, operate), said) for bot in bots(watching.delivery.addresses)]
        for listener in self.listeners:
            listener.start()
        if not self.listeners:
            watching.problem = watching.problem or NO_CHAT

    def facts(self) -> dict[str, Any]:
        """What a chat is told of; money in paise."""
        follow, figures = self.follow, self.follow.figures()
        return {"run": follow.name, "mode": self.mode(follow), "is_running": follow.is_live, "state": states(follow.day, figures),
                "counts": figures["counts"], "money": figures["money"], "positions": positions(follow.day, follow.shown()),
                "troubles": list(follow.troubles)}

    # ---- the run -------------------------------------------------------------------------------------------------------
    def warm(self, follow: Follow) -> None:
        """A page has opened: its time machine begins to apply the journal."""
        if follow.market is not None and not follow.day.is_whatif:
            self.tasks.add(task := asyncio.create_task(self.seeker.warm(follow.run.path)))
            task.add_done_callback(self.tasks.discard)

    def session(self, follow: Follow) -> dict[str, Any]:
        start, mode = follow.day.start, self.mode(follow)
        return {"csrf": self.csrf, "run": follow.name, "own": self.follow.name, "live": is_running(follow.run),
                "may_operate": follow is self.follow, "source": str(start.get("source", "")), "mode": mode,
                "began_us": follow.day.began // 1000, "latest_us": follow.now() // 1000, "day": str(start.get("day", "")),
                "speed": float(follow.status["speed"]) if follow.status is not None else None,
                "sources": list(follow.day.state.sources), "run_hash": hash_of(follow.name)}

    def mode(self, follow: Follow) -> str:
        """paper, live, observe or simulated."""
        note = about_engine(follow.run)
        return "live" if note.get("live") else "observe" if note.get("observe") else (
            "paper" if follow.day.start.get("via") else "simulated")

    def earlier_days(self) -> dict[str, int]:
        """Earlier day -> net result (paise) of the account in runs of the same kind: of a simulated day the latest, else of all."""
        start = self.follow.day.start
        day, market, kind = str(start.get("day", "")), start.get("source"), kind_of(start)
        out: dict[str, int] = {}
        for row in reversed(self.runs.listed()):               # the oldest first
            if row["net"] is not None and row["kind"] == kind and row.get("source") == market and row["day"] < day:
                out[row["day"]] = row["net"] + (out.get(row["day"], 0) if market == "upstox" else 0)
        return dict(sorted(out.items()))

    async def moment(self, run: str, at: int | None) -> dict[str, Any] | bytes:
        """The whole page, now or at a moment."""
        follow = await self.runs.get(run)
        if at is not None:
            return checked(await self.seeker.ask(follow.run.path, at * 1000, "moment", {}))
        return moment(follow.day, follow.shown(), follow.closes_before(), follow.figures(), follow.now()) | {
            "run": follow.name, "is_live": follow.is_live, "troubles": follow.troubles}

    async def panel(self, name: str, run: str, at: int | None, arguments: dict[str, Any]) -> bytes:
        """One panel's answer as JSON."""
        follow = await self.runs.get(run)
        if at is not None:
            return checked(await self.seeker.ask(follow.run.path, at * 1000, name, arguments))
        return orjson.dumps(PANELS[name](follow, arguments, self.models), option=orjson.OPT_SERIALIZE_NUMPY)

    async def candidate(self, run: str, at: int | None, number: int) -> dict[str, Any]:
        """One candidate with what people noted of it, whenever they did."""
        document: dict[str, Any] = orjson.loads(await self.panel("candidate", run, at, {"id": number}))
        return document | {"notes": [note.shown() for note in (await self.runs.get(run)).notes.of(number)]}

    async def trades(self, run: str, at: int | None) -> dict[str, Any]:
        """Positions that ended, with the tags of their candidates."""
        document: dict[str, Any] = orjson.loads(await self.panel("trades", run, at, {}))
        tags = (await self.runs.get(run)).notes.tags()
        for row in document["rows"]:
            row["tags"] = tags.get(row["candidate"], [])
        return document

    async def note(self, run: str, candidate: int, text: str, tags: list[str], removes: int) -> dict[str, Any]:
        """Keeps a note on a candidate, or takes note `removes` back. NoteRefused, NothingThere."""
        follow = await self.runs.get(run)
        if bool(candidate) == bool(removes) or (removes and (text or tags)):
            raise NoteRefused("send `candidate` with `text` or `tags`, or `removes` with the number of a note")
        if removes:
            follow.notes.remove(removes, self.desk.who)
            return {"removed": removes}
        if candidate not in follow.day.candidates:
            raise NothingThere(f"there is no candidate {candidate} in this run")
        return follow.notes.add(candidate, text, tags, self.desk.who).shown()

    async def candles(self, run: str, at: int | None, inst: int, step: int) -> dict[str, Any]:
        """History, the day's minutes and the one under way. Of a backtest's day from its day file."""
        follow = await self.runs.get(run)
        if follow.market is None or inst >= len(follow.day.instruments):
            raise NothingThere(f"there is no instrument {inst} in this run")
        if follow.day.is_of_rows:
            name = await asyncio.to_thread(recorded.data_of, follow.run.reader())
            made = await asyncio.to_thread(recorded.minutes, Path(name), follow.day.state.symbol(inst))
            return rows.candles(follow.day, inst, made if at is None else made[made["told"] <= at * 1000], step,
                                follow.now() if at is None else at * 1000)
        if at is None:
            return rows.candles(follow.day, inst, follow.minutes(inst), step, follow.now())
        told = follow.minutes(inst, at * 1000)
        bar = orjson.loads(await self.panel("forming", run, at, {"inst": inst}))
        if bar["open"] > 0 and bar["minute"] * MINUTE <= at * 1000 and (not len(told) or bar["minute"] > told[-1]["minute"]):
            row = (*(bar[name] for name in ("minute", "open", "high", "low", "close", "volume")), 0, 0)
            told = np.append(told, np.array([row], CANDLE))
        return rows.candles(follow.day, inst, told, step, at * 1000)

    def feed(self, follow: Follow) -> dict[str, Any]:
        """How the feed does, as the engine says it."""
        status = follow.status
        if status is None:
            return {"is_up": None, "reconnects": None, "updates_per_s": None, "skew_ms": None, "rejected": None, "unknown": None}
        skew = int(status["skew_ms"])
        return {"is_up": bool(status["feed_up"]), "reconnects": int(status["reconnects"]), "updates_per_s": round(follow.rate),
                "skew_ms": skew if abs(skew) < 1 << 60 else None, "rejected": int(status["rejected"]),
                "unknown": int(status["unknown"]), "updates": int(status["updates"]), "late": int(status["late"]),
                "repeats": int(status["repeats"])}

    # ---- results -------------------------------------------------------------------------------------------------------
    def result(self, name: str) -> dict[str, Any]:
        """What came of a backtest or a what-if, with its trades by column."""
        import polars

        document, path = self.runs.result(name), self.runs.path_of(name) / "trades.parquet"
        columns = {}
        if path.exists():
            with contextlib.suppress(polars.exceptions.PolarsError, OSError):
                columns = {c.name: c.to_list() for c in polars.read_parquet(path, n_rows=200_000).cast(
                    {polars.Datetime: polars.Int64, polars.Date: polars.String}).get_columns()}
        return document | {"name": name, "columns": columns}

    def compare(self, a: str, b: str) -> dict[str, Any]:
        """Two results side by side, and their days that both have or one."""
        found = {side: self.runs.result(name) for side, name in (("a", a), ("b", b))}
        daily = {side: {row["day"]: row["net"] for row in document.get("daily") or []} for side, document in found.items()}
        days = sorted({*daily["a"], *daily["b"]})
        return {side: {"name": name, "result": found[side].get("result"), "counts": found[side].get("counts"),
                       "options": found[side].get("options")} for side, name in (("a", a), ("b", b))} | {
            "daily": {"day": days, **{side: [daily[side].get(day) for day in days] for side in ("a", "b")}}}

    def model_panel(self) -> dict[str, Any]:
        """Which models there are, and what each does."""
        drift = {"drift": self.measures.drift, "why_no_drift": self.measures.why_no_drift}
        try:
            return {"known": models.entries(self.models), "problem": None} | drift
        except EngineError as error:
            return {"known": [], "problem": str(error)} | drift

    async def broker(self, run: str) -> dict[str, Any]:
        """Our figures beside the broker's, as the day's report compared them last."""
        follow = await self.runs.get(run)
        path = follow.run.path / "evening.json"
        if not path.exists():
            return {"rows": [], "read_us": None, "why": (
                "paper has no broker: nothing to compare" if follow.day.start.get("via") else
                "nobody has compared yet: `python -m engine report` asks the broker and keeps what differs")}
        document = orjson.loads(path.read_bytes())
        return {"rows": document.get("differences", []), "read_us": path.stat().st_mtime_ns // 1000, "why": ""}

    # ---- alerts and metrics --------------------------------------------------------------------------------------------
    def alerts_open(self) -> int:
        """Alerts that nobody has seen yet."""
        return self.measures.watching.book.unacknowledged

    def alert_rows(self) -> list[dict[str, Any]]:
        """Alerts, the newest first."""
        return self.measures.watching.rows()

    def chats(self) -> list[dict[str, Any]]:
        """What became of the messages of each bot's chats; empty where none are answered."""
        return [listener.counts() for listener in self.listeners]

    def acknowledge(self, number: str, who: str) -> str:
        """Marks an alert as seen; its name, empty where there is none of this number."""
        try:
            return self.measures.watching.acknowledge(int(number), who, time.time_ns()).name
        except (ValueError, LookupError):
            return ""

    def metrics(self) -> tuple[bytes, str]:
        """What a scrape gets, and its kind."""
        return self.measures.watching.metrics.text(), "text/plain; version=0.0.4; charset=utf-8"


def user_name() -> str:
    """Of whoever runs this; a number where the machine has no name for it, as in a container."""
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return f"user {os.getuid()}"


def said(document: dict[str, Any]) -> None:
    """A line of watch.out."""
    print(orjson.dumps(document).decode(), flush=True)


def checked(answer: bytes) -> bytes:
    """An answer of the time machine. EngineError where it says what is wrong."""
    if answer.startswith(b'{"error":'):
        raise EngineError(orjson.loads(answer)["error"])
    return answer
