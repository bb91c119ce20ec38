"""Records as the store's rows: each value in its own column, and in ClickHouse's bytes.

Ticks come by `_ext/follower.pyx`, which goes through a journal with the market stage alone.
"""
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import orjson
import pytest

from _ext.core.reasons import REASONS
from _ext.core.records import (
    PAYLOADS,
    REC_CANDIDATE,
    REC_CLOSED,
    REC_FEED_NOTE,
    REC_FILL,
    REC_FRAME,
    REC_GAP,
    REC_GATE,
    REC_INSTRUMENTS,
    REC_INTENT,
    REC_LINK,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_REPLY,
    REC_SHADOW,
    REC_START,
    REC_STOP,
    REC_TIMING,
    REC_UNIVERSE,
    REC_VERDICT,
    WHYS,
)
from _ext.recorder import TICK_ROW, TickRecorder
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine.config import Config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import Instrument, table
from engine.market.sessions import number_of
from engine.store.rows import RowBuilder, RowWriter
from engine.store.schema import VERSION, columns, table_names
from engine.store.windows import Store, where_of
from engine.trade.inputs import link_record
from tests.market.conftest import DAY, OPEN_MS
from tests.reference import upb

RUN, SEQ, NOW = 5, 6, 7
COMMON = {"run": RUN, "seq": SEQ, "ts": NOW}
OTHERWISE = {"threshold": "limit", "exch_ts": "ltt", "trigger_price": "trigger", "latency_ns": "latency", "decoded_ns": "decoded",
             "scored_ns": "scored", "decided_ns": "decided", "done_ns": "done"}
"""Columns that are called otherwise than the record's field."""
NAMES = [Instrument("NSE_EQ|A", "A"), Instrument("NSE_EQ|B", "B")]
NO_REQUEST = {"serial": 0, "candidate": 0, "inst": 0, "role": "", "side": 0, "order_type": "", "why": "", "trigger_price": 0}


def numbered(kind: int, given: dict) -> np.ndarray:
    """A record in which no two fields are alike, but for the words `given`."""
    row = np.zeros(1, PAYLOADS[kind])
    for i, name in enumerate(row.dtype.names):
        row[name] = f"text{i}".encode() if row.dtype[name].kind == "S" else 10 + i
    if "own" in row.dtype.names:
        row["own"], row["source"] = 200 + np.arange(row["own"].shape[1]), 0
    if "feature" in row.dtype.names:
        row["feature"] = 100 + np.arange(row["feature"].shape[1])
    for name, value in given.items():
        row[name] = value
    return row


@pytest.mark.parametrize(("kind", "table", "given", "said"), [
    (REC_CANDIDATE, "signals", {"level": 0, "reason": 0}, {"verdict": 0, "reason": "pass", "ts": "now", "direction": "move"}),
    (REC_VERDICT, "signals", {"level": 1, "reason": 0}, {"verdict": 2, "reason": "pass", "ts": "now", "direction": "move"}),
    (REC_VERDICT, "signals", {"level": 1, "reason": 1}, {"verdict": 1, "reason": REASONS[1], "ts": "now", "direction": "move"}),
    (REC_GATE, "rate_limit_log", {"reason": 0}, {"reason": "pass"}),
    (REC_INTENT, "orders", {"kind": 2, "role": 2, "order_type": 2, "why": 5}, {
        "event": "modify", "why": WHYS[5], "role": "exit", "order_type": "SL", "status": "", "filled": 0,
        "latency_ns": 0, "error": ""}),
    (REC_INTENT, "orders", {"kind": 1, "role": 1, "order_type": 1, "why": 0}, {
        "event": "place", "why": WHYS[0], "role": "entry", "order_type": "LIMIT", "status": "", "filled": 0,
        "latency_ns": 0, "error": ""}),
    (REC_REPLY, "orders", {"outcome": 4}, NO_REQUEST | {
        "id": "intent", "event": "reply", "quantity": 0, "price": 0, "status": "ambiguous", "filled": 0}),
    (REC_ORDER_UPDATE, "orders", {"status": 3, "is_look_up": 0, "filled": 4, "value": 430}, NO_REQUEST | {
        "id": "intent", "event": "update", "price": 107, "status": "complete", "latency_ns": 0, "error": ""}),
    (REC_ORDER_UPDATE, "orders", {"status": 2, "is_look_up": 1, "filled": 0}, NO_REQUEST | {
        "id": "intent", "event": "look-up", "price": 0, "status": "open", "latency_ns": 0, "error": ""}),
    (REC_FILL, "trades", {"role": 3}, {"role": "broker"}),
    (REC_POSITION, "positions", {"state": 3}, {"state": "protected"}),
    (REC_GAP, "gaps", {"kind": 4, "first_minute": 3, "last_minute": 5}, {"kind": "late", "first_minute": 180, "last_minute": 300}),
    (REC_FEED_NOTE, "gaps", {"kind": 10, "first_minute": 0, "last_minute": 0}, {
        "kind": "refused", "first_minute": None, "last_minute": None}),
    (REC_SHADOW, "shadow_scores", {}, {}), (REC_TIMING, "latency", {}, {})])
