# The broker's word against ours: positions, and orders of an earlier life.
from libc.stdint cimport int64_t
from _ext.core.records cimport Adopted, Holding, Quote
from _ext.trade.positions cimport PositionManager

cdef void compare_holdings(PositionManager t, const Holding* rows, int64_t n, int64_t now) noexcept
cdef void adopt(PositionManager t, const Adopted* found, int64_t now) noexcept
cdef void take_quotes(PositionManager t, const Quote* rows, int64_t n, int64_t now) noexcept
