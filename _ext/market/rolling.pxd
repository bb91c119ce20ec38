# Statistics of closed bars. Work is proportional to the window once a minute and constant per tick.
from libc.stdint cimport int64_t
from _ext.market.state cimport Row, Window

cdef void push_bar(Window* w, double u, double path, double raw, double volume, double share,
                   double true_range) noexcept nogil
cdef void begin_minute(Row* r, const Window* w, double a, double v) noexcept nogil
