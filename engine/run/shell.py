"""The shell between core and broker, without its I/O: what came in becomes records, what must be done comes out as calls.

Live, paper and virtual runs drive this one object, so that what the episodes prove is what trades. A driver owns the sockets and
the clock; frames go past the shell, straight into the core.
"""
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.clock import SECOND
from _ext.core.records import (
    INTENT_PLACE,
    OP_RUN,
    OPERATOR_CHANGE,
    OUTCOME_AMBIGUOUS,
    REC_FUNDS,
    REC_LINK,
    REC_OPERATOR,
    REC_QUOTES,
    REC_REPLY,
    REC_STRATEGY_OFF,
    REC_TIMER,
    ROLE_ENTRY,
    STREAM_FEED,
    STREAM_ORDERS,
)
from _ext.entrance import Core
from engine.broker.base import Broker, BrokerError, Request, Unreadable
from engine.strategies.stops import note_stopped
from engine.trade import inputs
from engine.trade.bands import BandWatch
from engine.trade.outgoing import Outgoing
from engine.trade.reconcile import Reconciler
from engine.trade.tags import tag_of

FUNDS_EVERY, QUOTES_EVERY = 60 * SECOND, 2 * SECOND
"""Reads of the funds; and of quotes, while the feed is down and something is held."""


@dataclass(frozen=True, slots=True)
class Send:
    """An order request that leaves now; `on_reply` takes its answer."""
    intent: np.void
    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """A read that is due; `on_read` takes its answer. `what`: book, positions, funds, quotes, or bands of some names."""
    what: str
    request: Request
    began: int                        # ns


