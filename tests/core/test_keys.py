"""The table of keys: a row is given once and for good; what does not fit is refused."""
import pytest

from _ext.core.keys import KeyTable

LONGEST = bytes(range(65, 113))
"""Forty-eight bytes, all different."""


def test_rows_are_given_in_order_and_never_twice():
    table = KeyTable(3)
    assert [table.add(key) for key in (b"NSE_EQ|A", b"NSE_EQ|B", b"NSE_EQ|A", b"NSE_FO|1", b"NSE_EQ|B")] == [0, 1, 0, 2, 1]
    assert table.size == 3
    assert [table.get(key) for key in (b"NSE_FO|1", b"NSE_EQ|A", b"NSE_EQ|C", b"NSE_EQ|", b"")] == [2, 0, None, None, None]


def test_a_full_table_takes_no_new_key_and_knows_the_old_ones():
    table = KeyTable(2)
    table.add(b"A")
    table.add(b"B")
    with pytest.raises(ValueError, match="holds 2 names"):
        table.add(b"C")
    assert table.add(b"B") == 1 and table.get(b"C") is None and table.size == 2


@pytest.mark.parametrize("length", [0, 49])
def test_a_key_has_one_to_forty_eight_bytes(length):
    table = KeyTable(1)
    with pytest.raises(ValueError, match="1 to 48 bytes"):
        table.add((LONGEST + b"z")[:length])
    assert table.size == 0 and table.get((LONGEST + b"z")[:length]) is None


def test_the_beginning_of_a_key_is_another_key():
    """Whatever its length: whole words of eight bytes and what is left over, and a zero byte at the end counts."""
    table = KeyTable(64)
    keys = [LONGEST[:n] for n in range(1, 49)] + [b"A\0", b"A\0\0"]
    assert [table.add(key) for key in keys] == list(range(50))
    assert [table.get(key) for key in keys] == list(range(50))


def test_ten_thousand_keys_are_found_where_they_were_put():
    table = KeyTable(10_000)
    keys = [f"NSE_FO|{number}".encode() for number in range(40_000, 50_000)]
    for key in keys:
        table.add(key)
    assert [table.get(key) for key in keys] == list(range(10_000)) and table.get(b"NSE_FO|50000") is None
