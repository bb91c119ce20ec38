# Rows of a day file as updates, without the wire: a Tick is filled from mapped columns by the instrument's number.
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from _ext.core.clock cimport MS_NS
from _ext.core.keys cimport KeyTable
from _ext.core.records cimport Instrument
from _ext.core.tick cimport Tick

cdef enum:
    MAX_COLUMNS = 64
    POINTS = 4                # of a bar: open, extreme, extreme, close

cdef extern from *:
    """
    #define NEVER INT64_MAX
    static const int64_t WHEN[4] = {1000, 20000, 40000, 59000};
    """
    const int64_t NEVER       # no update comes any more
    const int64_t WHEN[4]     # ms after the start of a bar at which its points are

cdef struct Column:           # one of the file, and where its value goes in a Tick
    const char* data
    int32_t width             # values a row has
    int32_t size              # bytes of a value
    int32_t step              # bytes between two of them in a Tick
    int32_t at                # offset in a Tick


@cython.final
cdef class RowFeed:
    cdef readonly str sha256             # of the file, as it stands in the DATA record
    cdef readonly int64_t size           # rows
    cdef readonly list keys              # of the file's instruments
    cdef readonly bint is_bars
    cdef bint is_favourable              # of a bar, the extreme that is good for a position comes first
    cdef list kept                       # what the pointers point into
    cdef const uint32_t* inst            # of the file
    cdef const int64_t* time             # ms: receipt of a tick, start of a bar
    cdef uint32_t* number                # file's instrument -> the core's
    cdef int64_t* tick                   # its price step, paise
    cdef uint8_t* has_book               # whether a book is to be modelled for it
    cdef int32_t n_instruments
    cdef Column columns[MAX_COLUMNS]
    cdef int32_t n_columns
    cdef const int64_t* bar[5]           # open, high, low, close, volume
    cdef int64_t* volume                 # of a bar's day so far, by instrument
    cdef int64_t* volume_day
    cdef double spread_share             # of the modelled book: share of price
    cdef int64_t spread_ticks            # and price steps, whichever is more
    cdef int64_t level_value             # paise shown on each level
    cdef int64_t at                      # next row
    cdef int64_t group_end               # of the bars of one minute
    cdef int32_t point                   # of these bars
    cdef int bind(self, KeyTable keys, const Instrument* specs, dict told) except -1

    cdef inline int64_t next_ns(self) noexcept nogil:
        """Receipt time of the next update; NEVER after the last."""
        if self.at >= self.size:
            return NEVER
        return (self.time[self.at] + (WHEN[self.point] if self.is_bars else 0)) * MS_NS

    cdef inline uint32_t next_inst(self) noexcept nogil:
        """The core's instrument of the next update, NO_INST where it has none."""
        return self.number[self.inst[self.at]]

    cdef bint take(self, Tick* t, int side) noexcept nogil
    cdef void _fill(self, int64_t row, Tick* t) noexcept nogil
    cdef int64_t _point(self, int64_t row, int side) noexcept nogil
    cdef void _fill_bar(self, int64_t row, int64_t price, Tick* t) noexcept nogil
    cdef void _model(self, uint32_t i, Tick* t) noexcept nogil
