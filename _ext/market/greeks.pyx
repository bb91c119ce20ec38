# cython: cdivision=True
"""European options: price, Greeks and implied volatility, in the units the feed uses (theta a day, vega and rho a point).

Generalised Black-Scholes with cost of carry b (Black 1976; Merton 1973): F = S e^(bT), b = rate - dividend on a share, 0 on a
future. d1 = ln(F/K)/(s sqrt T) + s sqrt(T)/2, d2 = d1 - s sqrt T, price = e^(-rT) w (F N(w d1) - K N(w d2)), w = +1 call, -1 put.

Implied volatility: on the out-of-the-money side in normalised form, b(x, s) = e^(x/2) N(x/s + s/2) - e^(-x/2) N(x/s - s/2)
with x = -|ln(F/K)| and s = sigma sqrt T (Jaeckel, By Implication, 2006). b bends at s = sqrt(2|x|): below it (-ln b)^(-1/2)
is almost straight in s, near its top (-ln(b_max - b))^(1/2) is, between them b itself. Halley's steps on these, kept inside a
bracket: two or three suffice.
"""
from libc.math cimport INFINITY, NAN, erfc, exp, fabs, fmax, isfinite, log, sqrt

import numpy as np

cdef double ROOT_HALF = 0.7071067811865476
cdef double ROOT_2PI = 2.5066282746310002
cdef enum:
    STEPS = 64
    DAYS = 365


cdef inline double cumulative(double z) noexcept nogil:
    return 0.5 * erfc(-z * ROOT_HALF)


cdef inline double density(double z) noexcept nogil:
    return exp(-0.5 * z * z) / ROOT_2PI


cdef void fill_greeks(double underlying, double strike, double years, double rate, double carry, double sigma, bint is_call,
                      bint is_future, Greeks* out) noexcept nogil:
    """Fills `out`; all NaN where an input makes no sense. Without time or volatility left: the certain pay-off, delta 1/2 at the
    money, no gamma and no vega."""
    cdef double sign = 1.0 if is_call else -1.0
    cdef double forward, discount, grown, root, spread, d1, d2, n1, n2, peak
    if not (underlying > 0.0 and strike > 0.0 and years >= 0.0 and sigma >= 0.0 and isfinite(rate) and isfinite(carry)
            and isfinite(underlying) and isfinite(strike) and isfinite(years) and isfinite(sigma)):
        out.price = out.delta = out.gamma = out.theta = out.vega = out.rho = NAN
        return
    discount = exp(-rate * years)
    grown = exp((carry - rate) * years)
    forward = underlying * exp(carry * years)
    root = sqrt(years)
    spread = sigma * root
    if spread > 1e-16:
        d1 = log(forward / strike) / spread + 0.5 * spread
        d2 = d1 - spread
        n1 = cumulative(sign * d1)
        n2 = cumulative(sign * d2)
        peak = density(d1)
        out.gamma = grown * peak / (underlying * spread)
        out.vega = 0.01 * underlying * grown * peak * root
        out.theta = -0.5 * underlying * grown * peak * sigma / root
    else:
        n1 = 0.5 if forward == strike else 1.0 if sign * (forward - strike) > 0.0 else 0.0
        n2 = n1
        out.gamma = out.vega = out.theta = 0.0
    out.price = fmax(sign * (underlying * grown * n1 - strike * discount * n2), 0.0)
    out.delta = sign * grown * n1
    out.theta = (out.theta - sign * (carry - rate) * underlying * grown * n1 - sign * rate * strike * discount * n2) / DAYS
    out.rho = 0.01 * (-years * out.price if is_future else sign * strike * years * discount * n2)


cdef inline double normalised(double x, double s, double* slope) noexcept nogil:
    """b(x, s) for x <= 0 and its derivative in s."""
    cdef double h = x / s, t = 0.5 * s
    slope[0] = exp(-0.5 * (h * h + t * t)) / ROOT_2PI
    return 0.5 * (exp(0.5 * x) * erfc(-(h + t) * ROOT_HALF) - exp(-0.5 * x) * erfc(-(h - t) * ROOT_HALF))


