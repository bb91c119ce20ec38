"""Rows of the tables as a day file's columns: nothing of a foreign server's answer is believed before it was looked at."""
import io
from types import SimpleNamespace

import numpy as np
import pytest

from engine.errors import DataError
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_LTPC
from engine.market.instruments import Instrument
from engine.market.sessions import epoch_ms
from engine.store import day_rows
from tests.kit.days import DAY

OPEN = epoch_ms(DAY)


def ticks(**given) -> np.ndarray:
    """Three updates of two names."""
    rows = np.zeros(3, day_rows.TICK)
    rows["inst"], rows["seq"], rows["received"] = [1, 0, 1], [7, 7, 9], [OPEN, OPEN, OPEN + 5]
    rows["ltt"], rows["ltp"], rows["ltq"], rows["vtt"] = OPEN - 3, 10_000, 5, [20, 30, 25]
    rows["bid"], rows["ask"], rows["bid_qty"], rows["ask_qty"] = 9_995, 10_005, 3, 4
    for name, value in given.items():
        rows[name] = value
    return rows


def bars(**given) -> np.ndarray:
    rows = np.zeros(2, day_rows.BAR)
    rows["inst"], rows["ms"], rows["volume"] = [1, 0], OPEN, 9
    rows["open"], rows["high"], rows["low"], rows["close"] = 100, 103, 99, 101
    for name, value in given.items():
        rows[name] = value
    return rows


def client(rows: np.ndarray, counts=((0, 1), (1, 2))) -> SimpleNamespace:
    asked: list[dict] = []

    def raw_stream(text, parameters, fmt):
        asked.append(parameters)
        return io.BytesIO(rows[(rows["inst"] >= parameters["low"]) & (rows["inst"] <= parameters["high"])].tobytes())
    return SimpleNamespace(raw_stream=raw_stream, asked=asked, query=lambda *_, **__: SimpleNamespace(result_rows=list(counts)))


def columns(rows, kind="ticks", counts=((0, 1), (2, 9)), names=2):
    return day_rows.columns_of(client(rows, counts), 1, "one", DAY, kind, names, 9)


def test_updates_come_in_the_journal_s_order_and_show_what_was_known():
    found = columns(ticks(flags=[0, day_rows.CARRIED, 0], bid=[9_995, 0, 9_995], ask=[10_005, 0, 10_005], iv=[0, 0.2, 0]))
    assert found["inst"].tolist() == [0, 1, 1] and found["received"].tolist() == [OPEN, OPEN, OPEN + 5]
    assert found["has"].tolist() == [HAS_FULL, HAS_FULL | HAS_DEPTH | HAS_LTPC, HAS_FULL | HAS_DEPTH | HAS_LTPC]
    assert found["n_levels"].tolist() == [0, 1, 1] and found["levels.bidP"].tolist() == [[0], [9_995], [9_995]]
    assert found["vtt"].tolist() == [30, 20, 25] and found["iv"].dtype == np.float64 and "oi" not in found


def test_a_large_day_is_asked_for_in_parts(monkeypatch):
    monkeypatch.setattr(day_rows, "PART", 10)
    asking = client(ticks(), ((0, 6), (1, 4), (5, 1), (7, 30), (8, 1)))
    assert len(day_rows.columns_of(asking, 1, "one", DAY, "ticks", 9, 9)["inst"]) == 3
    assert [(one["low"], one["high"]) for one in asking.asked] == [(0, 1), (5, 5), (7, 7), (8, 8)]
    with pytest.raises(DataError, match=r"more than .* clickhouse:one:bars"):
        columns(ticks(), counts=((0, day_rows.ROWS_MAX), (1, 1)))


@pytest.mark.parametrize(("given", "words"), [
    ({"inst": [0, 1, 2]}, "instrument that its table"),
    ({"received": OPEN - 86_400_000}, "of 3 rows the time of receipt is not of"),
    ({"received": [OPEN + 9, OPEN + 9, OPEN + 8]}, "of 1 rows the time of receipt steps back"),
    ({"seq": 7, "inst": 1}, "of 2 rows one comes twice in a frame"), ({"ltt": -1}, "the time of the trade is none"),
    ({"ltt": 1 << 60}, "the time of the trade is none"), ({"ltp": [0, 5, 5]}, "of 1 rows ltp is no price"),
    ({"bid": -5}, "bid is no price"), ({"ask": 1 << 60}, "ask is no price"), ({"vtt": 1 << 63}, "vtt is no count"),
    ({"oi": 1 << 60}, "oi is no count"), ({"iv": np.nan}, "iv is no volatility")])
def test_an_update_no_engine_has_written_is_refused(given, words):
    with pytest.raises(DataError, match=f"table ticks, run one: .*{words}.* take the run's folder"):
        columns(ticks(**given))


@pytest.mark.parametrize(("given", "words"), [
    ({"ms": OPEN + 1}, "no minute of the day"), ({"ms": OPEN + 86_400_000}, "no minute of the day"),
    ({"inst": 1}, "one minute comes twice"), ({"open": 0}, "open is no price"), ({"low": 102}, "do not hold open and close"),
    ({"high": 100}, "do not hold open and close"), ({"volume": 1 << 60}, "volume is no count")])
def test_a_bar_no_engine_has_written_is_refused(given, words):
    with pytest.raises(DataError, match=words):
        columns(bars(**given), "bars")
    assert columns(bars(), "bars")["inst"].tolist() == [0, 1]


@pytest.mark.parametrize("size", [-1, 3 * 10 + 1])
def test_an_answer_that_is_cut_off_or_does_not_end_is_refused(monkeypatch, size):
    monkeypatch.setattr(day_rows, "PART", 7)
    odd = client(ticks(), ((0, 3),))
    odd.raw_stream = lambda *_, **__: io.BytesIO((20 * ticks().tobytes())[:size if size < 0 else size * day_rows.TICK.itemsize])
    with pytest.raises(DataError, match="which are not the 3 rows"):
        day_rows.columns_of(odd, 1, "one", DAY, "ticks", 2, 9)


ROW = (0, "NSE_EQ|A", "A", "equity", 5, 1, 1000, 1, 1, 4294967295, 0, 0, "1970-01-01")
OPTION = (1, "NSE_FO|9", "A", "option", 5, 50, 1000, 1, 0, 0, 10_000, 1, "2026-09-29")


def specs(*rows):
    return day_rows.specs_of(SimpleNamespace(query=lambda *_, **__: SimpleNamespace(result_rows=list(rows))), 1, "one")


def test_instruments_are_as_the_run_had_them():
    assert specs(ROW, OPTION) == [
        Instrument("NSE_EQ|A", "A", tick=5, freeze=1000),
        Instrument("NSE_FO|9", "A", "option", 5, 50, 1000, True, False, underlying="NSE_EQ|A", strike=10_000, right="CE",
                   expiry="2026-09-29")]


@pytest.mark.parametrize("rows", [
    (), (OPTION,), (ROW, ROW), (ROW, (1, *ROW[1:])), ((0, "", *ROW[2:]),), ((0, "K\n", *ROW[2:]),), ((0, "K" * 49, *ROW[2:]),),
    ((*ROW[:2], "S" * 32, *ROW[3:]),), ((*ROW[:3], "crypto", *ROW[4:]),), ((*ROW[:4], 0, *ROW[5:]),), ((*ROW[:5], -1, *ROW[6:]),)])
def test_instruments_that_make_no_sense_are_refused(rows):
    with pytest.raises(DataError, match="table instruments, run one"):
        specs(*rows)
