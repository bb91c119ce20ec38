"""Python's view of the record structs of `core/records.pxd`: one numpy dtype each, sizes checked at import."""
import numpy as np

from _ext.core.reasons cimport N_REASONS

RECORD_NAMES = {
    1: "start", 2: "instruments", 3: "profile", 4: "bars", 5: "frame", 6: "timer", 7: "link", 8: "reply",
    9: "order_update", 10: "funds", 11: "operator", 12: "model", 13: "boot", 14: "stop",
    15: "book", 16: "holdings", 17: "adopted", 18: "quotes", 19: "ask", 20: "universe", 21: "backfill", 22: "feed_note",
    23: "bands",
    64: "candidate", 65: "verdict", 66: "gate", 67: "intent", 68: "fill", 69: "position", 70: "state", 71: "gap",
    128: "timing", 129: "closed", 130: "shadow",
}

REASONS = (
    "pass", "operator", "not running", "outside session", "not tradable", "stale quote", "no quote", "off tick",
    "off lot", "over freeze quantity", "outside price band", "too many positions", "already in this name",
    "size below one lot", "over 5 % notional", "over leverage", "daily loss", "too soon in this name",
    "orders a minute", "orders an hour", "orders a day", "broker budget", "unknown number",
    "weak", "low volume", "against trend", "1 and 5 minutes not aligned", "opposing signal", "wide spread", "noise",
    "no score", "late tick", "not confirmed", "pending", "feed down",
    "orders a minute in this name", "exposure in this name", "exposure in this sector", "order value", "drawdown",
    "losing streak", "in the F&O ban", "expiry week", "outside the execution range", "clock skew", "a position not ours",
    "not reconciled", "costs too much of the target", "no contract", "more filled than asked for", "filled after it was given up",
    "a second exit was needed", "position turned round", "order table full", "journal full", "the broker refuses orders",
    "impossible order state", "its stop would lie outside the price band", "filled, price not told",
    "filled by the broker's positions", "a position nobody can explain was taken over", "unreadable answer of the broker")

KINDS = ("equity", "future", "option", "index")
WHYS = ("entry", "protect", "target", "time", "square-off", "operator", "re-price", "stale entry", "grow", "shrink", "trail",
        "soft stop", "fade", "feed lost", "unwanted", "late", "second exit")
ROLES = ("", "entry", "exit", "broker")
TRADING_STATES = ("CLOSED", "RUNNING", "REDUCING")
OPERATOR_STATES = ("RUN", "PAUSE", "REDUCE", "KILL")

if len(REASONS) != N_REASONS:
    raise ImportError("core/reasons.pxd::Reason and REASONS disagree: rebuild with `make install`")


def _dtype(fields, size):
    dtype = np.dtype([tuple(field) for field in fields], align=True)
    if dtype.itemsize != size:
        raise ImportError(f"dtype {dtype} is {dtype.itemsize} bytes, its struct {size}: rebuild with `make install`")
    return dtype


cdef object i64(str names):
    return [(name, "<i8") for name in names.split()]


INSTRUMENT = _dtype([("key", "S48"), ("symbol", "S32"), *i64("tick lot freeze lower_band upper_band"),
                     ("kind", "<i4"), ("tradable", "<i4"), ("close_minute", "<i4"), ("cas", "<i4"), ("future", "<u4"),
                     ("sector", "<i4"), ("expiry", "<i8"), ("banned", "<i4"), ("right", "<i4"), ("strike", "<i8"),
                     ("under", "<u4"), ("pad", "<i4")], sizeof(Instrument))
WARM_BAR = _dtype([("inst", "<u4"), ("flags", "<i4"), *i64("minute open high low close volume")], sizeof(WarmBar))
GAP = _dtype([("inst", "<u4"), ("kind", "<i4"), *i64("begin end first_minute last_minute volume"), ("measured", "<f8"),
              ("limit", "<f8")], sizeof(Gap))
GAPS = ("", "silence", "stall", "link", "late", "skew", "jump", "corrupt", "doubt", "filled", "refused", "stale", "halted",
        "disorder", "pause")
LINK = _dtype([("which", "<i4"), ("up", "<i4"), ("code", "<i4"), ("pad", "<i4")], sizeof(Link))
REPLY = _dtype([("intent", "<u8"), ("outcome", "<i4"), ("code", "<i4"), ("latency", "<i8"), ("order_id", "S32"),
                ("error", "S16"), ("kind", "<i4"), ("pad", "<i4")], sizeof(Reply))
