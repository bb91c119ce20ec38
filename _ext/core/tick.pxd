# One instrument's update as the wire says it. Prices are int64 paise, quantities int64 units; times here are the wire's ms.
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t

cdef enum:
    KEY_MAX = 48              # bytes of an instrument key; a longer one drops the update
    DEPTH = 5                 # levels kept; deeper ones of full_d30 are validated and counted, not kept
    NO_INST = 0xFFFFFFFF

cdef enum TickHas:            # which sub-messages an update carried; absent means "no news", never "zero"
    HAS_LTPC = 1
    HAS_DEPTH = 2
    HAS_GREEKS = 4
    HAS_OHLC = 8              # 1d candle
    HAS_I1 = 16               # last completed minute
    HAS_IEP = 32              # LTPC.iep wrapper was present
    HAS_FULL = 64             # marketFF: vtt, atp, oi, iv, tbq, tsq and the auction fields are meaningful
    HAS_FIRST = 128           # firstLevelWithGreeks: vtt, oi, iv are meaningful
    HAS_INDEX = 256           # indexFF
    TICK_DROPPED = 512        # off-range price or overlong key: decoded, counted, not applied
    TICK_UNKNOWN_KEY = 1024   # key is in no instrument table: counted, not applied
    TICK_SUPERSEDED = 2048    # the same key came again in this frame: the later update counts, whole

cdef enum FrameType:
    INITIAL_FEED = 0
    LIVE_FEED = 1
    MARKET_INFO = 2

ctypedef struct Level:
    int64_t bid_q
    int64_t bid_p
    int64_t ask_q
    int64_t ask_p

ctypedef struct Ohlc:
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    int64_t vol
    int64_t ts                # ms, start of the candle

ctypedef struct Tick:
    uint32_t inst             # row of the instrument table, or NO_INST
    uint16_t has              # TickHas
    uint16_t key_len
    char key[KEY_MAX]
    int32_t n_levels          # levels on the wire (may exceed DEPTH)
    int32_t mode              # RequestMode: ltpc, full_d5, option_greeks, full_d30; open enum
    int64_t ltp
    int64_t ltt               # ms
    int64_t ltq
    int64_t cp
    int64_t iep
    int64_t vtt
    int64_t atp
    double oi
    double iv                 # fraction
    double tbq
    double tsq
    double delta
    double theta
    double gamma
    double vega
    double rho
    int64_t auction_iep
    int64_t rp
    int64_t ieq
    int64_t iiq_total
    int64_t iiq_m
    int64_t cas_eligible
    Level level[DEPTH]
    Ohlc day                  # 1d
    Ohlc i1                   # I1

ctypedef struct FrameHead:
    int64_t current_ts        # ms
    int32_t type              # FrameType
    int32_t n_ticks
    int32_t n_status          # entries of market_info
    int32_t pad

ctypedef struct StatusEntry:  # one entry of market_info
    int32_t kind              # 0 segmentStatus, 1 casMarketStatus, 2 preOpenSessionStatus
    int32_t status            # MarketStatus, kind 0 only
    int64_t updated           # ms, kinds 1 and 2
    int32_t name_len
    int32_t text_len
    char name[24]             # segment, cut at 24 bytes (the longest known is 9)
    char text[24]             # status word of kinds 1 and 2, likewise
