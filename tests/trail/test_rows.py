"""Records as the store's rows: each value in its own column, and in ClickHouse's bytes."""
import re
import struct

import numpy as np
import pytest

from _ext.core.records import PAYLOADS, REASONS, WHYS
from engine.trail.store import Converter, RowWriter, schema

RUN, SEQ, NOW = 5, 6, 7
COMMON = {"run": RUN, "seq": SEQ, "ts": NOW}
OTHERWISE = {"threshold": "limit", "exch_ts": "ltt", "trigger_price": "trigger", "latency_ns": "latency", "decoded_ns": "decoded",
             "scored_ns": "scored", "decided_ns": "decided", "done_ns": "done"}
"""Columns that are called otherwise than the record's field."""
NO_REQUEST = {"serial": 0, "candidate": 0, "inst": 0, "role": "", "side": 0, "order_type": "", "why": "", "trigger_price": 0}


def columns(table: str) -> list[tuple[str, str]]:
    """(name, type) of each, as the schema has them."""
    text = next(s for s in schema("db") if s.startswith(f"CREATE TABLE IF NOT EXISTS db.{table} (")).partition("(")[2]
    parts = re.split(r",\s*(?![^()]*\))", text.partition(") ENGINE")[0].strip())
    return [tuple(part.split(maxsplit=1)) for part in parts]


def numbered(kind: int, given: dict) -> np.ndarray:
    """A record in which no two fields are alike, but for the words `given`."""
    row = np.zeros(1, PAYLOADS[kind])
    for i, name in enumerate(row.dtype.names):
        row[name] = f"text{i}".encode() if row.dtype[name].kind == "S" else 10 + i
    if "feature" in row.dtype.names:
        row["feature"] = 100 + np.arange(row["feature"].shape[1])
    for name, value in given.items():
        row[name] = value
    return row


@pytest.mark.parametrize(("kind", "table", "given", "said"), [
    (64, "signals", {"level": 0, "reason": 0}, {"verdict": 0, "reason": "pass", "ts": "now"}),
    (65, "signals", {"level": 1, "reason": 0}, {"verdict": 2, "reason": "pass", "ts": "now"}),
    (65, "signals", {"level": 1, "reason": 1}, {"verdict": 1, "reason": REASONS[1], "ts": "now"}),
    (66, "rate_limit_log", {"reason": 0}, {"reason": "pass"}),
    (67, "orders", {"kind": 2, "role": 2, "order_type": 2, "why": 5}, {
        "event": "modify", "why": WHYS[5], "role": "exit", "order_type": "SL", "status": "", "filled": 0,
        "latency_ns": 0, "error": ""}),
    (67, "orders", {"kind": 1, "role": 1, "order_type": 1, "why": 0}, {
        "event": "place", "why": WHYS[0], "role": "entry", "order_type": "LIMIT", "status": "", "filled": 0,
        "latency_ns": 0, "error": ""}),
    (8, "orders", {"outcome": 4}, NO_REQUEST | {"id": "intent", "event": "reply", "quantity": 0, "price": 0, "status": "ambiguous",
                                                "filled": 0}),
    (9, "orders", {"status": 3, "is_look_up": 0, "filled": 4, "value": 430}, NO_REQUEST | {
        "id": "intent", "event": "update", "price": 107, "status": "complete", "latency_ns": 0, "error": ""}),
    (9, "orders", {"status": 2, "is_look_up": 1, "filled": 0}, NO_REQUEST | {
        "id": "intent", "event": "look-up", "price": 0, "status": "open", "latency_ns": 0, "error": ""}),
    (68, "trades", {"role": 3}, {"role": "broker"}),
    (69, "positions", {"state": 3}, {"state": "protected"}),
    (71, "gaps", {"kind": 4, "first_minute": 3, "last_minute": 5}, {"kind": "late", "first_minute": 180, "last_minute": 300}),
    (22, "gaps", {"kind": 10, "first_minute": 0, "last_minute": 0}, {"kind": "refused", "first_minute": 0, "last_minute": 0}),
    (130, "shadow_scores", {}, {}), (128, "latency", {}, {})])
def test_each_value_stands_in_its_own_column(kind, table, given, said):
    record = numbered(kind, given)
    converter = Converter()
    converter.run = RUN
    ((where, row),) = converter.rows(kind, SEQ, NOW, record.tobytes())
    names = [name for name, _ in columns(table)]
    features = [name for name in names if name.startswith("f_")]
    assert where == table and len(row) == len(names)
    fields = record[0]
    for name, value in zip(names, row, strict=True):
        source = said.get(name, COMMON.get(name, OTHERWISE.get(name, name)))
        if name in features:
            assert value == fields["feature"][features.index(name)]
        elif isinstance(source, str) and source in record.dtype.names:
            assert value == fields[source], name
        else:
            assert name in said or name in COMMON
            assert value == source, name


def test_a_weak_candidate_is_a_row_at_once_and_a_strong_one_with_its_verdict():
    assert Converter().rows(64, SEQ, NOW, numbered(64, {"level": 1, "reason": 0}).tobytes()) == []


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 16_383, 16_384])
def test_texts_of_every_length_come_out_whole(length):
    data = RowWriter(["String", "UInt8"]).rows([["x" * length, 7], [b"y", 8]])
    n = shift = at = 0
    while True:
        n |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            break
    assert n == length and data[at:at + n] == b"x" * n and data[at + n:] == b"\x07\x01y\x08"


def test_types_are_as_wide_as_clickhouse_has_them():
    kinds = {"Date": "H", "UInt8": "B", "Int8": "b", "Enum8('a' = 0)": "b", "UInt32": "I", "Int32": "i", "UInt64": "Q",
             "Int64": "q", "Float32": "f", "Float64": "d", "DateTime64(9, 'Asia/Kolkata')": "q", "DateTime('Asia/Kolkata')": "I"}
    assert RowWriter(list(kinds)).rows([[3] * len(kinds)]) == struct.pack("<" + "".join(kinds.values()), *[3] * len(kinds))
