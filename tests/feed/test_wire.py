"""`_ext/feed/wire` against upb: random messages, hostile bytes, recorded frames, truncation at every byte."""
import gzip
import math
import sysconfig

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _ext.core.keys import KeyTable
from _ext.feed import wire
from _ext.feed.encode import encode, encode_market_info
from tests.conftest import recording
from tests.kit.counts import count
from tests.reference import upb

HAS_DROPPED = 512
SAID = set(wire.TICK_DTYPE.names) - {"inst", "has", "key_len", "key", "bidQ", "bidP", "askQ", "askP", "levels"}
"""What a message may say of a name, and what is 0 where it does not."""


def decode(frame: bytes):
    return wire.Decoder(KeyTable(8), 4096).decode_frame(frame)


def assert_same(frame: bytes) -> None:
    """The compiled decoder says of `frame` exactly what upb says."""
    want = upb.expected_rows(frame)
    try:
        rows = decode(frame)
    except ValueError:
        assert want is None, f"upb accepts {frame.hex()}"
        return
    assert want is not None, f"upb rejects {frame.hex()}"
    got = {bytes(row["key"]): row for row in rows if row["key_len"] <= 48}
    for key, fields in want.items():
        if len(key) > 48 or b"\0" in key:   # numpy's S48 cannot tell trailing NULs; the key table can
            continue
        row = got[key]
        assert bool(row["has"] & HAS_DROPPED) == upb.is_refused(fields)
        if not upb.is_refused(fields):
            assert_row(row, fields)


def assert_row(row, fields: dict) -> None:
    for name, value in fields.items():
        if name == "levels":
            assert [tuple(level.tolist()) for level in row["levels"][:len(value)]] == value
        elif isinstance(value, tuple):
            assert tuple(row[name].tolist()) == value
        else:
            same = row[name] == value or (isinstance(value, float) and math.isnan(value) and np.isnan(row[name]))
            assert same, f"{name}: {row[name]} is not {value}"
    assert not row["levels"][len(fields.get("levels", ())):].view(np.int64).any()
    for name in SAID:
        assert name in fields or not np.any(np.array(row[name].tolist())), f"{name}: {row[name]}, and nobody said it"


# ---- random messages -------------------------------------------------------------------------------------------------
int64s = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, 10**7))
doubles = st.one_of(st.floats(), st.integers(0, 10**8).map(lambda n: n / 100))
SCALARS = {1: doubles, 3: int64s, 5: st.integers(-(2**31), 2**31 - 1), 8: st.booleans(),
           9: st.one_of(st.sampled_from(["1d", "I1", "NSE_EQ|INE118H01025", "x" * 49]), st.text(max_size=8)),
           14: st.integers(-3, 9)}


@st.composite
def messages(draw, name: str):
    """A random message of the schema as upb objects; every field absent now and then, repeated fields repeated."""
    out = upb.message(name)()
    fill(draw, out)
    return out


def fill(draw, out) -> None:
    for field in out.DESCRIPTOR.fields:
        if draw(st.booleans()):
            continue
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            for _ in range(draw(st.integers(0, 3))):
                key = draw(SCALARS[9])
                value = field.message_type.fields_by_name["value"]
                if value.message_type is not None:
                    fill(draw, getattr(out, field.name)[key])
                else:
                    getattr(out, field.name)[key] = draw(SCALARS[value.type])
        elif field.message_type is not None and field.is_repeated:
            for _ in range(draw(st.integers(0, 6))):
                fill(draw, getattr(out, field.name).add())
        elif field.message_type is not None:
            getattr(out, field.name).SetInParent()
            fill(draw, getattr(out, field.name))
        else:
            setattr(out, field.name, draw(SCALARS[field.type]))


@settings(max_examples=300, deadline=None)
@given(messages("FeedResponse"))
def test_equals_upb_on_every_message(response):
    assert_same(response.SerializeToString())


