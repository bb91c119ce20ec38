"""The book: price 0 is no level, an absent sub-message is no news."""
import pytest

from tests.market.conftest import OPEN_MS

BOOK = 64


def test_levels_and_depth(tape):
    row = tape.tick(0, 1_000, 100, book=[(995, 10, 1_000, 20), (990, 30, 1_005, 40)])
    assert (row["bid"], row["bid_q"], row["ask"], row["ask_q"]) == (995, 10, 1_000, 20)
    assert (row["bid_depth"], row["ask_depth"]) == (40, 60)


def test_an_absent_book_leaves_the_old_one(tape):
    seen = tape.tick(0, 1_000, 100, book=[(995, 10, 1_000, 20)])["book_seen"]
    row = tape.tick(1_000, 1_005, 110)
    assert (row["bid"], row["ask"]) == (995, 1_000)
    assert row["book_seen"] == seen, "an old book is not fresher for a trade"


def test_an_empty_side_is_no_level(tape):
    tape.tick(0, 1_000, 100, book=[(995, 10, 1_000, 20)])
    row = tape.tick(1_000, 1_000, 110, book=[(995, 10, 0, 5_000)])          # market orders of an auction: quantity, no price
    assert (row["ask"], row["ask_q"], row["ask_depth"]) == (0, 0, 0) and row["bid"] == 995
    row = tape.tick(2_000, 1_000, 110, book=[(0, 0, 0, 0)] * 5)
    assert (row["bid"], row["ask"], row["bid_depth"]) == (0, 0, 0)


def test_five_levels_count_and_a_level_without_a_price_does_not(tape):
    levels = [(995 - k, 1 << k, 1_000 + k, 1 << (8 + k)) for k in range(5)]
    row = tape.tick(0, 1_000, 100, book=levels)
    assert (row["bid_depth"], row["ask_depth"]) == (31, 31 << 8)
    levels[2] = (0, 4, 0, 1 << 10)
    row = tape.tick(1_000, 1_000, 110, book=levels)
    assert (row["bid_depth"], row["ask_depth"]) == (27, 27 << 8)
    row = tape.tick(2_000, 1_000, 120, book=levels[:2])
    assert (row["bid_depth"], row["ask_depth"]) == (3, 3 << 8)


@pytest.mark.parametrize("level", [(1, 1, 2, 1), (1, 2, 2, 3)])
def test_one_paisa_and_one_share_are_a_level(tape, level):
    row = tape.tick(0, 2, 100, book=[level])
    assert (row["bid"], row["bid_q"], row["ask"], row["ask_q"]) == level


@pytest.mark.parametrize(("level", "bid", "ask"), [
    ((995, 0, 1_000, 20), 0, 1_000), ((995, 10, 1_000, 0), 995, 0), ((0, 10, 1_000, 20), 0, 1_000), ((995, 10, 0, 20), 995, 0)])
def test_a_price_without_a_quantity_is_no_level(tape, level, bid, ask):
    row = tape.tick(0, 1_000, 100, book=[level])
    assert (row["bid"], row["ask"]) == (bid, ask)
    assert (row["bid_q"], row["ask_q"]) == (10 if bid else 0, 20 if ask else 0)


@pytest.mark.parametrize(("level", "is_news"), [
    ((995, 10, 1_000, 20), False), ((990, 10, 1_000, 20), True), ((995, 11, 1_000, 20), True), ((995, 10, 1_005, 20), True),
    ((995, 10, 1_000, 21), True)])
def test_a_change_of_each_of_price_and_size_is_news(tape, level, is_news):
    """In the ring; and the book was seen either way."""
    tape.tick(0, 1_000, 100, book=[(995, 10, 1_000, 20)])
    row = tape.tick(1_000, 1_000, 100, book=[level])
    ring = tape.core.market.ticks(0)
    assert bool(ring[(row["ring_at"] - 1) % len(ring)]["flags"] & BOOK) == is_news
    assert (row["bid"], row["bid_q"], row["ask"], row["ask_q"]) == level
    assert row["book_seen"] == (OPEN_MS + 1_000) * 1_000_000


def test_an_absent_book_is_no_news(tape):
    tape.tick(0, 1_000, 100, book=[(995, 10, 1_000, 20)])
    row = tape.tick(1_000, 1_005, 110)
    assert not tape.core.market.ticks(0)[(row["ring_at"] - 1) % 64]["flags"] & BOOK
