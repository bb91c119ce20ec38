"""The whole path on one page: `Core` takes one input record and does all that follows from it.

The core has no clock, no random numbers, no threads and no I/O but its sink. Inputs are journaled with their time before
they are applied (`take`, `on_frame`); `replay` applies them from the journal (`dispatch`) and compares what is decided.
"""
import orjson

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from _ext.core.clock cimport MS_NS, SESSION_MINUTES, stopwatch
from _ext.core.keys cimport KeyTable
from _ext.core.records cimport (
    FIRST_DECISION, FIRST_TELEMETRY, GAP_CORRUPT, GAP_DISORDER, GAP_LATE, GAP_LINK, GAP_REBASED, GAP_SILENCE, GAP_STALL, OP_RUN,
    REC_ADOPTED, REC_ASK, REC_BACKFILL, REC_BANDS, REC_BARS, REC_BOOK, REC_BOOT, REC_CLOSED, REC_FRAME, REC_FUNDS, REC_GAP,
    REC_HOLDINGS, REC_INSTRUMENTS,
    REC_LINK, REC_MODEL, REC_OPERATOR, REC_ORDER_UPDATE, REC_PROFILE, REC_QUOTES, REC_REPLY, REC_START, REC_STOP, REC_TIMER,
    REC_TIMING, RUNNING, STATE_OPERATOR, STREAM_FEED, Adopted, Band, BookRead, Candidate, Funds, Gap, Holding, Instrument, Link,
    ModelChange, OperatorChange, OrderUpdate, Quote, Reply, Timing, WarmBar)
from _ext.core.sink cimport DigestSink, RecordSink, mix
from _ext.core.tick cimport INITIAL_FEED, NO_INST, TICK_DROPPED, TICK_SUPERSEDED, TICK_UNKNOWN_KEY, Tick
from _ext.feed.wire cimport WIRE_OK, Decoder
from _ext.market.market cimport Market
from _ext.market.state cimport TICK_TRADED, Row, TickInfo
from _ext.signals.pipeline cimport Pipeline
from _ext.trade.gate cimport Gate
from _ext.trade.positions cimport PositionManager
from _ext.trade.reconcile cimport adopt, compare_holdings, take_quotes
from _ext.trail.reader cimport Reader
from _ext.trail.segment cimport RecordHead
from _ext.trail.verifier cimport Verifier
from _ext.views cimport LOST_KEPT, CoreViews


