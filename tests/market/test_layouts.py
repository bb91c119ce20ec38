"""Tables of candles and ticks as brokers, libraries and spreadsheets write them: understood, or refused with what is wanted."""
import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from engine.errors import DataError
from engine.market import layouts
from engine.market.layouts import Asked, LayoutError, key_of, understood
from engine.market.tables import Table
from tests.market.test_tables import MS, START, in_india, minutes, seconds, written

IST, NOTHING = Asked("Asia/Kolkata"), Asked()


def laid_out(path: Path, asked: Asked):
    return understood(Table(path, zone=asked.zone), asked)


def candles(path: Path, asked: Asked = NOTHING):
    return layouts.candles(laid_out(path, asked))


def as_csv(folder: Path, text: str, name: str = "SBIN.csv") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


BROKER = """timestamp,open,high,low,close,volume,oi
2025-12-15T09:15:00+05:30,100.5,101,100,100.95,1200,0
2025-12-15T09:16:00+05:30,100.95,101.5,100.9,101,800,0
"""
KITE = """date,open,high,low,close,volume
2025-12-15 09:15:00+05:30,100.5,101,100,100.95,1200
2025-12-15 09:16:00+05:30,100.95,101.5,100.9,101,800
"""
SPREADSHEET = """<ticker>,<date>,<time>,<open>,<high>,<low>,<close>,<volume>,<oi>
SBIN,20251215,09:15:00,100.5,101,100,100.95,1200,0
SBIN,20251215,09:16:00,100.95,101.5,100.9,101,800,0
"""
NAIVE = """Datetime,Open,High,Low,Close,Volume
2025-12-15 09:15:00,100.5,101,100,100.95,1200
2025-12-15 09:16:00,100.95,101.5,100.9,101,800
"""


@pytest.mark.parametrize(("text", "asked"), [(BROKER, Asked()), (KITE, Asked()), (SPREADSHEET, IST), (NAIVE, IST)],
                         ids=["broker", "kite", "spreadsheet", "naive"])
def test_candles_of_the_usual_kinds(tmp_path, text, asked):
    bars = candles(as_csv(tmp_path, text), asked)
    assert bars["key"].to_list() == ["NSE_EQ|SBIN"] * 2 and bars["ms"].to_list() == [MS, MS + 60_000]
    assert bars.select("open", "high", "low", "close", "volume").rows() == [(10050, 10100, 10000, 10095, 1200),
                                                                            (10095, 10150, 10090, 10100, 800)]


@pytest.mark.parametrize(("text", "asked", "words"), [
    (SPREADSHEET, Asked(), "date and time is the text '20251215 09:15:00'"), (NAIVE, Asked(), "with its offset"),
    (NAIVE.replace("2025-12-15 09", "15/12/2025 09"), IST, "with its offset"),           # the day's place is never guessed
    (BROKER.replace("volume", "traded"), Asked(), "column volume is missing"),
    (BROKER.replace("1200", "many"), Asked(), "volume is text: numbers are wanted"),
    (BROKER.replace("09:15", "03:45").replace("09:16", "03:46"), Asked(), "outside NSE's hours"),
    (BROKER.replace("09:16:00", "09:15:30"), Asked(), "bars are of 30 seconds"),
    (BROKER.replace("09:16:00", "09:20:00"), Asked(), "bars are of 5 minutes"),
    (BROKER.replace("15:00", "15:07").replace("16:00", "16:07"), Asked(), r"2 bars do not begin with a minute \(first 2025-12-15 "),
    ("a,b\n1\n1,2,3\n", Asked(), "not a CSV file that can be read"), ("", Asked(), "not a CSV file that can be read"),
    ("open,open \n1,2\n", Asked(), "not a CSV file that can be read"),
    (BROKER.replace("101,100,", "99,100,"), Asked(), "low is above the high")])
def test_candles_that_leave_something_open_or_make_no_sense(tmp_path, text, asked, words):
    with pytest.raises(DataError, match=words) as caught:
        candles(as_csv(tmp_path, text), asked)
    assert "SBIN.csv" in str(caught.value) and "\n" not in str(caught.value)


