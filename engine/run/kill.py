"""The kill switch as a process of its own: fences the engine, cancels its orders and flattens its positions by REST.

It needs nothing of the engine: not its loop, not its memory. Each step is timed; whatever cannot be done is said.
"""
import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from _ext.core.records import INTENT, INTENT_CANCEL, INTENT_PLACE, OUTCOME_AMBIGUOUS, OUTCOME_DONE, ROLE_BROKER, TYPE_LIMIT
from engine.broker.base import Broker, OrderRow, PositionRow, QuoteRow, Unreadable, keyed
from engine.broker.upstox import protocol
from engine.broker.upstox.answers import said
from engine.broker.upstox.api import Api
from engine.run.fence import Report, note
from engine.trade.reconcile import TERMINAL
from engine.trade.tags import read_tag, tag_of
from engine.trail.rundir import Lock, RunDir, RunError

NAMELESS = "a row without a name"
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
                 whole_account: bool = False, say: Callable[[str], Any] = lambda text: None, broker: Broker = protocol):
        self.broker, self.rest, self.engine, self.specs, self.report = broker, rest, engine, specs, report
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
                answer = await self.rest.call(self.broker.exit_all())
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
        busy = {_name_of(row) for row in book if row.status not in TERMINAL}
        shown = {row.tag for row in book}
        now = time.monotonic()
        for tag, (key, sent) in list(self.sent.items()):
            if tag in shown:
                del self.sent[tag]
            elif now - sent < SETTLE_S:
                busy.add(key)
        return busy

    async def _read(self, what: str, keys: Sequence[str] = ()) -> list[Any]:
        """The rows of a read, tried until it answers: nothing can be done without it."""
        for pause in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0, 1.0):
            answer = await self.rest.call(self.broker.read_of(what, keys))
            if answer.status == 200:
                with contextlib.suppress(Unreadable):
                    return self.broker.rows_of(what, answer.body)
            if answer.status == 401:
                raise RunError("the token was refused: log in, then run kill again, or close the positions in the broker's app")
            self.say(f"{what}: {answer.status or 'no answer'}")
            await asyncio.sleep(pause)
        raise RunError(f"the broker does not answer ({what}): close the positions in the broker's app, then run kill again")

    async def _book(self) -> list[OrderRow]:
        """Orders with our mark, of any life and of this kill."""
        rows = map(self.broker.order_of, await self._read("book"))
        return [row for row in rows if row is not None and read_tag(row.tag, self.engine)]

    async def _cancel_all(self, quietly: bool = False) -> None:
        cancelled = 0
        for _ in range(8):
            live = [row for row in await self._book() if row.status not in TERMINAL]
            if not live:
                break
            for row in live:
                if not row.order_id:                    # nobody can name it to the broker
                    continue
                await self.rest.call(self.broker.request_of(intent_of(INTENT_CANCEL, order_id=row.order_id), "", ""))
                cancelled += 1
                await asyncio.sleep(SPACING_S if len(live) > 1 else 0)
            await asyncio.sleep(0.1)
        if not quietly or cancelled:
            self.report.step("cancelled its orders", f"{cancelled} requests")

    async def _held(self) -> dict[str, int]:
        """key -> net quantity to close: what the broker shows, of it only what our orders made."""
        self.unclear = set()
        shown = self._sum((_name_of(row), row.quantity) for row in map(self.broker.position_of, await self._read("positions"))
                          if row.is_intraday)
        if self.whole_account:
            return shown
        ours = self._sum((_name_of(row), _made(row)) for row in await self._book())
        return {key: (1 if net > 0 else -1) * min(abs(net), abs(ours.get(key, 0)))
                for key, net in shown.items() if net * ours.get(key, 0) > 0}

    def _sum(self, rows: Iterable[tuple[str, int | None]]) -> dict[str, int]:
        """Key -> sum of its rows; names with a row nobody understands are unclear, and left out."""
        out: dict[str, int] = {}
        for key, quantity in rows:
            if quantity is None or (quantity and key == NAMELESS):
                self.unclear.add(key)
            elif quantity:
                out[key] = out.get(key, 0) + quantity
        return {key: quantity for key, quantity in out.items() if key not in self.unclear}

    async def _close(self, held: dict[str, int], distance: float) -> None:
        quotes = keyed(map(self.broker.quote_of, await self._read("quotes", list(held))))
        for key, net in held.items():
            price = limit_price(quotes.get(key, QuoteRow(key)), net, distance, self.specs.get(key, (5, 0))[0])
            if price <= 0:
                self.report.step(f"no price for {key}")
                continue
            freeze = self.specs.get(key, (5, 0))[1] or abs(net)
            for part in slices(abs(net), freeze):
                self.number += 1
                tag = tag_of(self.engine, self.nonce, self.number, ROLE_BROKER)
                intent = intent_of(INTENT_PLACE, quantity=part, price=price, side=-1 if net > 0 else 1, order_type=TYPE_LIMIT)
                answer = await self.rest.call(self.broker.request_of(intent, key, tag))
                verdict = self.broker.verdict_of(INTENT_PLACE, answer.status, answer.body)
                if verdict.outcome in (OUTCOME_DONE, OUTCOME_AMBIGUOUS):
                    self.sent[tag] = (key, time.monotonic())
                self.report.step(f"{'sold' if net > 0 else 'bought'} {part} {key} at {price / 100:.2f}",
                                 "sent" if verdict.outcome == OUTCOME_DONE else f"{answer.status} {said(answer.body)}"[:120])
                await asyncio.sleep(SPACING_S)


def intent_of(kind: int, **fields: Any) -> np.void:
    """A request of the kill's own, as a record of the engine's."""
    row = np.zeros(1, INTENT)
    row["kind"] = kind
    for name, value in fields.items():
        row[name] = value
    intent: np.void = row[0]
    return intent


def _name_of(row: OrderRow | PositionRow) -> str:
    return row.key if 0 < len(row.key) <= 64 else NAMELESS


def _made(row: OrderRow) -> int | None:
    """What an order has filled, bought or sold; None where nobody can read that."""
    return None if row.fill_problem or not row.side else row.side * row.filled


def limit_price(quote: QuoteRow, net: int, distance: float, tick: int) -> int:
    """Paise of a limit that closes `net` now: `distance` beyond the other side's best, on the grid; 0: unknown. The circuit
    limits cut the distance, never the trade: where the best is beyond one, that one is old."""
    best = (quote.bid if net > 0 else quote.ask) or quote.price
    if best <= 0:
        return 0
    step = max(tick, 1)
    lower, upper = quote.band or (0, 0)
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
        answer = await rest.switch_segment(segment)
        good = answer.status == 200
        report.step(f"switched {segment} off", "done" if good else f"refused: {answer.status} {said(answer.body)}")
        report.left = {} if good else {segment: 0}
    finally:
        await rest.close()
    return report.document()
