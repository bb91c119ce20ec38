"""The entrance: `Core` takes one input record and does all that follows from it; the path of a tick is in path.pyx.

The core has no clock, no random numbers, no threads and no I/O but its sink. Inputs are journaled with their time before
they are applied (`take`, `on_frame`); `replay` applies them from the journal (`dispatch`) and compares what is decided.
"""
import orjson

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from _ext.core.clock cimport MS_NS, SESSION_MINUTES, stopwatch
from _ext.core.keys cimport KeyTable
from _ext.core.reasons cimport STRATEGY_STOPPED
from _ext.core.records cimport (
    FIRST_DECISION, FIRST_TELEMETRY, OP_RUN, REC_ADOPTED, REC_ASK, REC_BACKFILL, REC_BANDS, REC_BARS, REC_BOOK, REC_BOOT,
    REC_CLOSED, REC_DATA, REC_FRAME, REC_FUNDS, REC_HOLDINGS, REC_INSTRUMENTS, REC_LINK, REC_MODEL, REC_OPERATOR,
    REC_ORDER_UPDATE, REC_PROFILE, REC_QUOTES, REC_REPLY, REC_START, REC_STOP, REC_STRATEGY_OFF, REC_TIMER, RUNNING,
    STATE_OPERATOR, STREAM_FEED, Adopted, Band, BookRead, Candidate, Funds, Holding, Instrument, Link, ModelChange,
    OperatorChange, OrderUpdate, Quote, Reply, WarmBar)
from _ext.core.sink cimport DigestSink, RecordSink
from _ext.feed.rows cimport NEVER
from _ext.feed.wire cimport WIRE_OK, Decoder
from _ext.market.market cimport Market
from _ext.market.state cimport Row
from _ext.path cimport TickPath
from _ext.signals.pipeline cimport Pipeline
from _ext.signals.strategies cimport StrategySource
from _ext.trade.gate cimport Gate
from _ext.trade.positions cimport PositionManager
from _ext.trade.reconcile cimport adopt, compare_holdings, take_quotes
from _ext.trail.reader cimport Reader
from _ext.trail.segment cimport RecordHead
from _ext.trail.verifier cimport Verifier

cdef enum:
    BARS_SILENCE_MS = 600000  # candles: ten minutes without one of a name are a gap

cpdef enum:
    ROWS_DUE = 0
    ROWS_ATTENTION = 1
    ROWS_OVER = 2
    ROWS_FULL = 3
    ROWS_TIMER = 4


