"""What must be read of the broker, when, and the records the answers become. Pure: no clock, no I/O; live, paper and
virtual runs use the same object.

No row and no message is dropped: one that nobody can read becomes a record that says so, and the positions decide."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from _ext.core.clock import SECOND
from _ext.core.records import REC_ADOPTED, REC_BOOK, REC_HOLDINGS, REC_ORDER_UPDATE
from _ext.wiring import Core
from engine.broker.upstox import protocol
from engine.market.instruments import NO_INST

BOOK_EVERY = {"unclear": 2 * SECOND, "live": 5 * SECOND, "idle": 60 * SECOND}
POSITIONS_EVERY = {"differ": 5 * SECOND // 2, "open": 10 * SECOND, "idle": 60 * SECOND}
"""At their fastest 900 and 720 reads in half an hour; the broker allows 2,000 of each (UPSTOX 4.1)."""
UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)
"""What a message of the broker that makes no sense raises."""
READS = {"book": "/v2/order/retrieve-all", "positions": "/v2/portfolio/short-term-positions"}
TERMINAL = ("complete", "rejected", "cancelled", "cancelled after market order")
OTHER_PRODUCTS = ("D", "CNC", "MTF", "CO", "OCO", "NRML")
MAYBE = 15 * SECOND
"""How long a row that is none may stand for an order whose answer was lost: what it should protect cannot wait for ever."""
MOST_STRANGE = 64
"""Rows of unknown orders that are recorded as unreadable, a life: a book full of nonsense must not fill the journal."""


class Reconciler:
    """Reads of order book and positions for `core`, whose instruments are `keys` (instrument key -> row).

    `feed(kind, payload)` takes the records. `is_fresh`: the journal knows nothing of this day yet, so orders of this engine in
    the first book are of an earlier life and are adopted. `on_second_engine` is called when orders with our mark
    appear that nobody here sent, `on_unexpected_end` with the name's row when the broker refused or cancelled an order of ours.
    """

    def __init__(self, core: Core, engine: str, nonces: Sequence[str], keys: dict[str, int], feed: Callable[[int, bytes], Any],
                 is_fresh: bool = True, on_second_engine: Callable[[str], Any] = lambda tag: None,
                 on_note: Callable[[str], Any] = lambda text: None, on_unexpected_end: Callable[[int], Any] = lambda inst: None):
        self.on_note, self.bound = on_note, core.counts()["orders"]
        self.core, self.engine, self.nonces, self.keys, self.feed = core, engine, nonces, keys, feed
        self.is_fresh, self.on_second_engine, self.on_unexpected_end = is_fresh, on_second_engine, on_unexpected_end
        self.next = {"book": 0, "positions": 0}
        self.under_way: set[str] = set()
        self.known: set[str] = set()          # the broker's ids of orders that are not this run's and were there at the start
        self.over: set[str] = set()           # ids whose end the core has been told, and how much was filled at what price
        self.others: dict[int, int] = {}      # signed fills of orders that are not ours, by the last full read of the book
        self.ids: set[str] = set()            # of every order a read of the book has shown
        self.strange = 0
        self.has_book = self.has_positions = False

    @property
    def is_ready(self) -> bool:
        """Whether both were read since the start: before, nothing may be entered."""
        return self.has_book and self.has_positions

    def due(self, now: int) -> list[str]:
        """What to read now; each named read must be answered by on_book, on_positions or failed."""
        core = self.core
        is_unclear = core.unclear > 0
        pace = "unclear" if is_unclear or core.differs else "live" if core.has_open_questions() or core.ghosts else "idle"
        self.next["book"] = min(self.next["book"], now + BOOK_EVERY[pace])
        pace = "differ" if core.differs or is_unclear or core.ghosts else "open" if core.states()[3] else "idle"
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

    # ---- the order book ------------------------------------------------------------------------------------------------
    def on_book(self, rows: Sequence[Any], began: int) -> None:
        """A full order book, asked for at `began`. A row that makes no sense neither hides the others nor counts as missing."""
        self.under_way.discard("book")
        good = [row for row in rows if isinstance(row, Mapping)]
        if not self.has_book:
            self._adopt([row for row in good if protocol.read_tag(row.get("tag"), self.engine) is not None])
        seen: set[int] = set()
        others: dict[int, int] = {}
        for row in good:
            intent = self._row(row, others, began)
            if intent:
                seen.add(intent)
        if len(good) < len(rows):
            seen |= self._maybe(seen, good, len(rows) - len(good), began)
        self.ids |= {row["order_id"] for row in good if isinstance(row.get("order_id"), str)}
        self.others = others
        self.has_book = True
        self.feed(REC_BOOK, protocol.book_record(seen, began))

    def _maybe(self, seen: set[int], good: Sequence[Mapping[str, Any]], none: int, began: int) -> set[int]:
        """The book has rows that are `none`: unless as many orders that are known to be there are not shown, each may be any
        young order of ours that no other row shows, so that none of these is missing."""
        orders = {int(order["id"]) for order in self.core.live_orders() if began - order["sent"] < MAYBE} - seen
        ours = {order["order_id"].rstrip(b"\0").decode() or str(order["id"]) for order in self.core.orders()
                if order["order_id"].rstrip(b"\0") or (order["filled"] and order["id"] not in seen)}
        if none <= len((self.ids | ours) - {row.get("order_id") for row in good if isinstance(row.get("order_id"), str)}):
            orders = set()
        for intent in orders or {0}:
            self._unreadable(intent, "a row of the order book is none", began)
        return orders

    def _row(self, row: Mapping[str, Any], others: dict[int, int], began: int) -> int:
        """One row of the book; the number of our order it is about, 0 where it is about none of this run's."""
        order_id, intent = str(row.get("order_id") or ""), self._intent(row)
        has_mark = protocol.read_tag(row.get("tag"), self.engine) is not None
        if not intent and has_mark and order_id and order_id not in self.known:
            self.known.add(order_id)
            if self.has_book:
                self.on_second_engine(str(row.get("tag")))
        if not intent and not (has_mark and self._known_by_id(row)):
            self._count_other(row, others, began)          # also of another engine with our mark
        elif not order_id or order_id not in self.over:
            self._update(row, intent, began)
        return intent

    def _update(self, row: Mapping[str, Any], intent: int, began: int = 0) -> None:
        """What a row or message says of an order of ours, as a record."""
        try:
            record = protocol.update_record(row, intent, began)
            order_id = protocol.id_of(row.get("order_id"))
        except UNREADABLE as error:
            self._unreadable(intent, f"what the broker says of order {intent} is not understood: {type(error).__name__}", began)
            return
        self.feed(REC_ORDER_UPDATE, record)
        status, inst = row.get("status"), self.keys.get(str(row.get("instrument_token")))
        if status in ("rejected", "cancelled") and inst is not None and str(row.get("order_id")) not in self.over:
            self.on_unexpected_end(inst)
        if status in TERMINAL and order_id and self.core.is_settled(intent or self.core.order_of(order_id)):
            self.over.add(order_id.decode())

    def _unreadable(self, intent: int, why: str, began: int = 0) -> None:
        """Nobody can read what the broker said: counted and recorded, and the positions are asked."""
        if not intent:
            self.strange += 1
            if self.strange > MOST_STRANGE:
                return
        self.on_note(why)
        self.feed(REC_ORDER_UPDATE, protocol.unreadable_record(intent, began))
        self.soon()

    def _count_other(self, row: Mapping[str, Any], others: dict[int, int], began: int) -> None:
        """An order of others in one of our names: what it filled explains what the positions show."""
        inst = self.keys.get(str(row.get("instrument_token")))
        if inst is None:
            return
        try:
            filled, _ = protocol.filled_of(row)
            if filled and row.get("product", "I") not in OTHER_PRODUCTS:
                others[inst] = others.get(inst, 0) + protocol.side_of(row) * filled
        except UNREADABLE as error:
            self._unreadable(0, f"an order of others is not understood: {type(error).__name__}", began)

    def _adopt(self, ours: Sequence[Mapping[str, Any]]) -> None:
        """Takes over orders of an earlier life that the journal does not know, oldest first and entries before exits of the same
        second: what a position is made of comes before what ends it."""
        strangers = [row for row in ours if not self._intent(row) and row.get("instrument_token") in self.keys
                     and (self.is_fresh or self._is_lost(row))]
        strangers.sort(key=lambda row: (str(row.get("order_timestamp") or row.get("exchange_timestamp") or ""),
                                        not str(row.get("tag")).endswith(".e"), str(row.get("order_id"))))
        for row in strangers:
            try:
                record = protocol.adopted_record(row, self.engine, self.keys[str(row["instrument_token"])])
            except UNREADABLE as error:
                self._unreadable(0, f"an order of an earlier life is not understood: {type(error).__name__}")
                continue
            self.feed(REC_ADOPTED, record)

    def _intent(self, row: Mapping[str, Any]) -> int:
        """The number of an order of this run; 0 for another life's, and for one whose record was lost with the machine's last
        second: later numbers of that life were given anew. A row without a tag is known by the broker's id, or, while
        an answer of ours is lost, by being the one order like it."""
        tag = protocol.read_tag(row.get("tag"), self.engine)
        if tag is None:
            return self._untagged(row)
        number = protocol.intent_of(row.get("tag"), self.engine, self.nonces)
        return 0 if tag.nonce != self.nonces[-1] and number > self.bound else number

    def _known_by_id(self, row: Mapping[str, Any]) -> int:
        """Our order that the broker calls so; 0: none."""
        try:
            return self.core.order_of(protocol.id_of(row.get("order_id")))
        except UNREADABLE:
            return 0

    def _untagged(self, row: Mapping[str, Any]) -> int:
        """Our order behind a row that shows no tag; 0: none."""
        known, inst = self._known_by_id(row), self.keys.get(str(row.get("instrument_token")))
        if known or inst is None or row.get("tag"):
            return known
        try:
            return self.core.nameless(inst, protocol.side_of(row), protocol.quantity_of(row.get("quantity")) or 0,
                                      protocol.paise(row.get("price")))
        except UNREADABLE:
            return 0

    def _is_lost(self, row: Mapping[str, Any]) -> bool:
        tag = protocol.read_tag(row.get("tag"), self.engine)
        return tag is not None and tag.nonce in self.nonces

    # ---- positions -----------------------------------------------------------------------------------------------------
    def on_positions(self, rows: Sequence[Any], began: int) -> None:
        """All positions, asked for at `began`; only intraday ones are ours to compare. A name with a row that nobody can read is
        neither believed flat nor held: it stops entries until it can be read."""
        self.under_way.discard("positions")
        held: dict[int, int] = {}
        unreadable: set[int] = set()
        for row in rows:
            inst = self._name_of(row)
            if inst == NO_INST:
                unreadable.add(inst)
            elif inst is not None and not self._count(row, inst, held):
                unreadable.add(inst)
        if unreadable:
            self.on_note(f"{len(unreadable)} rows of the positions are not understood: entries stop")
        self.has_positions = True
        self.feed(REC_HOLDINGS, protocol.holdings_record(held, began, self.others, unreadable))

    def _name_of(self, row: Any) -> int | None:
        """The name a row of the positions is about; None: not one of ours; NO_INST: it does not say."""
        key = row.get("instrument_token") if isinstance(row, Mapping) else None
        return self.keys.get(key) if isinstance(key, str) and key else NO_INST

    def _count(self, row: Mapping[str, Any], inst: int, held: dict[int, int]) -> bool:
        """Adds what the row holds; False where nobody can read it."""
        try:
            quantity, product = protocol.quantity_of(row.get("quantity")), row.get("product")
        except UNREADABLE:
            return False
        if product in OTHER_PRODUCTS:
            return True
        if quantity is None or (quantity and product != "I"):
            return False
        held[inst] = held.get(inst, 0) + quantity
        return True

    # ---- the order stream ----------------------------------------------------------------------------------------------
    def on_message(self, message: Any) -> None:
        """A message of the portfolio stream: what is about an order of ours becomes a record, and what nobody can read a read of
        the book."""
        if not isinstance(message, Mapping):
            self._unreadable(0, "an order message is none")
            self.soon("book")
            return
        intent = self._intent(message)
        if not intent and protocol.read_tag(message.get("tag"), self.engine) is None:
            if message.get("status") == "complete" and message.get("instrument_token") in self.keys:
                self.soon()                   # somebody else traded one of our names
                self.soon("book")
            return
        order_id = str(message.get("order_id") or "")
        if not intent and self.has_book and order_id not in self.known:
            self.known.add(order_id)
            self.on_second_engine(str(message.get("tag")))
        unreadable = self.core.counts()["unreadable"]
        self._update(message, intent)
        if self.core.counts()["unreadable"] != unreadable:
            self.soon("book")
