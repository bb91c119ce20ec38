# The record stream: everything the core decides on arrives as one of the inputs, everything it decides leaves as one of the
# decisions. `replay` strips the decisions, feeds the inputs back and compares. Telemetry is outside the digest.
# Fixed width, one unit a line: prices are int64 paise, quantities int64 units, times int64 ns since 1970 UTC unless the line says
# otherwise. The enums and their names are Python's too; an enumerator is called the same in both halves.
from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t
from _ext.core.tick cimport KEY_MAX

include "features.pxi"

cdef enum:
    N_OWN = 6                 # statistics of its own that a candidate source may add

cpdef enum:
    FIRST_DECISION = 64       # types before it are inputs
    FIRST_TELEMETRY = 128     # outside the digest and of replay's comparison

cpdef enum RecordType:
    # inputs
    REC_START = 1             # JSON: configuration, seed, engine id, boot nonce, trade date
    REC_INSTRUMENTS = 2       # Instrument[]
    REC_PROFILE = 3           # double[2][SESSION_MINUTES]: a (|return|), v (volume), mean 1
    REC_BARS = 4              # WarmBar[]: history, oldest first
    REC_FRAME = 5             # bytes of one feed frame
    REC_TIMER = 6             # no payload
    REC_LINK = 7              # Link: feed or order stream up or down
    REC_REPLY = 8             # Reply: outcome of an order request
    REC_ORDER_UPDATE = 9      # OrderUpdate: portfolio stream, order book look-up
    REC_FUNDS = 10            # Funds
    REC_OPERATOR = 11         # OperatorChange
    REC_MODEL = 12            # ModelChange: from this record on another model scores
    REC_BOOT = 13             # JSON: a restart; what is unresolved must be looked up before anything is sent
    REC_STOP = 14             # no payload: the run ends; pending candidates are closed
    REC_BOOK = 15             # BookRead and the ids of our orders it showed: a full read of the order book ended
    REC_HOLDINGS = 16         # Holding[]: a read of the broker's positions
    REC_ADOPTED = 17          # Adopted: an order of an earlier life of this engine, found in the book at the start
    REC_QUOTES = 18           # Quote[]: quotes by REST while the feed is down
    REC_ASK = 19              # Candidate: an entry asked for from outside, past the signals; drills and tests
    REC_UNIVERSE = 20         # JSON: the F&O universe of the day and what changed since the last; for the store
    REC_BACKFILL = 21         # WarmBar[]: minutes lost in a gap, from candles, oldest first for each name
    REC_FEED_NOTE = 22        # Gap: what the feed's keeper found out: keys that are refused, names that are halted
    REC_BANDS = 23            # Band[]: price bands that changed while the day runs
    REC_DATA = 24             # JSON: hash and rows of a day file that stands for frames which are not journaled
    REC_STRATEGY_OFF = 25     # JSON: a strategy is not called any more: which, at which call, why
    REC_OPERATION = 26        # Operation: what a person asked for, and who; what follows from it comes after
    # decisions
    REC_CANDIDATE = 64        # Candidate at the tick that made it
    REC_VERDICT = 65          # Candidate once decided
    REC_GATE = 66             # GateDecision: every entry asked for and every budget used
    REC_INTENT = 67           # Intent: journaled before its bytes leave
    REC_FILL = 68             # Fill
    REC_POSITION = 69         # PositionChange
    REC_STATE = 70            # StateChange
    REC_GAP = 71              # Gap: something is missing from the feed, or was and has been filled
    # telemetry
    REC_TIMING = 128          # Timing
    REC_SHADOW = 130          # ShadowScore: what a model that decides nothing says
    REC_CLOSED = 129          # Closing: the writer's last record, counts and digest

cpdef enum InstrumentKind:
    KIND_EQUITY = 0
    KIND_FUTURE = 1
    KIND_OPTION = 2
    KIND_INDEX = 3

ctypedef struct Instrument:   # static for the day
    char key[KEY_MAX]
    char symbol[32]
    int64_t tick              # price step, paise
    int64_t lot
    int64_t freeze            # largest quantity of one order
    int64_t lower_band        # 0: unknown
    int64_t upper_band
    int32_t kind              # InstrumentKind
    int32_t tradable          # 0: watched, never traded
    int32_t close_minute      # last continuous minute + 1, minutes after 09:15 (360 = 15:15, 375 = 15:30, 385 = 15:40)
    int32_t cas               # closing-auction name: earlier last entry and square-off
    uint32_t future           # row of the contract that trades for this name, NO_INST: none
    int32_t sector            # of engine/market/sectors.json; 0: unknown
    int64_t expiry            # days since 1970 IST of a contract's last day; 0: not a contract, or unknown
    int32_t banned            # in the F&O ban period: 1; -1: the list is missing or old
    int32_t right             # of an option: 1 call, -1 put
    int64_t strike            # of an option, paise
    uint32_t under            # row of a contract's underlying, NO_INST: none
    int32_t pad

