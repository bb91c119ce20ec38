"""The kill switch as a process of its own: fences the engine, cancels its orders and flattens its positions by REST.

It needs nothing of the engine: not its loop, not its memory. Each step is timed; whatever cannot be done is said.
"""
import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from _ext.core.records import INTENT_PLACE, OUTCOME_AMBIGUOUS, OUTCOME_DONE
from engine.broker.upstox import answers, protocol
from engine.broker.upstox.answers import Unreadable
from engine.broker.upstox.api import Api
from engine.broker.upstox.protocol import Request
from engine.trade.bands import band_of
from engine.trade.fence import Report, note
from engine.trade.reconcile import READS, TERMINAL
from engine.trail.rundir import Lock, RunDir, RunError

SPACING_S = 0.11                    # between order requests: the broker takes ten a second
PATIENCE = (0.005, 0.01, 0.02, 0.03)
"""How far beyond the other side an order may trade: half a per cent at first, then ever more, one step a second."""
ROUNDS = 24
SETTLE_S = 15.0                     # an order that no read of the book shows for so long does not exist


class Flattener:
    """Cancels what this engine has working and closes what it holds, through `rest`.

    `specs` is key -> (tick, freeze). `whole_account` closes every intraday position, whoever
    opened it.
    """

    def __init__(self, rest: Api, engine: str, specs: dict[str, Sequence[int]], report: Report,
                 whole_account: bool = False, say: Callable[[str], Any] = lambda text: None):
        self.rest, self.engine, self.specs, self.report = rest, engine, specs, report
        self.whole_account, self.say = whole_account, say
        self.nonce = "k" + secrets.token_hex(2)
        self.number = 0
        self.sent: dict[str, tuple[str, float]] = {}    # tag -> name and time of orders the book has not shown yet
        self.unclear: set[str] = set()                  # names with a row nobody understands: neither closed nor flat

    async def run(self) -> None:
        """Until flat with no order of ours left, or out of rounds; what is left stands in the report."""
        await self._cancel_all()
        for round_ in range(ROUNDS):
            busy = await self._busy()
            held = await self._held()
            self.report.left = held | dict.fromkeys(self.unclear, 0)
            if not held and not busy:
                self.report.step(f"not understood: {', '.join(sorted(self.unclear))}" if self.unclear else "flat")
                return
            free = {key: net for key, net in held.items() if key not in busy}
            if free:
                await self._close(free, PATIENCE[min(round_, len(PATIENCE) - 1)])
            elif busy:
                self.report.step("waiting for orders to end", ", ".join(sorted(busy)))
            if round_ == ROUNDS // 2 and self.whole_account:
                answer = await self.rest.exit_all()
                self.report.step("asked the broker to exit all", str(answer.status))
            await asyncio.sleep(0.2 if round_ == 0 else 0.8)
            await self._cancel_all(quietly=True)
        self.report.left = await self._held()
        for key in await self._busy() | self.unclear:   # nobody knows what becomes of it: not flat
            self.report.left.setdefault(key, 0)
        self.report.step("gave up" if self.report.left else "flat", str(self.report.left or ""))

    async def _busy(self) -> set[str]:
        """Names with an order of ours that may still trade: working, or sent here and neither ended nor absent from the book for
        fifteen seconds. A close beside it could turn the position round."""
        book = await self._book()
        busy = {_key_of(row) for row in book if row.get("status") not in TERMINAL}
        shown = {str(row.get("tag")) for row in book}
        now = time.monotonic()
        for tag, (key, sent) in list(self.sent.items()):
            if tag in shown:
                del self.sent[tag]
            elif now - sent < SETTLE_S:
                busy.add(key)
        return busy

    async def _read(self, path: str, take: Callable[[Any, str], Any], params: dict[str, str] | None = None) -> Any:
        """A read as `take` understands it, tried until it answers: nothing can be done without it."""
        for pause in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0):
            answer = await self.rest.call(Request("GET", path, params=params))
            if answer.status == 200:
                with contextlib.suppress(Unreadable):
                    return take(answers.data_of(answer.body, path), path)
            if answer.status == 401:
                raise RunError("the token was refused: log in, then run kill again, or close the positions in the broker's app")
            self.say(f"{path}: {answer.status or 'no answer'}")
            await asyncio.sleep(pause)
        raise RunError(f"{path} does not answer: close the positions in the broker's app, then run kill again")

    async def _book(self) -> list[dict[str, Any]]:
        """Orders with our mark, of any life and of this kill."""
        rows = await self._read(READS["book"], answers.rows)
        return [row for row in rows if isinstance(row, dict) and protocol.read_tag(row.get("tag"), self.engine)]

    async def _cancel_all(self, quietly: bool = False) -> None:
        cancelled = 0
        for _ in range(8):
            live = [row for row in await self._book() if row.get("status") not in TERMINAL]
            if not live:
                break
            for row in live:
                await self.rest.cancel(str(row.get("order_id")))
                cancelled += 1
                await asyncio.sleep(SPACING_S if len(live) > 1 else 0)
            await asyncio.sleep(0.1)
        if not quietly or cancelled:
            self.report.step("cancelled its orders", f"{cancelled} requests")

    async def _held(self) -> dict[str, int]:
        """key -> net quantity to close: what the broker shows, of it only what our orders made."""
        self.unclear = set()
        shown = self._sum(await self._read(READS["positions"], answers.rows), _position)
        if self.whole_account:
            return shown
        ours = self._sum(await self._book(), _filled)
        return {key: (1 if net > 0 else -1) * min(abs(net), abs(ours.get(key, 0)))
                for key, net in shown.items() if net * ours.get(key, 0) > 0}

    def _sum(self, rows: Sequence[Any], take: Callable[[dict[str, Any]], int]) -> dict[str, int]:
        """Key -> sum of what `take` finds in its rows; names with a row nobody understands are unclear, and left out."""
        out: dict[str, int] = {}
        for row in rows:
            try:
                quantity = take(answers.record(row, "a row"))
            except Unreadable:
                self.unclear.add(_key_of(row))
                continue
            if quantity:
                out[_key_of(row)] = out.get(_key_of(row), 0) + quantity
        return {key: quantity for key, quantity in out.items() if key not in self.unclear}

    async def _close(self, held: dict[str, int], distance: float) -> None:
        quotes = await self._read("/v3/market-quote/quotes", answers.record, {"instrument_key": ",".join(held)})
        by_key = {q["instrument_token"]: q for q in answers.readable(list(quotes.values()), answers.quote)[0]}
        for key, net in held.items():
            price = limit_price(by_key.get(key, {}), net, distance, self.specs.get(key, (5, 0))[0])
            if price <= 0:
                self.report.step(f"no price for {key}")
                continue
            freeze = self.specs.get(key, (5, 0))[1] or abs(net)
            for part in slices(abs(net), freeze):
                self.number += 1
                body = {"quantity": part, "product": "I", "validity": "DAY", "price": price / 100, "slice": False,
                        "tag": f"{self.engine}.{self.nonce}.{self.number}.k", "instrument_token": key, "order_type": "LIMIT",
                        "transaction_type": "SELL" if net > 0 else "BUY", "disclosed_quantity": 0, "trigger_price": 0,
                        "is_amo": False}
                answer = await self.rest.place(body)
                outcome = protocol.outcome_of(INTENT_PLACE, answer.status, answer.body)[0]
                if outcome in (OUTCOME_DONE, OUTCOME_AMBIGUOUS):
                    self.sent[str(body["tag"])] = (key, time.monotonic())
                self.report.step(f"{'sold' if net > 0 else 'bought'} {part} {key} at {price / 100:.2f}",
                                 "sent" if outcome == OUTCOME_DONE else f"{answer.status} {answers.said(answer.body)}"[:120])
                await asyncio.sleep(SPACING_S)


