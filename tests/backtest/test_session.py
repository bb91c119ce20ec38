"""Whole backtests of generated days: one account, each day begun as a live one, replayed identically, ended in order.

`engine/backtest/session.py`, `engine/backtest/drive.py`, `engine/backtest/days.py`, `engine/backtest/options.py`,
`engine/trail/day_files.py`.
"""
import datetime as dt
import os
import signal
from types import SimpleNamespace

import numpy as np
import orjson
import polars as pl
import pytest

import engine
from engine.backtest import session
from engine.backtest.days import days_of
from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.errors import DataError
from engine.feed import UNKNOWN_KEY
from engine.feed.dayfile import DayFile
from engine.run.options import OptionError
from engine.trail.replay import replay
from engine.trail.rundir import RunError
from tests.kit.days import DAY, recorded_day
from tests.market.test_tables import minutes, seconds, written

NEXT = DAY + dt.timedelta(days=1)
LOOSE = {"signals": {"strength": 0.3, "volume": 0.5, "noise": 1.0}, "session": {"first_minute": 1},
         "source": {"spike": {"emit": 0.4, "trade": 0.45}}}
"""Settings that let generated candidates trade."""


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """Two generated days of six names, the second without a book."""
    folder = tmp_path_factory.mktemp("days")
    recorded_day(folder, DAY, seed=5)
    recorded_day(folder, NEXT, seed=6, book=False)
    return folder


