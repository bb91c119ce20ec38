"""What becomes of a candidate: see pipeline.pxd. It is decided at the tick where the book has moved along, else at the next trade
update (docs/market.md 0.8); pending, cool-down, opposing signal and firing count are of each source."""
cimport cython
from libc.math cimport NAN
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from _ext.core.clock cimport MINUTE_NS, session_minute, stopwatch
from _ext.core.reasons cimport NOT_CONFIRMED, PASS, PENDING, WEAK
from _ext.core.records cimport (
    MODEL_B, MODEL_NO_B, MODEL_NO_SHADOW, MODEL_SHADOW, REC_CANDIDATE, REC_SHADOW, REC_VERDICT, Candidate, ModelChange, ShadowScore)
from _ext.core.records import KINDS
from _ext.core.sink cimport RecordSink
from _ext.market.market cimport Market
from _ext.market.state cimport LONG, Row, TickInfo
from _ext.signals.features cimport BOOK_MOVED_ALONG, MID_MOVE, OUTSIDE_BOOK, OUTSIDE_MOST, fill_features
from _ext.signals.scorer cimport Scorer
from _ext.signals.source cimport CandidateSource, Event, Wish
from _ext.signals.source import SourceError, parameters_of, source_of
from _ext.signals.strategies cimport StrategyHost, StrategySource
from _ext.signals.statistics cimport Statistics, measure


cdef int arm_of(bytes key, double share) noexcept:
    """1 for `share` of all keys, always the same ones: FNV-1a of the key in thousandths."""
    cdef uint32_t h = 2166136261
    cdef uint8_t byte
    for byte in key.rstrip(b"\0"):
        h = (h ^ byte) * <uint32_t>16777619
    return <double>(h % 1000) < share * 1000.0