cdef class Core(TickPath):
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
        self.config, self.day_files, self.strategies_off = {}, {}, []

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
        self.pipeline.frame_seq = seq      # of the frame itself: what a candidate of it leaves comes after
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
                self.pipeline.frame_seq = self.source_seq or self.sink.seq
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
            if self.pipeline.host is not None and self.pipeline.host.is_waiting():
                self._strategies(now)
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
        elif type == REC_DATA:
            self._open(orjson.loads((<const char*>payload)[:n]))
        elif type == REC_STRATEGY_OFF:
            if self.pipeline.host is not None:
                told = orjson.loads((<const char*>payload)[:n])
                self.strategies_off.append(told)
                self.pipeline.host.stop(told["source"])
                self.trader.alarm(STRATEGY_STOPPED, told["source"], now)
        elif type == REC_STOP:
            self.pipeline.expire(now, True)
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
        self.trader.take_shares(config["sources"])
        self.trader.via = config.get("via", 0)
        self.trader.host = self.pipeline.host
        if self.pipeline.host is not None:
            for number, source in enumerate(self.pipeline.sources):
                if isinstance(source, StrategySource):
                    source.strategy.bind(self, self.pipeline.host, number)
        self.gate.state = RUNNING
        self.gate.operator = OP_RUN
        return 0

    cdef int _open(self, dict told) except -1:
        """Rows of a day file stand for frames from here on. ValueError where the file is not among `day_files`."""
        found = self.day_files.get(told["sha256"])
        if found is None:
            raise ValueError(f"the day file {told['name']} is not there")
        self.rows = found
        self.rows.bind(self.keys, self.specs, told)
        self.next_timer = 0
        if self.rows.is_bars:
            self.market.be_patient(BARS_SILENCE_MS)
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

    def run_rows(self, int64_t until, int64_t period) -> int:
        """Takes rows of the day file, and timers each `period` ns, in one compiled loop; a ROWS_ number says why it ended: `until`
        (ns) comes next, requests or answers wait, the rows are over, or the journal is full."""
        cdef int64_t at
        if self.rows is None:
            raise ValueError("no day file was opened")
        if self.next_timer == 0 and self.rows.next_ns() != NEVER:      # on an absolute grid, whatever the run began with
            self.next_timer = (max(self.now, self.rows.next_ns()) // period + 1) * period
        while True:
            at = self.rows.next_ns()
            if until <= at and until <= self.next_timer:
                return ROWS_DUE
            if at == NEVER:
                return ROWS_OVER
            if self.next_timer <= at:
                if self.take(REC_TIMER, self.next_timer, NULL, 0) == 0:
                    return ROWS_FULL
                self.next_timer += period
            else:
                self._rows(at)
            if self.rows.next_ns() > self.now and (         # else rows of this very time come first, as in a replay
                    self.trader.out_count or (self.venue is not None and self.venue.n_updates)
                    or (self.pipeline.host is not None and self.pipeline.host.has_ended())):
                return ROWS_ATTENTION

    def again(self, Reader reader not None, int64_t until, bint is_referred=False) -> int:
        """Takes the frames and timers that `reader` has next, as inputs of this core, in one compiled loop; a ROWS_ number says why
        it ended: `until` (ns) is over or a strategy or the venue has something to say, each at a timer; requests wait; the next
        input is of another type and is the caller's to read (DUE); the journal read is over, or this core's is full.

        `is_referred`: a candidate names its frame by its number in the journal that is read.
        """
        cdef RecordHead* head
        cdef uint64_t taken
        while True:
            head = reader.peek()
            if head == NULL:
                return ROWS_OVER
            if head.type >= FIRST_DECISION:
                reader.next()
                continue
            if head.type != REC_FRAME and head.type != REC_TIMER:
                return ROWS_DUE
            self.source_seq = head.seq if is_referred else 0
            taken = self.take(head.type, head.now, <const uint8_t*>head + sizeof(RecordHead), head.size)
            self.source_seq = 0
            if taken == 0:
                return ROWS_FULL
            reader.next()
            if self.trader.out_count or (head.type == REC_TIMER and (
                    until <= self.now or (self.venue is not None and self.venue.n_updates)
                    or (self.pipeline.host is not None and self.pipeline.host.has_ended()))):
                return ROWS_ATTENTION if head.type == REC_FRAME else ROWS_TIMER

    def take_ended(self) -> list:
        """(source, call, reason) of strategies that have ended since the last call; each is to come back as a STRATEGY_OFF
        record."""
        return self.pipeline.host.take_ended() if self.pipeline.host is not None else []

    cdef bint _has_rows_before(self, const RecordHead* head) noexcept:
        """Whether rows of the day file come before the journal's next record: those received before an input, and those that made a
        decision."""
        cdef int64_t at = self.rows.next_ns()
        if head.type >= FIRST_TELEMETRY:
            return False
        return at <= head.now if head.type >= FIRST_DECISION else at < head.now

    def replay(self, Reader reader not None, Verifier verifier=None, uint64_t limit=0, int64_t until=NEVER) -> int:
        """Applies the inputs of `reader` up to its end (or `limit` records, or the first one later than `until`, ns); returns how
        many were applied.

        Decisions are compared by `verifier`, which must be this core's trail; one that the core did not make again is
        counted there as a mismatch. Requests are discarded: nothing is sent.
        """
        cdef RecordHead* head
        cdef uint64_t applied = 0
        while limit == 0 or applied < limit:
            head = reader.peek()
            if self.rows is not None:
                if head != NULL and self._has_rows_before(head):
                    if self.rows.next_ns() > until:
                        break
                    self._rows(self.rows.next_ns())
                    self.trader.out_count = 0
                    continue
            if head == NULL or (head.now > until and head.type < FIRST_DECISION):
                break
            reader.next()
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
