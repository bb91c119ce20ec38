"""What `doctor` asks of Upstox: whether this account, this token and this machine may trade today (docs/upstox.md 4.3)."""
import datetime as dt
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import orjson

from _ext.core.records import INTENT_PLACE
from engine.broker.base import FAIL, OK, WARN, Request
from engine.broker.upstox import answers, protocol
from engine.broker.upstox.api import Api
from engine.market.sessions import IST

SKEW_S = 2.0
ORDER_UNKNOWN = ("UDAPI100010", "UDAPI1010", "UDAPI1003", "UDAPI1023", "UDAPI100036")
"""What the order host says to a cancel of an order that cannot exist, when it would have taken a real one."""
SANDBOX = "https://api-sandbox.upstox.com"


class Checks:
    """Each check asks `api` and notes (name, state, what it found)."""

    def __init__(self, api: Api, now: dt.datetime, note: Callable[[str, str, str], None]):
        self.api, self.now, self.note = api, now, note

    def steps(self) -> Sequence[tuple[str, Callable[[], Awaitable[None]]]]:
        """Name and check, in the order of what each needs of the one before."""
        return (("login", self._login), ("clock", self._clock), ("order host", self._order_host), ("static IP", self._static_ip),
                ("funds", self._funds), ("session", self._session), ("feed", self._feed), ("positions", self._positions),
                ("kill switch", self._kill_switch))

    async def _login(self) -> None:
        profile = await self.api.profile()
        good = profile.get("is_active", False)
        self.note("login", OK if good else FAIL, "the account is active" if good else "the account is not active")

    async def _clock(self) -> None:
        answer = await self.api.call(Request("GET", "/v2/market/status/NSE"))
        if answer.date is None:
            self.note("clock", WARN, "the broker told no time")
            return
        skew = time.time() - answer.date
        self.note("clock", OK if abs(skew) < SKEW_S else WARN, f"{skew:+.1f} s against the broker's" + (
            "" if abs(skew) < SKEW_S else ": let chrony or systemd-timesyncd set it"))

    async def _order_host(self) -> None:
        """A cancel of an order that cannot exist: the one thing that shows whether this host takes our orders."""
        answer = await self.api.cancel("0")
        code = protocol.error_code(answer.body)
        if answer.status == 0:
            self.note("order host", FAIL, f"{self.api.orders} does not answer")
        elif answer.status == 401:
            self.note("order host", FAIL, "the token is refused there, though reads work: log in once more")
        elif code in protocol.HALTING or answer.status == 403:
            self.note("order host", FAIL, f"orders from here are refused ({code}): register this machine's address with the broker")
        elif code in ORDER_UNKNOWN:
            self.note("order host", OK, f"answers in {answer.latency_ns / 1e6:.0f} ms")
        else:
            self.note("order host", FAIL, f"an unexpected answer: {answer.status} {code}; try again in a minute")

    async def _static_ip(self) -> None:
        registered = await self.api.static_ip()
        self.note("static IP", OK if registered.get("primary_ip") else FAIL,
                  f"registered: {registered.get('primary_ip') or 'none; orders need one'} (whether it is this machine's, the "
                  "order host tells)")

    async def _funds(self) -> None:
        total = protocol.funds_of(await self.api.funds()) / 100
        self.note("funds", OK if total > 0 else FAIL, f"Rs {total:,.2f} available to trade")

    async def _session(self) -> None:
        status, timings = await self.api.market_status(), await self.api.timings(self.now.date())
        if not timings:
            self.note("session", WARN, "no session today: a holiday or a weekend")
            return
        mine = next((t for t in timings if t.get("exchange") == "NSE"), timings[0])
        start, end = (dt.datetime.fromtimestamp(mine[n] / 1000, IST) for n in ("start_time", "end_time"))
        self.note("session", OK, f"{start:%H:%M} to {end:%H:%M}, now {status}")

    async def _feed(self) -> None:
        url = await self.api.socket_url("/v3/feed/market-data-feed/authorize")
        assert self.api._session is not None
        async with self.api._session.ws_connect(url) as socket:
            message = await socket.receive(5)
            good = isinstance(message.data, bytes)
        self.note("feed", OK if good else FAIL, "speaks" if good else "connected, but said nothing")

    async def _positions(self) -> None:
        held = [row for row in await self.api.positions()
                if answers.whole(row.get("quantity"), "the quantity of a position", -int(answers.MOST))]
        live = [row for row in await self.api.book() if row.get("status") in ("open", "trigger pending")]
        self.note("positions", WARN if held or live else OK,
                  f"{len(held)} open, {len(live)} orders working" + (": those names are left alone" if held else ""))

    async def _kill_switch(self) -> None:
        off = [row.get("segment") for row in await self.api.kill_switch() if row.get("kill_switch_enabled")]
        self.note("kill switch", FAIL if "NSE_EQ" in off else OK, f"off: {', '.join(map(str, off)) or 'no segment'}")

    async def sandbox(self, golden: Path) -> None:
        """Sends each golden body once to the broker's sandbox: the shapes are taken, or the codes say what is wrong."""
        order_id = ""
        for path in sorted(golden.glob("*.json")):
            document = orjson.loads(path.read_bytes())
            body, params = document.get("body"), document.get("params")
            if document["path"].endswith("modify"):
                body = body | {"order_id": order_id}
            if document["path"].endswith("cancel"):
                params = {"order_id": order_id}
            answer = await self.api.call(Request(document["method"], document["path"], body, params))
            if document["path"].endswith("place") and answer.status == 200:
                order_id = protocol.verdict_of(INTENT_PLACE, 200, answer.body).order_id
            self.note(f"sandbox {path.stem}", OK if answer.status == 200 else FAIL,
                      "taken" if answer.status == 200 else f"{answer.status} {protocol.error_code(answer.body)}")