ctypedef struct WarmBar:      # history of one closed minute
    uint32_t inst
    int32_t flags
    int64_t minute            # start, minutes since 1970 UTC
    int64_t open
    int64_t high
    int64_t low
    int64_t close
    int64_t volume

cpdef enum GapKind:
    GAP_SILENCE = 1           # one name for longer than its own rate allows; its minutes are to be backfilled
    GAP_STALL = 2             # every name for more than three seconds
    GAP_LINK = 3              # no connection
    GAP_LATE = 4              # trades delivered late; measured: the longest lag, s
    GAP_SKEW = 5              # the clocks' difference became `measured` s
    GAP_JUMP = 6              # one update with more than five expected bars of volume
    GAP_CORRUPT = 7           # a frame that cannot be read
    GAP_DOUBT = 8             # a price or volume out of all proportion, not believed until a second update says the same
    GAP_FILLED = 9            # minutes entered from candles; measured: how many
    GAP_REFUSED = 10          # a subscription that no snapshot answered
    GAP_STALE = 11            # subscribed anew because it said nothing while others did
    GAP_HALTED = 12           # answers to subscriptions, and never changes
    GAP_DISORDER = 13         # an update of a trade older than one known: what its minute was is to be looked up
    GAP_PAUSE = 14            # one name's updates came, but no trade for longer than its own rate allows: nothing is lost
    GAP_REBASED = 15          # a name's cumulative volume goes on from a smaller number; its minutes are to be backfilled

ctypedef struct Gap:          # a row of the ledger
    uint32_t inst             # NO_INST: the feed as a whole
    int32_t kind              # GapKind
    int64_t begin             # now, ns
    int64_t end
    int64_t first_minute      # touched, minutes since 1970 UTC; 0: none
    int64_t last_minute
    int64_t volume            # traded meanwhile, as far as the cumulative volume tells
    double measured
    double limit

cpdef enum Stream:
    STREAM_FEED = 0
    STREAM_ORDERS = 1

ctypedef struct Link:
    int32_t which             # Stream
    int32_t up
    int32_t code              # close code or HTTP status
    int32_t pad

cpdef enum Outcome:           # of an order request
    OUTCOME_DONE = 1          # accepted by the API (not yet by the exchange)
    OUTCOME_REFUSED = 2       # definite: the order does not exist
    OUTCOME_RETRY = 3         # definite: not accepted now (throttle)
    OUTCOME_AMBIGUOUS = 4     # time-out, 5xx, cut line: it may exist
    OUTCOME_HALT = 5          # environment: token, static IP, algo registration; stop sending

ctypedef struct Reply:
    uint64_t intent
    int32_t outcome           # Outcome
    int32_t code              # HTTP status
    int64_t latency           # ns, request to answer
    char order_id[32]
    char error[16]            # the broker's code
    int32_t kind              # IntentKind it answers: a late answer is not one to the request under way
    int32_t pad

cpdef enum OrderStatus:       # the broker's 17 words in five states
    STATUS_UNREADABLE = 0     # a row or message nobody can read: of the order `intent`, or of one unknown
    STATUS_PENDING = 1
    STATUS_OPEN = 2           # working, also a stop waiting for its trigger
    STATUS_COMPLETE = 3
    STATUS_CANCELLED = 4
    STATUS_REJECTED = 5

ctypedef struct OrderUpdate:
    uint64_t intent           # from our tag; 0: not ours
    int32_t status            # OrderStatus
    int32_t is_look_up        # 1: from a read of the book or of history
    int64_t filled            # cumulative
    int64_t value             # paise x quantity of all fills; 0: the price was not told
    int64_t quantity
    char order_id[32]         # empty: not told
    int64_t price
    int64_t trigger
    int64_t began             # now when the read was asked for; 0 from the stream
    int32_t order_type        # OrderType, 0: not told
    int32_t is_doubtful       # 1: it does not say how much was filled, or contradicts itself