class Shell:
    """Orders and reads of `core` with `broker`, as `engine` whose lives had `nonces`, the last of them this one.

    `clock` gives the time of a record (ns). `observe` decides and sends nothing. `is_fresh`: the journal knows nothing of this day
    yet. `note` takes what a person would read, `on_second_engine` that orders with our mark appear which nobody here sent. `reads`:
    what the broker says can be lost, so it is read back; False for the engine's own matching, whose orders and positions at the
    start are `shown`. `folder`: of the run, which keeps which strategy was stopped.
    """

    def __init__(self, broker: Broker, core: Core, engine: str, nonces: Sequence[str], clock: Callable[[], int],
                 observe: bool = False, is_fresh: bool = True, note: Callable[[str], Any] = lambda text: None,
                 on_second_engine: Callable[[str], Any] = lambda tag: None, reads: bool = True, folder: Path | None = None,
                 shown: tuple[Sequence[Any], Sequence[Any]] = ((), ())):
        self.broker, self.core, self.engine, self.nonce, self.clock = broker, core, engine, nonces[-1], clock
        self.observe, self.reads_back, self.note = observe, reads and not observe, note
        self.keys: dict[int, str] = {i: core.instrument(i)["key"].rstrip(b"\0").decode() for i in range(core.keys.size)}
        self.insts = {key: inst for inst, key in self.keys.items()}
        self.outgoing, self.folder = Outgoing(), folder
        self.stopped = [_words(told) for told in core.strategies_off]      # strategies that are not called any more, and why
        self.bands = BandWatch(broker, core, self.keys, self.input)
        self.reconciler = Reconciler(broker, core, engine, nonces, self.insts, self.input, is_fresh=is_fresh, on_note=note,
                                     on_second_engine=on_second_engine, on_unexpected_end=self.bands.soon)
        self.waiting: deque[tuple[int, bytes]] = deque()
        self.is_barred = core.states()[1] != OP_RUN    # by the operator's last word: no entry leaves, whatever was decided
        self.has_stream = self.is_linked = False
        self.read_at = {"book": -1, "positions": -1}
        self.stream_at = self.funds_at = self.quotes_at = self.unread_at = 0
        self.unread = 0                        # messages of the order stream that nobody understood
        if not self.reads_back:                # nothing is sent, or nothing can be lost: there is nothing to reconcile
            self.reconciler.on_book(shown[0], clock())
            self.reconciler.on_positions(shown[1], clock())
            self.on_stream(True)
            self._link()

    # ---- records in ----------------------------------------------------------------------------------------------------
    def input(self, kind: int, record: bytes) -> None:
        """Feeds what must not be lost: while the journal has no room it waits, in order."""
        self.waiting.append((kind, record))
        self.flush()

    def flush(self) -> None:
        """Feeds what waited for room."""
        while self.waiting and self.core.feed(self.waiting[0][0], self.clock(), self.waiting[0][1]):
            self.waiting.popleft()

    def on_timer(self, now: int | None = None) -> bool:
        """Time passes, by `now` (ns) or this shell's clock; a timer that finds no room is not kept, and answered by False."""
        is_kept = bool(self.core.feed(REC_TIMER, self.clock() if now is None else now))
        self.after_timer()
        return is_kept

    def after_timer(self) -> None:
        """What waited for a timer that stands in the journal."""
        self._end_strategies()
        self.flush()

    def on_operator(self, state: int) -> None:
        """The operator's word (records.OperatorState) as it is now."""
        self.is_barred = state != OP_RUN
        if state != self.core.states()[1]:
            row = np.zeros(1, OPERATOR_CHANGE)
            row["state"] = state
            self.core.feed(REC_OPERATOR, self.clock(), row.tobytes())

    def on_feed(self, is_up: bool, code: int = 0) -> None:
        """The last connection of the feed went, or the first came."""
        self.input(REC_LINK, inputs.link_record(STREAM_FEED, is_up, code))

    def on_stream(self, is_up: bool) -> None:
        """The order stream was connected or cut. Connected, book and positions are read first: what was missed stands there."""
        self.has_stream, self.stream_at = is_up, self.clock()
        if is_up:
            self.reconciler.soon("book")
            self.reconciler.soon("positions")
        elif self.is_linked:
            self.is_linked = False
            self.input(REC_LINK, inputs.link_record(STREAM_ORDERS, False))

    def _link(self) -> None:
        """Orders may be entered from here on."""
        self.is_linked = True
        self.input(REC_LINK, inputs.link_record(STREAM_ORDERS, True))

    def on_message(self, text: str | bytes) -> None:
        """One message of the order stream; one that cannot be understood makes the book be read, at most once a second."""
        try:
            row = self.broker.message_of(text)
            if row is not None:
                self.reconciler.on_message(row)
        except Unreadable:
            self.unread += 1
            if self.unread == 1 or self.clock() - self.unread_at >= SECOND:
                self.unread_at = self.clock()
                self.reconciler.on_message(None)

    # ---- orders out ----------------------------------------------------------------------------------------------------
    def take(self) -> list[Send]:
        """Requests that leave now, exits first. The journal has each of them before its bytes leave."""
        self._end_strategies()
        if not self.core.has_intents and not self.outgoing:
            return []
        refused: list[tuple[np.void, str]] = []
        for intent in self.core.take_intents():
            is_entry = intent["kind"] == INTENT_PLACE and intent["role"] == ROLE_ENTRY
            if self.observe or (is_entry and self.is_barred):
                refused.append((intent, "OBSERVED" if self.observe else "OPERATOR"))
            else:
                self.outgoing.push(intent, self.clock())
        going, over = self.outgoing.take(self.clock())
        for intent, why in [*refused, *((intent, "NOT SENT") for intent in over)]:
            self.input(REC_REPLY, inputs.local_refusal(int(intent["id"]), int(intent["kind"]), why))
        return [Send(intent, self._request(intent)) for intent in going]

    def _end_strategies(self) -> None:
        """A strategy whose call went wrong is not called again: not here, nor after a restart."""
        for source, call, reason in self.core.take_ended():
            name = self.core.pipeline.names[source]
            if self.folder is not None:
                note_stopped(self.folder, name, call)
            told = {"source": source, "name": name, "call": call, "reason": reason}
            self.stopped.append(_words(told))
            self.note(self.stopped[-1])
            self.input(REC_STRATEGY_OFF, orjson.dumps(told))

    def _request(self, intent: np.void) -> Request:
        tag = tag_of(self.engine, self.nonce, int(intent["id"]), int(intent["role"]))
        return self.broker.request_of(intent, self.keys[int(intent["inst"])], tag)

    def on_reply(self, send: Send, status: int, body: Any, latency_ns: int) -> None:
        """The answer to a request; `status` 0: none came."""
        number, kind = int(send.intent["id"]), int(send.intent["kind"])
        verdict = self.broker.verdict_of(kind, status, body)
        if verdict.outcome == OUTCOME_AMBIGUOUS:
            self.note(f"order {number}: no clear answer ({status}); the book will tell")
        self.input(REC_REPLY, inputs.reply_record(number, kind, verdict, status, latency_ns))

    # ---- reads out -----------------------------------------------------------------------------------------------------
    def reads(self) -> list[Read]:
        """What to read of the broker now; each must be answered by `on_read`."""
        if self.observe:
            return []
        now, read_of = self.clock(), self.broker.read_of
        out = [Read(what, read_of(what), now) for what in self.reconciler.due(now)] if self.reads_back else []
        if self.core.updates:                  # a sim's day begins with a look at prices: not before the feed is there
            out += [Read("bands", read_of("quotes", keys), now) for keys in self.bands.due(now)]
        if self.reads_back and now - self.funds_at >= FUNDS_EVERY:
            self.funds_at = now
            out.append(Read("funds", read_of("funds"), now))
        _, _, feed_up, positions = self.core.states()
        if positions and not feed_up and now - self.quotes_at >= QUOTES_EVERY:
            self.quotes_at = now
            out.append(Read("quotes", read_of("quotes", sorted({self.keys[int(p["inst"])] for p in self.core.positions()})), now))
        return out

    def on_read(self, read: Read, status: int, body: Any) -> None:
        """The answer to a read. Without one that can be understood book and positions are asked for again, and bands, funds and
        quotes stay as they were until their next turn."""
        try:
            if status != 200:
                raise BrokerError(status, f"answered {status}" if status else "no answer")
            self._take_in(read, body)
        except BrokerError as error:
            if read.what in self.read_at:
                self.reconciler.failed(read.what, self.clock())
                self.note(f"{read.what} not read: {error}")

    def _take_in(self, read: Read, body: Any) -> None:
        if read.what == "funds":
            total, money = self.broker.funds_of(body), self.core.money()
            if total != money["available"]:
                self.input(REC_FUNDS, inputs.funds_record(total, money["equity"]))
            return
        rows = self.broker.rows_of("quotes" if read.what == "bands" else read.what, body)
        if read.what == "bands":
            self.bands.on_quotes(rows)
        elif read.what == "quotes":
            good = [quote for quote in map(self.broker.quote_of, rows) if quote is not None]
            self.input(REC_QUOTES, inputs.quotes_record(good, self.insts))
        else:
            on_rows = self.reconciler.on_book if read.what == "book" else self.reconciler.on_positions
            on_rows(rows, read.began)
            self.read_at[read.what] = read.began
            if self.has_stream and not self.is_linked and min(self.read_at.values()) >= self.stream_at:
                self._link()


def _words(told: dict[str, Any]) -> str:
    """A STRATEGY_OFF record in words."""
    return f"strategy {told['name']} is off since its call {told['call']:,}: {told['reason']}"
