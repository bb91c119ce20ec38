"""The path of a tick on one page: a decoded frame, or rows of a day file, through market, sources, pipeline, gate and positions."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from _ext.core.clock cimport stopwatch
from _ext.core.records cimport (
    GAP_CORRUPT, GAP_DISORDER, GAP_LATE, GAP_LINK, GAP_REBASED, GAP_SILENCE, GAP_STALL, REC_GAP, REC_TIMING, Gap, Timing)
from _ext.core.sink cimport mix
from _ext.core.tick cimport INITIAL_FEED, NO_INST, TICK_DROPPED, TICK_SUPERSEDED, TICK_UNKNOWN_KEY, Tick
from _ext.market.state cimport TICK_TRADED, Row, TickInfo
from _ext.signals.pipeline cimport Pipeline
from _ext.signals.source cimport Wish
from _ext.signals.strategies cimport CALLS_A_RECORD, StrategyHost
from _ext.views cimport LOST_KEPT, CoreViews


cdef class TickPath(CoreViews):
    """A core's parts, connected. `entrance.Core` brings it the records."""

    cdef int _frame(self, bint good, size_t n, int64_t now) except -1:
        """A decoded frame: every update of it in turn; one that is no frame is a row of the ledger."""
        cdef int i
        cdef int64_t minute
        cdef TickInfo info
        if good:
            self.frames += 1
            self.market.is_snapshot = self.decoder.head.type == INITIAL_FEED
            for i in range(self.decoder.head.n_ticks):
                self._tick(&self.decoder.ticks[i], now, &info)
        else:
            self.rejected += 1
            minute = self.market._minute_at(now)
            self.market.emit(GAP_CORRUPT, NO_INST, now, now, minute, minute, 0, <double>n, 0)
        if self.market.n_pending:
            self._ledger(now)
        if self.pipeline.host is not None and self.pipeline.host.is_waiting():
            self._strategies(now)
        return 0

    cdef int _rows(self, int64_t now) except -1:
        """Every row of the day file that was received at `now`: what a frame is to the others. A candidate's tick is its row,
        counted from 1."""
        cdef TickInfo info
        cdef uint32_t inst
        cdef int side
        self.busy = 1
        self.now = now
        self.frames += 1
        self.market.is_snapshot = False
        try:
            while self.rows.next_ns() == now:
                inst = self.rows.next_inst()
                side = 0
                if inst != NO_INST and self.market.rows[inst].position:
                    side = self.trader.slots[self.market.rows[inst].position - 1].side
                if self.rows.take(&self.row, side):
                    self.pipeline.frame_seq = <uint64_t>self.rows.at
                    self._tick(&self.row, now, &info)
            if self.market.n_pending:
                self._ledger(now)
            if self.pipeline.host is not None and self.pipeline.host.is_waiting():
                self._strategies(now)
        finally:
            self.busy = 0
        return 0

    cdef int _strategies(self, int64_t now) except -1:
        """After a frame or timer: the calls of strategies that are due, and what each of them asks for."""
        cdef StrategyHost host = self.pipeline.host
        cdef Wish wish
        cdef int _call
        host.intake()
        for _call in range(CALLS_A_RECORD):
            if not host.call(now):
                break
            for inst, source, wanted in host.wishes:
                if wanted is None:
                    self.trader.leave(inst, source, now)
                    continue
                wish = wanted
                self.pipeline.propose(inst, source, &wish, now)
                if self.pipeline.n_passed:
                    self._enter(now, self.trader.minute_of(now))
        return 0

    cdef int _tick(self, const Tick* t, int64_t now, TickInfo* info) except -1:
        cdef Row* r
        if t.has & (TICK_DROPPED | TICK_UNKNOWN_KEY | TICK_SUPERSEDED):
            self.dropped += (t.has & TICK_DROPPED) != 0
            self.unknown += (t.has & TICK_UNKNOWN_KEY) != 0
            return 0
        self.updates += 1
        if self.venue is not None:
            self.venue.on_row(t.inst, t, now)
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