def test_each_value_stands_in_its_own_column(kind, table, given, said):
    record = numbered(kind, given)
    converter = RowBuilder()
    converter.run, converter.sources = RUN, [("mine", ("first", "second"))]
    ((where, row),) = converter.rows(kind, SEQ, NOW, record.tobytes())
    names = [name for name, _ in columns(table)]
    features = [name for name in names if name.startswith("f_")]
    assert where == table and len(row) == len(names)
    fields = record[0]
    for name, value in zip(names, row, strict=True):
        source = said.get(name, COMMON.get(name, OTHERWISE.get(name, name)))
        if name in ("source", "own"):
            assert value == {"source": "mine", "own": {"first": 200.0, "second": 201.0}}[name]
        elif name in features:
            assert value == fields["feature"][features.index(name)]
        elif isinstance(source, str) and source in record.dtype.names:
            assert value == fields[source], name
        elif value is None:
            assert said[name] is None
        else:
            assert name in said or name in COMMON
            assert value == source, name


def test_a_weak_candidate_is_a_row_at_once_and_a_strong_one_with_its_verdict():
    assert RowBuilder().rows(REC_CANDIDATE, SEQ, NOW, numbered(REC_CANDIDATE, {"level": 1, "reason": 0}).tobytes()) == []


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


def frame_of(*updates: dict) -> bytes:
    rows = np.zeros(len(updates), TICK_DTYPE)
    for row, update in zip(rows, updates, strict=True):
        row["has"], row["mode"], row["ltt"] = 1 | 2 | 64, 1, OPEN_MS
        for name, value in update.items():
            row[name] = value
        row["key_len"], row["n_levels"] = len(bytes(row["key"])), 1
    return encode(rows, OPEN_MS)


def stored(folder, *frames: bytes) -> np.ndarray:
    """The rows of frames that came a second apart, in a journal of two names."""
    journal, begin = Journal(folder, 1 << 20), (OPEN_MS - 60_000) * 1_000_000
    for kind, payload in ((REC_START, orjson.dumps(Config(models="").record())), (REC_INSTRUMENTS, table(NAMES, DAY).tobytes())):
        journal.append(kind, begin, payload)
    for k, frame in enumerate(frames):
        journal.append(REC_FRAME, (OPEN_MS + 1000 * k) * 1_000_000 + 1_234_567, frame)
    tape, reader = TickRecorder(2), Reader(folder)
    tape.run = RUN
    while tape.step(reader) is not None:
        pass
    return tape.take()


def test_an_update_is_a_row_as_it_came_with_the_best_quotes_known(tmp_path):
    first = {"key": b"NSE_EQ|B", "ltp": 100_050, "ltq": 7, "vtt": 900, "oi": 55.0, "iv": 0.25,
             "levels": [(5, 100_000, 6, 100_100)] + 4 * [(0, 0, 0, 0)]}
    second = first | {"has": 1 | 64, "ltp": 100_060, "vtt": 930, "ltt": OPEN_MS + 900, "oi": -1.0}
    third = {"key": b"NSE_EQ|B", "has": 1, "ltp": 100_070, "ltt": OPEN_MS + 1_900, "ltq": 2**40, "iv": 0.5}
    rows = stored(tmp_path, *(frame_of(update) for update in (first, second, third)))
    assert rows["run"].tolist() == [RUN] * 3 and rows["inst"].tolist() == [1] * 3 and rows["seq"].tolist() == [3, 4, 5]
    assert rows["trade_date"].tolist() == [number_of(DAY)] * 3
    assert rows["exch_ts"].tolist() == [OPEN_MS, OPEN_MS + 900, OPEN_MS + 1_900]
    assert rows["recv_ts"].tolist() == [(OPEN_MS + 1000 * k) * 1000 + 1_234 for k in range(3)]
    assert rows["ltp"].tolist() == [100_050, 100_060, 100_070] and rows["ltq"].tolist() == [7, 7, 2**32 - 1]
    assert rows["vtt"].tolist() == [900, 930, 0] and rows["volume"].tolist() == [0, 30, 0]
    for name, value in (("bid", 100_000), ("ask", 100_100), ("bid_qty", 5), ("ask_qty", 6)):
        assert rows[name].tolist() == [value] * 3, name     # a book that was not sent is the one before
    assert rows["oi"].tolist() == [55, 0, 0] and rows["iv"].tolist() == [0.25, 0.25, 0.0]