@settings(max_examples=300, deadline=None)
@given(messages("FeedResponse"), messages("FeedResponse"))
def test_concatenation_merges_as_protobuf_says(first, second):
    assert_same(first.SerializeToString() + second.SerializeToString())


PLACES = {"Feed": (), "LTPC": (1,), "FullFeed": (2,), "MarketFullFeed": (2, 1), "MarketLevel": (2, 1, 2), "Quote": (2, 1, 2, 1),
          "OptionGreeks": (2, 1, 3), "MarketOHLC": (2, 1, 4), "OHLC": (2, 1, 4, 1), "IndexFullFeed": (2, 2),
          "FirstLevelWithGreeks": (3,)}
"""Message -> the field numbers that lead to it from an entry of `feeds`."""


def placed(name: str, *pieces) -> bytes:
    """A frame in which the message `name` is written in pieces, one behind the other."""
    body = b"".join(piece.SerializeToString() for piece in pieces)
    for number in (*reversed(PLACES[name]), 2):
        head = [number << 3 | 2]
        n = len(body)
        while n >= 0x80:
            head.append(n & 0x7F | 0x80)
            n >>= 7
        body = bytes([*head, n]) + body
    entry = b"\x0a\x01A" + body
    return b"\x12" + bytes([len(entry) & 0x7F | 0x80, len(entry) >> 7]) + entry


def whole(name: str, shift: int = 0, only: int = 0):
    """A message of the schema with every field, or that numbered `only`, and no two values alike."""
    out = upb.message(name)()
    for field in out.DESCRIPTOR.fields:
        if only and field.number != only:
            continue
        if field.message_type is not None:
            inner = getattr(out, field.name)
            inner = inner.add() if field.is_repeated else inner
            inner.SetInParent()
            if field.message_type.name in PLACES:
                inner.MergeFromString(whole(field.message_type.name, shift).SerializeToString())
            else:
                inner.value = 7.0 + shift
        else:
            setattr(out, field.name, {1: field.number * 1.25 + shift, 9: "1d", 8: not shift, 14: 1 + shift}.get(
                field.type, 1000 * field.number + shift))
    return out


@pytest.mark.parametrize("name", PLACES)
def test_a_message_in_pieces_merges_field_by_field(name):
    """The quick ways take whole messages in the usual order: what is said once more, before or behind, counts as well."""
    numbers = [field.number for field in upb.message(name).DESCRIPTOR.fields]
    for first in numbers:
        again = whole(name, 1, first)
        assert_same(placed(name, whole(name), again))
        assert_same(placed(name, again, whole(name)))
        for second in numbers:
            for third in numbers if len(numbers) <= 4 else (first,):
                assert_same(placed(name, again, whole(name, 2, second), whole(name, 1, third)))


@pytest.mark.parametrize("interval", ["1d", "I1", "I5", "1", "1dd"])
def test_a_candle_in_pieces_counts_by_its_last_interval(interval):
    last = upb.message("OHLC")(interval=interval)
    assert_same(placed("OHLC", whole("OHLC"), last))
    assert_same(placed("OHLC", last, whole("OHLC")))


@pytest.mark.parametrize("more", range(4))
def test_levels_beyond_the_fifth_leave_everything_else_alone(more):
    assert_same(placed("MarketLevel", *(whole("MarketLevel", k) for k in range(5 + more))))


