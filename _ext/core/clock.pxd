# India's clock (UTC + 5:30 all year) and the minutes of NSE's session: the only place that knows either.
# `now` is ns since 1970 UTC, a minute is counted since 1970 UTC unless it is one of the session.
from libc.stdint cimport int64_t

cdef enum:
    SESSION_MINUTES = 390     # 09:15 .. 15:44; F&O trades to 15:40
    OPEN_MINUTE = 555         # 09:15 in minutes of the day
    IST_MINUTES = 330         # India is ahead of UTC by so many
    MINUTES_A_DAY = 1440
    MINUTE_MS = 60000

cdef extern from *:
    """
    #define MS_NS INT64_C(1000000)
    #define SECOND_NS INT64_C(1000000000)
    #define MINUTE_NS INT64_C(60000000000)
    #define DAY_NS INT64_C(86400000000000)
    """
    const int64_t MS_NS, SECOND_NS, MINUTE_NS, DAY_NS

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec*)
    int CLOCK_MONOTONIC

cdef inline int64_t stopwatch() noexcept nogil:
    """Monotonic ns, for telemetry only: nothing decides by it."""
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <int64_t>t.tv_sec * SECOND_NS + t.tv_nsec

cdef inline int64_t day_of_minute(int64_t minute) noexcept nogil:
    """Days since 1970 in India."""
    return (minute + IST_MINUTES) // MINUTES_A_DAY

cdef inline int64_t day_of(int64_t now) noexcept nogil:
    """Days since 1970 in India."""
    return (now + IST_MINUTES * MINUTE_NS) // DAY_NS

cdef inline int64_t session_minute(int64_t minute) noexcept nogil:
    """Minutes after 09:15 of the same day in India; negative before."""
    return (minute + IST_MINUTES) % MINUTES_A_DAY - OPEN_MINUTE
