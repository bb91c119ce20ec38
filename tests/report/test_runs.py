"""Run folders read for a report: what the journal's own bytes say, decoded here anew."""
import os
import shutil

import numpy as np
import orjson
import pytest

from _ext.core.records import (
    CANDIDATE,
    INSTRUMENT,
    REC_CANDIDATE,
    REC_FRAME,
    REC_INSTRUMENTS,
    REC_REPLY,
    REC_START,
    REPLY,
)
from engine.errors import DataError
from engine.feed import decode
from engine.report.runs import chosen, day_of, facts_of, read, together
from engine.trail.checked import JournalError, reader_of
from engine.trail.rundir import RunDir


@pytest.fixture(scope="module")
def run(week):
    return read(week[0][1], 0)


@pytest.fixture(scope="module")
def ticks(week):
    """Every trade of the run: (instrument, ms of the exchange, paise), decoded from its frames."""
    numbers, out = {}, []
    for kind, _, _, payload in reader_of(week[0][1].path):
        if kind == REC_INSTRUMENTS:
            numbers |= {row["key"]: len(numbers) + k for k, row in enumerate(np.frombuffer(payload, INSTRUMENT))}
        elif kind == REC_FRAME:
            out += [(numbers[row["key"]], int(row["ltt"]), int(row["ltp"])) for row in decode(payload) if row["ltp"] > 0]
    return out


def test_labels_are_those_of_the_prices_a_minute_later(week, run, ticks):
    """Of candidates with no update out of order, in doubt or of a later minute between them."""
    candidates = [np.frombuffer(payload, CANDIDATE)[0] for _, _, payload in reader_of(week[0][1].path).pick((REC_CANDIDATE,))]
    known, checked = {int(row["id"]): int(row["stayed"]) for row in run.rows}, 0
    assert len(known) == len(candidates) > 20
    for c in candidates:
        until = int(c["ltt"]) + 60_000
        later = [price for inst, at, price in ticks if inst == c["inst"] and int(c["ltt"]) < at <= until]
        times = [at for inst, at, _ in ticks if inst == c["inst"]]
        if not later or times != sorted(times) or known[int(c["id"])] < 0:
            continue
        moved, left = c["move"] * (c["price"] - c["last_close"]), c["move"] * (later[-1] - c["last_close"])
        checked += 1
        assert known[int(c["id"])] == (left >= 0.25 * moved), c["id"]
    assert checked > 5 and {0, 1} <= set(known.values())


def test_a_candidate_of_the_last_minute_has_no_label(run, ticks):
    last = max(at for _, at, _ in ticks)
    late = run.rows[run.rows["ltt"] + 60_000 > last + 5_000]
    assert (late["stayed"] == -1).all()


def test_candles_hold_every_trade_of_their_minute(run, ticks):
    """Highs and lows of most minutes; what the market stage doubted or got late stands in no bar."""
    assert len(run.bars) >= 10
    right = total = 0
    for symbol, rows in run.bars.items():
        inst = run.state.symbols.index(symbol)
        for row in rows[rows["s"] > rows["s"][0]]:
            mine = [price for number, at, price in ticks if number == inst and row["s"] * 1000 <= at < row["s"] * 1000 + 60_000]
            if mine:
                total += 1
                right += (max(mine), min(mine)) == (row["high"], row["low"])
    assert total > 200 and right / total > 0.95


def test_latencies_thresholds_and_account_are_the_runs(week, run):
    replies = [int(np.frombuffer(payload, REPLY)[0]["latency"]) for _, _, payload in reader_of(week[0][1].path).pick((REC_REPLY,))]
    assert sorted(run.latencies["order"].tolist()) == sorted(value for value in replies if value > 0) and replies
    start = next(orjson.loads(payload) for kind, _, _, payload in reader_of(week[0][1].path) if kind == REC_START)
    assert run.thresholds["signals.volume"] == start["signals"]["volume"] and run.thresholds["filter"] == pytest.approx(0.3)
    assert run.account == 100_000_000 and run.kind == "simulated" and run.day == "2026-09-01" and not run.is_running


def test_two_days_are_one_account_of_what_was_seen(week, run):
    both = [run, read(week[1][1], 1)]
    saw = together(both)
    assert len(saw.rows) == len(saw.symbols) == sum(len(one.rows) for one in both)
    assert set(saw.rows["day"].tolist()) == {0, 1} and set(saw.sources) == {"spike"}


def test_the_last_days_are_chosen(week, tmp_path):
    folders = sorted(week[0][1].path.parent.glob("*"))
    assert [day for day, _ in chosen(folders, 5)] == ["2026-09-01", "2026-09-02"]
    assert [day for day, _ in chosen(folders, 1)] == ["2026-09-02"]
    (tmp_path / "other").mkdir()
    (tmp_path / "link").symlink_to(folders[0])
    assert chosen([tmp_path / "other", tmp_path / "link", tmp_path / "gone"], 5) == []
    assert facts_of(folders[0]) == ("2026-09-01", "simulated") and day_of(week[1][1]) == "2026-09-02"


def test_of_a_simulated_day_the_latest_run_is_taken(week, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(week[0][1].path, tmp_path / name)
        (tmp_path / name).touch()
    os.utime(tmp_path / "b", (1, 1))
    assert [run.path.name for _, run in chosen(sorted(tmp_path.glob("*")), 5)] == ["a"]


def test_a_folder_without_a_beginning_says_so(tmp_path):
    folder = tmp_path / "empty"
    (folder / "journal").mkdir(parents=True)
    with pytest.raises(JournalError):
        read(RunDir.existing(folder))
    with pytest.raises((JournalError, DataError)):
        day_of(RunDir.existing(folder))
    assert facts_of(folder) is None
