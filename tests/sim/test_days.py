"""Other people's files as day files: one file a day whatever the files were, nothing twice, nothing lost; and as tables again.

`engine/sim/days.py`, `engine/sim/day_table.py`, and day files as recordings (`engine/sim/recorded.py`).
"""
import datetime as dt

import numpy as np
import polars as pl
import pytest

from engine.errors import DataError
from engine.feed.dayfile import DayFile
from engine.lab.series import bars_of_folder
from engine.market.instruments import CSV_COLUMNS
from engine.market.layouts import Asked
from engine.sim.day_table import table_of
from engine.sim.days import bring_in, joined, path_of
from engine.sim.recorded import days_of, load
from tests.kit.counts import count
from tests.market.test_layouts import BROKER, KITE
from tests.market.test_tables import KEY, MS, START, full, minutes, mutated, seconds, written

DAY = START.date()


def test_a_recording_is_the_same_from_its_day_file(tmp_path):
    folder = written(tmp_path / "a", full())
    (made,) = bring_in([folder], tmp_path / "days", Asked())
    assert made["kind"] == "ticks" and made["rows"] == 400 and made["instruments"] == 1
    ours, theirs = load(tmp_path / "days"), load(folder)
    assert ours.rows.tobytes() == theirs.rows.tobytes() and (ours.received == theirs.received).all() and ours.specs == theirs.specs
    assert days_of(tmp_path / "days") == [DAY] and load(tmp_path / "days" / f"{DAY}.ticks.day").day == DAY
    with pytest.raises(DataError, match="no day file of 2025-12-16; there are 2025-12-15"):
        load(tmp_path / "days", DAY + dt.timedelta(days=1))


def test_days_and_symbols_may_lie_in_files_as_they_like(tmp_path):
    """One file a symbol over two days, one file a day of two symbols, hive folders: the same two day files."""
    days = [minutes(30), minutes(30).with_columns(pl.col("ts").dt.offset_by("1d"))]
    written(tmp_path / "by symbol", pl.concat(days), "SBIN.parquet")
    written(tmp_path / "by symbol", pl.concat(days), "TCS.parquet")
    for k, frame in enumerate(days):
        written(tmp_path / "by day", pl.concat([frame.with_columns(symbol=pl.lit(s)) for s in ("SBIN", "TCS")]), f"{k}.parquet")
        for name in ("SBIN", "TCS"):
            (tmp_path / "hive" / f"symbol={name}" / f"date={k}").mkdir(parents=True)
            written(tmp_path / "hive" / f"symbol={name}" / f"date={k}", frame, "part-0.parquet")
    found = {}
    for name in ("by symbol", "by day", "hive"):
        made = bring_in([tmp_path / name], tmp_path / f"{name} days", Asked())
        assert [row["day"] for row in made] == ["2025-12-15", "2025-12-16"] and {row["rows"] for row in made} == {60}
        found[name] = [(s.symbol, s.key) for s in DayFile(path_of(tmp_path / f"{name} days", DAY, "bars")).specs], DayFile(
            path_of(tmp_path / f"{name} days", DAY, "bars")).bars().tobytes()
    assert found["by symbol"] == found["by day"] == found["hive"]
    assert found["hive"][0] == [("SBIN", "NSE_EQ|SBIN"), ("TCS", "NSE_EQ|TCS")]


def test_a_file_counts_once_and_an_instrument_that_comes_again_replaces_what_was(tmp_path):
    folder, days, said = tmp_path / "a", tmp_path / "days", []
    written(folder, minutes(30), "SBIN.parquet")
    written(folder, minutes(20), "TCS.parquet")
    bring_in([folder], days, Asked())
    assert bring_in([folder], days, Asked(), said.append) == []
    assert said == ["SBIN.parquet: is there already", "TCS.parquet: is there already"]
    better = written(tmp_path / "b", minutes(25).with_columns(close=pl.col("close") + 1), "SBIN.parquet")
    (made,) = bring_in([better], days, Asked())
    bars = DayFile(path_of(days, DAY, "bars"))
    names = np.array([s.symbol for s in bars.specs])[bars.bars()["inst"]]
    assert made["rows"] == 45 and (names == "SBIN").sum() == 25 and [s.name for s in bars.sources] == [
        "SBIN.parquet", "TCS.parquet", "SBIN.parquet"]
    assert (np.diff(bars.bars()["ms"]) >= 0).all()


def test_a_bar_of_two_files_is_the_later_files(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "SBIN_1.csv").write_text(BROKER)
    (folder / "SBIN_2.csv").write_text(KITE.replace("100.95,1200", "100.75,1200"))
    (made,) = bring_in([folder], tmp_path / "days", Asked(symbol="SBIN"))
    assert made["rows"] == 2 and DayFile(path_of(tmp_path / "days", DAY, "bars")).bars()["close"].tolist() == [10075, 10100]