cdef double implied_vol(double price, double underlying, double strike, double years, double rate, double carry,
                        bint is_call) noexcept nogil:
    """Volatility at which the option is worth `price`: 0 where that is the certain pay-off, NaN outside the bounds of arbitrage
    or where a number makes no sense."""
    cdef double forward, x, beta, most, low = 0.0, high = INFINITY, s, b, slope = 0.0, target, y, step, newton, curve, bend
    cdef double intrinsic
    cdef bint below, near_top
    cdef int _i
    if not (price >= 0.0 and underlying > 0.0 and strike > 0.0 and years > 0.0 and isfinite(price) and isfinite(rate)
            and isfinite(carry) and isfinite(underlying) and isfinite(strike) and isfinite(years)):
        return NAN
    forward = underlying * exp(carry * years)
    x = log(forward / strike)
    beta = price * exp(rate * years) / sqrt(forward * strike)
    if (x > 0.0) == is_call and x != 0.0:                # in the money: the other side's time value is the same
        intrinsic = exp(0.5 * fabs(x)) - exp(-0.5 * fabs(x))
        beta -= intrinsic
        if fabs(beta) <= 4e-16 * (1.0 + intrinsic):
            return 0.0
    x = -fabs(x)
    most = exp(0.5 * x)
    if beta == 0.0:
        return 0.0
    if not 0.0 < beta < most:
        return NAN
    bend = sqrt(-2.0 * x)
    s = bend if bend > 0.0 else beta * ROOT_2PI
    b = normalised(x, s, &slope)
    below = beta < b
    near_top = not below and most - beta < 0.36
    target = 1.0 / sqrt(-log(beta)) if below else sqrt(-log(most - beta)) if near_top else beta
    if below and b < 1.0:
        high = s
        s *= target * sqrt(-log(b))                      # straight through the origin
        b = normalised(x, s, &slope)
    for _i in range(STEPS):
        if b > beta:
            high = s
        else:
            low = s
        # newton = (target - y) / y', curve = y'' / y' of the objective y(b(s))
        curve = x * x / (s * s * s) - 0.25 * s
        if below and 0.0 < b < 1.0:
            y = -log(b)
            newton = (target * sqrt(y) - 1.0) * 2.0 * y * b / slope
            curve += slope / b * (1.5 / y - 1.0)
        elif near_top and 0.0 < most - b < 1.0:
            y = -log(most - b)
            newton = (target * sqrt(y) - y) * 2.0 * (most - b) / slope
            curve += slope / (most - b) * (1.0 - 0.5 / y)
        else:
            newton = (beta - b) / slope
        step = newton / (1.0 + 0.5 * newton * curve) if fabs(newton * curve) < 1.0 else newton
        if fabs(step) > 1e-9 * s and not low < s + step < high:      # a smaller one is rounding, not another root
            step = (0.5 * (low + high) if high < INFINITY else 2.0 * s + 1e-3) - s
        s += step
        if fabs(step) <= 1e-6 * s:                       # the next one would be its cube
            break
        b = normalised(x, s, &slope)
    return s / sqrt(years)


# ---- Python's door -------------------------------------------------------------------------------------------------------
def greeks(double underlying, double strike, double years, double rate, double sigma, bint is_call, double dividend=0.0,
           bint is_future=False) -> dict:
    """price, delta, gamma, theta (a day), vega and rho (a point, 0.01) of one option; `years` of 365 days, `rate` and `dividend`
    continuous. `is_future`: the underlying is a future (Black-76). NaN where an input makes no sense."""
    cdef Greeks out
    fill_greeks(underlying, strike, years, rate, 0.0 if is_future else rate - dividend, sigma, is_call, is_future, &out)
    return out


def implied_volatility(double price, double underlying, double strike, double years, double rate, bint is_call,
                       double dividend=0.0, bint is_future=False) -> float:
    """The volatility `price` implies; 0.0 for the certain pay-off, NaN where no volatility gives that price."""
    return implied_vol(price, underlying, strike, years, rate, 0.0 if is_future else rate - dividend, is_call)


def prices_of(double[:, ::1] underlying not None, const double[::1] strike not None, const double[::1] years not None,
              const double[::1] sigma not None, const unsigned char[::1] is_call not None):
    """Prices of n options along m prices of each one's underlying, without interest: float64[n, m]. Units of `underlying`."""
    cdef Py_ssize_t i, k, n = underlying.shape[0], m = underlying.shape[1]
    cdef Greeks g
    if not n == strike.shape[0] == years.shape[0] == sigma.shape[0] == is_call.shape[0]:
        raise ValueError("underlying, strike, years, sigma and is_call must have one length")
    out = np.empty((n, m))
    cdef double[:, ::1] view = out
    with nogil:
        for i in range(n):
            for k in range(m):
                fill_greeks(underlying[i, k], strike[i], years[i], 0.0, 0.0, sigma[i], is_call[i], False, &g)
                view[i, k] = g.price
    return out


def greeks_of_prices(double[::1] price not None, double[::1] underlying not None, double[::1] strike not None,
                     double[::1] years not None, double rate, unsigned char[::1] is_call not None, bint is_future=False):
    """Implied volatility and five Greeks of n prices in one compiled loop without an object: float64[n, 7], columns iv, price,
    delta, gamma, theta, vega, rho. ValueError where the lengths differ."""
    cdef Py_ssize_t i, n = price.shape[0]
    cdef Greeks g
    if not n == underlying.shape[0] == strike.shape[0] == years.shape[0] == is_call.shape[0]:
        raise ValueError("price, underlying, strike, years and is_call must have one length")
    out = np.empty((n, 7))
    cdef double[:, ::1] view = out
    with nogil:
        for i in range(n):
            view[i, 0] = implied_vol(price[i], underlying[i], strike[i], years[i], rate, 0.0 if is_future else rate, is_call[i])
            fill_greeks(underlying[i], strike[i], years[i], rate, 0.0 if is_future else rate, view[i, 0], is_call[i],
                        is_future, &g)
            view[i, 1], view[i, 2], view[i, 3] = g.price, g.delta, g.gamma
            view[i, 4], view[i, 5], view[i, 6] = g.theta, g.vega, g.rho
    return out
