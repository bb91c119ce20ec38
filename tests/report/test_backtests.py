"""The report of a backtest says what its parquet file and journals say, by polars and numpy alone."""
import shutil

import numpy as np
import orjson
import polars as pl
import pytest

from _ext.core.records import CANDIDATE, GATE, REC_CANDIDATE, REC_FILL, REC_GATE, REC_VERDICT, ROLE_ENTRY
from engine.errors import DataError
from engine.feed.dayfile import DayFile
from engine.report.backtests import of_backtest
from engine.report.payload import unpacked
from engine.trail.checked import reader_of


@pytest.fixture(scope="module")
def report(played):
    title, header, blocks = of_backtest(played)
    return title, header, {block.name: unpacked(block.head, block.packed()) for block in blocks}


def closed_at(played) -> pl.DataFrame:
    """Ends of data count as exits, as in the results."""
    return pl.read_parquet(played / "trades.parquet").filter(pl.col("exit_time").dt.year() > 1970).with_columns(
        (pl.col("gross") - pl.col("charges")).alias("net"))


def test_money_and_counts_are_those_of_the_file(played, report):
    title, header, _ = report
    frame = closed_at(played)
    assert len(frame) > 5 and title == "Backtest 2026-09-01 to 2026-09-03"
    summary = header["summary"]
    assert summary["trades"] == len(frame) and summary["net"] == pytest.approx(frame["net"].sum(), abs=0.006)
    assert summary["win_rate"] == pytest.approx((frame["net"] > 0).mean())
    costs = header["costs"]
    turnover = (frame["quantity"] * (frame["entry_price"] + frame["exit_price"])).sum()
    assert costs["charges"] == pytest.approx(frame["charges"].sum(), abs=0.006)
    assert costs["bp_of_turnover"] == pytest.approx(frame["charges"].sum() / turnover * 1e4)
    assert costs["a_trade"] == pytest.approx(frame["charges"].mean())
    assert costs["winners_lost_to_costs"] == frame.filter((pl.col("gross") > 0) & (pl.col("net") <= 0)).height


def test_days_months_and_hours_add_up(played, report):
    header, frame = report[1], closed_at(played)
    for row in range(3):
        mine = frame.filter(pl.col("day") == header["daily"]["day"][row])
        assert header["daily"]["net"][row] == pytest.approx(mine["net"].sum(), abs=0.006)
        assert header["daily"]["trades"][row] == len(mine)
    monthly = header["monthly"]
    assert monthly["years"] == ["2026"] and monthly["net"][0][8] == pytest.approx(frame["net"].sum(), abs=0.006)
    assert [value is None for value in monthly["net"][0]] == [True] * 8 + [False] + [True] * 3
    by_hour = frame.with_columns(
        pl.col("entry_time").dt.convert_time_zone("Asia/Kolkata").dt.strftime("%a").alias("weekday"),
        pl.col("entry_time").dt.convert_time_zone("Asia/Kolkata").dt.truncate("30m").dt.strftime("%H:%M").alias("slot"))
    hourly = header["hourly"]
    cells = {(row["weekday"], row["slot"]): (row["net"], row["len"]) for row in by_hour.group_by("weekday", "slot").agg(
        pl.col("net").sum(), pl.len()).iter_rows(named=True)}
    found = {(day, slot): (hourly["net"][r][c], hourly["trades"][r][c]) for r, day in enumerate(hourly["rows"])
             for c, slot in enumerate(hourly["columns"]) if hourly["trades"][r][c]}
    assert found.keys() == cells.keys()
    assert all(found[key][0] == pytest.approx(cells[key][0], abs=0.006) and found[key][1] == cells[key][1] for key in cells)


def test_the_account_falls_as_the_trades_end(played, report):
    equity, frame = report[2]["equity"], closed_at(played).sort("exit_time")
    worth = np.concatenate([[0.0], frame["net"].cum_sum().to_numpy()])
    assert np.allclose(equity["net"] / 100, worth, atol=0.006)
    assert np.allclose(equity["drawdown"] / 100, np.maximum.accumulate(worth) - worth, atol=0.011)
    assert equity["time"][1:].tolist() == (frame["exit_time"].dt.epoch("s")).to_list()
    best = 1e6 + np.maximum.accumulate(worth)
    assert report[1]["summary"]["max_drawdown"] == pytest.approx(((np.maximum.accumulate(worth) - worth) / best).max(), abs=1e-8)


def test_every_trade_is_in_the_file_with_its_own_figures(played, report):
    trades, frame = report[2]["trades"], pl.read_parquet(played / "trades.parquet")
    assert trades["symbol"] == frame["symbol"].to_list() and trades["day"] == frame["day"].to_list()
    assert trades["reason"] == frame["reason"].to_list() and trades["candidate"].tolist() == frame["candidate"].to_list()
    for name, wanted, size in (("gross", "gross", 100), ("charges", "charges", 100), ("entry", "entry_price", 100),
                               ("side", "side", 1), ("quantity", "quantity", 1)):
        assert np.allclose(trades[name], frame[wanted].to_numpy() * size, atol=0.51 if size == 100 else 0), name
    assert np.allclose((trades["entry"] + trades["stop"])[trades["stop"] != 0] / 100,
                       frame["stop"].to_numpy()[trades["stop"] != 0], atol=0.006)
    assert np.allclose(trades["score"], frame["score"].cast(pl.Float32).to_numpy(), equal_nan=True)


