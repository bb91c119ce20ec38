# The socket's side of the path: frames borrowed from picows' receive buffer, handed over before the callback returns.
from libc.stdint cimport int64_t, uint8_t, uint64_t
from _ext.core.sink cimport FrameSink
from picows.picows cimport WSFrame, WSListener, WSTransport

cdef enum:
    LATENCY_BUCKETS = 256     # 8 an octave from 16 ns
    FRAME_MAX = 16 << 20      # bytes of a reassembled message
    TEXT_MAX = 1024           # bytes of a text message that are handed on

cdef class FrameListener(WSListener):
    cdef readonly FrameSink sink
    cdef readonly object on_text, on_attention
    cdef readonly uint64_t frames, oversized
    cdef uint64_t latency[LATENCY_BUCKETS]   # time inside the callback
    cdef readonly int64_t latency_max
    cdef bytearray partial                   # fragments of a message under way, or None
    cdef int _take(self, const uint8_t* frame, size_t n) except -1
