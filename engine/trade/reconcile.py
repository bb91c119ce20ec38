"""What must be read of the broker, when, and the records the answers become. Pure: no clock, no I/O; live, paper and
virtual runs use the same object."""
from collections.abc import Callable, Sequence
from typing import Any

from _ext.wiring import Core
from engine.trade import protocol

ORDER_UPDATE, BOOK, HOLDINGS, ADOPTED = 9, 15, 16, 17
SECOND = 1_000_000_000
BOOK_EVERY = {"unclear": 2 * SECOND, "live": 5 * SECOND, "idle": 60 * SECOND}
POSITIONS_EVERY = {"differ": 5 * SECOND // 2, "open": 10 * SECOND, "idle": 60 * SECOND}
"""At their fastest 900 and 720 reads in half an hour; the broker allows 2,000 of each (UPSTOX 4.1)."""
TERMINAL = ("complete", "rejected", "cancelled", "cancelled after market order")


class Reconciler:
    """Reads of order book and positions for `core`, whose instruments are `keys` (instrument key -> row).

    `feed(kind, payload)` takes the records. `is_fresh`: the journal knows nothing of this day yet, so orders of this engine in
    the first book are of an earlier life and are adopted. `on_second_engine` is called when orders with our mark
    appear that nobody here sent.
    """

    def __init__(self, core: Core, engine: str, nonces: Sequence[str], keys: dict[str, int], feed: Callable[[int, bytes], Any],
                 is_fresh: bool = True, on_second_engine: Callable[[str], Any] = lambda tag: None):
        self.core, self.engine, self.nonces, self.keys, self.feed = core, engine, nonces, keys, feed
        self.is_fresh, self.on_second_engine = is_fresh, on_second_engine
        self.next = {"book": 0, "positions": 0}
        self.under_way: set[str] = set()
        self.known: set[str] = set()          # the broker's ids of orders that are not this run's and were there at the start
        self.over: set[str] = set()           # ids whose end the core has been told
        self.has_book = self.has_positions = False

    @property
    def is_ready(self) -> bool:
        """Whether both were read since the start: before, nothing may be entered."""
        return self.has_book and self.has_positions

    def due(self, now: int) -> list[str]:
        """What to read now; each named read must be answered by on_book, on_positions or failed."""
        core = self.core
        pace = "unclear" if core.unclear or core.differs else "live" if core.has_live_orders() else "idle"
        self.next["book"] = min(self.next["book"], now + BOOK_EVERY[pace])
        pace = "differ" if core.differs else "open" if core.states()[3] else "idle"
        self.next["positions"] = min(self.next["positions"], now + POSITIONS_EVERY[pace])
        if not self.has_book:                 # orders first: positions are judged by what they explain
            wanted = ["book"]
        else:
            wanted = ["book", "positions"]
        wanted = [what for what in wanted if what not in self.under_way and now >= self.next[what]]
        for what in wanted:
            self.under_way.add(what)
            self.next[what] = now + 60 * SECOND
        return wanted

    def soon(self, what: str = "positions") -> None:
        """Something happened that makes a read worth while at once."""
        self.next[what] = 0

    def failed(self, what: str, now: int) -> None:
        """A read got no answer: again soon, not at once."""
        self.under_way.discard(what)
        self.next[what] = now + SECOND

    def on_book(self, rows: Sequence[dict[str, Any]], began: int) -> None:
        """A full order book, asked for at `began`."""
        self.under_way.discard("book")
        if self.is_fresh and not self.has_book:
            for row in rows:
                if self._is_ours(row) and row.get("instrument_token") in self.keys:
                    self.feed(ADOPTED, protocol.adopted_record(row, self.engine, self.keys[row["instrument_token"]]))
        seen = []
        for row in rows:
            if not self._is_ours(row):
                continue
            order_id = str(row.get("order_id"))
            intent = protocol.intent_of(row.get("tag"), self.engine, self.nonces)
            if intent:
                seen.append(intent)
            elif not self.has_book:
                self.known.add(order_id)
            elif order_id not in self.known:
                self.known.add(order_id)
                self.on_second_engine(str(row.get("tag")))
            if order_id in self.over:
                continue
            if row.get("status") in TERMINAL:
                self.over.add(order_id)
            record = protocol.update_record(row, self.engine, self.nonces, began)
            if record is not None:
                self.feed(ORDER_UPDATE, record)
        self.has_book = True
        self.feed(BOOK, protocol.book_record(seen, began))

    def on_positions(self, rows: Sequence[dict[str, Any]], began: int) -> None:
        """All positions, asked for at `began`; only intraday ones are ours to compare."""
        self.under_way.discard("positions")
        held: dict[int, int] = {}
        for row in rows:
            inst = self.keys.get(str(row.get("instrument_token")))
            if inst is not None and row.get("product") == "I" and int(row.get("quantity") or 0):
                held[inst] = held.get(inst, 0) + int(row["quantity"])
        self.has_positions = True
        self.feed(HOLDINGS, protocol.holdings_record(held, began))

    def on_message(self, message: dict[str, Any]) -> None:
        """An order message of the portfolio stream."""
        record = protocol.update_record(message, self.engine, self.nonces)
        if record is None:
            if message.get("status") == "complete" and message.get("instrument_token") in self.keys:
                self.soon()                   # somebody else traded one of our names
            return
        if (not protocol.intent_of(message.get("tag"), self.engine, self.nonces) and self.has_book
                and str(message.get("order_id")) not in self.known):
            self.known.add(str(message.get("order_id")))
            self.on_second_engine(str(message.get("tag")))
        self.feed(ORDER_UPDATE, record)

    def _is_ours(self, row: dict[str, Any]) -> bool:
        return protocol.read_tag(row.get("tag"), self.engine) is not None
