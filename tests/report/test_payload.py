"""The blocks of a report come back as they went in, and nothing in the header can end the element it stands in."""
import base64
import gzip
import json
from itertools import pairwise

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as some

from engine.errors import DataError
from engine.report.payload import Block, header_text, unpacked

WHOLE = some.lists(some.integers(-(1 << 30), 1 << 30), max_size=50)


@given(WHOLE, some.booleans())
def test_whole_numbers_come_back(values, differ):
    block = Block("b", len(values))
    block.whole("v", values, "", differ and all(abs(b - a) < 1 << 31 for a, b in pairwise(values)))
    assert unpacked(block.head, block.packed())["v"].tolist() == values


@given(some.lists(some.floats(width=32), max_size=50), some.lists(some.text(max_size=8), min_size=3, max_size=3))
def test_floats_and_words_come_back_beside_each_other(values, words):
    block = Block("b", len(values))
    block.real("v", values, "")
    block.words("w", [words[k % 3] for k in range(len(values))])
    found = unpacked(block.head, block.packed())
    assert np.array_equal(found["v"], np.array(values, "f4"), equal_nan=True)
    assert found["w"] == [words[k % 3] for k in range(len(values))]


def test_the_bytes_are_those_of_the_document():
    """Written out by hand: planes of differences, zigzag; the first value stands in the header."""
    block = Block("b", 4)
    block.whole("t", [1_700_000_000, 1_700_000_001, 1_700_000_000, 1_700_000_300], "s")
    assert block.columns == [{"name": "t", "unit": "s", "is": "delta", "width": 2, "first": 1_700_000_000}]
    assert gzip.decompress(base64.b64decode(block.packed())) == bytes([0, 2, 1, 600 & 255, 0, 0, 0, 600 >> 8])
    assert block.head["size"] == 8
    plain = Block("p", 3)
    plain.whole("side", [1, -1, 0], "", differ=False)
    assert gzip.decompress(base64.b64decode(plain.packed())) == bytes([2, 1, 0])


def test_the_same_figures_make_the_same_file():
    def packed() -> str:
        block = Block("b", 1000)
        block.whole("v", np.arange(1000) ** 2 % 977, "")
        return block.packed()

    assert packed() == packed()
    assert gzip.decompress(base64.b64decode(packed()))[:1] == b"\0"


def test_what_cannot_be_kept_is_refused():
    with pytest.raises(DataError, match=r"b\.v: a value does not fit"):
        Block("b", 1).whole("v", [1 << 33], "", differ=False)
    with pytest.raises(DataError, match="of 2 rows"):
        Block("b", 2).whole("v", [1], "")


def test_a_header_cannot_end_its_element():
    text = header_text({"note": "</script><script>alert(1)</script><!--", "line": "a\u2028b & c"}, [])
    assert "<" not in text and ">" not in text and "\u2028" not in text
    assert json.loads(text)["note"] == "</script><script>alert(1)</script><!--"
    assert orjson.loads(text)["version"] == 1