def _key_of(row: Any) -> str:
    key = row.get("instrument_token") if isinstance(row, dict) else None
    return key if isinstance(key, str) and 0 < len(key) <= 64 else "a row without a name"


def _position(row: dict[str, Any]) -> int:
    """Net quantity of an intraday position; 0 for another product's."""
    if answers.text(row.get("product"), "the product of a position", 8) != "I":
        return 0
    quantity = answers.whole(row.get("quantity"), "the quantity of a position", -int(answers.MOST))
    answers.text(row.get("instrument_token") if quantity else "-", "the name of a position", 64)
    return quantity


def _filled(row: dict[str, Any]) -> int:
    """What an order has filled, bought or sold; where it is null, nothing yet."""
    filled = row.get("filled_quantity")
    quantity = 0 if filled is None else answers.whole(filled, "what an order filled")
    side = {"BUY": 1, "SELL": -1}.get(answers.text(row.get("transaction_type"), "the side of an order", 8))
    if side is None:
        raise Unreadable("the side of an order is unknown")
    return side * quantity


def limit_price(quote: dict[str, Any], net: int, distance: float, tick: int) -> int:
    """Paise of a limit that closes `net` now: `distance` beyond the other side's best, on the grid; 0: unknown. The circuit
    limits cut the distance, never the trade: where the best is beyond one, that one is old."""
    depth = quote.get("depth") or {}
    best = protocol.paise(((depth.get("buy") if net > 0 else depth.get("sell")) or [{}])[0].get("price"))
    best = best or protocol.paise(quote.get("last_price"))
    if best <= 0:
        return 0
    step = max(tick, 1)
    lower, upper = band_of(quote) or (0, 0)
    if net > 0:
        price = max(int(best * (1 - distance)) // step * step, step)
        return max(price, -(-lower // step) * step) if lower <= best else price
    price = -(-int(best * (1 + distance)) // step) * step
    return min(price, upper // step * step) if upper >= best else price


def slices(quantity: int, freeze: int) -> list[int]:
    """`quantity` in orders the exchange takes: none larger than the freeze quantity."""
    whole, rest = divmod(quantity, freeze)
    return [freeze] * whole + ([rest] if rest else [])


async def cancel_and_flatten(lock: Lock, run: RunDir, target: dict[str, Any], report: Report, token: str,
                             whole_account: bool = False, say: Callable[[str], Any] = lambda text: None) -> dict[str, Any]:
    """Cancels and closes what a fenced engine has left, under the `lock` of its account; the report as a document. RunError where
    the broker cannot be reached."""
    rest = Api(token, target["base"], target["orders"])
    try:
        await rest.open()
        await Flattener(rest, target["engine"], target["specs"], report, whole_account, say).run()
    finally:
        await rest.close()
        lock.release()
    note(run, report.document())
    return report.document()


async def switch_off(target: dict[str, Any], token: str, segment: str) -> dict[str, Any]:
    """The broker's kill switch of one segment: needs flat positions, cannot be undone for twelve hours, ends the token."""
    report, rest = Report(), Api(token, target["base"], target["orders"])
    try:
        await rest.open()
        answer = await rest.call(Request("POST", "/v2/user/kill-switch", [{"segment": segment, "action": "DISABLE"}]))
        good = answer.status == 200
        report.step(f"switched {segment} off", "done" if good else f"refused: {answer.status} {answers.said(answer.body)}")
        report.left = {} if good else {segment: 0}
    finally:
        await rest.close()
    return report.document()
