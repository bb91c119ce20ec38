"""FrameListener: picows' callback for the market data socket.

The payload is borrowed: it is decoded, journaled and applied before `on_ws_frame` returns. Text frames (errors of the
broker) go to a Python callback.
"""
from libc.stdint cimport int64_t, uint8_t
from _ext.core.clock cimport SECOND_NS
from picows.picows cimport WSFrame, WSListener, WSMsgType, WSTransport

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC, CLOCK_REALTIME


cdef inline int64_t clock_ns(int which) noexcept nogil:
    cdef timespec t
    clock_gettime(which, &t)
    return <int64_t>t.tv_sec * SECOND_NS + t.tv_nsec


cdef inline int bucket_of(int64_t ns) noexcept nogil:
    """Logarithmic bucket: 8 an octave from 16 ns."""
    cdef int octave = 0
    cdef int64_t x = ns
    if ns < 16:
        return 0
    while x >= 32:
        x >>= 1
        octave += 1
    return min(octave * 8 + <int>((ns >> (octave + 1)) & 7), LATENCY_BUCKETS - 1)


cdef class FrameListener(WSListener):
    """Hands each binary message to `sink` with the wall clock at receipt (ns).

    `on_text(bytes)` is called for text messages with their beginning, whatever it holds, `on_attention()` when the sink has
    requests to send.
    """

    def __init__(self, FrameSink sink not None, on_text, on_attention):
        self.sink, self.on_text, self.on_attention = sink, on_text, on_attention

    cdef int _take(self, const uint8_t* frame, size_t n) except -1:
        cdef int64_t begin = clock_ns(CLOCK_MONOTONIC)
        cdef int64_t took
        self.sink.on_frame(frame, n, clock_ns(CLOCK_REALTIME))
        took = clock_ns(CLOCK_MONOTONIC) - begin
        self.latency[bucket_of(took)] += 1
        self.frames += 1
        if took > self.latency_max:
            self.latency_max = took
        if self.sink.attention:
            self.sink.attention = False
            self.on_attention()
        return 0

    cpdef on_ws_frame(self, WSTransport transport, WSFrame frame):
        cdef uint8_t[::1] whole
        if frame.msg_type == WSMsgType.BINARY and frame.fin:
            self._take(<const uint8_t*>frame.payload_ptr, frame.payload_size)
        elif frame.msg_type == WSMsgType.BINARY or frame.msg_type == WSMsgType.CONTINUATION:
            if self.partial is None:
                self.partial = bytearray()
            if len(self.partial) + frame.payload_size > FRAME_MAX:
                self.oversized += 1
                self.partial = None
                transport.disconnect()
                return
            self.partial += frame.get_payload_as_bytes()
            if frame.fin:
                whole = self.partial
                self.partial = None
                if whole.shape[0]:
                    self._take(&whole[0], whole.shape[0])
        elif frame.msg_type == WSMsgType.TEXT:
            self.on_text(frame.get_payload_as_bytes()[:TEXT_MAX])
        elif frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    cpdef on_ws_disconnected(self, WSTransport transport):
        self.partial = None

    def percentiles(self):
        """(p50, p99, p99.9, max) of the time inside the callback, ns; bucket edges, at most 12 % high."""
        total = sum(self.latency[i] for i in range(LATENCY_BUCKETS))
        out, seen, wanted = [], 0, [0.5, 0.99, 0.999]
        for i in range(LATENCY_BUCKETS):
            seen += self.latency[i]
            while wanted and total and seen >= wanted[0] * total:
                out.append((16 << (i // 8)) * (9 + i % 8) // 8)
                wanted.pop(0)
        return (*out, *[0] * len(wanted), self.latency_max)