def test_what_the_core_does_not_take_is_no_row(tmp_path):
    """A key nobody knows, a price that is none, and of a key that comes twice the first."""
    good = {"key": b"NSE_EQ|A", "ltp": 100_000, "vtt": 5}
    bad = upb.message("FeedResponse")(type=1, currentTs=OPEN_MS)
    bad.feeds["NSE_EQ|B"].ltpc.ltp = float("inf")
    rows = stored(tmp_path, frame_of({"key": b"NSE_EQ|Z", "ltp": 1}, good), bad.SerializeToString(),
                  frame_of(good | {"ltp": 100_010}, good | {"ltp": 100_020, "vtt": 6}), frame_of({"key": b"NSE_EQ|Z", "ltp": 1}))
    assert [(int(r["inst"]), int(r["seq"]), int(r["ltp"])) for r in rows] == [(0, 3, 100_000), (0, 5, 100_020)]


# ---- what is sent, once ------------------------------------------------------------------------------------------------------
class Client:
    """A ClickHouse that takes everything; its table ticks is called `uuid`."""

    def __init__(self, uuid: str = "first"):
        self.uuid, self.batches, self.looked = uuid, [], []
        self.has = lambda asked: 0 if asked.endswith("AND 1") and asked.startswith("ticks") else 10**6

    def command(self, text: str) -> str:
        return str(VERSION) if "schema_version" in text else self.uuid

    def query(self, text: str) -> SimpleNamespace:
        if "SELECT count() FROM spike." in text:
            self.looked.append(text.partition("spike.")[2])
            return SimpleNamespace(result_rows=[(self.has(self.looked[-1]),)])
        names = ["signals", "schema_version"] if "system.tables" in text else [name for name, _ in columns("signals")]
        return SimpleNamespace(result_rows=[(name,) for name in names])

    def raw_insert(self, table: str, column_names: list[str], insert_block: bytes, fmt: str, settings: dict) -> None:
        self.batches.append((table.partition(".")[2], insert_block, settings["insert_deduplication_token"]))

    def seconds(self, begin: int) -> list[int]:
        """Of the links that arrived, in the order they did."""
        rows = [orjson.loads(line) for name, block, _ in self.batches if name == "events" for line in block.splitlines()]
        return [(now - begin) // 10**9 for _, _, now, what, _ in rows if what == "link"]


class Lines:
    """Rows as lines of JSON."""

    def rows(self, rows: list) -> bytes:
        return b"".join(orjson.dumps(row, default=str, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n" for row in rows)


BEGIN = OPEN_MS * 1_000_000


def a_minute(folder, **more) -> None:
    """A link that goes or comes and an update of a name each second from the open on, then the end. `more` is in the first record
    besides."""
    journal = Journal(folder, 1 << 20)
    start = Config(models="").record() | more
    for kind, payload in ((REC_START, orjson.dumps(start)), (REC_INSTRUMENTS, table(NAMES, DAY).tobytes())):
        journal.append(kind, BEGIN, payload)
    for second in range(61):
        now = BEGIN + second * 10**9
        journal.append(REC_LINK, now, link_record(0, second % 2 == 0))
        journal.append(REC_FRAME, now, frame_of({"key": b"NSE_EQ|A", "ltp": 100_000, "vtt": 5 + second}))
    journal.append(REC_STOP, now, b"")
    journal.append(REC_CLOSED, now, bytes(64))
    journal.close()


def stored_in(client: Client, folder, cursor: Path) -> Store:
    store = Store(Reader(folder), client, "spike", 2, cursor)
    store._writer = lambda table: Lines()
    while store.step():
        pass
    return store


def test_each_record_is_a_row_once_also_at_the_edge_of_a_window(tmp_path):
    a_minute(tmp_path / "j")
    client = Client()
    store = stored_in(client, tmp_path / "j", tmp_path / "cursor")
    assert client.seconds(BEGIN) == list(range(61)) and store.finished and store.stored == 61
    ticks = b"".join(block for name, block, _ in client.batches if name == "ticks")
    assert np.frombuffer(ticks, TICK_ROW)["vtt"].tolist() == list(range(5, 66))
    assert len(client.batches) > 20 and len({token for _, _, token in client.batches}) == len(client.batches)


def test_rows_a_killed_server_noted_and_did_not_keep_are_sent_again(tmp_path):
    """Of the window after the cursor; of every one where the run has rows and nobody knows how far they came; else of the first."""
    a_minute(tmp_path / "j")
    whole = Client()
    stored_in(whole, tmp_path / "j", tmp_path / "new")
    first = {what.partition(" ")[0] for what in whole.looked if not what.endswith("AND 1") or not what.startswith("ticks")}
    assert len(whole.looked) == 1 + len(first) and not [t for _, _, t in whole.batches if t.endswith(":again")]
    lost = Client()                                        # has a cursor: one window is looked up, and its events are not there
    cursor = orjson.loads((tmp_path / "new").read_bytes())
    (tmp_path / "half").write_bytes(orjson.dumps([*cursor[:2], cursor[2] - 4]))
    lost.has = lambda asked: 0 if asked.startswith("events") else 10**6
    stored_in(lost, tmp_path / "j", tmp_path / "half")
    again = [(name, token) for name, _, token in lost.batches if token.endswith(":again")]
    assert [name for name, _ in again] == ["events"] and all("events" in w or "ticks" in w or "bars" in w for w in lost.looked)
    assert again[0][1].removesuffix(":again") in {token for _, _, token in lost.batches}
    nobody = Client()                                      # rows and no cursor: each window
    nobody.has = lambda asked: 0 if asked.startswith("events") else 10**6
    assert not stored_in(nobody, tmp_path / "j", tmp_path / "none").is_doubted, "at the end of what is written all is known"
    events = [token for name, _, token in nobody.batches if name == "events"]
    assert len(events) > 20 and len([token for token in events if token.endswith(":again")]) * 2 == len(events)


@pytest.mark.parametrize("what", sorted(table_names()))
def test_every_table_of_a_run_can_be_looked_up(what):
    names = [name for name, _ in columns(what)]
    rows = [[7 + k if name in ("seq", "id", "ts") else 0 for name in names] for k in (3, 1, 2)]
    found = where_of(what, rows)
    assert (found == "") == ("run" not in names)
    if "seq" in names:
        assert found == "seq BETWEEN 8 AND 10"
    elif what == "signals":
        assert found == "id IN (10, 8, 9)"
    elif what == "shadow_scores":
        assert found == "toUnixTimestamp64Nano(ts) BETWEEN 8 AND 10"


def test_what_was_sent_is_not_sent_again_and_another_database_gets_all_of_it(tmp_path):
    a_minute(tmp_path / "j")
    first, again, other, anew = Client(), Client(), Client("second"), Client()
    for client, cursor in ((first, "a"), (again, "a"), (other, "a"), (anew, "b")):
        stored_in(client, tmp_path / "j", tmp_path / cursor)
    assert again.batches == [] and other.batches == anew.batches == first.batches      # to the byte, under the same tokens


def test_a_stock_stands_with_the_nearest_of_its_futures_and_the_count_of_its_contracts():
    """Futures come in order of their expiry. A stock without one has none, and a liquidity nobody measured is no number."""
    plain = {"valid_from": "2026-09-01", "valid_to": "2099-12-31", "isin": "INE1", "name": "A Ltd", "sector": "steel",
             "status": "active", "reason": "", "lot": 500, "tick": 5, "freeze": 9000, "is_cas": True, "banned": 0, "liquidity": 0.5}
    both = [{"key": "NSE_FO|9", "expiry": "2026-09-29"}, {"key": "NSE_FO|4", "expiry": "2026-10-27"}]
    stocks = [plain | {"symbol": "A", "key": "NSE_EQ|A", "futures": both, "options": {"2026-09-29": 40, "2026-10-27": 2}},
              plain | {"symbol": "B", "key": "NSE_EQ|B", "futures": [], "options": {}, "liquidity": None}]
    rows = RowBuilder().rows(REC_UNIVERSE, SEQ, 7_900_000_000, orjson.dumps({"day": "2026-09-01", "rows": stocks, "changes": []}))
    names = [name for name, _ in columns("symbols")]
    first, second = (dict(zip(names, row, strict=True)) for table, row in rows if table == "symbols")
    assert (first["near_future"], first["near_expiry"], first["futures"], first["options"]) == ("NSE_FO|9", "2026-09-29", 2, 42)
    assert (second["near_future"], second["near_expiry"], second["futures"], second["options"]) == ("", "", 0, 0)
    assert first["seen"] == 7 and first["liquidity"] == 0.5 and second["liquidity"] != second["liquidity"]


def test_a_window_is_as_long_as_the_journal_says(tmp_path):
    """Two and a half seconds: the 61 updates, one a second from a whole window's beginning on, lie in 25 of them."""
    a_minute(tmp_path / "j", store_seconds=2.5)
    client = Client()
    stored_in(client, tmp_path / "j", tmp_path / "cursor")
    sizes = [len(block) // TICK_ROW.itemsize for name, block, _ in client.batches if name == "ticks"]
    assert sizes == [3, 2] * 12 + [1]
