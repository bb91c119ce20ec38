"""The book: price 0 is no level, an absent sub-message is no news (UPSTOX 1.5.8, 1.5.9)."""


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