def test_each_trades_shares_become_the_days_so_far(tmp_path):
    frame = seconds(6).rename({"cum_volume": "ltq", "ltp_paise": "ltp"}).with_columns(ltq=pl.Series([5, 0, 7, 1, 2, 3]))
    frame = pl.concat([frame, frame.with_columns(pl.col("ts").dt.offset_by("1d"))])
    said = []
    bring_in([written(tmp_path / "a", frame, "SBIN.parquet")], tmp_path / "days", Asked(prices="paise"), said.append)
    for day in (DAY, DAY + dt.timedelta(days=1)):
        found = load(tmp_path / "days", day)
        assert found.rows["vtt"].tolist() == [5, 5, 12, 13, 15, 18] and found.rows["ltq"].tolist() == [5, 0, 7, 1, 2, 3]
        assert found.rows["ltp"].tolist() == [100_000, 100_001, 100_002, 100_003, 100_004, 100_005]
    assert "SBIN.parquet: the day's volume is the sum of ltq" in said


def test_a_file_in_a_folder_that_is_named_too_counts_once(tmp_path):
    folder = written(tmp_path / "a", seconds(5), "SBIN.parquet")
    (made,) = bring_in([folder, folder / "SBIN.parquet"], tmp_path / "days", Asked())
    assert made["rows"] == 5


def test_each_trade_is_summed_by_name_and_day(tmp_path):
    """Two names in one file, their rows mixed, over two days."""
    frame = seconds(4).rename({"cum_volume": "ltq"}).with_columns(ltq=pl.Series([5, 7, 1, 2]), symbol=pl.Series(list("ABAB")))
    frame = pl.concat([frame, frame.with_columns(pl.col("ts").dt.offset_by("1d"))])
    bring_in([written(tmp_path / "a", frame)], tmp_path / "days", Asked())
    for day in (DAY, DAY + dt.timedelta(days=1)):
        assert load(tmp_path / "days", day).rows["vtt"].tolist() == [5, 7, 6, 9]


def test_a_book_of_ticks_is_kept(tmp_path):
    frame = seconds(3).with_columns(bid=pl.lit(999.9), ask=pl.lit(1000.1), bid_qty=pl.lit(7), ask_qty=pl.lit(9), ltp=pl.lit(1000.0),
                                    vtt=pl.col("cum_volume")).drop("ltp_paise", "cum_volume")
    bring_in([written(tmp_path / "a", frame, "SBIN.parquet")], tmp_path / "days", Asked())
    found = load(tmp_path / "days")
    level = found.rows["levels"][:, 0]
    assert found.has_book and level[["bidP", "bidQ", "askP", "askQ"]].tolist() == [(99_990, 7, 100_010, 9)] * 3


def test_a_table_that_is_neither_is_left_out_of_a_folder_and_refused_by_name(tmp_path):
    folder, said = written(tmp_path / "a", minutes(3), "SBIN.parquet"), []
    path = folder / "coverage.csv"
    path.write_text("symbol,n\nSBIN,3\n")
    assert len(bring_in([folder], tmp_path / "days", Asked(), said.append)) == 1
    assert any(note.startswith("left out: coverage.csv: its columns (symbol, n) are neither candles") for note in said)
    with pytest.raises(DataError, match="neither candles"):
        bring_in([path], tmp_path / "days", Asked())


def test_a_file_that_makes_no_sense_leaves_everything_as_it_was(tmp_path):
    folder = written(tmp_path / "a", minutes(3), "SBIN.parquet")
    written(folder, minutes(3).with_columns(volume=pl.lit(-1.0)), "TCS.parquet")
    with pytest.raises(DataError, match=r"TCS\.parquet: row 1: volume"):
        bring_in([folder], tmp_path / "days", Asked())
    assert not list((tmp_path / "days").iterdir())


def test_instruments_are_as_they_are_listed(tmp_path):
    folder = written(tmp_path / "a", full(5))
    (folder / "instruments.csv").write_text(f"{','.join(CSV_COLUMNS)}\n{KEY},MADEUP,EQ,1,10\n")
    bring_in([folder], tmp_path / "days", Asked())
    (spec,) = load(tmp_path / "days").specs
    assert (spec.key, spec.symbol, spec.tick) == (KEY, "MADEUP", 10)


