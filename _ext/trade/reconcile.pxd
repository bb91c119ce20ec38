# The broker's word against ours: positions, and orders of an earlier life.
from libc.stdint cimport int64_t
from _ext.core.records cimport Adopted, Holding, Quote
from _ext.trade.positions cimport Trader

cdef void compare_holdings(Trader t, const Holding* rows, int64_t n, int64_t now) noexcept
cdef void adopt(Trader t, const Adopted* found, int64_t now) noexcept
cdef void take_quotes(Trader t, const Quote* rows, int64_t n, int64_t now) noexcept