def test_every_trade_stands_on_the_prices_of_its_day_file(played, report):
    """The minute of the entry, from the file's own rows."""
    _, _, blocks = report
    trades, windows, rows = blocks["trades"], blocks["windows"], blocks["candles"]
    starts = np.concatenate([[0], np.cumsum(windows["rows_of"])])
    for k in range(len(trades["symbol"])):
        window = trades["window"][k]
        assert windows["symbol"][window] == trades["symbol"][k]
        day = DayFile(next((played.parent / "days").glob(f"{trades['day'][k]}*.day")))
        inst = [spec.symbol for spec in day.specs].index(trades["symbol"][k])
        mine = (np.asarray(day.columns["inst"]) == inst) & (np.asarray(day.columns["ltp"]) > 0)
        at = np.asarray(day.columns["ltt"])[mine] // 60_000 * 60
        price = np.asarray(day.columns["ltp"])[mine]
        part = slice(starts[window], starts[window + 1])
        opens = windows["base"][window] + windows["step"][window] * (
            np.cumsum(rows["gap"][part] + rows["body"][part]) - rows["body"][part])
        times = windows["begin"][window] + 60 * np.cumsum(1 + rows["skip"][part]) - 60
        assert times.tolist() == sorted(set(at.tolist()))
        assert opens.tolist() == [int(price[at == time][0]) for time in times]


def test_what_was_refused_is_what_the_journals_say(played, report):
    header, blocks = report[1], report[2]
    made = judged = asked = filled = 0
    for day in ("2026-09-01", "2026-09-02", "2026-09-03"):
        records = reader_of(played / day).pick((REC_CANDIDATE, REC_VERDICT, REC_GATE, REC_FILL))
        rows = {kind: [payload for k, _, payload in records if k == kind] for kind in (REC_CANDIDATE, REC_VERDICT, REC_GATE)}
        made += len(rows[REC_CANDIDATE])
        judged += sum(np.frombuffer(payload, CANDIDATE)[0]["reason"] != 0 for payload in rows[REC_VERDICT])
        gate = [np.frombuffer(payload, GATE)[0] for payload in rows[REC_GATE]]
        asked += sum(g["reason"] != 0 and not g["is_exit"] for g in gate)
        filled += len({c for c in pl.read_parquet(played / "trades.parquet").filter(pl.col("day") == day)["candidate"]})
    seen = header["seen"]
    assert seen["candidates"] == made == len(blocks["candidates"]["id"]) and made > 50
    assert seen["stages"]["refused by a rule"] == judged and seen["stages"]["refused by the gate"] == asked
    assert seen["taken"] == filled and seen["refused"] == judged + asked == sum(row["count"] for row in seen["reasons"])
    document = orjson.loads((played / "backtest.json").read_bytes())["counts"]
    for row in seen["reasons"]:
        assert row["count"] == document["rules" if row["by"] == "rule" else "gate"][row["reason"]]


def test_slippage_is_the_fill_against_the_quote_of_its_candidate(played, report):
    wanted = []
    frame = pl.read_parquet(played / "trades.parquet")
    for row in frame.iter_rows(named=True):
        found = next(np.frombuffer(payload, CANDIDATE)[0] for _, _, payload in reader_of(played / row["day"]).pick((REC_CANDIDATE,))
                     if np.frombuffer(payload, CANDIDATE)[0]["id"] == row["candidate"])
        quote = found["ask"] if row["side"] > 0 else found["bid"]
        wanted.append(row["side"] * (row["entry_price"] * 100 / quote - 1) * 1e4)
    slip = report[1]["slippage"]
    assert slip["against"] == "quote" and slip["trades"] == len(frame) and ROLE_ENTRY == 1
    assert slip["entry"]["mean"] == pytest.approx(np.mean(wanted), abs=1e-6)
    assert slip["entry"]["median"] == pytest.approx(np.median(wanted), abs=1e-6)


def test_without_journals_and_day_files_it_says_what_is_missing(played, tmp_path):
    folder = tmp_path / "alone"
    folder.mkdir()
    document = orjson.loads((played / "backtest.json").read_bytes())
    document["options"]["data"] = str(tmp_path / "gone")
    (folder / "backtest.json").write_bytes(orjson.dumps(document))
    shutil.copy(played / "trades.parquet", folder)
    _, header, blocks = of_backtest(folder)
    notes = " ".join(header["notes"])
    assert "3 of 3 days have no journal" in notes and "have no candles" in notes
    assert header["seen"]["candidates"] == document["counts"]["candidates"] and header["slippage"] is None
    windows = next(unpacked(block.head, block.packed()) for block in blocks if block.name == "trades")["window"]
    assert set(windows.tolist()) == {-1}
    assert str(tmp_path) not in orjson.dumps(header).decode()


def test_a_folder_without_results_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="name a folder that `python -m engine backtest` made"):
        of_backtest(tmp_path)
    (tmp_path / "backtest.json").write_text("[]")
    with pytest.raises(DataError, match="run the backtest again"):
        of_backtest(tmp_path)