def test_columns_that_one_part_lacks_are_zero_there():
    from engine.market.instruments import Instrument
    from engine.sim.days import Part

    one = Part([Instrument("A", "A")], {"inst": np.zeros(2, np.uint32), "oi": np.array([1.5, 2.5])})
    two = Part([Instrument("B", "B"), Instrument("A", "A")], {"inst": np.array([1, 0], np.uint32),
                                                              "levels.bidP": np.array([[1, 2], [3, 4]])})
    specs, columns = joined([one, two])
    assert [s.key for s in specs] == ["A", "B"] and columns["inst"].tolist() == [0, 0, 0, 1]
    assert columns["oi"].tolist() == [1.5, 2.5, 0, 0] and columns["levels.bidP"].tolist() == [[0, 0], [0, 0], [1, 2], [3, 4]]


def test_bars_are_studied_from_day_files_as_from_tables(tmp_path):
    folder = written(tmp_path / "a", minutes(), "SBIN.parquet")
    written(folder, minutes(), "NIFTY.parquet")
    bring_in([folder], tmp_path / "days", Asked())
    (ours_specs, ours), (specs, bars) = bars_of_folder(tmp_path / "days"), bars_of_folder(folder)
    assert [s.symbol for s in ours_specs] == [s.symbol for s in specs] == ["SBIN"] and ours.equals(bars.select(ours.columns))


# ---- and out again -----------------------------------------------------------------------------------------------------------
def test_a_day_file_as_a_table(tmp_path):
    bring_in([written(tmp_path / "a", full(4))], tmp_path / "days", Asked())
    path = path_of(tmp_path / "days", DAY, "ticks")
    frame = table_of(path, "ticks")
    assert frame["received"].dtype == pl.Datetime("ms", "Asia/Kolkata") and frame["received"][0] == START + dt.timedelta(
        milliseconds=300)
    assert frame["ltp"].to_list() == [100_000, 100_010, 100_020, 100_030] and frame["ltp_rs"][1] == 1000.1
    assert frame["levels_bidP1"][0] == 99_990 and frame["levels_bidP1_rs"][0] == 999.9 and frame["symbol"][0] == KEY.split("|")[1]
    assert len(table_of(path, "ticks", KEY.split("|")[1].lower())) == 4
    for what, symbol, words in (("bars", "", "it holds ticks, not bars"), ("ticks", "SBIN", "there is no SBIN; there are INE")):
        with pytest.raises(DataError, match=words):
            table_of(path, what, symbol)


# ---- two hundred of each -----------------------------------------------------------------------------------------------------
@pytest.mark.long
@pytest.mark.parametrize(("make", "suffix"), [(full, "parquet"), (seconds, "parquet"), (minutes, "parquet"), (minutes, "csv")],
                         ids=["full", "seconds", "minutes", "minutes as CSV"])
def test_damaged_tables_are_refused_in_one_line_or_brought_in_right(tmp_path, make, suffix):
    """What is brought in is whole: prices above 0, volumes not below, every stamp of the file's day."""
    rng, read, refused = np.random.default_rng(91), 0, 0
    for case in range(count(60, 200)):
        folder = tmp_path / str(case)
        folder.mkdir()
        path = folder / f"MADEUP.{suffix}"
        frame = mutated(make(), rng)
        if suffix == "csv":
            plain = frame.select(pl.exclude(pl.List, pl.Binary))
            zoned = isinstance(plain.schema.get("ts"), pl.Datetime) and plain.schema["ts"].time_zone
            text = plain.write_csv(datetime_format="%Y-%m-%dT%H:%M:%S%:z" if case % 3 and zoned else "%d/%m/%Y %H:%M")
            lines = text.splitlines()
            if rng.random() < 0.2 and lines:
                at = int(rng.integers(0, len(lines)))
                lines[at] = [lines[at] + ",7", "", '"', "\\x00", lines[at][:5]][int(rng.integers(0, 5))]
            path.write_text("\n".join(lines))
        else:
            frame.write_parquet(path)
        try:
            made = bring_in([path], tmp_path / f"days {case}", Asked())
        except DataError as error:
            refused += 1
            text = str(error).replace("as polars does", "")
            assert "\n" not in text and "MADEUP" in text and "polars" not in text.lower()
            continue
        read += 1
        for row in made:
            day = DayFile(path_of(tmp_path / f"days {case}", dt.date.fromisoformat(row["day"]), row["kind"]))
            price, volume = ("close", "volume") if day.kind == "bars" else ("ltp", "vtt")
            assert day.rows and (day.columns[price] > 0).all() and (day.columns.get(volume, np.zeros(1)) >= 0).all()
            stamp = day.columns["ms" if day.kind == "bars" else "received"]
            assert (np.diff(stamp) >= 0).all() and (abs(stamp - MS) < 40 * 365 * 86_400_000).all()
    assert read > 5 and refused > 20