def test_bars_called_by_their_end_are_refused(tmp_path):
    late = minutes().with_columns(pl.col("ts").dt.offset_by("1m"))
    with pytest.raises(DataError, match="from 09:16 to 15:30"):
        candles(written(tmp_path / "a", late) / "MADEUP.parquet")
    assert len(candles(written(tmp_path / "b", late[:-1]) / "MADEUP.parquet")) == 374      # a day that lacks the last one


def test_a_minute_that_comes_again_is_the_later_row_and_said(tmp_path):
    text = BROKER + "2025-12-15T09:15:00+05:30,7,8,6,7,1,0\n2025-12-15T09:17:00+05:30,0,0,0,0,0,0\n"
    layout = laid_out(as_csv(tmp_path, text), Asked())
    bars = layouts.candles(layout)
    assert bars["open"].to_list() == [700, 10095]
    said = [note.partition(": ")[2] for note in layout.table.notes]
    assert "1 rows without a price are left out" in said and "1 minutes come more than once, the last row counts" in said
    assert any(note.startswith("read as candles, stamp of timestamp, open of open") for note in said)
    assert "prices are read as rupees" in said


def test_prices_in_paise_by_name_or_as_is_said(tmp_path):
    named = BROKER.replace("open,high,low,close", "open_paise,high_paise,low_paise,close_paise").replace("100.95", "101").replace(
        "100.9,", "100,").replace("100.5", "100").replace("101.5", "101")
    assert candles(as_csv(tmp_path, named))["open"].to_list() == [100, 101]
    plain = named.replace("_paise", "")
    assert candles(as_csv(tmp_path, plain), Asked(prices="paise"))["open"].to_list() == [100, 101]
    assert candles(as_csv(tmp_path, plain))["open"].to_list() == [10000, 10100]


def test_of_two_columns_that_may_be_meant_the_surer_name_counts(tmp_path):
    """`ts` before `datetime`, `ltp` before `price`: the others say what else they like."""
    both = "datetime,ts,open,high,low,close,volume,oi\n" + "\n".join(
        f"2001-01-01T09:00:00+05:30,{line}" for line in BROKER.splitlines()[1:])
    assert candles(as_csv(tmp_path, both))["ms"].to_list() == [MS, MS + 60_000]
    ticks = seconds(3).with_columns(ltp=pl.lit(7.0), price=pl.lit(9.0)).drop("ltp_paise")
    layout = laid_out(written(tmp_path / "a", ticks) / "MADEUP.parquet", NOTHING)
    assert layout.of["price"] == "ltp" and layout.prices("price").tolist() == [700] * 3


# ---- whose rows they are -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "asked", "want"), [
    ("SBIN.csv", Asked(), "NSE_EQ|SBIN"), ("m&m_2025-12-15.csv", Asked(), "NSE_EQ|M&M"),
    ("BAJAJ-AUTO.csv", Asked(), "NSE_EQ|BAJAJ-AUTO"),
    ("SBIN_1minute.csv", Asked(), "NSE_EQ|SBIN"), ("NIFTY.csv", Asked(), "NSE_INDEX|NIFTY"),
    ("symbol=TCS/date=2025-12-15/part-0.csv", Asked(), "NSE_EQ|TCS"), ("2025-12-15.csv", Asked(symbol="infy"), "NSE_EQ|INFY"),
    ("x.csv", Asked(symbol="NSE_FO|53001"), "NSE_FO|53001")])
def test_whose_rows_a_file_has_that_names_nobody(tmp_path, name, asked, want):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(BROKER)
    assert set(candles(path, asked)["key"]) == {want}


def test_a_file_that_is_nobodys_is_refused(tmp_path):
    for name in ("2025-12-15.csv", "données.csv"):
        with pytest.raises(DataError, match=r"whose rows they are is not said.*--symbol"):
            candles(as_csv(tmp_path, BROKER, name))