@pytest.fixture(scope="module")
def whole(days, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out") / "run"
    return backtest(BacktestOptions(data=days, run_dir=folder), Config(**LOOSE)), folder


def test_days_are_traded_in_order_on_one_account(whole):
    document, folder = whole
    assert (document["first"], document["last"], document["result"]["days"]) == (str(DAY), str(NEXT), 2)
    assert document["is_whole"] and document["problem"] is None and document["result"]["trades"] > 3
    assert any("1 of 2 days have no book" in note for note in document["notes"])
    trades = pl.read_parquet(folder / "trades.parquet")
    assert len(trades) == document["result"]["trades"] and document["result"]["open"] == 0
    ended = trades.filter(pl.col("reason") == "end of data")
    assert len(ended) > 0 and any(f"{len(ended)} positions were still held" in note for note in document["notes"])
    assert (trades["gross"] - trades["charges"]).sum() == pytest.approx(document["result"]["net"])
    assert orjson.loads((folder / "backtest.json").read_bytes())["result"]["net"] == document["result"]["net"]
    assert trades["entry_time"].dt.date().to_list() == [dt.date.fromisoformat(day) for day in trades["day"]]
    assert (trades["entry_time"].dt.time() >= dt.time(9, 16)).all() and trades["entry_time"].is_sorted()


def test_the_second_day_begins_with_what_the_first_left(whole):
    _, folder = whole
    began = [_start(folder / str(day)) for day in (DAY, NEXT)]
    first = [trade for trade in pl.read_parquet(folder / "trades.parquet").to_dicts() if trade["day"] == str(DAY)]
    net = sum(trade["gross"] - trade["charges"] for trade in first)
    assert began[0]["funds"] == 100_000_000 and began[1]["funds"] == pytest.approx(100_000_000 + 100 * net, abs=1)
    assert began[0]["bars"] == 0 and began[1]["bars"] == 6 * 64


def _start(folder):
    from _ext.core.records import FUNDS, REC_BARS, REC_FUNDS, WARM_BAR
    from engine.trail.checked import reader_of

    out = {"bars": 0}
    for kind, _, _, payload in reader_of(folder):
        if kind == REC_BARS:
            out["bars"] += len(np.frombuffer(payload, WARM_BAR))
        elif kind == REC_FUNDS:
            out["funds"] = int(np.frombuffer(payload, FUNDS)[0]["available"])
            return out
    raise AssertionError("no funds in the journal")


def test_each_day_replays_identically_and_its_candidates_can_be_explained(whole):
    _, folder = whole
    for day in (DAY, NEXT):
        found = replay(folder / str(day), _models())
        assert found["identical"] and found["matched"] > 20 and found["expected"] == found["digest"]
    trade = pl.read_parquet(folder / "trades.parquet").to_dicts()[0]
    found = engine.explain(trade["candidate"], folder / trade["day"])
    assert found["symbol"] == trade["symbol"] and found["tick"]["row"] > 0 and len(found["chain"]) > 3


def _models():
    from pathlib import Path

    return Path(Config().models)


def test_a_replay_needs_the_very_file(days, whole, tmp_path):
    copy = tmp_path / "copy"
    recorded_day(copy, DAY, seed=5, minutes=20)
    backtest(BacktestOptions(data=copy, run_dir=tmp_path / "run"), Config(**LOOSE))
    path = copy / f"{DAY}.ticks.day"
    good = path.read_bytes()
    path.write_bytes(good[:-5_000] + bytes([good[-5_000] ^ 1]) + good[-4_999:])
    with pytest.raises(RunError, match="not the day file"):
        replay(tmp_path / "run" / str(DAY), _models())
    path.unlink()
    with pytest.raises(RunError, match="put the file back"):
        replay(tmp_path / "run" / str(DAY), _models())
    path.write_bytes(good)
    assert replay(tmp_path / "run" / str(DAY), _models())["identical"]


def test_the_same_backtest_twice_is_the_same(days, whole, tmp_path):
    document, folder = whole
    again = backtest(BacktestOptions(data=days, run_dir=tmp_path / "run", journal=False), Config(**LOOSE))
    assert again["result"] == document["result"] and again["groups"] == document["groups"]
    assert not (tmp_path / "run" / str(DAY)).exists()
    backtest(BacktestOptions(data=days, run_dir=tmp_path / "other", journal=False, seed=2), Config(**LOOSE))
    times = [pl.read_parquet(path / "trades.parquet")["entry_time"].to_list() for path in (folder, tmp_path / "other")]
    assert times[0] != times[1]                            # only the delays are drawn anew


def test_some_days_and_some_names(days, tmp_path):
    document = engine.backtest(data=days, first=NEXT, run_dir=tmp_path / "run", names="sbin", config=Config(**LOOSE)) if (
        "SBIN" in _symbols(days)) else engine.backtest(data=days, first=NEXT, run_dir=tmp_path / "run",
                                                       names=_symbols(days)[0].lower(), config=Config(**LOOSE))
    assert document["first"] == document["last"] == str(NEXT)
    assert set(document["groups"]["instrument"]) <= set(_symbols(days)) and len(document["groups"]["instrument"]) <= 1
    assert _start(tmp_path / "run" / str(NEXT))["bars"] == 64            # of the day before, which is not traded
    with pytest.raises(DataError, match="no NOBODY"):
        engine.backtest(data=days, names="NOBODY", run_dir=tmp_path / "b")
    with pytest.raises(DataError, match="no day from 2030-01-01"):
        engine.backtest(data=days, first=dt.date(2030, 1, 1), run_dir=tmp_path / "c")
    with pytest.raises(DataError, match="no such file"):
        engine.backtest(data=tmp_path / "nowhere", run_dir=tmp_path / "d")
    with pytest.raises(RunError, match="is not empty"):
        engine.backtest(data=days, run_dir=tmp_path / "run")
    with pytest.raises(OptionError, match="--from 2026-09-02 is after --to 2026-09-01"):
        engine.backtest(data=days, first=NEXT, last=DAY)


def _symbols(days):
    return [spec.symbol for spec in days_of(days, days)[0].specs]


def test_of_the_sessions_before_only_the_last_warms_up(tmp_path, monkeypatch):
    heads, seen = [SimpleNamespace(day=DAY + dt.timedelta(days=k), specs=[]) for k in range(4)], []
    monkeypatch.setattr(session, "days_of", lambda *_: heads)
    monkeypatch.setattr(session, "_results", lambda *given: seen.extend(given[-2:]) or {"is_whole": False})
    backtest(BacktestOptions(data=tmp_path, first=heads[2].day, run_dir=tmp_path / "run"), Config())
    assert seen == [[heads[1]], heads[2:]]


def test_ctrl_c_keeps_what_is_done(days, tmp_path):
    said = []

    def interrupt(text):
        said.append(text)

    options = BacktestOptions(data=days, run_dir=tmp_path / "run")
    before, session.SAY_S = session.SAY_S, 0.0
    try:
        document = backtest(options, Config(**LOOSE), lambda text: (interrupt(text), os.kill(os.getpid(), signal.SIGINT)) if len(
            said) == 20 else interrupt(text))
    finally:
        session.SAY_S = before
    assert not document["is_whole"] and document["problem"] is None and document["result"]["days"] == 1
    assert 0 < document["rows"] < 40_000 and len(said) in (21, 22) and "% of" in said[0] and "s left" in said[0]
    assert replay(tmp_path / "run" / str(DAY), _models())["identical"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# ---- what it runs on --------------------------------------------------------------------------------------------------------
def test_tables_become_day_files_once_and_again_when_they_change(tmp_path):
    folder, said = tmp_path / "tables", []
    written(folder, seconds(), "SBIN.parquet")
    first = days_of(folder, tmp_path / "cache", said.append)
    assert [head.kind for head in first] == ["ticks"] and "making day files" in said[0]
    made = first[0].path.stat().st_mtime_ns
    said.clear()
    assert days_of(folder, tmp_path / "cache", said.append)[0].path.stat().st_mtime_ns == made and not said
    written(folder, seconds(), "TCS.parquet")
    assert len(days_of(folder, tmp_path / "cache", said.append)[0].specs) == 2 and said


def test_ticks_of_a_day_are_taken_and_not_its_bars(tmp_path):
    folder = tmp_path / "days"
    recorded_day(folder, DAY, minutes=2)
    from engine.market.instruments import Instrument
    from tests.kit.days import bars_day

    bars_day(folder, [(0, 100, 101, 99, 100, 5)], [Instrument("NSE_EQ|A", "A")])
    bars_day(folder, [(0, 100, 101, 99, 100, 5)], [Instrument("NSE_EQ|A", "A")], NEXT)
    assert [(head.day, head.kind) for head in days_of(folder, tmp_path)] == [(DAY, "ticks"), (NEXT, "bars")]
    with pytest.raises(DataError, match="no such file"):
        days_of(tmp_path / "none", tmp_path)


def test_two_files_of_one_day_are_not_chosen_between(tmp_path):
    path = recorded_day(tmp_path, names=1, minutes=16)
    path.with_name("copy.day").write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"copy.day both hold ticks of 2026-09-01|copy.day and .*both hold ticks of 2026-09-01"):
        days_of(tmp_path, tmp_path / "cache")


def test_a_run_s_frames_become_a_day_file(tmp_path):
    run = engine.run(speed="max", names=5, minutes=20, store=False, run_dir=tmp_path / "run", unlisted=True)
    (head,) = days_of(tmp_path / "run", tmp_path / "cache")
    assert head.rows == run["updates"] and len(head.specs) == 5
    assert not (DayFile(head.path).columns["has"] & UNKNOWN_KEY).any()      # the core passes such rows over
    assert days_of(tmp_path / "run", tmp_path / "cache")[0].path == head.path


def test_a_day_of_bars_is_traded_with_its_bounds(tmp_path):
    folder = tmp_path / "bars"
    written(folder, minutes(375), "SBIN.parquet")
    document = backtest(BacktestOptions(data=folder, run_dir=tmp_path / "run", bounds=True), Config(**LOOSE))
    assert document["rows"] == 375 and document["optimistic"]["days"] == 1
    assert any("four points each" in note for note in document["notes"])


def test_a_flipped_bit_is_found_before_it_is_a_price(days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy = tmp_path / "days"
    path = recorded_day(copy, DAY, seed=5, minutes=20)
    assert backtest(BacktestOptions(data=copy, run_dir=tmp_path / "a"), Config(**LOOSE))["is_whole"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)
    with pytest.raises(DataError, match="not what was written"):
        backtest(BacktestOptions(data=copy, run_dir=tmp_path / "b"), Config(**LOOSE))
    assert not (tmp_path / "b").exists()


def test_the_document_says_what_was_asked(whole):
    document, _ = whole
    assert document["options"]["seed"] == 1 and document["settings"]["limits"]["losing_streak"] == 5
    assert [source["name"] for source in document["settings"]["sources"]] == ["spike"] and len(document["layout"]) == 16
    assert [row["day"] for row in document["daily"]] == [str(DAY), str(NEXT)]
    assert sum(row["net"] for row in document["daily"]) == pytest.approx(document["result"]["net"])


def test_two_backtests_within_a_second_have_folders_of_their_own(days, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folders = {engine.backtest(data=days, last=DAY, journal=False)["run_dir"] for _ in range(3)}
    assert len(folders) == 3


def test_the_folder_of_a_backtest_names_its_days(whole):
    from engine.trail.checked import JournalError

    with pytest.raises(JournalError, match="a run folder for each day"):
        replay(whole[1], _models())
