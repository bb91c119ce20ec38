# A core's parts, and what of them Python may look at.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from _ext.core.keys cimport KeyTable
from _ext.core.records cimport Candidate, Gap, Instrument
from _ext.core.sink cimport DigestSink, FrameSink
from _ext.feed.wire cimport Decoder
from _ext.market.market cimport Market
from _ext.signals.pipeline cimport Pipeline
from _ext.trade.gate cimport Gate
from _ext.trade.positions cimport PositionManager

cdef enum:
    LOST_KEPT = 16384         # silences waiting to be fetched

cdef class CoreViews(FrameSink):
    cdef readonly KeyTable keys
    cdef readonly Decoder decoder
    cdef readonly Market market
    cdef readonly Pipeline pipeline
    cdef readonly Gate gate
    cdef readonly PositionManager trader
    cdef readonly DigestSink sink
    cdef readonly dict config
    cdef Instrument* specs
    cdef readonly int64_t now
    cdef readonly uint64_t frames, updates, rejected, dropped, unknown
    cdef Gap lost[LOST_KEPT]
    cdef uint64_t n_lost
    cdef uint64_t taken_lost
    cdef int _imagine(self, uint32_t inst, int direction, Candidate* c) except -1
