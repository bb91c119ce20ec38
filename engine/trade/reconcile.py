"""What must be read of the broker, when, and the records the answers become. Pure: no clock, no I/O; live, paper and
virtual runs use the same object.

No row and no message is dropped: one that nobody can read becomes a record that says so, and the positions decide."""
from collections.abc import Callable, Sequence
from typing import Any

from _ext.core.clock import SECOND
from _ext.core.records import (
    REC_ADOPTED,
    REC_BOOK,
    REC_HOLDINGS,
    REC_ORDER_UPDATE,
    STATUS_CANCELLED,
    STATUS_COMPLETE,
    STATUS_REJECTED,
)
from _ext.entrance import Core
from engine.broker.base import Broker, OrderRow
from engine.market.instruments import NO_INST
from engine.trade import inputs
from engine.trade.tags import intent_of, read_tag

BOOK_EVERY = {"unclear": 2 * SECOND, "live": 5 * SECOND, "idle": 60 * SECOND}
POSITIONS_EVERY = {"differ": 5 * SECOND // 2, "open": 10 * SECOND, "idle": 60 * SECOND}
"""At their fastest 900 and 720 reads in half an hour; the broker allows 2,000 of each (docs/upstox.md 4.1)."""
TERMINAL = (STATUS_COMPLETE, STATUS_REJECTED, STATUS_CANCELLED)
MAYBE = 15 * SECOND
"""How long a row that is none may stand for an order whose answer was lost: what it should protect cannot wait for ever."""
MOST_STRANGE = 64
"""Rows of unknown orders that are recorded as unreadable, a life: a book full of nonsense must not fill the journal."""


class Reconciler:
    """Reads of order book and positions of `broker` for `core`, whose instruments are `keys` (instrument key -> row).

    `feed(kind, payload)` takes the records. `is_fresh`: the journal knows nothing of this day yet, so orders of this engine in
    the first book are of an earlier life and are adopted. `on_second_engine` is called when orders with our mark
    appear that nobody here sent, `on_unexpected_end` with the name's row when the broker refused or cancelled an order of ours.
    """

    def __init__(self, broker: Broker, core: Core, engine: str, nonces: Sequence[str], keys: dict[str, int],
                 feed: Callable[[int, bytes], Any], is_fresh: bool = True,
                 on_second_engine: Callable[[str], Any] = lambda tag: None, on_note: Callable[[str], Any] = lambda text: None,
                 on_unexpected_end: Callable[[int], Any] = lambda inst: None):
        self.broker, self.on_note, self.bound = broker, on_note, core.counts()["orders"]
        self.core, self.engine, self.nonces, self.keys, self.feed = core, engine, nonces, keys, feed
        self.is_fresh, self.on_second_engine, self.on_unexpected_end = is_fresh, on_second_engine, on_unexpected_end
        self.next = {"book": 0, "positions": 0}
        self.under_way: set[str] = set()
        self.known: set[str] = set()          # the broker's ids of orders that are not this run's and were there at the start
        self.over: set[str] = set()           # ids whose end the core has been told, and how much was filled at what price
        self.others: dict[int, int] = {}      # signed fills of orders that are not ours, by the last full read of the book
        self.ids: set[str] = set()            # of every order a read of the book has shown
        self.shown: set[int] = set()          # orders of ours that the last read shows by their tag: no other row is theirs
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
        good = [row for row in map(self.broker.order_of, rows) if row is not None]
        self.shown = {self._intent(row) for row in good if read_tag(row.tag, self.engine) is not None}
        if not self.has_book:
            self._adopt([row for row in good if read_tag(row.tag, self.engine) is not None])
        seen: set[int] = set()
        others: dict[int, int] = {}
        for row in good:
            intent = self._row(row, others, began)
            if intent:
                seen.add(intent)
        if len(good) < len(rows):
            seen |= self._maybe(seen, good, len(rows) - len(good), began)
        self.ids |= {row.name for row in good if row.name}
        self.others = others
        self.has_book = True
        self.feed(REC_BOOK, inputs.book_record(seen, began))

    def _maybe(self, seen: set[int], good: Sequence[OrderRow], none: int, began: int) -> set[int]:
        """The book has rows that are `none`: unless as many orders that are known to be there are not shown, each may be any
        young order of ours that no other row shows, so that none of these is missing."""
        orders = {int(order["id"]) for order in self.core.live_orders() if began - order["sent"] < MAYBE} - seen
        ours = {order["order_id"].rstrip(b"\0").decode() or str(order["id"]) for order in self.core.orders()
                if order["order_id"].rstrip(b"\0") or (order["filled"] and order["id"] not in seen)}
        if none <= len((self.ids | ours) - {row.name for row in good}):
            orders = set()
        for intent in orders or {0}:
            self._unreadable(intent, "a row of the order book is none", began)
        return orders

    def _row(self, row: OrderRow, others: dict[int, int], began: int) -> int:
        """One row of the book; the number of our order it is about, 0 where it is about none of this run's."""
        intent, has_mark = self._intent(row), read_tag(row.tag, self.engine) is not None
        if not intent and has_mark and row.name and row.name not in self.known:
            self.known.add(row.name)
            if self.has_book:
                self.on_second_engine(row.tag)
        if not intent and not (has_mark and self.core.order_of(row.order_id)):
            self._count_other(row, others, began)          # also of another engine with our mark
        elif not row.name or row.name not in self.over:
            self._update(row, intent, began)
        return intent

    def _update(self, row: OrderRow, intent: int, began: int = 0) -> None:
        """What a row or message says of an order of ours, as a record."""
        if row.problem:
            self._unreadable(intent, f"what the broker says of order {intent} is not understood: {row.problem}", began)
            return
        self.feed(REC_ORDER_UPDATE, inputs.update_record(row, intent, began))
        inst = self.keys.get(row.key)
        if row.status in (STATUS_REJECTED, STATUS_CANCELLED) and inst is not None and row.name not in self.over:
            self.on_unexpected_end(inst)
        if row.status in TERMINAL and row.order_id and self.core.is_settled(intent or self.core.order_of(row.order_id)):
            self.over.add(row.name)

    def _unreadable(self, intent: int, why: str, began: int = 0) -> None:
        """Nobody can read what the broker said: counted and recorded, and the positions are asked."""
        if not intent:
            self.strange += 1
            if self.strange > MOST_STRANGE:
                return
        self.on_note(why)
        self.feed(REC_ORDER_UPDATE, inputs.unreadable_record(intent, began))
        self.soon()

    def _count_other(self, row: OrderRow, others: dict[int, int], began: int) -> None:
        """An order of others in one of our names: what it filled explains what the positions show."""
        inst = self.keys.get(row.key)
        if inst is None:
            return
        if row.fill_problem or (row.filled and row.is_intraday and not row.side):
            self._unreadable(0, f"an order of others is not understood: {row.fill_problem or 'neither bought nor sold'}", began)
        elif row.filled and row.is_intraday:
            others[inst] = others.get(inst, 0) + row.side * row.filled

    def _adopt(self, ours: Sequence[OrderRow]) -> None:
        """Takes over orders of an earlier life that the journal does not know, oldest first and entries before exits of the same
        second: what a position is made of comes before what ends it."""
        strangers = [row for row in ours
                     if not self._intent(row) and row.key in self.keys and (self.is_fresh or self._is_lost(row))]
        strangers.sort(key=lambda row: (row.at, not row.tag.endswith(".e"), row.name))
        for row in strangers:
            tag = read_tag(row.tag, self.engine)
            if row.problem or not row.side or tag is None:
                self._unreadable(0, f"an order of an earlier life is not understood: {row.problem or 'neither bought nor sold'}")
            else:
                self.feed(REC_ADOPTED, inputs.adopted_record(row, tag.role, self.keys[row.key]))

    def _intent(self, row: OrderRow) -> int:
        """The number of an order of this run; 0 for another life's, and for one whose record was lost with the machine's last
        second: later numbers of that life were given anew. A row without a tag is known by the broker's id, or, while
        an answer of ours is lost, by being the one order like it that no other row shows."""
        tag = read_tag(row.tag, self.engine)
        if tag is None:
            return self._untagged(row)
        number = intent_of(row.tag, self.engine, self.nonces)
        return 0 if tag.nonce != self.nonces[-1] and number > self.bound else number

    def _untagged(self, row: OrderRow) -> int:
        """Our order behind a row that shows no tag, or what is left of one of ours; 0: none."""
        known, inst = self.core.order_of(row.order_id), self.keys.get(row.key)
        is_anothers = bool(row.tag) and f"{self.engine}.".casefold() not in row.tag.casefold()
        if known or inst is None or is_anothers:
            return int(known)
        return int(self.core.nameless(inst, row.side, row.quantity, row.price, self.shown))

    def _is_lost(self, row: OrderRow) -> bool:
        tag = read_tag(row.tag, self.engine)
        return tag is not None and tag.nonce in self.nonces

    # ---- positions -----------------------------------------------------------------------------------------------------
    def on_positions(self, rows: Sequence[Any], began: int) -> None:
        """All positions, asked for at `began`; only intraday ones are ours to compare. A name with a row that nobody can read is
        neither believed flat nor held: it stops entries until it can be read."""
        self.under_way.discard("positions")
        held: dict[int, int] = {}
        unreadable: set[int] = set()
        for row in map(self.broker.position_of, rows):
            inst = self.keys.get(row.key) if row.key else NO_INST
            if inst == NO_INST or (inst is not None and row.quantity is None):
                unreadable.add(inst)
            elif inst is not None and row.is_intraday:
                held[inst] = held.get(inst, 0) + (row.quantity or 0)
        if unreadable:
            self.on_note(f"{len(unreadable)} rows of the positions are not understood: entries stop")
        self.has_positions = True
        self.feed(REC_HOLDINGS, inputs.holdings_record(held, began, self.others, unreadable))

    # ---- the order stream ----------------------------------------------------------------------------------------------
    def on_message(self, message: Any) -> None:
        """A message of the portfolio stream: what is about an order of ours becomes a record, and what nobody can read a read of
        the book."""
        row = self.broker.order_of(message)
        if row is None:
            self._unreadable(0, "an order message is none")
            self.soon("book")
            return
        intent = self._intent(row)
        if not intent and read_tag(row.tag, self.engine) is None:
            if row.status == STATUS_COMPLETE and row.key in self.keys:
                self.soon()                   # somebody else traded one of our names
                self.soon("book")
            return
        if not intent and self.has_book and row.name not in self.known:
            self.known.add(row.name)
            self.on_second_engine(row.tag)
        unreadable = self.core.counts()["unreadable"]
        self._update(row, intent)
        if self.core.counts()["unreadable"] != unreadable:
            self.soon("book")