@settings(max_examples=300, deadline=None)
@given(messages("FeedResponse"), st.data())
def test_hostile_bytes_are_judged_like_upb(response, data):
    """Flip, insert or cut bytes anywhere: the same verdict and, where accepted, the same fields."""
    frame = bytearray(response.SerializeToString() or b"\x08\x01")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(frame) - 1))
        frame[at:at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
        frame = frame or bytearray(b"\x12")
    assert_same(bytes(frame))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_random_bytes_are_judged_like_upb(frame):
    assert_same(frame)


@pytest.mark.parametrize("frame", [
    b"\x12\x00", b"\x12\x02\x12\x00", b"\x12\x04\x0a\x01A\x12", b"\x0b\x0c", b"\x0b\x13\x14\x0c", b"\x0b\x14", b"\x0c",
    b"\x07", b"\x00", b"\x08" + b"\xff" * 9 + b"\x01", b"\x08" + b"\xff" * 9 + b"\x02", b"\x08" + b"\x80" * 10 + b"\x00",
    b"\x88\x80\x80\x80\x00\x01", b"\x88\x80\x80\x80\x80\x00\x01", b"\x0a" + b"\x80" * 4 + b"\x00", b"\x0a" + b"\x80" * 5 + b"\x00",
    b"\x12" + b"\x80" * 9 + b"\x0a",
    b"\x12\x05\x0a\x03\xed\xa0\x80", b"\x12\x04\x0a\x02\xc0\x80",
])
def test_corners_of_the_wire_format(frame):
    assert_same(frame)


def test_nested_groups_are_followed_and_bounded():
    assert_same(b"\x0b" * 40 + b"\x0c" * 40)
    with pytest.raises(ValueError):
        decode(b"\x0b" * 200 + b"\x0c" * 200)


# ---- real shapes ---------------------------------------------------------------------------------------------------
def sample_response():
    """A full_d5 update, an index, an ltpc with auction price, an option's first level and market_info in one frame."""
    response = upb.message("FeedResponse")(type=1, currentTs=1765771372335)
    full = response.feeds["NSE_EQ|INE465A01025"]
    full.requestMode = 1
    market = full.fullFeed.marketFF
    market.ltpc.ltp, market.ltpc.ltt, market.ltpc.ltq, market.ltpc.cp = 1405.5, 1765771372335, 1, 1426.6
    for i in range(5):
        market.marketLevel.bidAskQuote.add(bidQ=83 + i, bidP=1405.1 - i / 10, askQ=1 + i, askP=1405.5 + i / 10)
    market.optionGreeks.delta = 0.6334
    market.marketOHLC.ohlc.add(interval="1d", open=1426.0, high=1426.6, low=1403.4, close=1405.5, vol=81399, ts=1)
    market.marketOHLC.ohlc.add(interval="I1", open=1404.0, high=1405.0, low=1403.4, close=1404.0, vol=1868, ts=2)
    market.atp, market.vtt, market.tbq, market.tsq, market.oi, market.iv = 1414.32, 81407, 85964.0, 100091.0, 7.0, 0.1
    market.iep, market.rp, market.ieq, market.iiqTotal, market.iiqM, market.casEligible = 1.5, 2.5, 3, -4, 5, True
    index = response.feeds["NSE_INDEX|Nifty Bank"].fullFeed.indexFF
    index.ltpc.ltp = 59000.25
    response.feeds["NSE_EQ|A"].ltpc.iep.value = 0.0
    first = response.feeds["NSE_FO|51414"].firstLevelWithGreeks
    first.firstDepth.bidP, first.vtt, first.iv = 763.1, 10, 0.1
    response.marketInfo.segmentStatus["NSE_EQ"] = 2
    response.marketInfo.casMarketStatus["NSE_EQ"].status = "CTS_CLOSE"
    return response


def test_every_message_and_mode():
    assert_same(sample_response().SerializeToString(deterministic=True))


def test_each_field_missing_one_at_a_time():
    whole = sample_response()
    fields = [(full, f.name) for full in [whole.feeds["NSE_EQ|INE465A01025"].fullFeed.marketFF] for f, _ in full.ListFields()]
    for _, name in fields:
        copy = sample_response()
        copy.feeds["NSE_EQ|INE465A01025"].fullFeed.marketFF.ClearField(name)
        assert_same(copy.SerializeToString())


def test_truncated_at_every_byte_is_rejected_whole_or_equals_upb():
    frame = sample_response().SerializeToString(deterministic=True)
    rejected = 0
    for n in range(len(frame)):
        assert_same(frame[:n])
        rejected += upb.expected_rows(frame[:n]) is None
    assert rejected > len(frame) * 0.95
    decoder = wire.Decoder(KeyTable(8), 64)
    with pytest.raises(ValueError):
        decoder.decode_frame(frame[:-1])
    assert decoder.frame_head()[0] >= 0 and decoder.decode_frame(b"").shape == (0,)


def test_repeated_key_the_last_wins_whole():
    response = sample_response()
    entry = response.SerializeToString()
    other = upb.message("FeedResponse")()
    other.feeds["NSE_EQ|INE465A01025"].ltpc.ltp = 7.0
    rows = decode(entry + other.SerializeToString())
    row = rows[rows["key"] == b"NSE_EQ|INE465A01025"]
    assert len(row) == 1 and row[0]["ltp"] == 700 and row[0]["vtt"] == 0


def test_more_updates_than_the_batch_holds_are_refused():
    with pytest.raises(ValueError, match="more than 2"):
        wire.Decoder(KeyTable(8), 2).decode_frame(sample_response().SerializeToString())


def test_market_info():
    decoder = wire.Decoder(KeyTable(8), 8)
    decoder.decode_frame(encode_market_info({"NSE_EQ": 2, "NSE_FO": 0}, 5))
    assert decoder.frame_head() == (2, 5, {"segmentStatus": {"NSE_EQ": 2, "NSE_FO": 0}, "casMarketStatus": {},
                                           "preOpenSessionStatus": {}})


def test_encode_is_the_inverse_of_decode():
    rows = decode(sample_response().SerializeToString(deterministic=True))
    frame = encode(rows, 1765771372335)
    again = decode(frame)
    assert again.tobytes() == rows.tobytes()
    assert upb.message("FeedResponse").FromString(frame).currentTs == 1765771372335
    with pytest.raises(ValueError):
        encode(np.zeros(1), 0)


def test_decode_into_and_packed_agree():
    frames = [sample_response().SerializeToString()] * 3
    out = np.zeros(12, wire.TICK_DTYPE)
    decoder = wire.Decoder(KeyTable(8), 64)
    assert decoder.decode_into(frames, out) == 12
    packed = np.frombuffer(b"".join(frames), np.uint8)
    offsets = np.cumsum([0] + [len(f) for f in frames])
    assert decoder.decode_packed(packed, offsets) == (3, 12, out["ltp"].sum(), out["bidP"].sum())
    with pytest.raises(ValueError, match="more are needed"):
        decoder.decode_into(frames, out[:5])


@pytest.mark.long
@pytest.mark.recording(twin="tests/feed/test_wire.py::test_equals_upb_on_every_message")
def test_equals_upb_on_the_recorded_messages():
    """Every recorded message of one instrument (every fifth in `make test`), envelope rebuilt by upb's own serialiser."""
    from google.protobuf import json_format

    lines = gzip.open(recording("upstox_v3_2025-12-15/raw/NSE_EQ_INE465A01025.jsonl.gz")).read().splitlines()
    for line in lines[::count(5, 1)]:
        feed = {k: v for k, v in orjson.loads(line).items() if k in ("fullFeed", "requestMode")}
        response = upb.message("FeedResponse")(type=1)
        json_format.ParseDict(feed, response.feeds["NSE_EQ|INE465A01025"])
        assert_same(response.SerializeToString())
    assert len(lines) > 1000


@pytest.mark.recording(twin="tests/feed/test_wire.py::test_every_message_and_mode")
def test_equals_upb_on_the_connect_sequence():
    from google.protobuf import json_format

    for message in orjson.loads(recording("upstox_v3_2025-12-15/raw/connect_sequence_2025-03-19.json").read_bytes()):
        assert_same(json_format.ParseDict(message, upb.message("FeedResponse")()).SerializeToString())


def test_the_compiled_module_is_the_one_loaded():
    assert wire.__file__.endswith(sysconfig.get_config_var("EXT_SUFFIX"))
