"""Strategies in Python: see strategies.pxd. The host keeps their bars and makes their calls.

A bar that closes in the market stage waits; after the frame or timer at most 64 calls are made, by timeframe, then instrument, then
source. What a call asks for counts once the call has returned: one that raises, or takes too long, has asked for nothing, and its
strategy is not called again. A replay makes the same calls and stops where the run had stopped.
"""
from libc.stdint cimport int64_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from threading import get_ident

import numpy as np

from _ext.core.clock cimport day_of_minute, session_minute
from _ext.core.reasons cimport PASS, Reason
from _ext.core.records cimport Candidate
from _ext.market.state cimport BARS_KEPT, Bar, Row, TickInfo
from _ext.signals.rules cimport Rules, in_session, likely, measured, quoted, unopposed, validate


UNENDED = ("the engine ended while this call was under way: it hung, crashed, or took all memory (engine.out of its run may name "
           "the line)")


def where(strategy, error) -> str:
    """An error in a line: what it is, and the line of the strategy's own file it came from."""
    line, frame = 0, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_globals.get("__name__") == type(strategy).__module__:
            line = frame.tb_lineno
        frame = frame.tb_next
    return f"{type(error).__name__}: {error}"[:200] + (f" (line {line} of its file)" if line else "")


class StrategyTimeout(Exception):
    """A call took longer than a strategy may."""


