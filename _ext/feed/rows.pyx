"""Rows of a day file as updates: see rows.pxd. Ticks are taken as they were recorded; a bar is four points: open, the two
extremes, and close with the volume.

Where no book was recorded one is modelled: a spread of `spread_ticks` price steps or `spread_bp` of price, whichever is more, about
the last price, and `level_value` paise on each of five levels, a step apart. docs/backtest.md says where the numbers are from.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

import numpy as np

from _ext.core.clock cimport MS_NS, day_of_minute
from _ext.core.keys cimport KeyTable
from _ext.core.records cimport KIND_INDEX, Instrument
from _ext.core.tick cimport DEPTH, HAS_DEPTH, HAS_FULL, HAS_LTPC, NO_INST, Tick


@cython.final
cdef class RowFeed:
    """`time` (int64 ms, in order), `inst` (uint32: which of `keys`) and `columns` ((array, offset in a Tick, step) or, of bars,
    five int64 arrays: open, high, low, close, volume) of a day. ValueError for arrays of other types or lengths."""

    def __init__(self, str sha256 not None, const int64_t[::1] time not None, const uint32_t[::1] inst not None, keys, columns,
                 bint is_bars=False):
        cdef int32_t k
        self.sha256, self.keys, self.is_bars, self.size = sha256, list(keys), is_bars, time.shape[0]
        self.n_instruments = <int32_t>len(self.keys)
        if inst.shape[0] != self.size:
            raise ValueError("times and instruments are of other lengths")
        self.kept = [time, inst]
        if self.size:
            self.time, self.inst = &time[0], &inst[0]
            if int(np.asarray(inst).max()) >= self.n_instruments:
                raise ValueError("a row is of an instrument that the file does not have")
        self.number = <uint32_t*>calloc(max(self.n_instruments, 1), sizeof(uint32_t))
        self.tick = <int64_t*>calloc(max(self.n_instruments, 1), sizeof(int64_t))
        self.has_book = <uint8_t*>calloc(max(self.n_instruments, 1), 1)
        self.volume = <int64_t*>calloc(max(self.n_instruments, 1), sizeof(int64_t))
        self.volume_day = <int64_t*>calloc(max(self.n_instruments, 1), sizeof(int64_t))
        if (self.number == NULL or self.tick == NULL or self.has_book == NULL or self.volume == NULL
                or self.volume_day == NULL):
            raise MemoryError(f"no memory for the rows of {self.n_instruments} instruments")
        for k in range(self.n_instruments):
            self.number[k] = NO_INST
        if is_bars:
            self._take_bars(columns)
        else:
            self._take_columns(columns)

    def __dealloc__(self):
        free(self.number)
        free(self.tick)
        free(self.has_book)
        free(self.volume)
        free(self.volume_day)

    def _take_bars(self, columns):
        cdef const int64_t[::1] view
        cdef int k
        if len(columns) != 5:
            raise ValueError("of bars open, high, low, close and volume are needed")
        for k, values in enumerate(columns):
            view = values
            if view.shape[0] != self.size:
                raise ValueError("a column of bars is of another length")
            self.kept.append(view)
            self.bar[k] = &view[0] if self.size else NULL

    def _take_columns(self, columns):
        cdef const unsigned char[::1] view
        cdef Column* c
        if len(columns) > MAX_COLUMNS:
            raise ValueError(f"more than {MAX_COLUMNS} columns")
        for values, at, step in columns:
            if values.shape[0] != self.size or not values.flags.c_contiguous:
                raise ValueError("a column is of another length, or not one piece")
            width = values.shape[1] if values.ndim > 1 else 1
            if at < 0 or width > DEPTH or (width and at + (width - 1) * step + values.itemsize > sizeof(Tick)):
                raise ValueError("a column does not fit into an update")
            if self.size == 0 or width == 0:
                continue
            view = values.reshape(-1).view(np.uint8)
            self.kept.append(view)
            c = &self.columns[self.n_columns]
            c.data, c.width, c.size, c.step, c.at = <const char*>&view[0], width, values.itemsize, step, at
            self.n_columns += 1

    cdef int bind(self, KeyTable keys, const Instrument* specs, dict told) except -1:
        """Takes the core's numbers and price steps of the file's instruments, and what the DATA record says of the book; begins
        with the first row. ValueError where the record is of another file."""
        cdef int32_t k
        cdef const char* key
        if told["sha256"] != self.sha256 or told["rows"] != self.size or (told["kind"] == "bars") != self.is_bars:
            raise ValueError("the day file is not the one that was run")
        book = told["book"]
        if book is not None:
            self.spread_share, self.spread_ticks = book["spread_bp"] * 1e-4, book["spread_ticks"]
            self.level_value = book["level_value"]
        self.is_favourable = told["favourable"]
        self.at = self.group_end = self.point = 0
        for k in range(self.n_instruments):
            key = self.keys[k]
            self.number[k] = keys.find(key, len(self.keys[k]))
            self.volume[k] = self.volume_day[k] = 0
            self.has_book[k] = self.tick[k] = 0
            if self.number[k] != NO_INST:
                self.tick[k] = specs[self.number[k]].tick
                self.has_book[k] = book is not None and specs[self.number[k]].kind != KIND_INDEX
        return 0

    cdef bint take(self, Tick* t, int side) noexcept nogil:
        """Fills `t` with the next update, `side` being that of the position held in its instrument (0: none). False for a row that
        says nothing the core could use."""
        cdef int64_t row = self.at, price
        cdef uint32_t i = self.inst[row]
        if not self.is_bars:
            self.at += 1
            self._fill(row, t)
            t.inst = self.number[i]
            return t.inst != NO_INST
        if self.point == 0 and row >= self.group_end:
            self.group_end = row + 1
            while self.group_end < self.size and self.time[self.group_end] == self.time[row]:
                self.group_end += 1
        price = self._point(row, side)
        if self.point == POINTS - 1:
            if self.volume_day[i] != day_of_minute(self.time[row] // 60000):
                self.volume_day[i], self.volume[i] = day_of_minute(self.time[row] // 60000), 0
            self.volume[i] += max(self.bar[4][row], <int64_t>0)
        self._fill_bar(row, price, t)
        self.at += 1
        if self.at == self.group_end and self.point < POINTS - 1:
            self.point += 1
            while self.at > 0 and self.time[self.at - 1] == self.time[row]:
                self.at -= 1
        elif self.at == self.group_end:
            self.point = 0
        t.inst = self.number[i]
        return t.inst != NO_INST and price > 0

    cdef int64_t _point(self, int64_t row, int side) noexcept nogil:
        """Price of the bar's point: of the extremes the one against the position comes first; without one the low does in a bar
        that rose."""
        cdef int64_t high = self.bar[1][row], low = self.bar[2][row]
        cdef bint is_low_first
        if self.point == 0:
            return self.bar[0][row]
        if self.point == POINTS - 1:
            return self.bar[3][row]
        if side != 0:
            is_low_first = (side > 0) != self.is_favourable
        else:
            is_low_first = self.bar[3][row] >= self.bar[0][row]
        return low if is_low_first == (self.point == 1) else high

    cdef void _fill(self, int64_t row, Tick* t) noexcept nogil:
        cdef const Column* c
        cdef int32_t k, i
        cdef char* into = <char*>t
        memset(t, 0, sizeof(Tick))
        for k in range(self.n_columns):
            c = &self.columns[k]
            if c.width == 1 and c.size == 8:
                (<int64_t*>(into + c.at))[0] = (<const int64_t*>c.data)[row]
            elif c.width == 1 and c.size == 4:
                (<uint32_t*>(into + c.at))[0] = (<const uint32_t*>c.data)[row]
            elif c.width == 1 and c.size == 2:
                (<uint16_t*>(into + c.at))[0] = (<const uint16_t*>c.data)[row]
            else:
                for i in range(c.width):
                    memcpy(into + c.at + i * c.step, c.data + (row * c.width + i) * c.size, c.size)
        if self.has_book[self.inst[row]]:
            self._model(self.inst[row], t)

    cdef void _fill_bar(self, int64_t row, int64_t price, Tick* t) noexcept nogil:
        cdef uint32_t i = self.inst[row]
        memset(t, 0, sizeof(Tick))
        t.has = HAS_LTPC | HAS_FULL
        t.mode = 1
        t.ltp, t.ltt, t.vtt = price, self.time[row] + WHEN[self.point], self.volume[i]
        if self.has_book[i]:
            self._model(i, t)

    @cython.cdivision(True)         # a step and a bid are at least 1, and a bid below it becomes one step, however it was rounded
    cdef void _model(self, uint32_t i, Tick* t) noexcept nogil:
        cdef int64_t step = max(self.tick[i], <int64_t>1), spread, bid, shown
        cdef int k
        if t.ltp <= 0:
            return
        spread = <int64_t>(self.spread_share * <double>t.ltp) // step * step
        spread = max(spread, max(self.spread_ticks, <int64_t>1) * step)
        bid = max((t.ltp - spread // 2) // step * step, step)
        shown = max(self.level_value // bid, <int64_t>1)
        t.has |= HAS_DEPTH
        t.n_levels = DEPTH
        for k in range(DEPTH):
            t.level[k].bid_p = max(bid - k * step, <int64_t>0)
            t.level[k].ask_p = bid + spread + k * step
            t.level[k].bid_q = t.level[k].ask_q = shown

    @property
    def first_ns(self):
        """Receipt time of the first update, ns; the largest number where there is none."""
        return (self.time[0] + (WHEN[0] if self.is_bars else 0)) * MS_NS if self.size else NEVER

    @property
    def taken(self):
        """Rows taken so far; a bar counts when its close was."""
        return self.at