@cython.final
cdef class Pipeline:
    """Candidates of all sources over `market`, for `capacity` instruments; records go to `sink`."""

    def __cinit__(self, Market market not None, RecordSink sink not None, uint32_t capacity):
        self.market, self.sink = market, sink
        self.signalled = <Signalled*>calloc(<size_t>max(capacity, <uint32_t>1) * MAX_SOURCES, sizeof(Signalled))
        self.arm = <uint8_t*>calloc(max(capacity, <uint32_t>1), 1)
        if self.signalled == NULL or self.arm == NULL:
            raise MemoryError(f"no memory for the candidates of {capacity} instruments")
        self.sources, self.names, self.models, self.shadows, self.strategies = (), (), {}, [], {}
        self.stopped = {}
        memset(self.pending, 0, sizeof(self.pending))
        memset(self.firing, 0, sizeof(self.firing))

    def __dealloc__(self):
        free(self.signalled)
        free(self.arm)

    cdef int configure(self, dict config) except -1:
        """Takes what the START record says of sources and rules. SourceError for a source there is not, or too many."""
        if len(config["sources"]) > MAX_SOURCES:
            raise SourceError(f"{len(config['sources'])} sources are asked for, at most {MAX_SOURCES} run in one engine")
        signals, times = config["signals"], config["limits"]
        self.names = tuple([entry["name"] for entry in config["sources"]])
        self.sources = tuple([self._made(entry) for entry in config["sources"]])
        self.n_sources = self.n_asked = 0
        for source in self.sources:
            self.source[self.n_sources] = <void*>source
            self.n_own[self.n_sources] = len(source.statistics)
            if not isinstance(source, StrategySource):
                self.asked[self.n_asked] = self.n_sources
                self.n_asked += 1
            self.n_sources += 1
        if self.n_asked < self.n_sources:
            called = [source if isinstance(source, StrategySource) else None for source in self.sources]
            self.host = StrategyHost(self.market, called)
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
            self.rules[k].kinds = sum([1 << KINDS.index(name) for name in set(signals["kinds"])])
        self.confirm_share = signals["confirm_share"]
        self.confirm_ns = signals["confirm_ns"]
        return 0

    def _made(self, entry):
        """A source as the START record names it. SourceError for a strategy nobody has loaded."""
        name = entry["name"]
        if "sha256" not in entry:
            return source_of(name)(self.market.capacity, **parameters_of(name, entry["parameters"]))
        strategy = self.strategies.get(name)
        if strategy is None:
            raise SourceError(f"strategy {name} is not loaded")
        source = StrategySource(self.market.capacity, name, strategy, is_scored=strategy.is_scored, is_strict=strategy.is_strict,
                                hears_candidates=strategy.hears_candidates, hears_fills=strategy.hears_fills)
        source.last_call = self.stopped.get(name, 0)
        return source

    cdef int add(self, uint32_t inst, bytes key) except -1:
        self.arm[inst] = arm_of(key, self.share_b)
        return 0

    cdef int switch(self, const ModelChange* change) except -1:
        """Gives a model its role. LookupError for one that is not loaded."""
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
            self.scorer_b, self._head_b = scorer, sha[:16].encode()
            self.rules[1].min_score = change.threshold
        else:
            self.scorer, self._head = scorer, sha[:16].encode()
            self.rules[0].min_score = change.threshold
            if self.scorer_b is None:
                self.rules[1].min_score = change.threshold
        return 0

    # ---- an update ------------------------------------------------------------------------------------------------------
    cdef int propose(self, uint32_t inst, int source, const Wish* wish, int64_t now) except -1:
        """A candidate that a strategy asks for, at the last update of the instrument."""
        cdef Row* r = &self.market.rows[inst]
        cdef int64_t minute = session_minute(self.market._minute_at(now))
        cdef TickInfo t
        t.now, t.ltt, t.ltp, t.volume, t.lag_ms, t.flags = now, r.ltt, r.ltp, 0, 0, 0
        t.minute = <int>minute if 0 <= minute < r.close_minute else -1
        return self._propose(r, inst, source, &wish.event, &t, wish)

    cdef int _propose(self, Row* r, uint32_t inst, int source, const Event* event, const TickInfo* t, const Wish* wish) except -1:
        """A new candidate: statistics, features and score at the tick."""
        cdef Candidate c
        cdef Statistics s
        cdef int side = 0 if event.move > 0 else 1
        cdef bint is_scored = (<CandidateSource>self.source[source]).is_scored
        memset(&c, 0, sizeof(c))
        memset(&s, 0, sizeof(s))
        measure(r, <double>t.ltp, &s)
        self.candidates += 1
        c.id = self.candidates
        c.inst, c.source, c.move, c.side, c.level = inst, <short>source, event.move, event.side, event.level
        c.arm = self.arm[inst]
        c.now, c.ltt, c.price, c.last_close, c.open5 = t.now, t.ltt, t.ltp, <int64_t>r.last_close, r.open5
        c.bid, c.ask = r.bid, r.ask
        c.strength, c.s1m, c.expected = event.strength, r.s1m, r.expected
        c.u, c.z20, c.z50, c.rz, c.volume_ratio = s.u, s.z20, s.z50, s.rz, s.volume_ratio
        memcpy(c.own, event.own, self.n_own[source] * sizeof(double))
        if wish != NULL:
            c.own_limit, c.own_stop, c.own_target, c.own_hold = wish.limit, wish.stop, wish.target, wish.hold
            c.guide = wish.guide
            memcpy(c.note, wish.note, sizeof(c.note))
        c.tick_seq = self.frame_seq
        c.quality = min(r.gap_bars, <int>LONG)
        c.score = c.score_next = NAN
        c.reason = PENDING if c.level == 1 else WEAK
        fill_features(self.market, inst, t, self.recent(source, t.now), c.ltt, c.price, &c)
        if is_scored:
            c.score = self._score(&c)
        if self.stamped:
            self.scored, self.stamped_id = stopwatch(), c.id
        if c.level == 0:
            c.measured = c.strength
            c.limit = self.rules[c.arm].strength
            c.decided = t.now
        self.sink.put(REC_CANDIDATE, t.now, &c, sizeof(Candidate))
        if self.host is not None and c.level == 1:
            self.host.tell_others(source, c)
        if c.level == 1:
            self.signalled[<size_t>inst * MAX_SOURCES + source].at[side] = t.ltt
            self.signals += 1
            self.firing[source].at[self.firing[source].n % FIRING_KEPT] = t.now
            self.firing[source].n += 1
            if not is_scored or (c.feature[BOOK_MOVED_ALONG] >= self.confirm_share and c.feature[MID_MOVE] > 0.0
                                 and c.feature[OUTSIDE_BOOK] <= OUTSIDE_MOST):
                self._decide(r, t, &c)
            else:
                self._wait(r, t, &c)
        if self.shadows and is_scored:
            self._shadow(&c, t.now)
        return 0

    cdef int _wait(self, Row* r, const TickInfo* t, Candidate* c) except -1:
        """Keeps a candidate until the next trade update."""
        cdef int i = r.pending
        while i:                               # the other direction of the same source still waits: the newer one counts
            if self.pending[i - 1].candidate.source == c.source:
                self._unlink(r, i - 1)
                self._close(&self.pending[i - 1].candidate, t.now)
                break
            i = self.pending[i - 1].next
        for i in range(MAX_PENDING):
            if not self.pending[i].used:
                self.pending[i].used = 1
                self.pending[i].next = r.pending
                self.pending[i].candidate = c[0]
                self.n_pending += 1
                r.pending = i + 1
                return 0
        c.reason = NOT_CONFIRMED
        c.decided = t.now
        self.sink.put(REC_VERDICT, t.now, c, sizeof(Candidate))
        return 0

    cdef int confirm(self, Row* r, const TickInfo* t) except -1:
        """The next trade update of the candidates that wait in an instrument: features and score once more, then the decision."""
        cdef Candidate* c
        cdef int slot
        while r.pending:
            slot = r.pending - 1
            c = &self.pending[slot].candidate
            self._unlink(r, slot)
            c.updates += 1
            fill_features(self.market, c.inst, t, self.recent(c.source, t.now), c.ltt, c.price, c)
            c.score_next = self._score(c)
            self._decide(r, t, c)
            if self.shadows:
                self._shadow(c, t.now)
        return 0

    cdef float _score(self, Candidate* c) except? -1:
        """What the model of the candidate's arm says; NaN without a model."""
        if c.arm and self.scorer_b is not None:
            memcpy(c.model, <const char*>self._head_b, sizeof(c.model))
            return self.scorer_b.score(c.feature)
        if self.scorer is None:
            return NAN
        memcpy(c.model, <const char*>self._head, sizeof(c.model))
        return self.scorer.score(c.feature)

    cdef int _shadow(self, const Candidate* c, int64_t now) except -1:
        """After the decision: what the models that decide nothing would have said."""
        cdef ShadowScore s
        for head, scorer in self.shadows:
            s.candidate, s.updates = c.id, c.updates
            memcpy(s.model, <const char*>head, sizeof(s.model))
            s.score = (<Scorer>scorer).score(c.feature)
            self.sink.put(REC_SHADOW, now, &s, sizeof(s))
        return 0

    cdef int _decide(self, Row* r, const TickInfo* t, Candidate* c) except -1:
        cdef int64_t other = self.signalled[<size_t>c.inst * MAX_SOURCES + c.source].at[1 if c.move > 0 else 0]
        cdef int64_t opposing = -1 if other == 0 else max(t.ltt - other, <int64_t>0)
        c.reason = (<CandidateSource>self.source[c.source]).judge(&self.rules[c.arm], r, t, self.specs[c.inst].cas, opposing, c)
        c.decided = t.now
        self.sink.put(REC_VERDICT, t.now, c, sizeof(Candidate))
        if c.reason == PASS and self.n_passed < MAX_SOURCES:
            self.passed[self.n_passed] = c[0]
            self.n_passed += 1
        if self.stamped:
            self.decided, self.stamped_id = stopwatch(), c.id
        return 0

    # ---- candidates that wait ---------------------------------------------------------------------------------------------
    cdef void _unlink(self, Row* r, int slot) noexcept:
        """Takes a candidate out of those that wait in its instrument."""
        cdef int32_t* link = &r.pending
        while link[0] and link[0] != slot + 1:
            link = &self.pending[link[0] - 1].next
        if link[0]:
            link[0] = self.pending[slot].next
        self.pending[slot].used = 0
        self.n_pending -= 1

    cdef void _close(self, Candidate* c, int64_t now) noexcept:
        """Gives up on a candidate that waited: no trade update came in time."""
        c.reason = NOT_CONFIRMED
        c.measured = (now - c.now) * 1e-9
        c.limit = self.confirm_ns * 1e-9
        c.decided = now
        self.sink.put(REC_VERDICT, now, c, sizeof(Candidate))

    cdef int expire(self, int64_t now, bint all) except -1:
        """Closes what has waited too long, or everything at the end of a run."""
        cdef int i
        if self.n_pending == 0:
            return 0
        for i in range(MAX_PENDING):
            if self.pending[i].used and (all or now - self.pending[i].candidate.now > self.confirm_ns):
                self._unlink(&self.market.rows[self.pending[i].candidate.inst], i)
                self._close(&self.pending[i].candidate, now)
        return 0

    cdef double recent(self, int source, int64_t now) noexcept nogil:
        """Candidates worth trading of a source, all names, in the last 60 s."""
        cdef const Firing* f = &self.firing[source]
        cdef uint64_t k, count = 0
        for k in range(min(f.n, <uint64_t>FIRING_KEPT)):
            if now - f.at[(f.n - 1 - k) % FIRING_KEPT] > MINUTE_NS:
                break
            count += 1
        return <double>count
