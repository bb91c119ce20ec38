"""Decisions as text: one line each, names instead of numbers, nothing of layout. The same decisions give the same text."""
import datetime as dt
from collections.abc import Iterable, Iterator

import numpy as np

from _ext.core.reasons import REASONS
from _ext.core.records import (
    GAPS,
    OPERATOR_STATES,
    PAYLOADS,
    REC_CANDIDATE,
    REC_FILL,
    REC_GAP,
    REC_GATE,
    REC_INTENT,
    REC_POSITION,
    REC_STATE,
    REC_VERDICT,
    RECORD_NAMES,
    ROLES,
    STATE_OPERATOR,
    STATE_TRADING,
    TRADING_STATES,
    WHYS,
)
from engine.market.sessions import IST

NOBODY = 0xFFFFFFFF
SIDES = {1: "up", -1: "down", 0: "-"}
ASKED = ("", "place", "modify", "cancel")
TYPES = ("", "limit", "stop")
HEAD = ("# time, instrument, what, side, price, quantity, reason; then what else was decided. Prices in paise.\n"
        "# A line that changes is a changed decision: it needs a line in the changelog. Made by `python -m tests.golden.make`.\n")


def _number(value: float) -> str:
    return f"{value:.9g}"


def _time(ns: int) -> str:
    return f"{dt.datetime.fromtimestamp(ns // 1_000_000 / 1000, IST):%H:%M:%S.%f}"[:12]


def _candidate(row: np.void) -> str:
    score = row["score_next"] if row["score_next"] == row["score_next"] else row["score"]
    return (f"{SIDES[int(row['move'])]} {row['price']} - {REASONS[row['reason']]}; strength {_number(row['strength'])} "
            f"score {_number(float(score))} level {row['level']} measured {_number(row['measured'])} limit {_number(row['limit'])}")


def _gate(row: np.void) -> str:
    return (f"{'exit' if row['is_exit'] else 'entry'} {row['price']} {row['quantity']} {REASONS[row['reason']]}; "
            f"measured {_number(row['measured'])} limit {_number(row['limit'])}")


def _intent(row: np.void) -> str:
    return (f"{SIDES[int(row['side'])]} {row['price']} {row['quantity']} {WHYS[row['why']]}; {ASKED[row['kind']]} "
            f"{ROLES[row['role']]} {TYPES[row['order_type']]} trigger {row['trigger']}")


def _fill(row: np.void) -> str:
    return (f"{SIDES[int(row['side'])]} {row['price']} {row['quantity']} {ROLES[row['role']]}; charges {row['charges']} "
            f"realised {row['realised']}")


def _position(row: np.void) -> str:
    return (f"- {row['average']} {row['quantity']} -; stop {row['stop']} target {row['target']} realised {row['realised']} "
            f"charges {row['charges']}")


def _state(row: np.void) -> str:
    words = {STATE_TRADING: TRADING_STATES, STATE_OPERATOR: OPERATOR_STATES}.get(int(row["what"]))
    if words is None:
        return f"- - - {REASONS[row['reason']]}; alarm"
    why = REASONS[row["reason"]] if row["what"] == STATE_TRADING else "operator"
    return f"- - - {why}; {words[row['was']]} to {words[row['now_is']]}"


def _gap(row: np.void) -> str:
    return (f"- - {row['volume']} {GAPS[row['kind']]}; measured {_number(row['measured'])} "
            f"minutes {max(int(row['last_minute'] - row['first_minute']) + 1, 0) if row['first_minute'] else 0}")


WRITERS = {REC_CANDIDATE: _candidate, REC_VERDICT: _candidate, REC_GATE: _gate, REC_INTENT: _intent, REC_FILL: _fill,
           REC_POSITION: _position, REC_STATE: _state, REC_GAP: _gap}


def lines(kept: Iterable[tuple[int, int, bytes]], keys: list[str]) -> Iterator[str]:
    """Text of (type, now, payload) decisions; `keys` by row."""
    for kind, now, payload in kept:
        row = np.frombuffer(payload, PAYLOADS[kind])[0]
        inst = int(row["inst"]) if "inst" in row.dtype.names else NOBODY
        yield f"{_time(now)} {keys[inst] if inst < len(keys) else '-'} {RECORD_NAMES[kind]} {WRITERS[kind](row)}"
