"""The synthetic market's rows, looked at one after the other: what is carried over, what grows, what the candles say."""
import datetime as dt

import numpy as np

from engine.market.instruments import shipped
from engine.sim.columns import SPAN, WORDS, running_max, words_of
from engine.sim.market import SyntheticMarket

NAMES = 7


def test_rows_carry_over_and_candles_are_those_of_the_rows_before():
    market = SyntheticMarket(shipped()[:NAMES], dt.date(2026, 9, 1), 4, artefacts=0.0)
    last: dict[int, np.void] = {}
    bars: dict[int, list[list[int]]] = {inst: [] for inst in range(NAMES)}
    closing = dict.fromkeys(range(NAMES), 0)
    for minute in range(5):
        rows, received = market.next_minute()
        assert (np.diff(received) >= 0).all() and set(rows["inst"]) == set(range(NAMES))
        for inst in range(NAMES):
            mine = rows[rows["inst"] == inst]
            for row in mine if minute else ():             # before, a name may be shown without a price
                was, day = last[inst], row["day"]
                assert row["vtt"] >= was["vtt"] and row["ltt"] >= was["ltt"] and day["vol"] == row["vtt"]
                assert day["high"] == max(was["day"]["high"], row["ltp"]) and day["close"] == row["ltp"]
                if minute > 1:
                    assert day["open"] == was["day"]["open"] > 0 and day["low"] == min(was["day"]["low"], row["ltp"])
                    assert [int(row["i1"][name]) for name in ("open", "high", "low", "close", "vol")] == bars[inst][minute - 1]
                last[inst] = row
            last[inst] = mine[-1]
            prices = mine["ltp"].tolist()
            bars[inst].append([prices[0], max(prices), min(prices), prices[-1], int(mine["vtt"][-1]) - closing[inst]])
            closing[inst] = int(mine["vtt"][-1])
    assert all(bar[4] > 0 for mine in bars.values() for bar in mine)


def test_the_largest_so_far_begins_anew_with_each_group():
    values = np.array([3, 1, 4, SPAN - 1, 0, 5, 2, 0])
    assert running_max(values, np.array([0, 0, 0, 0, 1, 1, 1, 4])).tolist() == [3, 3, 4, SPAN - 1, 0, 5, 5, 0]


def test_words_of_rows_are_their_fields():
    rows, _ = SyntheticMarket(shipped()[:2], dt.date(2026, 9, 1), 4).next_minute()
    words = words_of(rows)
    assert (words[:, WORDS["ltt"]][:, 0] == rows["ltt"]).all() and "key" in WORDS
    assert (words[:, WORDS["levels"]].reshape(-1, 5, 4)[:, 2, 1] == rows["levels"]["bidP"][:, 2]).all()