ctypedef struct BookRead:
    int64_t began             # now when it was asked for
    int64_t count             # ids that follow, uint64 each

ctypedef struct Holding:      # net position of the broker in one name; the first row has NO_INST and says `began`
    uint32_t inst
    int32_t is_unreadable     # 1: a row of this name could not be read; first row: one that names nothing
    int64_t quantity          # signed
    int64_t began             # now when the read was asked for
    int64_t others            # signed fills of orders that are not ours, by the last full read of the book

ctypedef struct Adopted:
    uint32_t inst
    int16_t side
    int16_t role              # Role, by the tag's leg
    int32_t status            # OrderStatus
    int32_t order_type
    int64_t quantity
    int64_t filled
    int64_t value
    int64_t price
    int64_t trigger
    char order_id[32]

ctypedef struct Quote:
    uint32_t inst
    int32_t pad
    int64_t ltp
    int64_t bid
    int64_t ask
    int64_t bid_q
    int64_t ask_q

ctypedef struct Band:         # prices the exchange takes orders at
    uint32_t inst
    int32_t pad
    int64_t lower             # paise; 0: unknown
    int64_t upper

ctypedef struct Funds:
    int64_t available         # paise
    int64_t at_day_start      # paise

cpdef enum OperatorState:
    OP_RUN = 0
    OP_PAUSE = 1              # no entries
    OP_REDUCE = 2             # no entries, exits only
    OP_KILL = 3               # cancel and flatten

cpdef enum OperationKind:
    DO_RUN = 0                # the four states of the operator
    DO_PAUSE = 1
    DO_FLATTEN = 3
    DO_KILL = 4               # the engine is about to be ended, its orders cancelled, its positions closed
    DO_PROMOTE = 5            # a model
    DO_ROLL_BACK = 6
    DO_ACKNOWLEDGE = 7        # an alert

ctypedef struct Operation:    # an entry of the operator ring
    uint64_t number           # from 1 on, of this run folder
    int32_t kind              # OperationKind
    int32_t pad
    char argument[72]         # a model's sha256, an alert's name; empty: none
    char who[24]              # page, command line or chat, and the user

ctypedef struct OperatorChange:
    int32_t state             # OperatorState
    int32_t source            # 0: the status file

ctypedef struct ModelChange:
    char sha256[64]
    double threshold          # smallest score that passes
    int32_t role              # ModelRole
    int32_t pad

cpdef enum ModelRole:
    MODEL_ACTIVE = 0          # scores every name that is not in arm B
    MODEL_B = 1               # scores the names of arm B
    MODEL_SHADOW = 2          # scores beside, decides nothing
    MODEL_NO_B = 3            # arm B goes back to the active one
    MODEL_NO_SHADOW = 4       # no shadow any more

ctypedef struct ShadowScore:
    uint64_t candidate
    char model[16]
    float score
    int32_t updates           # trade updates waited for

ctypedef struct Candidate:
    uint64_t id
    uint32_t inst
    int16_t move              # of the price: +1 up, -1 down
    int16_t side              # of the trade it proposes: +1 buy, -1 sell
    int16_t source            # which candidate source: its place in the configuration
    int16_t level             # 0 worth keeping, 1 worth trading
    int32_t arm               # of the comparison its name is in: 0 A, 1 B
    int64_t now
    int64_t ltt               # ms
    int64_t price
    int64_t last_close        # before its minute
    int64_t open5             # at which its five minutes began
    int64_t bid
    int64_t ask
    double strength
    double z20
    double z50
    double rz
    double volume_ratio
    double u                  # the minute's move, time-of-day corrected log return
    double s1m                # sd of the last 20 one-minute moves, log, at this minute
    double expected           # volume expected of this minute
    float feature[N_FEATURES]  # at the tick (CANDIDATE) or at the decision (VERDICT)
    float score               # P(real) at the tick, NaN: not scored
    float score_next          # at the next trade update
    int32_t reason            # Reason
    int32_t updates           # trade updates waited for
    double measured           # what the failing rule saw
    double limit              # and what it allows
    uint64_t tick_seq         # journal sequence of the tick
    int64_t decided           # now of the decision
    char model[16]            # head of the model's sha256
    int32_t quality           # bars since a minute was lost for good, at most 50: the windows are whole
    uint32_t guide            # row + 1 of the underlying whose prices own_stop and own_target are; 0: they are its own
    double own[N_OWN]         # statistics of its source, in the order the source names them
    int64_t own_limit         # of a strategy, paise: pay no more, take no less; 0: what the book asks
    int64_t own_stop          # and its own exits, closer than the account's; 0: none
    int64_t own_target
    int64_t own_hold          # ns
    char note[32]             # its reason, in its own words

