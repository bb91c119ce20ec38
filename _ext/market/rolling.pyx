"""Rolling 20 and 50 bar statistics (docs/market.md 1.3): exclusive of the forming bar, population standard deviations.

Recomputed from the window when a minute begins: no drift, and a tick costs a few multiplications.
"""
from libc.math cimport fmax, sqrt
from libc.stdint cimport uint64_t
from _ext.market.state cimport LONG, SHORT, Row, Window


cdef void push_bar(Window* w, double u, double path, double raw, double volume, double share,
                   double true_range) noexcept nogil:
    cdef uint64_t i = w.n % LONG
    w.u[i] = u
    w.path[i] = path
    w.raw[i] = raw
    w.volume[i] = volume
    w.share[i] = share
    w.range[i] = true_range
    w.n += 1


cdef void moments(const double* values, uint64_t n, uint64_t count, double* mean, double* sd) noexcept nogil:
    """Mean and population sd of the last `count` of `n` values, two passes."""
    cdef uint64_t k
    cdef double total = 0.0, squares = 0.0, d
    for k in range(n - count, n):
        total += values[k % LONG]
    mean[0] = total / <double>count
    for k in range(n - count, n):
        d = values[k % LONG] - mean[0]
        squares += d * d
    sd[0] = sqrt(squares / <double>count)


cdef void begin_minute(Row* r, const Window* w, double a, double v) noexcept nogil:
    """Sets the constants of a minute whose time-of-day factors are `a` and `v`.

    Each sd is at least one price step: it was below it in two thirds of the bars of stocks under Rs 50 (docs/market.md 1.1).
    """
    cdef double step, mean, sd, volumes = 0.0, shares = 0.0, ranges = 0.0
    cdef uint64_t k
    r.inv_a = 1.0 / a
    r.inv20 = r.inv50 = r.inv_u = r.expected = r.atr = 0.0
    if w.n < SHORT or r.last_close <= 0.0:
        return
    step = <double>r.tick / r.last_close / a
    moments(w.path, w.n, SHORT, &r.mean20, &sd)
    r.inv20 = 1.0 / fmax(sd, step)
    moments(w.u, w.n, SHORT, &mean, &sd)
    sd = fmax(sd, step)
    r.inv_u = 1.0 / sd
    r.s1m = sd * a
    r.raw20 = w.raw[(w.n - SHORT) % LONG]
    if w.n >= LONG:
        moments(w.path, w.n, LONG, &r.mean50, &sd)
        r.inv50 = 1.0 / fmax(sd, step)
    for k in range(w.n - SHORT, w.n):
        volumes += w.volume[k % LONG]
        shares += w.share[k % LONG]
        ranges += w.range[k % LONG]
    r.atr = ranges / SHORT * a
    r.expected = v * volumes / shares if shares > 0.0 else 0.0