cdef class Timeframe:
    """Closed bars of `minutes` minutes of `capacity` instruments, the last `depth` of each, as rows of COLUMNS numbers."""

    def __cinit__(self, int minutes, int depth, uint32_t capacity):
        cdef size_t n = max(capacity, <uint32_t>1)
        self.minutes, self.depth, self.capacity = minutes, depth, capacity
        self.values = <double*>calloc(n * 2 * depth * COLUMNS, sizeof(double))
        self.count = <int64_t*>calloc(n, sizeof(int64_t))
        self.end = <int64_t*>calloc(n, sizeof(int64_t))
        self.forming = <Forming*>calloc(n, sizeof(Forming))
        if self.values == NULL or self.count == NULL or self.end == NULL or self.forming == NULL:
            raise MemoryError(f"no memory for {depth} bars of {n} instruments")

    def __dealloc__(self):
        free(self.values)
        free(self.count)
        free(self.end)
        free(self.forming)

    cdef void _push(self, uint32_t inst, const double* value) noexcept nogil:
        """One closed bar. The last `depth` lie together: when the room ends they move to its front."""
        cdef double* own = self.values + <size_t>inst * 2 * self.depth * COLUMNS
        if self.end[inst] == 2 * self.depth:
            memcpy(own, own + <size_t>(self.depth + 1) * COLUMNS, <size_t>(self.depth - 1) * COLUMNS * sizeof(double))
            self.end[inst] = self.depth - 1
        memcpy(own + <size_t>self.end[inst] * COLUMNS, value, COLUMNS * sizeof(double))
        self.end[inst] += 1
        self.count[inst] += 1

    cdef int take(self, uint32_t inst, const Bar* bar) noexcept nogil:
        """One closed minute; how many bars of this timeframe it closed: one that had no last minute closes with the next bar's
        first."""
        cdef Forming* f = &self.forming[inst]
        cdef int64_t minute = session_minute(bar.minute), day = day_of_minute(bar.minute)
        cdef int closed = 0
        if f.n and (f.bucket != minute // self.minutes or f.day != day):
            self._push(inst, f.value)
            f.n = 0
            closed += 1
        if f.n == 0:
            f.bucket, f.day = minute // self.minutes, day
            f.value[0] = <double>((bar.minute - minute % self.minutes) * 60)
            f.value[1] = <double>bar.open / 100.0
            f.value[2] = <double>bar.high / 100.0
            f.value[3] = <double>bar.low / 100.0
            f.value[5] = 0.0
        f.value[2] = max(f.value[2], <double>bar.high / 100.0)
        f.value[3] = min(f.value[3], <double>bar.low / 100.0)
        f.value[4] = <double>bar.close / 100.0
        f.value[5] += <double>bar.volume
        f.n += 1
        if (minute + 1) % self.minutes == 0:
            self._push(inst, f.value)
            f.n = 0
            closed += 1
        return closed

    cdef void forget(self, uint32_t inst) noexcept nogil:
        """The bars of an instrument are to be made anew."""
        self.count[inst] = self.end[inst] = 0
        memset(&self.forming[inst], 0, sizeof(Forming))

    def view(self, uint32_t inst, int64_t count):
        """The first `count` bars of an instrument, at most the last `depth` of them, oldest first: a read-only float64 array
        (bars, COLUMNS) that is good until the next call."""
        if inst >= self.capacity:
            raise IndexError(f"instrument {inst}: there are {self.capacity}")
        cdef int64_t end = self.end[inst] - (self.count[inst] - min(count, self.count[inst]))
        cdef int64_t begin = max(end - self.depth, <int64_t>0)
        cdef double* own = self.values + <size_t>inst * 2 * self.depth * COLUMNS
        if end <= begin:
            return np.zeros((0, COLUMNS))
        cdef double[:, ::1] view = <double[:end - begin, :COLUMNS]>(own + <size_t>begin * COLUMNS)
        array = np.asarray(view)
        array.flags.writeable = False
        return array


cdef class StrategySource(CandidateSource):
    """A strategy in the place of a source: it says nothing to an update."""

    def __init__(self, uint32_t capacity, str name not None, strategy not None, *, bint is_scored=False, bint is_strict=False,
                 bint hears_candidates=False, bint hears_fills=False):
        CandidateSource.__init__(self, capacity)
        self.name, self.strategy, self.is_scored, self.is_strict = name, strategy, is_scored, is_strict
        self.hears_candidates, self.hears_fills = hears_candidates, hears_fills

    cdef Reason judge(self, const Rules* rules, const Row* r, const TickInfo* t, bint cas, int64_t opposing,
                      Candidate* c) noexcept nogil:
        """The seed's rules where it is strict; else session, the other direction and the book, and the filter where it is
        scored."""
        cdef Reason reason
        if self.is_strict:
            return validate(rules, r, t, cas, opposing, c)
        reason = in_session(rules, t, cas, c)
        if reason == PASS:
            reason = unopposed(rules, opposing, c)
        if reason == PASS:
            reason = quoted(rules, r, c)
        if reason == PASS and self.is_scored:
            reason = measured(rules, r, c)
            if reason == PASS:
                reason = likely(rules, c)
        return reason


cdef class StrategyHost:
    """Calls the strategies among `sources` (StrategySource or None, by their place in the configuration) for `market`. `depth`:
    bars that are kept of each instrument and timeframe."""

    def __cinit__(self, Market market not None, sources, int depth=200):
        cdef uint32_t capacity = max(market.capacity, <uint32_t>1)
        self.market, self.sources = market, list(sources)
        self.frames, self.frame_of, self.events, self.wishes, self.ended = [], {}, [], [], []
        self.mark = None
        self.is_begun = <unsigned char*>calloc(capacity, 1)
        self.calls = <BarCall*>calloc(MAX_CALLS, sizeof(BarCall))
        if self.is_begun == NULL or self.calls == NULL:
            raise MemoryError("no memory for the calls of strategies")
        for minutes in sorted({m for source in self.sources if source is not None for m in source.strategy.timeframes}):
            self.frame_of[minutes] = len(self.frames)
            self.frames.append(Timeframe(minutes, depth, capacity))
        if len(self.frames) > MAX_FRAMES:
            raise ValueError(f"strategies ask for {len(self.frames)} timeframes, at most {MAX_FRAMES} are kept")
        market.keeps_closings = True

    def __dealloc__(self):
        free(self.is_begun)
        free(self.calls)

    cdef bint is_waiting(self) noexcept:
        """Whether a call is due."""
        return self.market.n_closings > 0 or self.n_calls > 0 or len(self.events) > 0

    cdef int intake(self) except -1:
        """Takes the bars that have closed since, and notes the calls they make due: by timeframe, then in the order in which the
        instruments closed them, then by source."""
        cdef int64_t k
        cdef uint32_t inst
        cdef int closed
        cdef Timeframe frame
        for k in range(self.market.n_closings):
            inst = self.market.closings[k].inst
            if not self.is_begun[inst] or self.market.closings[k].bar.minute < 0:
                self._begin(inst, self.market.closings[k].bar.minute)
        for place, frame in enumerate(self.frames):
            for k in range(self.market.n_closings):
                inst = self.market.closings[k].inst
                if self.market.closings[k].bar.minute < 0:
                    self._note(place, inst, True, frame.count[inst])
                    continue
                closed = frame.take(inst, &self.market.closings[k].bar)
                while closed > 0:
                    closed -= 1
                    self._note(place, inst, False, frame.count[inst] - closed)
        self.market.n_closings = 0
        return 0

    cdef int _begin(self, uint32_t inst, int64_t before) except -1:
        """An instrument's bars anew, from those the market keeps of it: history, and what was filled in. `before`: minute of the
        first bar that comes by itself; negative: none does."""
        cdef const Bar* bar
        cdef Timeframe frame
        cdef uint64_t n, first = self.market.rows[inst].bars_at - min(self.market.rows[inst].bars_at, <uint64_t>BARS_KEPT)
        for frame in self.frames:
            frame.forget(inst)
            for n in range(first, self.market.rows[inst].bars_at):
                bar = &self.market.bars[<size_t>inst * BARS_KEPT + n % BARS_KEPT]
                if before < 0 or bar.minute < before:
                    frame.take(inst, bar)
        self.is_begun[inst] = 1
        return 0

    cdef int _note(self, int place, uint32_t inst, bint is_history, int64_t count) except -1:
        cdef int k
        cdef BarCall* call
        for k, source in enumerate(self.sources):
            if source is None or source.is_off or (<Timeframe>self.frames[place]).minutes not in source.strategy.timeframes:
                continue
            if not source.strategy.wants(inst):
                continue
            if self.n_calls == MAX_CALLS:
                self.lost += 1
                continue
            call = &self.calls[(self.first_call + self.n_calls) % MAX_CALLS]
            call.source, call.frame, call.inst, call.is_history, call.count = k, place, inst, is_history, count
            self.n_calls += 1
        return 0

    def tell(self, int source, str method not None, argument):
        """Something happened to a strategy, which hears of it at the end of the next frame or timer."""
        if self.sources[source] is not None and self.sources[source].hears_fills and not self.sources[source].is_off:
            self.events.append((source, method, argument))

    def tell_others(self, int source, argument):
        """A candidate of `source`: for every strategy that hears of others'."""
        for k, other in enumerate(self.sources):
            if other is not None and k != source and other.hears_candidates and not other.is_off:
                self.events.append((k, "candidate", argument))

    cpdef bint call(self, int64_t now) except -1:
        """Makes the next call that is due, and keeps what it asked for in `wishes`; False where none is."""
        cdef BarCall* call
        cdef StrategySource source
        cdef Timeframe frame
        self.now = now
        self.wishes = []
        while self.events:
            k, method, argument = self.events.pop(0)
            source = self.sources[k]
            if not source.is_off:
                self._make(k, source, method, argument)
                return True
        while self.n_calls > 0:
            call = &self.calls[self.first_call % MAX_CALLS]
            self.first_call += 1
            self.n_calls -= 1
            source = self.sources[call.source]
            if source.is_off:
                continue
            frame = self.frames[call.frame]
            if call.is_history:
                self._make(call.source, source, "history", call.inst)
            else:
                self._make(call.source, source, "bar", (call.inst, frame.minutes, frame.view(call.inst, call.count)))
            return True
        return False

    cdef int _make(self, int place, StrategySource source, str method, argument) except -1:
        """One call. What goes wrong in it ends the strategy and nobody else."""
        source.calls += 1
        if source.last_call and source.calls >= source.last_call:
            source.is_off = True                           # as in the run: the record follows, unless its engine ended in that call
            self.ended.append((place, source.calls, UNENDED))
            return 0
        self.calling, self.thread = source, get_ident()
        if self.mark is not None:
            self.mark[1] = source.calls
            self.mark[0] = place + 1
        try:
            source.strategy.called(method, argument)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.wishes = []
            source.is_off = True
            self.ended.append((place, source.calls, where(source.strategy, error)))
        finally:
            self.calling = None
            if self.mark is not None:
                self.mark[0] = 0
        return 0

    def wish(self, item):
        """What the call under way asks for. RuntimeError where none is: a strategy acts only when it is called."""
        if self.calling is None or get_ident() != self.thread:
            raise RuntimeError("a strategy can ask for something only while it is called, and from within the call")
        if not 0 <= item[0] < self.market.size:
            raise ValueError(f"instrument {item[0]}: the day has {self.market.size}")
        self.wishes.append(item)

    def bars(self, uint32_t inst, int minutes):
        """Bars of an instrument as they are now, as `Timeframe.view` gives them. KeyError for a timeframe nobody asked for."""
        cdef Timeframe frame = self.frames[self.frame_of[minutes]]
        return frame.view(inst, frame.count[inst])

    cdef bint has_ended(self) noexcept:
        """Whether `take_ended` would give anything."""
        return len(self.ended) > 0

    def take_ended(self) -> list:
        """(source, call, reason) of strategies that have ended since the last call."""
        out, self.ended = self.ended, []
        return out

    def mark_calls(self, int64_t[::1] mark not None):
        """Writes place (from 1 on) and number of the call under way into `mark`, int64 (2,); place 0 when it has ended. ValueError
        for another shape."""
        if mark.shape[0] != 2:
            raise ValueError(f"a mark has two numbers, not {mark.shape[0]}")
        self.mark = mark

    def stop(self, int source):
        """A strategy is not called any more, and that is in the journal."""
        self.ended = [ended for ended in self.ended if ended[0] != source]
        if 0 <= source < len(self.sources) and self.sources[source] is not None:
            (<StrategySource>self.sources[source]).is_off = True