cpdef enum IntentKind:
    INTENT_PLACE = 1
    INTENT_MODIFY = 2
    INTENT_CANCEL = 3

cpdef enum Role:
    ROLE_ENTRY = 1
    ROLE_EXIT = 2
    ROLE_BROKER = 3           # the position changed without an order of ours: square-off, another program, a person

cpdef enum OrderType:
    TYPE_LIMIT = 1
    TYPE_SL = 2               # stop with a limit: rests at the exchange

cpdef enum Why:               # why an exit order is what it is
    WHY_ENTRY = 0
    WHY_PROTECT = 1
    WHY_TARGET = 2
    WHY_TIME = 3
    WHY_SQUARE_OFF = 4
    WHY_OPERATOR = 5
    WHY_REPRICE = 6
    WHY_STALE_ENTRY = 7
    WHY_GROW = 8
    WHY_SHRINK = 9            # the position became smaller than its exit
    WHY_TRAIL = 10            # the stop follows the price
    WHY_SOFT_STOP = 11        # the exit policy's own stop, inside the resting one
    WHY_FADE = 12             # half of the spike was lost within a minute
    WHY_FEED = 13             # no prices for too long
    WHY_UNWANTED = 14         # a position nobody asked for
    WHY_LATE = 15             # an order that was given up and is there after all
    WHY_TWICE = 16            # the second of two exits
    WHY_STRATEGY = 17         # its strategy asked for it

ctypedef struct Intent:
    uint64_t id               # of the order: a modify or cancel carries the id of the place it is about
    uint64_t serial           # of this request
    uint64_t candidate
    uint32_t inst
    int16_t kind              # IntentKind
    int16_t role              # Role
    int16_t side              # +1 buy, -1 sell
    int16_t order_type        # OrderType
    int32_t why               # Why
    int16_t source            # of the candidate
    int16_t via               # who takes it: 0 the broker, 1 the engine's own matching
    int32_t pad
    int64_t quantity
    int64_t price
    int64_t trigger           # 0: none
    char order_id[32]         # the broker's, for modify and cancel

ctypedef struct GateDecision:
    uint64_t candidate
    uint32_t inst
    int32_t reason            # Reason
    double measured
    double limit
    int64_t quantity
    int64_t price
    int32_t used_second       # broker budget used, requests
    int32_t used_minute
    int32_t used_half_hour
    int32_t used_hour         # entry orders
    int32_t used_day
    int32_t is_exit

ctypedef struct Fill:
    uint64_t intent
    uint64_t candidate
    uint32_t inst
    int16_t side
    int16_t role
    int64_t quantity
    int64_t price             # average of this fill, paise
    int64_t charges           # paise
    int64_t realised          # paise before charges; exits only

cpdef enum PositionState:
    POS_FLAT = 0
    POS_ENTERING = 1
    POS_PROTECTING = 2        # the stop is on its way
    POS_PROTECTED = 3         # the stop rests at the exchange
    POS_CLOSING = 4           # the stop was turned into a marketable limit
    POS_UNPROTECTED = 5       # triggered and unfilled, or refused: being re-priced

ctypedef struct PositionChange:
    uint32_t inst
    int32_t state             # PositionState
    int64_t quantity          # signed
    int64_t average           # paise
    int64_t realised          # paise, day, this name, before charges
    int64_t charges           # paise, day, this name
    int64_t stop
    int64_t target

cpdef enum TradingState:
    CLOSED = 0                # before the start is complete
    RUNNING = 1
    REDUCING = 2              # exits only

cpdef enum StateKind:
    STATE_TRADING = 0         # TradingState
    STATE_OPERATOR = 1        # OperatorState, as the core saw it
    STATE_ALARM = 2           # of the reason alone

ctypedef struct StateChange:
    int32_t what              # StateKind
    int32_t was
    int32_t now_is
    int32_t reason            # Reason

ctypedef struct Timing:       # ns since the frame's receipt, for frames with a candidate or an intent
    uint64_t frame_seq
    uint64_t candidate
    int64_t decoded
    int64_t scored
    int64_t decided
    int64_t done

ctypedef struct Closing:
    uint64_t records
    uint64_t updates
    uint64_t candidates
    uint64_t intents
    uint64_t digest
