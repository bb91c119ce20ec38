# Statistics of the forming minute against closed bars (docs/market.md 1.3): what every candidate carries, whatever its source.
cimport cython
from libc.math cimport log
from _ext.market.state cimport Row

cdef struct Statistics:
    double u                  # the minute's move: ln(price / last close), time-of-day corrected
    double z20                # (path + u - mean) / sd of the last 20, 50 path values
    double z50
    double rz                 # u / sd of the last 20 u
    double roc                # log return over 20 bars
    double volume_ratio       # forming volume (one update adds at most one expected bar) / expected full bar


@cython.cdivision(True)       # of doubles, and the last close of a warm window is above 0
cdef inline void measure(const Row* r, double price, Statistics* s) noexcept nogil:
    """Statistics of the forming minute at `price` paise; the windows must be warm."""
    cdef double raw = log(price / r.last_close)
    s.u = raw * r.inv_a
    s.z20 = (r.path + s.u - r.mean20) * r.inv20
    s.z50 = (r.path + s.u - r.mean50) * r.inv50
    s.rz = s.u * r.inv_u
    s.roc = r.raw + raw - r.raw20
    s.volume_ratio = r.capped / r.expected if r.expected > 0.0 else 0.0
