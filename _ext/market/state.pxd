# What the market stage keeps of one instrument: Row is touched by every tick, Window once a minute, RingTick is history.
from libc.stdint cimport int16_t, int32_t, int64_t, uint16_t, uint32_t, uint64_t

from _ext.market.indicators cimport Indicators

cdef enum:
    LONG = 50                 # closed bars of the long window
    SHORT = 20                # and of the short one
    GAP_BUCKETS = 24          # half-octave buckets from 125 ms
    BARS_KEPT = 64            # closed bars of a name that can be entered once more
    SAVE_EVERY = 32           # bars between two states kept to begin again from
    NONE_LOST = 1073741824    # bars since one was lost, where none was
    GAP_MIN_MS = 8000         # no silence below this is a gap (docs/market.md 2, "Outages")
    CLOSE_GRACE_MS = 1500     # a bar closes this long after its end

cdef enum TickFlag:           # what the market stage found out about one update
    TICK_TRADED = 1           # cumulative volume advanced
    TICK_FIRST = 2            # first sight of the day: its volume is the baseline
    TICK_AFTER_GAP = 4        # first after a gap: likewise
    TICK_STEP_BACK = 8        # older than the newest trade known
    TICK_LATE = 16            # its minute is closed already
    TICK_REPEAT = 32          # nothing changed
    TICK_BOOK = 64            # best bid or ask changed
    TICK_OUTSIDE = 128        # trade outside the continuous session
    TICK_BAD_TIME = 256       # trade time more than a minute ahead of the clock
    TICK_NEW_BAR = 512        # opened a minute
    TICK_DOUBTED = 1024       # a price or volume out of all proportion: waits for a second update that says the same
    TICK_SNAPSHOT = 2048      # of an initial_feed: what is known, not necessarily news
    TICK_CARRIED = 4096       # of the store: the update had no trade, its price and time are the last one's

cdef enum BarFlag:
    BAR_DIRTY = 1             # touches a gap: no candidate, kept out of the windows
    BAR_CLOSED = 2
    BAR_STILL = 4             # nothing traded in its minute
    BAR_FILLED = 8            # from candles, after a gap
    BAR_HISTORY = 16          # from before the start
    BAR_PARTIAL = 32          # of the store: the engine stopped within its minute

ctypedef struct Row:
    # book: last known; absent sub-messages leave it alone
    int64_t ltp
    int64_t bid               # 0: no level
    int64_t ask
    int64_t bid_q
    int64_t ask_q
    int64_t bid_depth         # quantity of all levels shown
    int64_t ask_depth
    int64_t ltt               # ms, newest trade
    int64_t closed_at         # close of the day before, as the feed says it; 0: it has not. For people: nothing decides by it
    int64_t peak              # running peak of cumulative volume of the day; -1: none yet
    int64_t seen              # now of the last update, ns; 0: never
    int64_t book_seen         # now of the last update with a book, ns
    int64_t day               # days since 1970 IST of the newest trade
    int64_t flowing           # now of the last one that was no snapshot, ns: what silences are measured by
    int64_t changed           # now of the last update that was news, ns
    int64_t disordered        # minute that was told of last for trades out of order
    int64_t lower_vtt         # the last of a row of cumulative volumes below the peak, the trade times of the first and last
    int64_t lower_since
    int64_t lower_ltt
    int64_t doubted_ltp       # what a doubted update said; 0: none
    int64_t doubted_vtt
    int32_t echoes            # snapshots in a row that were no news
    int32_t doubted_gap       # the doubted update was the first after a gap
    int32_t sector            # of engine/market/sectors.json; 0: unknown
    int32_t gap_bars          # bars entered since the last minute lost in a gap and never filled, or NONE_LOST
    int32_t lowers            # how many such volumes
    # the forming minute
    int64_t minute            # start, minutes since 1970 UTC; 0: none
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    int64_t volume
    double capped             # volume, one update adding at most one expected bar
    int32_t bar_flags         # BarFlag
    int32_t updates
    # constants of the forming minute, from closed bars only (docs/market.md 1.3)
    double last_close         # paise; 0: unknown
    double inv_a              # 1 / time-of-day factor of |return|
    double path               # running sum of closed u
    double mean20
    double inv20              # 1 / max(sd, one tick) of the last 20 path values
    double mean50
    double inv50              # 0: fewer than 50 bars
    double inv_u              # 1 / max(sd, one tick) of the last 20 u
    double s1m                # that sd back in log return of this minute
    double atr                # average true range of the last 20 bars, share of price at this minute; 0: unknown
    double expected           # volume of a full bar of this minute; 0: unknown
    double raw                # running sum of closed log returns
    double raw20              # its value 20 bars ago
    # five minutes
    int64_t minute5           # start of the forming five minutes
    int64_t open5
    double iv                 # last implied volatility seen, fraction; 0: none
    double iv5                # as it was when the forming five minutes began
    # silence
    int32_t gap_limit_ms      # of updates: max(8 s, 3 x 99th percentile)
    int32_t trade_gap_limit_ms
    uint16_t gaps[GAP_BUCKETS]
    uint16_t trade_gaps[GAP_BUCKETS]
    # signals and trade
    int32_t closed            # clean bars in the windows
    int32_t pending           # 1 + slot of the first candidate that waits for the next trade update; 0: none
    int32_t position          # 1 + slot of an open position or working entry; 0: none
    int32_t close_minute
    int32_t kind              # InstrumentKind
    int64_t tick              # price step
    uint64_t ring_at          # ticks written
    uint64_t bars_at          # bars entered
    int64_t entered           # minute of the last one
    int64_t entered_day

ctypedef struct Window:       # the last closed clean bars; index n % LONG
    double path[LONG]
    double u[LONG]
    double raw[LONG]
    double volume[LONG]
    double share[LONG]        # v[m] of the bar's minute
    double range[LONG]        # true range / last close / a[m]
    uint64_t n

ctypedef struct Bar:          # one closed minute, as it entered
    int64_t minute            # start, minutes since 1970 UTC
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    int64_t volume
    int64_t base              # close its return is measured from
    int64_t flags             # BarFlag

ctypedef struct Closing:      # a minute that has closed by itself, for strategies
    uint32_t inst
    Bar bar                   # minute -1: minutes of before were filled in

ctypedef struct Saved:        # everything bars make, as it was after the first `count` of them
    Window window
    Indicators indicators
    double path
    double raw
    double last_close
    uint64_t count
    int64_t minute            # of the last bar in it; -1: empty slot
    int64_t day
    int64_t gap_bars

ctypedef struct RingTick:
    int64_t now               # ns
    int64_t ltt               # ms
    int64_t ltp
    int64_t volume            # traded since the update before
    int64_t bid
    int64_t ask
    int32_t bid_q
    int32_t ask_q
    int32_t flags             # TickFlag
    int32_t pad

ctypedef struct TickInfo:     # one update, digested
    int64_t now
    int64_t ltt               # ms
    int64_t ltp
    int64_t volume
    int64_t lag_ms            # delivery lag beyond the smallest seen
    int32_t flags             # TickFlag
    int32_t minute            # of the session, -1 outside
