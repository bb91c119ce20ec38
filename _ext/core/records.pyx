"""Python's view of the record stream: the enums and one numpy dtype for each struct of `records.pxd`, taken from the compiler's own
names, types and offsets."""
import hashlib

import numpy as np

from libc.stdint cimport int64_t


for _enum in (RecordType, InstrumentKind, GapKind, Stream, Outcome, OrderStatus, OperatorState, OperationKind, ModelRole,
              IntentKind, Role, OrderType, Why, TradingState, PositionState, StateKind):
    globals().update(_enum.__members__)                    # an enumerator is called the same in both halves


cdef tuple labels(enum, str prefix, dict words=None):
    """What a person reads for each member, by number: its name without `prefix`, or what `words` says."""
    known = {member.value: (words or {}).get(member.name, member.name.removeprefix(prefix).lower().replace("_", " "))
             for member in enum}
    return tuple([known.get(number, "") for number in range(max(known) + 1)])


RECORD_NAMES = {record.value: record.name.removeprefix("REC_").lower() for record in RecordType}
KINDS = labels(InstrumentKind, "KIND_")
GAPS = labels(GapKind, "GAP_")
ROLES = labels(Role, "ROLE_")
WHYS = labels(Why, "WHY_", {"WHY_SQUARE_OFF": "square-off", "WHY_REPRICE": "re-price", "WHY_FEED": "feed lost",
                            "WHY_TWICE": "second exit"})
ORDER_TYPES = labels(OrderType, "TYPE_", {"TYPE_LIMIT": "LIMIT", "TYPE_SL": "SL"})
REQUESTS = labels(IntentKind, "INTENT_")
OUTCOMES = labels(Outcome, "OUTCOME_", {"OUTCOME_DONE": "accepted", "OUTCOME_RETRY": "throttled", "OUTCOME_HALT": "halted"})
ORDER_STATES = labels(OrderStatus, "STATUS_")
POSITION_STATES = labels(PositionState, "POS_")
OPERATIONS = labels(OperationKind, "DO_", {"DO_RUN": "resume"})
TRADING_STATES = tuple([state.name for state in sorted(TradingState)])
OPERATOR_STATES = tuple([state.name.removeprefix("OP_") for state in sorted(OperatorState)])


cdef object of(array):
    """The dtype of a struct, from a view of one: byte arrays become text, everything else stays where the compiler put it."""
    dtype = np.asarray(array).dtype
    fields = {}
    for name in dtype.names:
        base, shape = dtype[name].base, dtype[name].shape
        fields[name] = f"S{shape[0]}" if base == np.dtype("S1") and shape else dtype[name]
    return np.dtype({"names": list(fields), "formats": list(fields.values()),
                     "offsets": [dtype.fields[name][1] for name in fields], "itemsize": dtype.itemsize})


cdef int64_t room[1]                                       # what a view points at; nothing is read through one

INSTRUMENT = of(<Instrument[:1]><Instrument*>room)
WARM_BAR = of(<WarmBar[:1]><WarmBar*>room)
GAP = of(<Gap[:1]><Gap*>room)
LINK = of(<Link[:1]><Link*>room)
REPLY = of(<Reply[:1]><Reply*>room)
ORDER_UPDATE = of(<OrderUpdate[:1]><OrderUpdate*>room)
BOOK = of(<BookRead[:1]><BookRead*>room)
HOLDING = of(<Holding[:1]><Holding*>room)
BAND = of(<Band[:1]><Band*>room)
ADOPTED = of(<Adopted[:1]><Adopted*>room)
QUOTE = of(<Quote[:1]><Quote*>room)
FUNDS = of(<Funds[:1]><Funds*>room)
OPERATION = of(<Operation[:1]><Operation*>room)
OPERATOR_CHANGE = of(<OperatorChange[:1]><OperatorChange*>room)
MODEL_CHANGE = of(<ModelChange[:1]><ModelChange*>room)
SHADOW = of(<ShadowScore[:1]><ShadowScore*>room)
CANDIDATE = of(<Candidate[:1]><Candidate*>room)
INTENT = of(<Intent[:1]><Intent*>room)
GATE = of(<GateDecision[:1]><GateDecision*>room)
FILL = of(<Fill[:1]><Fill*>room)
POSITION = of(<PositionChange[:1]><PositionChange*>room)
STATE = of(<StateChange[:1]><StateChange*>room)
TIMING = of(<Timing[:1]><Timing*>room)
CLOSING = of(<Closing[:1]><Closing*>room)

PAYLOADS = {
    REC_INSTRUMENTS: INSTRUMENT, REC_BARS: WARM_BAR, REC_LINK: LINK, REC_REPLY: REPLY, REC_ORDER_UPDATE: ORDER_UPDATE,
    REC_FUNDS: FUNDS, REC_OPERATOR: OPERATOR_CHANGE, REC_MODEL: MODEL_CHANGE, REC_HOLDINGS: HOLDING, REC_ADOPTED: ADOPTED,
    REC_QUOTES: QUOTE, REC_OPERATION: OPERATION, REC_ASK: CANDIDATE, REC_BACKFILL: WARM_BAR, REC_FEED_NOTE: GAP, REC_BANDS: BAND,
    REC_CANDIDATE: CANDIDATE, REC_VERDICT: CANDIDATE, REC_GATE: GATE, REC_INTENT: INTENT, REC_FILL: FILL, REC_POSITION: POSITION,
    REC_STATE: STATE, REC_GAP: GAP, REC_TIMING: TIMING, REC_SHADOW: SHADOW, REC_CLOSED: CLOSING,
}
"""Record type -> dtype of its payload, where it is a struct or an array of them."""


def _layout() -> str:
    """Sixteen hex digits of every record type, name, type and offset: what a reader of a journal must share with its writer."""
    parts = [f"{number} {name}" for number, name in sorted(RECORD_NAMES.items())]
    for number, dtype in sorted(PAYLOADS.items()):
        parts += [f"{number} {name} {dtype[name].str} {dtype[name].shape} {dtype.fields[name][1]}" for name in dtype.names]
    return hashlib.sha256("\n".join([*parts, f"{BOOK}"]).encode()).hexdigest()[:16]


LAYOUT = _layout()
N_OWN_STATISTICS = N_OWN
