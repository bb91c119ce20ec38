# Price, implied volatility and sensitivities of European options, Black-Scholes and Black-76 (greeks.pyx).
ctypedef struct Greeks:
    double price
    double delta
    double gamma
    double theta              # a calendar day
    double vega               # one point of volatility, 0.01
    double rho                # one point of interest, 0.01

cdef void fill_greeks(double underlying, double strike, double years, double rate, double carry, double sigma, bint is_call,
                      bint is_future, Greeks* out) noexcept nogil
cdef double implied_vol(double price, double underlying, double strike, double years, double rate, double carry,
                        bint is_call) noexcept nogil
