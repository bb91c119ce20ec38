"""`doctor`: what must be right before money is risked, each thing with what to do about it."""
import asyncio
import datetime as dt
import os
import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from _ext.core.records import INTENT_PLACE
from _ext.signals.scorer import ModelRefused
from engine.broker.upstox import answers, login, protocol
from engine.broker.upstox.api import Api
from engine.broker.upstox.client import BrokerError, funds_of
from engine.broker.upstox.protocol import Request
from engine.config import Config
from engine.market import master, universe
from engine.market.sessions import IST
from engine.signals.models import active, trained
from engine.store import landlock
from engine.watch import drift

OK, WARN, FAIL = "ok", "warn", "fail"
ROOM_GB = 40                      # a day of 2,500 names is some 16 GB of frames, twice while they are compressed
SHM_MB = 600
MODEL_DAYS = 90
SKEW_S = 2.0
ORDER_UNKNOWN = ("UDAPI100010", "UDAPI1010", "UDAPI1003", "UDAPI1023", "UDAPI100036")
"""What the order host says to a cancel of an order that cannot exist, when it would have taken a real one."""
SANDBOX = "https://api-sandbox.upstox.com"


@dataclass
class Check:
    name: str
    state: str
    said: str


class Doctor:
    """Checks of one configuration against one broker. `api` is None where there is no token."""

    def __init__(self, config: Config, api: Api | None, token: login.Token | None, source: str, now: dt.datetime | None = None):
        self.config, self.api, self.token, self.source = config, api, token, source
        self.now = now or dt.datetime.now(IST)
        self.checks: list[Check] = []

    def note(self, name: str, state: str, said: str) -> None:
        self.checks.append(Check(name, state, said))

    @property
    def is_well(self) -> bool:
        return all(check.state != FAIL for check in self.checks)

    def document(self) -> dict[str, Any]:
        return {"well": self.is_well, "at": self.now.isoformat(timespec="seconds"), "source": self.source,
                "checks": [asdict(check) for check in self.checks]}

    async def run(self) -> None:
        """Every check; one that cannot be made is a failed one."""
        for name, check in (("configuration", self._limits), ("disk", self._disk), ("shared memory", self._memory),
                            ("model", self._model), ("token", self._token), ("confinement", self._confinement)):
            self._try(name, check)
        if self.api is None:
            self.note("broker", FAIL, "not asked: there is no token")
            return
        steps: list[tuple[str, Callable[[], Awaitable[None]]]] = [
            ("login", self._login), ("clock", self._clock), ("order host", self._order_host), ("static IP", self._static_ip),
            ("funds", self._funds), ("session", self._session), ("feed", self._feed), ("positions", self._positions),
            ("kill switch", self._kill_switch)]
        if self.source == "upstox":
            steps.append(("instruments", self._instruments))
        for name, step in steps:
            try:
                await asyncio.wait_for(step(), 15)
            except TimeoutError:
                self.note(name, FAIL, "no answer within 15 s")
            except (BrokerError, master.MasterError) as error:
                self.note(name, FAIL, str(error))
            except (KeyError, TypeError, ValueError) as error:
                self.note(name, FAIL, f"the answer was not understood ({type(error).__name__})")
        await self._clickhouse()

    def _try(self, name: str, check: Callable[[], None]) -> None:
        try:
            check()
        except Exception as error:
            self.note(name, FAIL, str(error))

    # ---- here ----------------------------------------------------------------------------------------------------------
    def _limits(self) -> None:
        r, odd = self.config.risk, []
        if r.stop * r.notional * r.max_positions > r.daily_loss:
            odd.append(f"{r.max_positions} stops of {r.stop:.1%} on {r.notional:.1%} each lose more than the day's "
                       f"{r.daily_loss:.1%}")
        if r.notional * r.max_positions > r.leverage:
            odd.append("all positions together exceed the leverage")
        if r.target <= r.stop and r.policy == "seed":
            odd.append("the target is nearer than the stop")
        if r.orders_per_minute > 60 * r.requests_per_second:
            odd.append("more entries a minute than the broker takes requests")
        self.note("limits", WARN if odd else OK, "; ".join(odd) or (
            f"{r.notional:.1%} a position, {r.max_positions} at once, day's loss {r.daily_loss:.1%}, stop {r.stop:.1%}"))

    def _disk(self) -> None:
        free = shutil.disk_usage(".").free / 1e9
        self.note("disk", OK if free > ROOM_GB else WARN if free > 2 else FAIL,
                  f"{free:.0f} GB free here; a day of 2,500 names takes some 16")

    def _memory(self) -> None:
        folder = os.environ.get("ENGINE_SHM", "/dev/shm")
        free = shutil.disk_usage(folder).free / 1e6
        self.note("shared memory", OK if free > SHM_MB else FAIL,
                  f"{free:.0f} MB free in {folder}; {SHM_MB} are needed (a container: --shm-size), or set ENGINE_SHM")

    def _confinement(self) -> None:
        """What keeps SQL of readers from this machine's files."""
        found, has_readers = landlock.version(), self.config.store.unconfined_readers
        if self.config.store.url:
            self.note("confinement", OK, "readers ask your own ClickHouse")
        elif found == 0:
            self.note("confinement", WARN, "this kernel has no Landlock: readers of the embedded database are " + (
                "on all the same (store.unconfined_readers), a list of statements alone keeps them from files" if has_readers else
                "off; a kernel from 5.19 on has it, or set unconfined_readers = true under [store]"))
        else:
            self.note("confinement", OK if found >= landlock.NETWORK_SINCE else WARN, f"Landlock {found} keeps the store to "
                      "its folder" + (" and port" if found >= landlock.NETWORK_SINCE else "; TCP only from kernel 6.7 on"))

    def _model(self) -> None:
        try:
            scorer = active(Path(self.config.models))
        except (ModelRefused, OSError) as error:
            self.note("model", FAIL, str(error))
            return
        if scorer is None:
            self.note("model", WARN, "none is active: every candidate is refused for want of a score")
            return
        day = trained(Path(self.config.models), scorer)
        age = (self.now.date() - day).days if day is not None else None
        said = ("its age is not known: its card says no day" if age is None else f"trained on {day}, {age} days old" if age >= 0
                else f"trained on {day}, a day to come: is the clock right?")
        self.note("model", OK if age is not None and 0 <= age < MODEL_DAYS else WARN, f"{scorer.sha256[:16]}, {said}"
                  + (": train and compare another" if age is None or age >= MODEL_DAYS else ""))
        self._drift()

    def _drift(self) -> None:
        """Of the latest run's store, where there is one with enough candidates."""
        from engine.store.process import client_of
        from engine.trail.rundir import RunDir, RunError

        try:
            with client_of(self.config, RunDir.existing(RunDir.latest())) as client:
                found = drift.measure(client, Path(self.config.models))
        except (RunError, LookupError, ModelRefused, OSError) as error:
            self.note("drift", OK, f"not measured: {error}")
            return
        except Exception as error:                       # a store that is not there is no reason not to trade
            self.note("drift", OK, f"not measured: {type(error).__name__}")
            return
        drifted, said = found["drifted"], found["calibration"][:1]
        if drifted:
            said.insert(0, f"{len(drifted)} features are not as in training ({', '.join(drifted[:4])})")
        self.note("drift", WARN if said else OK, f"{found['candidates']} candidates of the latest run: " + (
            "; ".join(said) + ": `python -m engine model drift`" if said else "as in training" if found["enough"]
            else f"too few to say, {drift.FEWEST} are needed"))

    def _token(self) -> None:
        if self.source == "sim":
            self.note("token", OK, "demo")
            return
        if self.token is None:
            self.note("token", FAIL, "none: `python -m engine login`")
            return
        hours = self.token.seconds_left(self.now) / 3600
        self.note("token", OK if hours > 7 else WARN, f"{self.token.kind}, {hours:.1f} hours left" + (
            "" if hours > 7 else ": it ends before the market does; log in again in the morning"))

    # ---- the broker ----------------------------------------------------------------------------------------------------
    @property
    def _broker(self) -> Api:
        assert self.api is not None
        return self.api

    async def _login(self) -> None:
        profile = await self._broker.profile()
        good = profile.get("is_active", False)
        self.note("login", OK if good else FAIL, "the account is active" if good else "the account is not active")

    async def _clock(self) -> None:
        answer = await self._broker.call(Request("GET", "/v2/market/status/NSE"))
        if answer.date is None:
            self.note("clock", WARN, "the broker told no time")
            return
        skew = time.time() - answer.date
        self.note("clock", OK if abs(skew) < SKEW_S else WARN, f"{skew:+.1f} s against the broker's" + (
            "" if abs(skew) < SKEW_S else ": let chrony or systemd-timesyncd set it"))

    async def _order_host(self) -> None:
        """A cancel of an order that cannot exist: the one thing that shows whether this host takes our orders."""
        answer = await self._broker.cancel("0")
        code = protocol.error_code(answer.body)
        if answer.status == 0:
            self.note("order host", FAIL, f"{self._broker.orders} does not answer")
        elif answer.status == 401:
            self.note("order host", FAIL, "the token is refused there, though reads work: log in once more")
        elif code in protocol.HALTING or answer.status == 403:
            self.note("order host", FAIL, f"orders from here are refused ({code}): register this machine's address with the broker")
        elif code in ORDER_UNKNOWN:
            self.note("order host", OK, f"answers in {answer.latency_ns / 1e6:.0f} ms")
        else:
            self.note("order host", FAIL, f"an unexpected answer: {answer.status} {code}; try again in a minute")

    async def _static_ip(self) -> None:
        registered = await self._broker.static_ip()
        self.note("static IP", OK if registered.get("primary_ip") else FAIL,
                  f"registered: {registered.get('primary_ip') or 'none; orders need one'} (whether it is this machine's, the "
                  "order host tells)")

    async def _funds(self) -> None:
        total = funds_of(await self._broker.funds()) / 100
        self.note("funds", OK if total > 0 else FAIL, f"Rs {total:,.2f} available to trade")

    async def _session(self) -> None:
        status, timings = await self._broker.market_status(), await self._broker.timings(self.now.date())
        if not timings:
            self.note("session", WARN, "no session today: a holiday or a weekend")
            return
        mine = next((t for t in timings if t.get("exchange") == "NSE"), timings[0])
        start, end = (dt.datetime.fromtimestamp(mine[n] / 1000, IST) for n in ("start_time", "end_time"))
        self.note("session", OK, f"{start:%H:%M} to {end:%H:%M}, now {status}")

    async def _feed(self) -> None:
        url = await self._broker.socket_url("/v3/feed/market-data-feed/authorize")
        assert self._broker._session is not None
        async with self._broker._session.ws_connect(url) as socket:
            message = await socket.receive(5)
            good = isinstance(message.data, bytes)
        self.note("feed", OK if good else FAIL, "speaks" if good else "connected, but said nothing")

    async def _positions(self) -> None:
        held = [row for row in await self._broker.positions()
                if answers.whole(row.get("quantity"), "the quantity of a position", -int(answers.MOST))]
        live = [row for row in await self._broker.book() if row.get("status") in ("open", "trigger pending")]
        self.note("positions", WARN if held or live else OK,
                  f"{len(held)} open, {len(live)} orders working" + (": those names are left alone" if held else ""))

    async def _kill_switch(self) -> None:
        off = [row.get("segment") for row in await self._broker.kill_switch() if row.get("kill_switch_enabled")]
        self.note("kill switch", FAIL if "NSE_EQ" in off else OK, f"off: {', '.join(map(str, off)) or 'no segment'}")

    async def _instruments(self) -> None:
        source, note = await master.fetch(self.now.date(), again=True, today=self.now.date())
        stocks = universe.take(self.now.date(), source, None, self.config.excluded).universe.stocks.values()
        blocked = [s.symbol for s in stocks if s.status == universe.SUSPENDED]
        self.note("instruments", WARN if note or blocked else OK, note or f"{len(stocks)} F&O stocks" + (
            f", not traded until acknowledged: {', '.join(blocked)}" if blocked else ""))
        listed = master.banned(Path(self.config.ban_list) if self.config.ban_list else None, self.now.date())
        if listed is None:
            wanted = self.config.risk.vehicle == "future"
            self.note("ban list", FAIL if wanted else OK, "no list of today (ban_list in engine.toml)" + (
                ": contracts are not entered" if wanted else ": only contracts need it"))
        else:
            self.note("ban list", OK, f"{len(listed)} names in the ban period")

    async def _clickhouse(self) -> None:
        if not self.config.store.url:
            self.note("ClickHouse", OK, "embedded, in the run folder")
            return
        import aiohttp

        try:
            async with (aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                        session.get(self.config.store.url.rsplit("/", 1)[0] + "/ping") as response):
                good = (await response.text()).strip() == "Ok."
        except (aiohttp.ClientError, TimeoutError, ValueError):
            good = False
        self.note("ClickHouse", OK if good else FAIL, "answers" if good else "does not answer at store.url")

    # ---- the broker's sandbox ------------------------------------------------------------------------------------------
    async def sandbox(self, api: Api, golden: Path) -> None:
        """Sends each golden body once to the broker's sandbox: the shapes are taken, or the codes say what is wrong."""
        order_id = ""
        for path in sorted(golden.glob("*.json")):
            document = orjson.loads(path.read_bytes())
            body, params = document.get("body"), document.get("params")
            if document["path"].endswith("modify"):
                body = body | {"order_id": order_id}
            if document["path"].endswith("cancel"):
                params = {"order_id": order_id}
            answer = await api.call(Request(document["method"], document["path"], body, params))
            if document["path"].endswith("place") and answer.status == 200:
                order_id = protocol.outcome_of(INTENT_PLACE, 200, answer.body)[1]
            self.note(f"sandbox {path.stem}", OK if answer.status == 200 else FAIL,
                      "taken" if answer.status == 200 else f"{answer.status} {protocol.error_code(answer.body)}")
