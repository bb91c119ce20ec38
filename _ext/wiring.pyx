"""The whole path on one page: `Core.apply` takes one input record and does all that follows from it.

The core has no clock, no random numbers, no threads and no I/O but its trail. Inputs are journaled with their time before
they are applied (`input`); `replay` applies them from the journal (`apply`) and compares what is decided.
"""
import orjson

from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

import numpy as np

from _ext.core.keys cimport KeyTable
from _ext.core.clock cimport MINUTE_MS, MINUTE_NS, MS_NS, SECOND_NS, SESSION_MINUTES, session_minute
from _ext.core.reasons cimport NOT_CONFIRMED, PASS, PENDING, WEAK
from _ext.core.records cimport (
    FIRST_DECISION, FIRST_TELEMETRY, GAP_CORRUPT, GAP_DISORDER, GAP_LATE, GAP_LINK, GAP_SILENCE, GAP_STALL, MODEL_B, MODEL_NO_B,
    MODEL_NO_SHADOW, MODEL_SHADOW, N_FEATURES, OP_RUN, REC_ADOPTED, REC_ASK, REC_BACKFILL, REC_BANDS, REC_BARS, REC_BOOK,
    REC_BOOT, REC_CANDIDATE, REC_FRAME, REC_FUNDS, REC_GAP, REC_HOLDINGS, REC_INSTRUMENTS, REC_LINK, REC_MODEL, REC_OPERATOR,
    REC_ORDER_UPDATE, REC_PROFILE, REC_QUOTES, REC_REPLY, REC_SHADOW, REC_START, REC_STOP, REC_TIMER, REC_TIMING, REC_VERDICT,
    RUNNING, STATE_OPERATOR, STREAM_FEED, Adopted, Band, BookRead, Candidate, Funds, Gap, GateDecision, Holding, Instrument,
    Intent, Link, ModelChange, OperatorChange, OrderUpdate, Quote, Reply, ShadowScore, Timing, WarmBar)
from _ext.core.tick cimport INITIAL_FEED, NO_INST, TICK_DROPPED, TICK_SUPERSEDED, TICK_UNKNOWN_KEY, Tick
from _ext.core.reasons import REASONS
from _ext.core.records import GAP, INTENT
from _ext.feed.frame cimport FrameSink
from _ext.feed.wire cimport WIRE_OK, Decoder
from _ext.market.market cimport Market
from _ext.market.state cimport LONG, TICK_TRADED, RingTick, Row, TickInfo
from _ext.signals.detector cimport CandidateSource, SpikeDetector
from _ext.signals.features cimport fill_features
from _ext.signals.validator cimport validate
from _ext.trade.gate cimport Gate
from _ext.trade.orders cimport Order
from _ext.trade.positions cimport Trader
from _ext.trade.reconcile cimport adopt, compare_holdings, take_quotes
from _ext.trade.states cimport ORDER_ABSENT, ORDER_ACCEPTED, ORDER_UNKNOWN, is_live
from _ext.trail.journal cimport Reader, RecordHead, Trail, Verifier

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC

cdef int64_t GHOST_NS = 90000000000


cdef inline int64_t stopwatch() noexcept nogil:
    """Monotonic ns, for telemetry only."""
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * SECOND_NS + t.tv_nsec


cdef inline uint64_t mix(uint64_t h, uint64_t x) noexcept nogil:
    h = (h ^ x) * <uint64_t>0x9E3779B97F4A7C15
    return h ^ (h >> 29)


cdef int arm_of(bytes key, double share) noexcept:
    """1 for `share` of all keys, always the same ones: FNV-1a of the key in thousandths."""
    cdef uint32_t h = 2166136261
    cdef uint8_t byte
    for byte in key.rstrip(b"\0"):
        h = (h ^ byte) * <uint32_t>16777619
    return <double>(h % 1000) < share * 1000.0


cdef class DigestTrail(Trail):
    """Puts every decision into the core's digest on its way to the real trail."""
    cdef Trail inner
    cdef Core core

    def __cinit__(self, Trail inner not None, Core core not None):
        self.inner = inner
        self.core = core

    cdef uint64_t put(self, int type, int64_t now, const void* payload, size_t n) noexcept:
        cdef uint64_t seq = self.inner.put(type, now, payload, n)
        self.seq = self.inner.seq
        self.check = self.inner.check
        if seq != 0 and type < FIRST_TELEMETRY:
            self.core.digest = mix(self.core.digest, (<uint64_t>type << 32) | self.inner.check)
            self.core.records += 1
        return seq