ORDER_UPDATE = _dtype([("intent", "<u8"), ("status", "<i4"), ("is_look_up", "<i4"), *i64("filled value quantity"),
                       ("order_id", "S32"), *i64("price trigger began"), ("order_type", "<i4"),
                       ("is_doubtful", "<i4")], sizeof(OrderUpdate))
BOOK = _dtype(i64("began count"), sizeof(BookRead))
HOLDING = _dtype([("inst", "<u4"), ("is_unreadable", "<i4"), *i64("quantity began others")], sizeof(Holding))
BAND = _dtype([("inst", "<u4"), ("pad", "<i4"), *i64("lower upper")], sizeof(Band))
ADOPTED = _dtype([("inst", "<u4"), ("side", "<i2"), ("role", "<i2"), ("status", "<i4"), ("order_type", "<i4"),
                  *i64("quantity filled value price trigger"), ("order_id", "S32")], sizeof(Adopted))
QUOTE = _dtype([("inst", "<u4"), ("pad", "<i4"), *i64("ltp bid ask bid_q ask_q")], sizeof(Quote))
FUNDS = _dtype(i64("available at_day_start"), sizeof(Funds))
OPERATOR_CHANGE = _dtype([("state", "<i4"), ("source", "<i4")], sizeof(OperatorChange))
MODEL_CHANGE = _dtype([("sha256", "S64"), ("threshold", "<f8"), ("role", "<i4"), ("pad", "<i4")], sizeof(ModelChange))
SHADOW = _dtype([("candidate", "<u8"), ("model", "S16"), ("score", "<f4"), ("updates", "<i4")], sizeof(ShadowScore))
CANDIDATE = _dtype([
    ("id", "<u8"), ("inst", "<u4"), ("direction", "<i2"), ("level", "<i2"),
    *i64("now ltt price last_close bid ask"),
    *[(name, "<f8") for name in "strength z20 z50 rz volume_ratio u s1m expected".split()],
    ("feature", "<f4", (N_FEATURES,)), ("score", "<f4"), ("score_next", "<f4"), ("reason", "<i4"), ("updates", "<i4"),
    ("measured", "<f8"), ("limit", "<f8"), ("tick_seq", "<u8"), ("decided", "<i8"), ("model", "S16"),
    ("quality", "<i4"), ("arm", "<i4")],
    sizeof(Candidate))
INTENT = _dtype([
    ("id", "<u8"), ("serial", "<u8"), ("candidate", "<u8"), ("inst", "<u4"), ("kind", "<i2"), ("role", "<i2"),
    ("side", "<i2"), ("order_type", "<i2"), ("why", "<i4"), *i64("quantity price trigger"), ("order_id", "S32")],
    sizeof(Intent))
GATE = _dtype([
    ("candidate", "<u8"), ("inst", "<u4"), ("reason", "<i4"), ("measured", "<f8"), ("limit", "<f8"),
    *i64("quantity price"), *[(name, "<i4") for name in
                              "used_second used_minute used_half_hour used_hour used_day is_exit".split()]],
    sizeof(GateDecision))
FILL = _dtype([("intent", "<u8"), ("candidate", "<u8"), ("inst", "<u4"), ("side", "<i2"), ("role", "<i2"),
               *i64("quantity price charges realised")], sizeof(Fill))
POSITION = _dtype([("inst", "<u4"), ("state", "<i4"), *i64("quantity average realised charges stop target")],
                  sizeof(PositionChange))
STATE = _dtype([("what", "<i4"), ("was", "<i4"), ("now_is", "<i4"), ("reason", "<i4")], sizeof(StateChange))
TIMING = _dtype([("frame_seq", "<u8"), ("candidate", "<u8"), *i64("decoded scored decided done")], sizeof(Timing))
CLOSING = _dtype([(name, "<u8") for name in "records updates candidates intents digest".split()], sizeof(Closing))

PAYLOADS = {2: INSTRUMENT, 4: WARM_BAR, 7: LINK, 8: REPLY, 9: ORDER_UPDATE, 10: FUNDS, 11: OPERATOR_CHANGE,
            12: MODEL_CHANGE, 16: HOLDING, 17: ADOPTED, 18: QUOTE, 19: CANDIDATE, 21: WARM_BAR, 22: GAP, 23: BAND, 71: GAP,
            64: CANDIDATE, 65: CANDIDATE, 66: GATE, 67: INTENT, 68: FILL, 69: POSITION, 70: STATE, 128: TIMING, 129: CLOSING,
            130: SHADOW}
"""Record type -> dtype of its payload, where it is a struct or an array of them."""