cdef class Core(CoreViews):
    """The engine without its I/O, for `capacity` instruments. `sink` takes inputs and decisions: a Journal when running,
    a Verifier in replay. Sources, rules and limits come with the START record.
    """

    def __init__(self, RecordSink sink not None, uint32_t capacity=8192, int ring_depth=256, int batch=8192):
        self.sink = DigestSink(sink)
        self.keys = KeyTable(capacity)
        self.decoder = Decoder(self.keys, batch)
        self.decoder.keep_keys = False
        self.market = Market(capacity, ring_depth)
        self.pipeline = Pipeline(self.market, self.sink, capacity)
        self.gate = Gate(capacity)
        self.trader = PositionManager(self.gate, self.market, self.sink)
        self.specs = <Instrument*>calloc(capacity, sizeof(Instrument))
        if self.specs == NULL:
            raise MemoryError(f"no memory for {capacity} instruments")
        self.trader.specs = self.specs
        self.pipeline.specs = self.specs
        self.decoder.prefetch_rows(<char*>self.market.rows, sizeof(Row))
        self.config = {}

    def __dealloc__(self):
        free(self.specs)

    # ---- records in -----------------------------------------------------------------------------------------------------
    cdef uint64_t take(self, int type, int64_t now, const void* payload, size_t n) except? 0:
        """Journals one input and applies it; its sequence, or 0 when the journal is full (nothing was applied)."""
        cdef uint64_t seq
        if self.busy:
            raise RuntimeError("the core was entered again while it takes a record")
        now = max(now, self.now)
        seq = self.sink.put(type, now, payload, n)
        if seq != 0:                       # not journaled, not applied: live and replay stay the same
            self.dispatch(type, now, <const uint8_t*>payload, n)
        return seq

    cdef int on_frame(self, const uint8_t* frame, size_t n, int64_t now) except -1:
        """A frame from the socket, borrowed: decoded, journaled and applied before this returns."""
        cdef bint good
        cdef uint64_t seq
        cdef int64_t received = 0, decoded = 0
        if self.busy:
            raise RuntimeError("the core was entered again while it takes a record")
        if self.pipeline.stamped:
            self.pipeline.stamped_id, received = 0, stopwatch()
        good = self.decoder.decode(frame, n) == WIRE_OK
        if self.feed_time:
            now = self.decoder.head.current_ts * MS_NS
        now = max(now, self.now)
        seq = self.sink.put(REC_FRAME, now, frame, n)
        if seq == 0:
            return 0
        if self.pipeline.stamped:
            decoded = stopwatch()
        self.busy = 1
        self.now = now
        try:
            self._frame(good, n, now)
        finally:
            self.busy = 0
        self.attention = self.trader.out_count > 0
        if self.pipeline.stamped_id:
            self._stamp(seq, now, received, decoded)
        return 0

    cdef int dispatch(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1:
        """All that follows from one input that stands in the journal."""
        self.busy = 1
        self.now = now
        try:
            if type == REC_FRAME:
                self._frame(self.decoder.decode(payload, n) == WIRE_OK, n, now)
            else:
                self._dispatch(type, now, payload, n)
                if self.market.n_pending:
                    self._ledger(now)
        finally:
            self.busy = 0
        return 0

    cdef int _dispatch(self, int type, int64_t now, const uint8_t* payload, size_t n) except -1:
        """What each kind of input but a frame does."""
        cdef size_t i
        if type == REC_TIMER:
            self.market.on_timer(now)
            self.pipeline.expire(now, False)
            self.trader.on_timer(now)
        elif type == REC_REPLY:
            self.trader.on_reply(<const Reply*>payload, now)
        elif type == REC_ORDER_UPDATE:
            self.trader.on_update(<const OrderUpdate*>payload, now)
        elif type == REC_OPERATOR:
            self.trader.set_state(STATE_OPERATOR, (<const OperatorChange*>payload).state,
                                  (<const OperatorChange*>payload).source, now)
            self.trader.on_timer(now)
        elif type == REC_LINK:
            if (<const Link*>payload).which == STREAM_FEED:
                self.market.on_link((<const Link*>payload).up, (<const Link*>payload).code, now)
                self.trader.on_feed((<const Link*>payload).up, now)
            else:
                self.gate.orders_up = (<const Link*>payload).up
        elif type == REC_FUNDS:
            self.gate.money.available = (<const Funds*>payload).available
            self.gate.money.equity = (<const Funds*>payload).at_day_start
        elif type == REC_BOOK:
            if n >= sizeof(BookRead) and (<const BookRead*>payload).count == <int64_t>((n - sizeof(BookRead)) // 8):
                self.trader.on_book(<const BookRead*>payload, <const uint64_t*>(payload + sizeof(BookRead)), now)
        elif type == REC_HOLDINGS:
            compare_holdings(self.trader, <const Holding*>payload, <int64_t>(n // sizeof(Holding)), now)
        elif type == REC_ADOPTED:
            adopt(self.trader, <const Adopted*>payload, now)
        elif type == REC_QUOTES:
            take_quotes(self.trader, <const Quote*>payload, <int64_t>(n // sizeof(Quote)), now)
        elif type == REC_BANDS:
            self.trader.on_bands(<const Band*>payload, <int64_t>(n // sizeof(Band)), now)
        elif type == REC_ASK:
            if n == sizeof(Candidate) and (<const Candidate*>payload).inst < self.market.size:
                self.trader.enter(<const Candidate*>payload, now, self.trader.minute_of(now))
        elif type == REC_BARS:
            for i in range(n // sizeof(WarmBar)):
                self.market.warm(&(<const WarmBar*>payload)[i])
        elif type == REC_INSTRUMENTS:
            for i in range(n // sizeof(Instrument)):
                self._add(&(<const Instrument*>payload)[i])
        elif type == REC_PROFILE:
            memcpy(self.market.a, payload, SESSION_MINUTES * sizeof(double))
            memcpy(self.market.v, payload + SESSION_MINUTES * sizeof(double), SESSION_MINUTES * sizeof(double))
        elif type == REC_MODEL:
            self.pipeline.switch(<const ModelChange*>payload)
        elif type == REC_START:
            self._configure(orjson.loads((<const char*>payload)[:n]))
        elif type == REC_BOOT:
            self.gate.feed_up, self.trader.feed_lost = 0, -1
            self.gate.orders_up = self.gate.reconciled = 0
            self.trader.on_boot(now)
            self.config["nonces"] = [*self.config["nonces"], orjson.loads((<const char*>payload)[:n])["nonce"]]
        elif type == REC_BACKFILL:
            self.market.backfill(<const WarmBar*>payload, <int>(n // sizeof(WarmBar)), now)
        elif type == REC_STOP:
            self.pipeline.expire(now, True)
        return 0

    # ---- the path of a tick ---------------------------------------------------------------------------------------------
    cdef int _frame(self, bint good, size_t n, int64_t now) except -1:
        """A decoded frame: every update of it in turn; one that is no frame is a row of the ledger."""
        cdef int i
        cdef int64_t minute
        cdef TickInfo info
        if good:
            self.frames += 1
            self.pipeline.frame_seq = self.sink.seq    # of the frame itself: what a candidate of it leaves comes after
            self.market.is_snapshot = self.decoder.head.type == INITIAL_FEED
            for i in range(self.decoder.head.n_ticks):
                self._tick(&self.decoder.ticks[i], now, &info)
        else:
            self.rejected += 1
            minute = self.market._minute_at(now)
            self.market.emit(GAP_CORRUPT, NO_INST, now, now, minute, minute, 0, <double>n, 0)
        if self.market.n_pending:
            self._ledger(now)
        return 0

    cdef int _tick(self, const Tick* t, int64_t now, TickInfo* info) except -1:
        cdef Row* r
        if t.has & (TICK_DROPPED | TICK_UNKNOWN_KEY | TICK_SUPERSEDED):
            self.dropped += (t.has & TICK_DROPPED) != 0
            self.unknown += (t.has & TICK_UNKNOWN_KEY) != 0
            return 0
        self.updates += 1
        r = &self.market.rows[t.inst]
        self.market.on_tick(r, t.inst, t, now, info)
        self.sink.digest = mix(self.sink.digest, <uint64_t>(info.ltp + 31 * info.volume + 1009 * info.flags + 65537 * r.bid)
                               ^ (<uint64_t>t.inst << 40))
        if r.pending and info.flags & TICK_TRADED:
            self.pipeline.confirm(r, info)
            self._enter(now, info.minute)
        if r.position:
            self.trader.on_tick(r, now)
        self.pipeline.on_tick(r, t.inst, info)
        if self.pipeline.n_passed:
            self._enter(now, info.minute)
        return 0

    cdef int _enter(self, int64_t now, int64_t minute) except -1:
        """Asks for an entry for each candidate that passed."""
        cdef int i
        for i in range(self.pipeline.n_passed):
            self.trader.enter(&self.pipeline.passed[i], now, minute)
        self.pipeline.n_passed = 0
        return 0

    cdef int _ledger(self, int64_t now) except -1:
        """Takes the ledger's new rows to the journal, and those whose minutes are to be fetched to whoever fetches them."""
        cdef int i
        cdef Gap* gap
        for i in range(self.market.n_pending):
            gap = &self.market.pending[i]
            self.sink.put(REC_GAP, now, gap, sizeof(Gap))
            if gap.kind in (GAP_SILENCE, GAP_STALL, GAP_LINK, GAP_LATE, GAP_CORRUPT, GAP_DISORDER, GAP_REBASED):
                self.lost[self.n_lost % LOST_KEPT] = gap[0]
                self.n_lost += 1
        self.market.n_pending = 0
        return 0

    # ---- rare records ---------------------------------------------------------------------------------------------------
    cdef int _add(self, const Instrument* spec) except -1:
        cdef bytes key = spec.key
        cdef uint32_t inst = self.keys.add(key)
        self.specs[inst] = spec[0]
        self.pipeline.add(inst, key)
        self.market.add(inst, spec)
        return 0

    cdef int _configure(self, dict config) except -1:
        """Takes the configuration of the START record (engine/config writes it). ValueError for one that is not this build's."""
        self.config = config | {"nonces": [config.get("nonce", "")]}
        self.gate.configure(config["limits"])
        self.pipeline.configure(config)
        self.gate.state = RUNNING
        self.gate.operator = OP_RUN
        return 0

    cdef int _stamp(self, uint64_t seq, int64_t now, int64_t received, int64_t decoded) except -1:
        """Telemetry of a frame with a candidate; never read by a decision."""
        cdef Timing timing
        cdef Pipeline p = self.pipeline
        timing.frame_seq, timing.candidate = seq, p.stamped_id
        timing.decoded = decoded - received
        timing.scored = p.scored - received if p.scored >= received else 0
        timing.decided = p.decided - received if p.decided >= received else 0
        timing.done = stopwatch() - received
        self.sink.put(REC_TIMING, now, &timing, sizeof(timing))
        return 0

    # ---- Python's door --------------------------------------------------------------------------------------------------
    def feed(self, int type, int64_t now, payload=b"") -> int:
        """Journals and applies one input record; its sequence, or 0 when the journal is full."""
        cdef const uint8_t[::1] view = memoryview(payload).cast("B") if len(payload) else None
        cdef const uint8_t* data = &view[0] if view is not None else NULL
        cdef size_t n = view.shape[0] if view is not None else 0
        cdef uint64_t before = self.sink.seq
        if type != REC_FRAME:
            return self.take(type, now, data, n)
        self.on_frame(data, n, now)
        return self.sink.seq if self.sink.seq != before else 0

    def attach(self, RecordSink sink not None):
        """Goes on with another sink: after a restart's replay, from its Verifier to the new Journal."""
        self.sink.attach(sink)

    def run_packed(self, const uint8_t[::1] data not None, const int64_t[::1] offsets not None,
                   const int64_t[::1] times not None):
        """Takes frames `data[offsets[i]:offsets[i + 1]]` received at `times[i]` (ns) in one compiled loop; the benchmark's door."""
        cdef int64_t i
        for i in range(times.shape[0]):
            self.on_frame(&data[offsets[i]], offsets[i + 1] - offsets[i], times[i])

    def replay(self, Reader reader not None, Verifier verifier=None, uint64_t limit=0) -> int:
        """Applies the inputs of `reader` up to its end (or `limit` records); returns how many were applied.

        Decisions are compared by `verifier`, which must be this core's trail; one that the core did not make again is
        counted there as a mismatch. Requests are discarded: nothing is sent.
        """
        cdef RecordHead* head
        cdef uint64_t applied = 0
        while limit == 0 or applied < limit:
            head = reader.next()
            if head == NULL:
                break
            if head.type < FIRST_DECISION:
                if self.closed_with is not None:
                    self.closed_with = None
                self.sink.seq = head.seq
                if verifier is not None:
                    verifier.seq = head.seq
                self.sink.count(head.type, head.check)
                self.dispatch(head.type, head.now, <const uint8_t*>head + sizeof(RecordHead), head.size)
                self.trader.out_count = 0
                self.taken_lost = self.n_lost
                applied += 1
            elif head.type == REC_CLOSED:
                self.closed_with = (<const char*>head + sizeof(RecordHead))[:head.size]
            elif head.type < FIRST_TELEMETRY and verifier is not None:
                verifier.mismatched += 1
                if verifier.first_mismatch is None:
                    verifier.first_mismatch = (head.seq, head.type, 0, head.now, b"", b"")
        return applied
