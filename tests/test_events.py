"""Records as lines for people: what is told, in which file, in which words; and what is not, since it is told elsewhere or is too
many."""
import numpy as np
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import (
    GAPS,
    PAYLOADS,
    REC_CANDIDATE,
    REC_FEED_NOTE,
    REC_FILL,
    REC_GAP,
    REC_GATE,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_LINK,
    REC_POSITION,
    REC_REPLY,
    REC_STATE,
    REC_VERDICT,
)
from engine.market.instruments import NO_INST, table
from engine.watch.events import EventFormatter
from engine.watch.state import RunState
from tests.trade.conftest import DAY, SPECS

NAME = SPECS[1].symbol
MOVE = {"inst": 1, "move": 1, "price": 100_150, "strength": 0.654, "volume_ratio": 2.26, "rz": 3.14, "score": 0.5,
        "score_next": np.nan, "measured": 12.5, "limit": 15.0}
SEEN = f"{NAME} up 1001.50 strength 0.65 volume x2.3 move +3.1 sd score 0.50"
INTENT = {"inst": 1, "kind": 1, "role": 1, "side": 1, "order_type": 1, "quantity": 49, "price": 100_110}
FILL = {"inst": 1, "side": -1, "role": 2, "quantity": 49, "price": 98_000, "charges": 1_234, "realised": -9_800}
SPREAD = REASONS.index("wide spread")


@pytest.fixture
def tell():
    narrator = EventFormatter()
    assert narrator.event(REC_INSTRUMENTS, 1, 0, table(SPECS, DAY).tobytes()) is None

    def event(kind: int, fields: dict):
        row = np.zeros(1, PAYLOADS[kind])
        for name, value in fields.items():
            row[name] = value
        found = narrator.event(kind, 7, 9, row.tobytes())
        assert found is None or (found.now == 9 and found.fields["seq"] == 7)
        return found and (found.log, " ".join(found.text.split()))

    return event


@pytest.mark.parametrize(("kind", "fields", "log", "text"), [
    (REC_CANDIDATE, MOVE | {"level": 0}, "signals", f"{SEEN} watched"),
    (REC_VERDICT, MOVE | {"level": 1}, "signals", f"{SEEN} PASSED"),
    (REC_VERDICT, MOVE | {"level": 1, "move": -1, "score_next": 0.25, "reason": SPREAD}, "signals",
     f"{SEEN.replace('up', 'down').replace('score 0.50', 'score 0.25')} refused: wide spread (12.5 against 15)"),
    (REC_GATE, {"inst": 1, "quantity": 49, "price": 100_110}, "trading", f"{NAME} gate: pass, 49 at 1001.10"),
    (REC_GATE, {"inst": 1, "reason": SPREAD, "measured": 2.0, "limit": 1.5}, "trading",
     f"{NAME} gate: wide spread (2 against 1.5)"),
    (REC_INTENT, INTENT, "trading", f"{NAME} place entry BUY 49 LIMIT 1001.10 (entry)"),
    (REC_INTENT, INTENT | {"kind": 2, "role": 2, "side": -1, "order_type": 2, "trigger": 98_000, "price": 97_500, "why": 1},
     "trading", f"{NAME} modify exit SELL 49 SL 975.00 trigger 980.00 (protect)"),
    (REC_FILL, FILL, "trading", f"{NAME} FILL sold 49 at 980.00, charges 12.34, realised -98.00"),
    (REC_FILL, FILL | {"side": 1, "role": 1}, "trading", f"{NAME} FILL bought 49 at 980.00, charges 12.34"),
    (REC_FILL, FILL | {"role": 3}, "trading",
     f"{NAME} FILL sold 49 at 980.00, charges 12.34, realised -98.00 (not by an order of ours)"),
    (REC_FILL, FILL | {"quantity": 0}, "trading", f"{NAME} the price told late: order at 980.00, charges 12.34, realised -98.00"),
    (REC_POSITION, {"inst": 1, "state": 0, "realised": -9_800}, "trading", f"{NAME} no position, day -98.00"),
    (REC_STATE, {"what": 0, "was": 1, "now_is": 2, "reason": SPREAD}, "errors", "trading state: RUNNING -> REDUCING: wide spread"),
    (REC_STATE, {"what": 1, "was": 0, "now_is": 3}, "trading", "operator: RUN -> KILL"),
    (REC_STATE, {"what": 2, "now_is": 5, "reason": SPREAD}, "errors", "ALARM: wide spread (5)"),
    (REC_REPLY, {"intent": 4, "outcome": 2, "code": 400, "error": b"UDAPI1"}, "errors", "order 4: refused (400 UDAPI1)"),
    (REC_LINK, {"which": 0, "up": 1}, "feed", "feed up"), (REC_LINK, {"which": 1, "up": 0}, "feed", "order stream down"),
    (REC_GAP, {"inst": NO_INST, "kind": GAPS.index("stall"), "measured": 39.0}, "feed", "feed stall (39)"),
    (REC_FEED_NOTE, {"inst": 1, "kind": GAPS.index("refused"), "measured": 2.0, "begin": 10**9, "end": 3 * 10**9}, "feed",
     f"{NAME} refused (2, 2.0 s from 05:30:01)")])
def test_what_is_told_and_in_which_words(tell, kind, fields, log, text):
    assert tell(kind, fields) == (log, text)


@pytest.mark.parametrize(("kind", "fields"), [
    (REC_CANDIDATE, MOVE | {"level": 1}),                              # its verdict follows
    (REC_GATE, {"inst": 1, "is_exit": 1}), (REC_POSITION, {"inst": 1, "state": 3}), (REC_REPLY, {"intent": 4, "outcome": 1}),
    *((REC_GAP, {"inst": 1, "kind": GAPS.index(word)}) for word in ("silence", "filled", "jump", "pause"))])
def test_what_is_not_told(tell, kind, fields):
    assert tell(kind, fields) is None


def test_a_name_beyond_the_table_is_told_by_its_number(tell):
    assert tell(REC_GATE, {"inst": 99, "quantity": 1, "price": 100})[1] == "99 gate: pass, 1 at 1.00"


def test_what_follows_a_run_all_day_keeps_no_gap_ledger():
    """The line is shown, the row not kept; a state of the whole journal has it. Two records of instruments are one list."""
    row = np.zeros(1, PAYLOADS[REC_GAP])
    row["inst"], row["kind"] = 1, GAPS.index("late")
    parts = [table(part, DAY).tobytes() for part in (SPECS[:2], SPECS[2:])]
    formatter, records = EventFormatter(), [(REC_INSTRUMENTS, 1, 0, parts[0]), (REC_INSTRUMENTS, 2, 0, parts[1]),
                                            (REC_GAP, 3, 9, row.tobytes())]
    said = [formatter.event(*record) for record in records]
    assert said[:2] == [None, None] and said[2].name == "gap" and formatter.state.gaps == []
    state = RunState.after(records)
    assert [int(gap["inst"]) for gap in state.gaps] == [1] and state.symbols == [spec.symbol for spec in SPECS]
    assert state.key(len(SPECS)) == "" and state.key(4) == SPECS[4].key
