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
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)
"""What a message of the broker that makes no sense raises."""
READS = {"book": "/v2/order/retrieve-all", "positions": "/v2/portfolio/short-term-positions"}
TERMINAL = ("complete", "rejected", "cancelled", "cancelled after market order")


class Reconciler:
    """Reads of order book and positions for `core`, whose instruments are `keys` (instrument key -> row).

    `feed(kind, payload)` takes the records. `is_fresh`: the journal knows nothing of this day yet, so orders of this engine in
    the first book are of an earlier life and are adopted. `on_second_engine` is called when orders with our mark
    appear that nobody here sent.
    """

    def __init__(self, core: Core, engine: str, nonces: Sequence[str], keys: dict[str, int], feed: Callable[[int, bytes], Any],
                 is_fresh: bool = True, on_second_engine: Callable[[str], Any] = lambda tag: None,
                 on_note: Callable[[str], Any] = lambda text: None):
        self.on_note, self.bound = on_note, core.counts()["orders"]
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
        pace = "unclear" if core.unclear or core.differs else "live" if core.has_live_orders() or core.ghosts else "idle"
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
        """A full order book, asked for at `began`. A row that makes no sense is told and left out; it neither hides the others nor
        counts as missing."""
        self.under_way.discard("book")
        ours = [row for row in rows if protocol.read_tag(row.get("tag"), self.engine) is not None]
        if not self.has_book:
            self._adopt(ours)
        seen = []
        for row in ours:
            order_id, intent = str(row.get("order_id")), self._intent(row)
            if intent:
                seen.append(intent)
            elif order_id not in self.known:
                self.known.add(order_id)
                if self.has_book:
                    self.on_second_engine(str(row.get("tag")))
            if order_id in self.over:
                continue
            try:
                self.feed(ORDER_UPDATE, protocol.update_record(row, intent, began))
            except UNREADABLE as error:
                self.on_note(f"a row of the order book was not understood: {type(error).__name__}")
                continue
            if row.get("status") in TERMINAL:
                self.over.add(order_id)
        self.has_book = True
        self.feed(BOOK, protocol.book_record(seen, began))

    def _adopt(self, ours: Sequence[dict[str, Any]]) -> None:
        """Takes over orders of an earlier life that the journal does not know, oldest first and entries before exits of the same
        second: what a position is made of comes before what ends it."""
        strangers = [row for row in ours if not self._intent(row) and row.get("instrument_token") in self.keys
                     and (self.is_fresh or self._is_lost(row))]
        strangers.sort(key=lambda row: (str(row.get("order_timestamp")), not str(row.get("tag")).endswith(".e"),
                                        str(row.get("order_id"))))
        for row in strangers:
            try:
                record = protocol.adopted_record(row, self.engine, self.keys[str(row["instrument_token"])])
            except UNREADABLE as error:
                self.on_note(f"an order of an earlier life was not understood: {type(error).__name__}")
                continue
            self.feed(ADOPTED, record)

    def _intent(self, row: dict[str, Any]) -> int:
        """The number of an order of this run; 0 for another life's, and for one whose record was lost with the machine's last
        second: later numbers of that life were given anew."""
        tag = protocol.read_tag(row.get("tag"), self.engine)
        number = protocol.intent_of(row.get("tag"), self.engine, self.nonces)
        return 0 if tag is None or (tag.nonce != self.nonces[-1] and number > self.bound) else number

    def _is_lost(self, row: dict[str, Any]) -> bool:
        tag = protocol.read_tag(row.get("tag"), self.engine)
        return tag is not None and tag.nonce in self.nonces

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
        """An order message of the portfolio stream. ValueError, TypeError or OverflowError where it makes no sense."""
        if protocol.read_tag(message.get("tag"), self.engine) is None:
            if message.get("status") == "complete" and message.get("instrument_token") in self.keys:
                self.soon()                   # somebody else traded one of our names
            return
        intent, order_id = self._intent(message), str(message.get("order_id"))
        if not intent and self.has_book and order_id not in self.known:
            self.known.add(order_id)
            self.on_second_engine(str(message.get("tag")))
        self.feed(ORDER_UPDATE, protocol.update_record(message, intent))