cdef class Core(FrameSink):
    """The engine without its I/O, for `capacity` instruments. `trail` takes inputs and decisions: a Journal when running,
    a Verifier in replay. The candidate sources come with the configuration of the START record.
    """

    def __init__(self, Trail trail not None, uint32_t capacity=8192, int ring_depth=256, int batch=8192):
        self.trail = DigestTrail(trail, self)
        self.keys = KeyTable(capacity)
        self.decoder = Decoder(self.keys, batch)
        self.decoder.keep_keys = False
        self.market = Market(capacity, ring_depth)
        self.gate = Gate(capacity)
        self.trader = Trader(self.gate, self.market, self.trail)
        self.specs = <Instrument*>calloc(capacity, sizeof(Instrument))
        self.arm = <uint8_t*>calloc(capacity, 1)
        if self.specs == NULL or self.arm == NULL:
            raise MemoryError(f"no memory for {capacity} instruments")
        self.trader.specs = self.specs
        self.decoder.prefetch_rows(<char*>self.market.rows, sizeof(Row))
        self.models = {}
        self.shadows = []
        self.config = {}
        self.sources = []
        memset(self.pending, 0, sizeof(self.pending))

    def __dealloc__(self):
        free(self.specs)
        free(self.arm)

    # ---- one record -----------------------------------------------------------------------------------------------
    cdef uint64_t input(self, int type, int64_t now, const void* payload, size_t n) except? 0:
        """Journals one input and applies it; its sequence, or 0 when the journal is full (nothing was applied)."""
        cdef uint64_t seq
        if self.busy:
            raise RuntimeError("the core was entered again while it takes a record")
        if now < self.now:
            now = self.now
        seq = self.trail.put(type, now, payload, n)
        if seq == 0:                       # not journaled, not applied: live and replay stay the same
            return 0
        self.records -= 1
        self.apply(type, now, <const uint8_t*>payload, n, 0)
        return seq

    cdef int apply(self, int type, int64_t now, const uint8_t* payload, size_t n, uint32_t check) except -1:
        """All that follows from one input. `check`: its checksum, 0 when it is in the digest already."""
        cdef size_t i
        self.busy = 1
        self.now = now
        self.records += 1
        if check:
            self.digest = mix(self.digest, (<uint64_t>type << 32) | check)
        try:
            if type == REC_FRAME:
                if self.decoder.decode(payload, n) == WIRE_OK:
                    self.apply_ticks(now)
                else:
                    self._refuse(n, now)
            elif type == REC_TIMER:
                self.market.on_timer(now)
                self._expire(now, False)
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
                self._switch(<const ModelChange*>payload)
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
                self._expire(now, True)
            if self.market.n_told:
                self._tell(now)
        finally:
            self.busy = 0
        return 0

    cdef int _refuse(self, size_t n, int64_t now) except -1:
        """A frame that is no frame."""
        self.rejected += 1
        cdef int64_t minute = self.market._minute_at(now)
        self.market.tell(GAP_CORRUPT, NO_INST, now, now, minute, minute, 0, <double>n, 0)
        return 0

    cdef int _tell(self, int64_t now) except -1:
        """Takes the ledger's new rows to the journal, and those whose minutes are to be fetched to whoever fetches them."""
        cdef int i
        cdef Gap* gap
        for i in range(self.market.n_told):
            gap = &self.market.told[i]
            self.trail.put(REC_GAP, now, gap, sizeof(Gap))
            if gap.kind in (GAP_SILENCE, GAP_STALL, GAP_LINK, GAP_LATE, GAP_CORRUPT, GAP_DISORDER):
                self.lost[self.n_lost % LOST_KEPT] = gap[0]
                self.n_lost += 1
        self.market.n_told = 0
        return 0

    cdef int on_frame(self, const uint8_t* frame, size_t n, int64_t now) except -1:
        """A frame from the socket, borrowed: decoded, journaled and applied before this returns."""
        cdef bint good
        cdef Timing timing
        cdef uint64_t seq
        if self.busy:
            raise RuntimeError("the core was entered again while it takes a record")
        if self.stamped:
            memset(&self.stamps, 0, sizeof(self.stamps))
            self.stamps.received = stopwatch()
        good = self.decoder.decode(frame, n) == WIRE_OK
        if self.feed_time:
            now = self.decoder.head.current_ts * MS_NS
        if now < self.now:
            now = self.now
        seq = self.trail.put(REC_FRAME, now, frame, n)
        if seq == 0:
            return 0
        self.now = now
        if self.stamped:
            self.stamps.decoded = stopwatch()
        self.busy = 1
        try:
            if good:
                self.apply_ticks(now)
            else:
                self._refuse(n, now)
            if self.market.n_told:
                self._tell(now)
        finally:
            self.busy = 0
        self.attention = self.trader.out_count > 0
        if self.stamps.candidate:
            timing.frame_seq = seq
            timing.candidate = self.stamps.candidate
            timing.decoded = self.stamps.decoded - self.stamps.received
            timing.scored = self.stamps.scored - self.stamps.received if self.stamps.scored else 0
            timing.decided = self.stamps.decided - self.stamps.received if self.stamps.decided else 0
            timing.done = stopwatch() - self.stamps.received
            self.trail.put(REC_TIMING, now, &timing, sizeof(timing))
        return 0

    cdef int apply_ticks(self, int64_t now) except -1:
        cdef int i
        cdef TickInfo info
        self.frames += 1
        self.frame_seq = self.trail.seq    # of the frame itself: what a candidate of it leaves comes after
        self.market.is_snapshot = self.decoder.head.type == INITIAL_FEED
        for i in range(self.decoder.head.n_ticks):
            self._tick(&self.decoder.ticks[i], now, &info)
        return 0

    # ---- the path of a tick ---------------------------------------------------------------------------------------
    cdef int _tick(self, const Tick* t, int64_t now, TickInfo* info) except -1:
        cdef Row* r
        cdef Candidate c
        cdef int i
        if t.has & (TICK_DROPPED | TICK_UNKNOWN_KEY | TICK_SUPERSEDED):
            self.dropped += (t.has & TICK_DROPPED) != 0
            self.unknown += (t.has & TICK_UNKNOWN_KEY) != 0
            return 0
        self.updates += 1
        r = &self.market.rows[t.inst]
        self.market.on_tick(r, t.inst, t, now, info)
        self.digest = mix(self.digest, <uint64_t>(info.ltp + 31 * info.volume + 1009 * info.flags + 65537 * r.bid)
                          ^ (<uint64_t>t.inst << 40))
        if r.pending and info.flags & TICK_TRADED:
            self._confirm(r, info)
        if r.position:
            self.trader.on_tick(r, now)
        for i in range(self.n_sources):
            if (<CandidateSource>self.source[i]).on_tick(r, info, &c):
                c.inst = t.inst
                self._candidate(r, info, &c)
                if self.shadows:
                    self._shadow(&c, now)
        return 0

    cdef int _candidate(self, Row* r, const TickInfo* t, Candidate* c) except -1:
        """A new candidate: features and score at the tick; decided now where the book has moved along, else at the next
        trade update (MARKET 0.8)."""
        cdef int i
        self.candidates += 1
        c.id = self.candidates
        c.tick_seq = self.frame_seq
        c.updates = 0
        c.arm = self.arm[c.inst]
        c.quality = min(r.gap_bars, <int>LONG)
        c.score = c.score_next = NAN
        c.measured = c.limit = 0.0
        c.decided = 0
        c.reason = PENDING if c.level == 1 else WEAK
        memset(c.model, 0, sizeof(c.model))
        fill_features(self.market, c.inst, t, self._firing(t.now), c.ltt, c.price, c)
        c.score = self._score(c)
        if self.stamped:
            self.stamps.scored = stopwatch()
            self.stamps.candidate = c.id
        if c.level == 0:
            c.measured = c.strength
            c.limit = self.rules[c.arm].strength
            c.decided = t.now
        self.trail.put(REC_CANDIDATE, t.now, c, sizeof(Candidate))
        if c.level == 0:
            return 0
        self.signals += 1
        self.fired[self.n_fired % FIRING_KEPT] = t.now
        self.n_fired += 1
        if c.feature[8] >= self.confirm_share and c.feature[7] > 0.0:
            return self._decide(r, t, c)
        if r.pending:                      # the other direction still waits: the newer one counts
            self._close(&self.pending[r.pending - 1], t.now)
        for i in range(MAX_PENDING):
            if not self.pending[i].used:
                self.pending[i].used = 1
                self.n_pending += 1
                self.pending[i].inst = c.inst
                self.pending[i].candidate = c[0]
                r.pending = i + 1
                return 0
        c.reason = NOT_CONFIRMED
        c.decided = t.now
        self.trail.put(REC_VERDICT, t.now, c, sizeof(Candidate))
        return 0

    cdef int _confirm(self, Row* r, const TickInfo* t) except -1:
        """The next trade update of a waiting candidate: features and score once more, then the decision."""
        cdef Pending* p = &self.pending[r.pending - 1]
        cdef Candidate* c = &p.candidate
        p.used = 0
        self.n_pending -= 1
        r.pending = 0
        c.updates += 1
        fill_features(self.market, c.inst, t, self._firing(t.now), c.ltt, c.price, c)
        c.score_next = self._score(c)
        self._decide(r, t, c)
        if self.shadows:
            self._shadow(c, t.now)
        return 0

    cdef float _score(self, Candidate* c) except? -1:
        """What the model of the candidate's arm says; NaN without a model."""
        if c.arm and self.scorer_b is not None:
            memcpy(c.model, <const char*>self._model_head_b, sizeof(c.model))
            return self.scorer_b.score(c.feature)
        if self.scorer is None:
            return NAN
        memcpy(c.model, <const char*>self._model_head, sizeof(c.model))
        return self.scorer.score(c.feature)

    cdef int _shadow(self, const Candidate* c, int64_t now) except -1:
        """After the decision: what the models that decide nothing would have said."""
        cdef ShadowScore s
        for head, scorer in self.shadows:
            s.candidate, s.updates = c.id, c.updates
            memcpy(s.model, <const char*>head, sizeof(s.model))
            s.score = (<Scorer>scorer).score(c.feature)
            self.trail.put(REC_SHADOW, now, &s, sizeof(s))
        return 0

    cdef int _decide(self, Row* r, const TickInfo* t, Candidate* c) except -1:
        c.reason = validate(&self.rules[c.arm], r, t, self.specs[c.inst].cas, c)
        c.decided = t.now
        self.trail.put(REC_VERDICT, t.now, c, sizeof(Candidate))
        if c.reason == PASS:
            self.trader.enter(c, t.now, t.minute)
        if self.stamped:
            self.stamps.decided = stopwatch()
            self.stamps.candidate = c.id
        return 0

    cdef void _close(self, Pending* p, int64_t now) noexcept:
        """Gives up on a waiting candidate: no trade update came in time."""
        cdef Candidate* c = &p.candidate
        p.used = 0
        self.n_pending -= 1
        self.market.rows[p.inst].pending = 0
        c.reason = NOT_CONFIRMED
        c.measured = (now - c.now) * 1e-9
        c.limit = self.confirm_ns * 1e-9
        c.decided = now
        self.trail.put(REC_VERDICT, now, c, sizeof(Candidate))

    cdef int _expire(self, int64_t now, bint all) except -1:
        cdef int i
        if self.n_pending == 0:
            return 0
        for i in range(MAX_PENDING):
            if self.pending[i].used and (all or now - self.pending[i].candidate.now > self.confirm_ns):
                self._close(&self.pending[i], now)
        return 0

    cdef double _firing(self, int64_t now) noexcept nogil:
        """Trade-level candidates of all names in the last 60 s."""
        cdef uint64_t k, count = 0
        for k in range(min(self.n_fired, <uint64_t>FIRING_KEPT)):
            if now - self.fired[(self.n_fired - 1 - k) % FIRING_KEPT] > MINUTE_NS:
                break
            count += 1
        return <double>count

    # ---- rare records ---------------------------------------------------------------------------------------------
    cdef int _add(self, const Instrument* spec) except -1:
        cdef bytes key = spec.key
        cdef uint32_t inst = self.keys.add(key)
        self.specs[inst] = spec[0]
        self.arm[inst] = arm_of(key, self.share_b)
        self.market.add(inst, spec)
        return 0

    cdef int _switch(self, const ModelChange* change) except -1:
        if change.role == MODEL_NO_B:
            self.scorer_b = None
            self.rules[1].min_score = self.rules[0].min_score
            return 0
        if change.role == MODEL_NO_SHADOW:
            self.shadows = []
            return 0
        sha = change.sha256[:64].decode()
        scorer = self.models.get(sha)
        if scorer is None:
            raise LookupError(f"model {sha[:16]} is not among the models loaded: put its file back into the model folder")
        if change.role == MODEL_SHADOW:
            self.shadows = [*self.shadows, (sha[:16].encode(), scorer)]
        elif change.role == MODEL_B:
            self.scorer_b, self._model_head_b = scorer, sha[:16].encode()
            self.rules[1].min_score = change.threshold
        else:
            self.scorer, self._model_head = scorer, sha[:16].encode()
            self.rules[0].min_score = change.threshold
            if self.scorer_b is None:
                self.rules[1].min_score = change.threshold
        return 0

    cdef int _configure(self, dict config) except -1:
        """Takes the configuration of the START record (engine/config.py writes it)."""
        signals, risk, times = config["signals"], config["risk"], config["session"]
        self.config = config | {"nonces": [config.get("nonce", "")]}
        self.sources = [SpikeDetector(**config["detector"])]
        self.n_sources = 0
        for source in self.sources:
            self.source[self.n_sources] = <void*>source
            self.n_sources += 1
        self.share_b = config["ab"]["share"]
        for k, arm in enumerate((signals, signals | config["ab"]["signals"])):
            self.rules[k].strength = arm["strength"]
            self.rules[k].volume = arm["volume"]
            self.rules[k].spread_bp = arm["spread_bp"]
            self.rules[k].min_score = arm["min_score"]
            self.rules[k].opposing_ms = arm["opposing_ms"]
            self.rules[k].first_minute = times["first_minute"]
            self.rules[k].last_minute = times["last_minute"]
            self.rules[k].last_minute_cas = times["last_minute_cas"]
        self.confirm_share = signals["confirm_share"]
        self.confirm_ns = signals["confirm_ns"]
        self.gate.limits = risk
        self.gate.state = RUNNING
        self.gate.operator = OP_RUN
        return 0

    # ---- Python's door --------------------------------------------------------------------------------------------
    def feed(self, int type, int64_t now, payload=b"") -> int:
        """Journals and applies one input record; its sequence, or 0 when the journal is full."""
        cdef const uint8_t[::1] view = memoryview(payload).cast("B") if len(payload) else None
        if type == REC_FRAME:
            before = self.trail.seq
            self.on_frame(&view[0] if view is not None else NULL, view.shape[0] if view is not None else 0, now)
            return self.trail.seq if self.trail.seq != before else 0
        return self.input(type, now, &view[0] if view is not None else NULL, view.shape[0] if view is not None else 0)

    def features_at(self, uint32_t inst, int direction):
        """Features a candidate would have at the last update of a name: float32 array in the order of FEATURES. The detector's own
        statistics (strength, z20, z50, rz, volume_ratio) are 0: nothing was detected."""
        cdef Candidate c
        self._imagine(inst, direction, &c)
        return np.array(<float[:N_FEATURES]>c.feature)

    def score_at(self, uint32_t inst, int direction, Scorer scorer not None) -> float:
        """What `scorer` would say of that candidate: features and score as at a tick, without an object between them."""
        cdef Candidate c
        self._imagine(inst, direction, &c)
        return scorer.score(c.feature)

    cdef int _imagine(self, uint32_t inst, int direction, Candidate* c) except -1:
        if inst >= self.market.size or self.market.rows[inst].ring_at == 0:
            raise IndexError(f"instrument {inst} has no update")
        cdef const Row* r = &self.market.rows[inst]
        cdef const RingTick* s = &self.market.ring[<size_t>inst * self.market.depth + ((r.ring_at - 1) & (self.market.depth - 1))]
        cdef TickInfo t
        cdef int64_t minute = session_minute(s.ltt // MINUTE_MS)
        memset(c, 0, sizeof(Candidate))
        t.now, t.ltt, t.ltp, t.volume, t.lag_ms, t.flags = s.now, s.ltt, s.ltp, s.volume, 0, s.flags
        t.minute = <int>minute if 0 <= minute < SESSION_MINUTES else -1
        c.direction, c.s1m, c.expected, c.last_close = <short>direction, r.s1m, r.expected, <int64_t>r.last_close
        c.price, c.bid, c.ask, c.quality = r.ltp, r.bid, r.ask, min(r.gap_bars, <int>LONG)
        fill_features(self.market, inst, &t, self._firing(s.now), s.ltt, r.ltp, c)
        return 0

    def take_lost(self):
        """Ledger rows since the last call whose minutes are to be fetched, as an array of records.GAP; nothing of a replay's."""
        cdef uint64_t k, first = max(self.taken_lost, self.n_lost - min(self.n_lost, <uint64_t>LOST_KEPT))
        cdef uint8_t[::1] view
        out = np.empty(self.n_lost - first, GAP)
        if len(out):
            view = out.view(np.uint8)
            for k in range(first, self.n_lost):
                memcpy(&view[(k - first) * sizeof(Gap)], &self.lost[k % LOST_KEPT], sizeof(Gap))
        self.taken_lost = self.n_lost
        return out

    @property
    def has_lost(self):
        """Whether `take_lost` would give anything."""
        return self.n_lost > self.taken_lost

    def attach(self, Trail trail not None):
        """Goes on with another trail: after a restart's replay, from its Verifier to the new Journal."""
        (<DigestTrail>self.trail).inner = trail
        self.trail.seq = trail.seq

    def take_intents(self):
        """The requests decided since the last call, as an array of records.INTENT; each is journaled already."""
        cdef int n = self.trader.out_count
        if n == 0:
            return ()
        out = np.empty(n, INTENT)
        cdef uint8_t[::1] view = out.view(np.uint8)
        memcpy(&view[0], self.trader.outbox, n * sizeof(Intent))
        self.trader.out_count = 0
        return out

    @property
    def has_intents(self):
        """Whether `take_intents` would give anything."""
        return self.trader.out_count > 0

    @property
    def unclear(self):
        """Orders only a read of the book can tell about: an answer was lost, nothing followed it, or nobody could read what did."""
        cdef uint64_t i
        cdef int count = 0
        for i in range(self.trader.n_orders):
            count += (self.trader.orders[i].state in (ORDER_UNKNOWN, ORDER_ACCEPTED)
                      or (is_live(self.trader.orders[i].state) and self.trader.orders[i].read_after != 0)
                      or (self.trader.orders[i].doubted != 0 and self.now - self.trader.orders[i].doubted < GHOST_NS))
        return count

    @property
    def ghosts(self):
        """Orders looked for in vain within the last minute and a half: they may still turn up."""
        cdef uint64_t i
        cdef int count = 0
        for i in range(self.trader.n_orders):
            count += (self.trader.orders[i].state == ORDER_ABSENT and self.trader.orders[i].missed > 0
                      and self.now - self.trader.orders[i].answered < GHOST_NS)
        return count

    @property
    def differs(self):
        """Names whose position the broker shows otherwise, or must confirm."""
        cdef int i
        cdef int count = self.gate.unreconciled
        for i in range(self.trader.top):
            count += self.trader.slots[i].used and self.trader.slots[i].plan.unwanted
        return count

    def has_open_questions(self) -> bool:
        """Whether any order may be working, or was filled at a price the broker has not told."""
        for i in range(self.trader.n_orders):
            if is_live(self.trader.orders[i].state) or self.trader.orders[i].is_unpriced:
                return True
        return False

    def is_settled(self, uint64_t number) -> bool:
        """Whether all is known of an order: its end, how much was filled, and at what price. True for one that is not ours."""
        if not 0 < number <= self.trader.n_orders:
            return True
        return self.trader.orders[number - 1].is_final and not self.trader.orders[number - 1].is_unpriced

    def live_orders(self) -> list:
        """Every order that may be working, as dicts of orders.pxd::Order."""
        return [self.trader.orders[i] for i in range(self.trader.n_orders)
                if is_live(self.trader.orders[i].state)]

    def orders(self) -> list:
        """Every order of the day, as dicts of orders.pxd::Order."""
        return [self.trader.orders[i] for i in range(self.trader.n_orders)]

    def positions(self) -> list:
        """Open positions and working entries, as dicts of orders.pxd::Slot."""
        return [slot for slot in self.trader.slots if slot.used]

    def money(self) -> dict:
        """Equity, available funds, realised, open, charges and exposure, in paise."""
        self.trader.revalue()
        return self.gate.money

    def ask_gate(self, uint32_t inst, int side, int64_t quantity, int64_t price) -> tuple:
        """What the gate would say now to an entry: (reason, measured, limit). Nothing is placed or recorded."""
        if inst >= self.keys.size:
            raise IndexError(f"instrument {inst}: the table has {self.keys.size}")
        cdef GateDecision decision
        self.trader.revalue()
        self.gate.skew = self.market.min_lag_ms
        self.gate.check(inst, &self.specs[inst], &self.market.rows[inst], side, quantity, price, self.now,
                        self.trader.minute_of(self.now), &decision)
        return REASONS[decision.reason], decision.measured, decision.limit

    def time_gate(self, uint32_t inst, int side, int64_t quantity, int64_t price, int64_t[::1] out not None):
        """Fills `out` with the ns of as many checks, each timed alone, the clock's own cost included; the benchmark's door."""
        cdef GateDecision decision
        cdef int64_t minute = self.trader.minute_of(self.now), began
        cdef Py_ssize_t i
        for i in range(out.shape[0]):
            began = stopwatch()
            self.gate.check(inst, &self.specs[inst], &self.market.rows[inst], side, quantity, price, self.now, minute, &decision)
            out[i] = stopwatch() - began

    def order_of(self, bytes order_id not None) -> int:
        """Number of the order the broker calls `order_id`; 0: none of ours."""
        cdef uint64_t i
        cdef bytes wanted = order_id[:32].ljust(32, b"\0")
        cdef const char* text = wanted
        if order_id:
            for i in range(self.trader.n_orders):
                if memcmp(self.trader.orders[i].order_id, text, 32) == 0:
                    return i + 1
        return 0

    def nameless(self, uint32_t inst, int side, int64_t quantity, int64_t price) -> int:
        """Number of the one order of ours like this whose id nobody has told yet; 0 where there is none, or more than one."""
        cdef uint64_t i, found = 0
        cdef Order* o
        for i in range(self.trader.n_orders):
            o = &self.trader.orders[i]
            if (o.order_id[0] == 0 and o.inst == inst and o.side == side and o.quantity == quantity and o.price == price
                    and (is_live(o.state) or (o.state == ORDER_ABSENT and o.missed > 0))):
                if found:
                    return 0
                found = i + 1
        return found

    def held(self, uint32_t inst) -> tuple:
        """(net quantity by our orders, net quantity of others) of one name, as the core believes."""
        if inst >= self.keys.size:
            raise IndexError(f"instrument {inst}: the table has {self.keys.size}")
        return self.trader.ledger[inst].net, self.gate.symbols[inst].foreign

    def states(self) -> tuple:
        """(trading state, operator state, feed up, positions)."""
        return self.gate.state, self.gate.operator, self.gate.feed_up, self.gate.positions

    def run_packed(self, const uint8_t[::1] data not None, const int64_t[::1] offsets not None,
                   const int64_t[::1] times not None):
        """Takes frames `data[offsets[i]:offsets[i + 1]]` received at `times[i]` (ns) in one compiled loop; the benchmark's door."""
        cdef int64_t i
        for i in range(times.shape[0]):
            self.on_frame(&data[offsets[i]], offsets[i + 1] - offsets[i], times[i])

    def instrument(self, uint32_t inst) -> dict:
        if inst >= self.keys.size:
            raise IndexError(f"instrument {inst}: the table has {self.keys.size}")
        return self.specs[inst]

    def counts(self) -> dict:
        """Counters since the first record."""
        return {"records": self.records, "frames": self.frames, "updates": self.updates, "rejected": self.rejected,
                "dropped": self.dropped, "unknown": self.unknown, "candidates": self.candidates,
                "signals": self.signals, "orders": self.trader.n_orders, "requests": self.trader.n_serials,
                "second_exits": self.trader.second_exits, "illegal": self.trader.illegal, "unreadable": self.trader.unreadable,
                "bars": self.market.closed, "gaps": self.market.gaps, "late": self.market.late,
                "step_back": self.market.step_back, "repeats": self.market.repeats, "bad_time": self.market.bad_time}

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
                self.trail.seq = head.seq
                if verifier is not None:
                    verifier.seq = head.seq
                self.apply(head.type, head.now, <const uint8_t*>head + sizeof(RecordHead), head.size, head.check)
                self.trader.out_count = 0
                self.taken_lost = self.n_lost
                applied += 1
            elif head.type < FIRST_TELEMETRY and verifier is not None:
                verifier.mismatched += 1
                if verifier.first_mismatch is None:
                    verifier.first_mismatch = (head.seq, head.type, 0, head.now, b"", b"")
        return applied
