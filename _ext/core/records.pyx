"""Python's view of the record stream: the enums and one numpy dtype for each struct of `records.pxd`, taken from the compiler's own
names, types and offsets."""
import hashlib

import numpy as np


for _enum in (RecordType, InstrumentKind, GapKind, Stream, Outcome, OrderStatus, OperatorState, OperatorSource, ModelRole,
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


cdef Instrument a_instrument
cdef WarmBar a_warm_bar
cdef Gap a_gap
cdef Link a_link
cdef Reply a_reply
cdef OrderUpdate a_order_update
cdef BookRead a_book_read
cdef Holding a_holding
cdef Band a_band
cdef Adopted a_adopted
cdef Quote a_quote
cdef Funds a_funds
cdef OperatorChange a_operator_change
cdef ModelChange a_model_change
cdef ShadowScore a_shadow_score
cdef Candidate a_candidate
cdef Intent a_intent
cdef GateDecision a_gate_decision
cdef Fill a_fill
cdef PositionChange a_position_change
cdef StateChange a_state_change
cdef Timing a_timing
cdef Closing a_closing

INSTRUMENT = of(<Instrument[:1]>&a_instrument)
WARM_BAR = of(<WarmBar[:1]>&a_warm_bar)
GAP = of(<Gap[:1]>&a_gap)
LINK = of(<Link[:1]>&a_link)
REPLY = of(<Reply[:1]>&a_reply)
ORDER_UPDATE = of(<OrderUpdate[:1]>&a_order_update)
BOOK = of(<BookRead[:1]>&a_book_read)
HOLDING = of(<Holding[:1]>&a_holding)
BAND = of(<Band[:1]>&a_band)
ADOPTED = of(<Adopted[:1]>&a_adopted)
QUOTE = of(<Quote[:1]>&a_quote)
FUNDS = of(<Funds[:1]>&a_funds)
OPERATOR_CHANGE = of(<OperatorChange[:1]>&a_operator_change)
MODEL_CHANGE = of(<ModelChange[:1]>&a_model_change)
SHADOW = of(<ShadowScore[:1]>&a_shadow_score)
CANDIDATE = of(<Candidate[:1]>&a_candidate)
INTENT = of(<Intent[:1]>&a_intent)
GATE = of(<GateDecision[:1]>&a_gate_decision)
FILL = of(<Fill[:1]>&a_fill)
POSITION = of(<PositionChange[:1]>&a_position_change)
STATE = of(<StateChange[:1]>&a_state_change)
TIMING = of(<Timing[:1]>&a_timing)
CLOSING = of(<Closing[:1]>&a_closing)

PAYLOADS = {
    REC_INSTRUMENTS: INSTRUMENT, REC_BARS: WARM_BAR, REC_LINK: LINK, REC_REPLY: REPLY, REC_ORDER_UPDATE: ORDER_UPDATE,
    REC_FUNDS: FUNDS, REC_OPERATOR: OPERATOR_CHANGE, REC_MODEL: MODEL_CHANGE, REC_HOLDINGS: HOLDING, REC_ADOPTED: ADOPTED,
    REC_QUOTES: QUOTE, REC_ASK: CANDIDATE, REC_BACKFILL: WARM_BAR, REC_FEED_NOTE: GAP, REC_BANDS: BAND,
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
