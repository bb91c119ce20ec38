"""The decoder's own limits at their edges: nesting, prices, levels, keys."""
import math
import struct

import numpy as np
import pytest

from engine.feed import TICK_DTYPE, decode, encode
from tests.reference import upb

DROPPED, UNKNOWN = 512, 1024


def update(**ltpc):
    response = upb.message("FeedResponse")(type=1, currentTs=7)
    target = response.feeds["NSE_EQ|A"].ltpc
    for name, value in ltpc.items():
        setattr(target, name, value)
    (row,) = decode(response.SerializeToString())
    return row


@pytest.mark.parametrize(("depth", "good"), [(1, True), (90, True), (91, False)])
def test_groups_are_followed_to_ninety(depth, good):
    frame = b"\x0b" * depth + b"\x0c" * depth
    if good:
        assert len(decode(frame)) == 0
    else:
        with pytest.raises(ValueError):
            decode(frame)


def test_a_group_ends_with_its_own_number():
    assert len(decode(b"\x0b\x0c")) == 0
    for wrong in (b"\x0b\x14", b"\x0b\x13\x0c\x14", b"\x0b"):
        with pytest.raises(ValueError):
            decode(wrong)


@pytest.mark.parametrize(("rupees", "paise"), [
    (0.01, 1), (0.004, 0), (0.006, 1), (1405.55, 140_555), (-3.25, -325), (1e13, 10**15), (-1e13, -(10**15)), (0.125, 12),
    (0.375, 38)])
def test_rupees_become_whole_paise_half_to_even(rupees, paise):
    row = update(ltp=rupees, ltt=5, cp=rupees)
    assert (row["ltp"], row["cp"]) == (paise, paise) and not row["has"] & DROPPED


@pytest.mark.parametrize("rupees", [math.nextafter(1e13, math.inf), 1e300, math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("field", ["ltp", "cp"])
def test_a_price_that_is_none_drops_its_update(rupees, field):
    assert update(ltt=5, **({"ltp": 1.0} | {field: rupees}))["has"] & DROPPED


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 30])
def test_five_levels_are_kept_and_all_are_counted(count):
    response = upb.message("FeedResponse")(type=1, currentTs=7)
    market = response.feeds["NSE_EQ|A"].fullFeed.marketFF
    market.marketLevel.SetInParent()
    for i in range(count):
        market.marketLevel.bidAskQuote.add(bidQ=1 + i, bidP=100.0 - i, askQ=101 + i, askP=200.0 + i)
    (row,) = decode(response.SerializeToString())
    assert row["n_levels"] == count
    for i in range(5):
        want = (1 + i, 100_00 - 100 * i, 101 + i, 200_00 + 100 * i) if i < count else (0, 0, 0, 0)
        assert tuple(int(row["levels"][i][n]) for n in ("bidQ", "bidP", "askQ", "askP")) == want


@pytest.mark.parametrize(("length", "dropped"), [(48, False), (49, True)])
def test_the_longest_key(length, dropped):
    response = upb.message("FeedResponse")(type=1, currentTs=7)
    response.feeds["K" * length].ltpc.ltp = 1.0
    (row,) = decode(response.SerializeToString())
    assert bool(row["has"] & DROPPED) == dropped and row["key"][:48] == b"K" * 48


def test_negative_and_huge_integers_are_what_they_are():
    row = update(ltp=1.0, ltt=-1, ltq=2**63 - 1)
    assert (row["ltt"], row["ltq"]) == (-1, 2**63 - 1) and row["ltp"] == np.int64(100)


@pytest.mark.parametrize("value", [1, 127, 128, 129, 16_383, 16_384, 2**32, 2**63 - 1, -1, -(2**63)])
def test_integers_of_every_length_come_back(value):
    row = np.zeros(1, TICK_DTYPE)
    row["key"], row["key_len"], row["has"], row["mode"] = b"K", 1, 1, 1
    row["ltt"] = row["ltq"] = value
    (back,) = decode(encode(row, value))
    assert (back["ltt"], back["ltq"]) == (value, value)


@pytest.mark.parametrize("levels", range(6))
def test_messages_of_every_length_come_back(levels):
    """Keys of 1 to 48 bytes: the lengths of the messages around them pass 127 and 128 one by one."""
    row = np.zeros(1, TICK_DTYPE)
    row["has"], row["mode"], row["ltp"], row["ltt"], row["vtt"], row["n_levels"] = 1 | 2 | 64, 1, 12_345, 77, 9, levels
    for level in range(levels):
        row["levels"][0, level] = (level + 1, 10_000 + level, level + 200, 10_100 + level)
    for length in range(1, 49):
        row["key"], row["key_len"] = b"K" * length, length
        for atp in (0, 5):
            row["atp"] = atp
            (back,) = decode(encode(row, 5))
            assert back["key"] == b"K" * length and (back["ltp"], back["vtt"], back["atp"]) == (12_345, 9, atp)
            assert (back["levels"] == row["levels"][0]).all() and back["n_levels"] == levels


@pytest.mark.parametrize("rest", [b"\x80", b"\xff\xff", b"\x09\x00", b"\x10\x80", b"\x2a\x05\x01"],
                         ids=["half a tag", "a tag without an end", "half a price", "half a number", "half a message"])
def test_a_last_price_message_that_breaks_off_refuses_the_frame(rest):
    """Of a name whose price was read already: what follows is no update, and none of the frame is believed."""
    def block(tag: int, data: bytes) -> bytes:
        return bytes([tag, len(data)]) + data

    def frame(more: bytes) -> bytes:
        ltpc = b"\x09" + struct.pack("<d", 100.05) + more
        return b"\x08\x01" + block(0x12, block(0x0A, b"NSE_EQ|A") + block(0x12, block(0x0A, ltpc)))

    assert decode(frame(b""))["ltp"].tolist() == [10_005]
    with pytest.raises(ValueError, match="malformed frame"):
        decode(frame(rest))