@pytest.mark.parametrize(("text", "want"), [
    ("NSE_EQ|INE002A01018", "NSE_EQ|INE002A01018"), ("reliance", "NSE_EQ|RELIANCE"), ("NSE:SBIN-EQ", "NSE_EQ|SBIN"),
    ("BANKNIFTY", "NSE_INDEX|BANKNIFTY"), (" M&M ", "NSE_EQ|M&M"),
    ("NIFTYBEES", "NSE_EQ|NIFTYBEES"), ("Nifty 50", "NSE_INDEX|NIFTY 50")])
def test_keys_of_symbols(text, want):
    assert key_of(text) == want


@pytest.mark.parametrize("text", ["", "Réliance", "A" * 32, "X|" + "1" * 47, "a\tb|c"])
def test_what_is_no_symbol(tmp_path, text):
    assert key_of(text) == ""
    frame = minutes(4).with_columns(symbol=pl.Series(["SBIN", "SBIN", text or "?", "SBIN"]))
    with pytest.raises(DataError, match=r"MADEUP\.parquet: row 3: symbol .* is no symbol and no instrument key") as caught:
        candles(written(tmp_path / "a", frame) / "MADEUP.parquet")
    assert "\n" not in str(caught.value)


def test_rows_of_many_in_one_file(tmp_path):
    frame = minutes(4).with_columns(tradingsymbol=pl.Series(["SBIN", "SBIN", "TCS", None]))
    layout = laid_out(written(tmp_path / "a", frame) / "MADEUP.parquet", Asked())
    bars = layouts.candles(layout)
    assert bars["key"].to_list() == ["NSE_EQ|SBIN", "NSE_EQ|SBIN", "NSE_EQ|TCS"]
    assert "MADEUP.parquet: 1 rows without tradingsymbol are left out" in layout.table.notes


# ---- ticks -------------------------------------------------------------------------------------------------------------------
def test_a_volume_of_ticks_is_never_guessed(tmp_path):
    frame = seconds().rename({"ltp_paise": "last_price", "cum_volume": "volume"})
    path = written(tmp_path / "a", frame) / "MADEUP.parquet"
    with pytest.raises(DataError, match="say which with --volume each or --volume so-far"):
        laid_out(path, Asked())
    for volume, meaning in (("each", "each"), ("so-far", "so_far")):
        layout = laid_out(path, Asked(volume=volume))
        assert layout.kind == "ticks" and layout.of[meaning] == "volume"
    with pytest.raises(DataError, match="what traded is missing"):
        laid_out(written(tmp_path / "b", frame.drop("volume")) / "MADEUP.parquet", Asked())


def test_tables_that_are_neither(tmp_path):
    for frame in (pl.DataFrame({"a": [1], "b": ["x"]}), minutes().drop("ts"), seconds().drop("ltp_paise")):
        with pytest.raises(LayoutError, match="neither candles"):
            laid_out(written(tmp_path / "a", frame) / "MADEUP.parquet", Asked())


def test_naive_stamps_are_of_the_zone_that_is_said(tmp_path):
    naive = minutes(3).with_columns(in_india(pl.col("ts")).dt.replace_time_zone(None))
    path = written(tmp_path / "a", naive) / "MADEUP.parquet"
    with pytest.raises(DataError, match="no time zone"):
        candles(path)
    layout = laid_out(path, IST)
    assert layouts.candles(layout)["ms"][0] == MS and "MADEUP.parquet: ts is read as the time of Asia/Kolkata" in layout.table.notes
    assert layouts.days(layouts.candles(layout)["ms"].to_numpy()).keys() == {START.date()}


def test_files_are_found_at_any_depth(tmp_path):
    for name in ("a/x.parquet", "a/b/y.CSV", "a/instruments.csv", "a/z.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    assert [p.name for p in layouts.found([tmp_path / "a"])] == ["y.CSV", "x.parquet"]
    for paths, words in (([tmp_path / "none"], "no such file"), ([tmp_path / "a/z.txt"], "CSV or Parquet is wanted")):
        with pytest.raises(DataError, match=words):
            list(layouts.found(paths))
    assert len(list(layouts.found([tmp_path / "a", tmp_path / "a/b", tmp_path / "a/x.parquet"]))) == 2, "each once"
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no CSV and no Parquet files there"):
        list(layouts.found([tmp_path / "empty"]))
    assert dt.date(2025, 12, 15) == START.date()
