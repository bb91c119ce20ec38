"""Tables from outside: read right, or refused in one line that names file, row or column and what is wanted.

Rules one by one, then two hundred damaged files a layout from a seeded mutator; `engine/sim/recorded.py` and `engine/lab/series.py`
read by `engine/market/tables.py`.
"""
import datetime as dt
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.errors import DataError, EngineError
from engine.lab.series import bars_of_folder
from engine.market import instruments
from engine.market.instruments import CSV_COLUMNS, from_csv
from engine.market.sessions import IST
from engine.market.tables import Table, files_of
from engine.sim.recorded import days_of, load
from tests.kit.counts import count

START = dt.datetime(2025, 12, 15, 9, 15, tzinfo=IST)
MS = int(START.timestamp() * 1000)
KEY = "NSE_EQ|INE000A01010"


def full(n: int = 400) -> pl.DataFrame:
    """Ticks in the layout of the Upstox recording, one a second."""
    ms = MS + 1000 * np.arange(n)
    price = 1000 + np.round(np.sin(np.arange(n) / 9), 1)
    return pl.DataFrame({
        "recv_ts": ms + 300, "ltt": ms, "instrument_key": KEY, "ltp": price, "ltq": 1, "cp": 999.0, "vtt": 100 * np.arange(n) + 5,
        "atp": price, "bp1": price - 0.1, "bq1": 500, "ap1": price + 0.1, "aq1": 500}).with_columns(
            pl.from_epoch("recv_ts", "ms").dt.replace_time_zone("UTC"), pl.from_epoch("ltt", "ms").dt.replace_time_zone("UTC"))


def seconds(n: int = 400) -> pl.DataFrame:
    return pl.DataFrame({"ts": MS + 1000 * np.arange(n), "ltp_paise": 100_000 + np.arange(n) % 7,
                         "cum_volume": 10 * np.arange(n) + 3}).with_columns(pl.from_epoch("ts", "ms").dt.replace_time_zone("UTC"))


def minutes(n: int = 375) -> pl.DataFrame:
    price = 1000 + np.arange(n) % 11
    return pl.DataFrame({"ts": [START + dt.timedelta(minutes=k) for k in range(n)]}).with_columns(
        pl.col("ts").dt.convert_time_zone("Asia/Kolkata"), open=pl.Series(price, dtype=pl.Float64),
        high=pl.Series(price + 1, dtype=pl.Float64), low=pl.Series(price - 1, dtype=pl.Float64),
        close=pl.Series(price, dtype=pl.Float64), volume=pl.Series(500 + np.arange(n), dtype=pl.Float64))


LAYOUTS = {"full": (full, load), "seconds": (seconds, load), "minutes": (minutes, bars_of_folder)}


def written(folder: Path, frame: pl.DataFrame, name: str = "MADEUP.parquet") -> Path:
    folder.mkdir(exist_ok=True)
    frame.write_parquet(folder / name)
    return folder


# ---- stamps ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("change", "note"), [
    (lambda c: c, ""), (lambda c: c.dt.convert_time_zone("Asia/Kolkata"), ""), (lambda c: c.dt.cast_time_unit("ns"), ""),
    (lambda c: c.dt.epoch("ms"), "epoch milliseconds"), (lambda c: c.dt.epoch("s"), "epoch seconds"),
    (lambda c: c.dt.epoch("us"), "epoch microseconds"), (lambda c: c.dt.epoch("ns"), "epoch nanoseconds"),
    (lambda c: c.dt.epoch("ms").cast(pl.Float64), "epoch milliseconds"),
    (lambda c: c.dt.convert_time_zone("Asia/Kolkata").dt.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z"), "text with its offset"),
    (lambda c: c.dt.strftime("%Y-%m-%dT%H:%M:%SZ"), "text with its offset")],
    ids=["zone", "India", "nanoseconds", "ms", "s", "us", "ns", "float", "text", "text Z"])
def test_stamps_of_every_kind_that_says_what_it_is(tmp_path, change, note):
    frame = seconds().with_columns(pl.col("ts").pipe(change))
    found = load(written(tmp_path / "a", frame))
    assert found.received.tolist() == seconds()["ts"].dt.epoch("ms").to_list() and days_of(tmp_path / "a") == [START.date()]
    assert [n for n in found.notes if "read as" in n] == ([f"MADEUP.parquet: ts is read as {note}"] if note else [])


def in_india(column: pl.Expr) -> pl.Expr:
    return column.dt.convert_time_zone("Asia/Kolkata")


@pytest.mark.parametrize(("change", "words"), [
    (lambda c: in_india(c).dt.replace_time_zone(None), "no time zone"),
    (lambda c: c.dt.strftime("%Y-%m-%d %H:%M:%S"), "row 1: ts is the text '2025-12-15"),
    (lambda c: c.dt.date(), "a date without a time"),
    (lambda c: c.dt.epoch("ms") % 86_400_000, "no one unit"),
    (lambda c: in_india(c).dt.replace_time_zone("UTC"), "outside NSE's hours"),
    (lambda c: c.dt.epoch("ms") > 5, "bool"),
    (lambda c: c.dt.offset_by("200y"), "2000 to 2099")],
    ids=["naive", "naive text", "date", "of the day", "wrong zone", "bool", "far"])
def test_stamps_that_do_not_say_what_they_are(tmp_path, change, words):
    for frame, read in ((seconds(), load), (minutes(), bars_of_folder)):
        if "hours" in words and read is load:              # a few minutes may lie anywhere in the day
            continue
        with pytest.raises(DataError, match=words) as caught:
            read(written(tmp_path / "a", frame.with_columns(pl.col("ts").pipe(change))))
        assert "MADEUP.parquet" in str(caught.value) and "\n" not in str(caught.value)


def test_mixed_units_are_of_no_one_unit(tmp_path):
    ms = seconds()["ts"].dt.epoch("ms")
    mixed = pl.Series([v if i % 2 else v // 1000 for i, v in enumerate(ms)])
    with pytest.raises(DataError, match="no one unit"):
        load(written(tmp_path / "a", seconds().with_columns(ts=mixed)))


# ---- prices, volumes, keys ---------------------------------------------------------------------------------------------------
def put(column: str, at: int, value):
    """Another value in one row."""
    here = pl.int_range(pl.len()) == at
    return lambda frame: frame.with_columns(pl.when(here).then(pl.lit(value)).otherwise(pl.col(column)).alias(column))


@pytest.mark.parametrize(("layout", "change", "words"), [
    ("full", put("ltp", 16, -5.0), "row 17: ltp -5.0 is negative"),
    ("full", put("ltp", 3, 2e7), "row 4: ltp 20000000.0 is no price"),
    ("full", put("vtt", 9, -1), "row 10: vtt -1 is negative"),
    ("full", put("vtt", 9, 2**62), "row 10: vtt 4611686018427387904 is no number"),
    ("full", put("bq1", 2, -4), "row 3: bq1 -4 is negative"),
    ("full", put("instrument_key", 7, "NSE_EQ|Réliance"), "row 8: instrument_key"),
    ("full", put("instrument_key", 7, "X" * 49), "no instrument key"),
    ("full", lambda f: f.with_columns(pl.col("ltp").cast(pl.String)), "column ltp is text: numbers are wanted"),
    ("full", lambda f: f.with_columns(instrument_key=pl.lit(5)), "column instrument_key is int"),
    ("full", lambda f: f.drop("ap1"), "columns ap1 are missing"),
    ("full", lambda f: f.with_columns(bp2=pl.col("bp1")), "bq2, ap2, aq2"),
    ("seconds", put("ltp_paise", 4, -1), "row 5: ltp_paise -1 is negative"),
    ("seconds", put("cum_volume", 4, -1), "cum_volume -1"),
    ("minutes", put("volume", 3, float("nan")), "row 4: volume nan is no number"),
    ("minutes", put("volume", 3, None), "row 4: volume None"),
    ("minutes", put("high", 3, 5.0), "low is above the high"),
    ("minutes", lambda f: f.rename({"ts": "datetime"}), "column ts is missing"),
    ("minutes", lambda f: f.filter(pl.int_range(pl.len()) % 5 == 0), "bars are of 5 minutes"),
    ("minutes", put("close", 8, float("inf")), "close inf is no price")])
def test_what_makes_no_sense_is_named_by_row_and_column(tmp_path, layout, change, words):
    make, read = LAYOUTS[layout]
    with pytest.raises(DataError, match=words) as caught:
        read(written(tmp_path / "a", change(make())))
    assert "\n" not in str(caught.value) and "polars" not in str(caught.value).lower().replace("as polars does", "")


def test_rows_that_say_nothing_are_left_out_and_counted(tmp_path):
    frame = full().pipe(put("instrument_key", 7, None)).pipe(put("ltp", 8, None)).pipe(put("ltp", 9, float("nan"))).pipe(
        put("ltp", 10, 0.0)).pipe(put("recv_ts", 11, None))
    found = load(written(tmp_path / "a", frame))
    assert len(found.rows) == 395 and (found.rows["ltp"] > 0).all() and [s.key for s in found.specs] == [KEY]
    assert {n.partition(": ")[2] for n in found.notes} == {
        "1 rows without instrument_key are left out", "1 rows without recv_ts are left out", "3 rows without a price are left out"}
    some = load(written(tmp_path / "b", seconds().pipe(put("ltp_paise", 5, None))))
    assert len(some.rows) == 399 and some.received[5] == MS + 6000


def test_rows_are_numbered_as_in_the_file(tmp_path):
    """Also where rows before were left out, or are of another day."""
    frame = full().pipe(put("instrument_key", 2, None)).pipe(put("ltp", 3, None)).pipe(put("bq1", 8, -4))
    with pytest.raises(DataError, match="row 9: bq1 -4"):
        load(written(tmp_path / "a", frame))
    next_day = full().with_columns(pl.col("recv_ts", "ltt").dt.offset_by("1d")).pipe(put("ltp", 4, -5.0))
    with pytest.raises(DataError, match=r"row 405: ltp -5\.0"):
        load(written(tmp_path / "b", pl.concat([full(), next_day])), START.date() + dt.timedelta(days=1))
    stamps = full().with_columns(pl.col("ltt").dt.strftime("%Y-%m-%dT%H:%M:%SZ")).pipe(put("ltt", 1, None)).pipe(
        put("ltt", 6, "noon"))
    with pytest.raises(DataError, match="row 7: ltt is the text 'noon'"):
        load(written(tmp_path / "c", stamps))


def test_a_minute_counts_once_and_order_does_not_matter(tmp_path):
    frame = minutes()
    again = frame[10:12].with_columns(close=pl.lit(1003.0), open=pl.lit(1003.0))
    mixed = pl.concat([frame[200:], frame[:200], again])
    _, bars = bars_of_folder(written(tmp_path / "a", mixed))
    _, plain = bars_of_folder(written(tmp_path / "b", frame))
    assert len(bars) == len(plain) == 375 and bars["ms"].to_list() == plain["ms"].to_list()
    assert bars["close"][10] == 100_300 and bars["close"][9] == plain["close"][9]


def test_folders_without_tables_and_files_that_are_none(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.csv").write_text("ts,open\n")
    with pytest.raises(DataError, match=r"no Parquet files there \(there are \.csv\)"):
        files_of(tmp_path / "a", "ticks")
    with pytest.raises(DataError, match="no Parquet files there"):
        load(tmp_path / "nothing")
    (tmp_path / "a" / "x.parquet").write_bytes(b"PAR1 and no more")
    for read in (load, bars_of_folder):
        with pytest.raises(DataError, match="not a Parquet file that can be read"):
            read(tmp_path / "a")
    with pytest.raises(DataError, match=r"x\.parquet"):
        Table(tmp_path / "a" / "x.parquet")


# ---- instruments.csv ---------------------------------------------------------------------------------------------------------
HEAD, GOOD = ",".join(CSV_COLUMNS), f"{KEY},MADEUP,EQ,1,10"


@pytest.mark.parametrize(("text", "words"), [
    ("instrument_token,tradingsymbol\n1,X\n", "column instrument_key, trading_symbol"),
    (f"{HEAD}\n{KEY},MADEUP,EQ,1,0.1\n", "row 1: tick_size '0.1': whole paise"),
    (f"{HEAD}\n{GOOD}\n{KEY},MADEUP,EQUITY,1,10\n", "row 2: instrument_type 'EQUITY': one of EQ"),
    (f"{HEAD}\n{KEY},MADEUP,EQ,x,10\n", "row 1: lot_size 'x'"),
    (f"{HEAD}\n{KEY},MADEUP,EQ\n", "row 1: tick_size ''"),
    (f"{HEAD}\n{KEY},MADEÜP,EQ,1,10\n", "plain text"),
    (f"{HEAD}\n,MADEUP,EQ,1,10\n", "row 1: instrument_key ''"),
    (f"{HEAD}\n{KEY},MADEUP,EQ,0,10\n", "lot_size '0'"),
    (f"{HEAD}\n{KEY},MADEUP,EQ,1,nan\n", "tick_size 'nan'"),
    ("", "column instrument_key")], ids=range(10))
def test_a_list_of_instruments_that_is_none(tmp_path, text, words):
    path = tmp_path / "instruments.csv"
    path.write_text(text)
    with pytest.raises(EngineError, match=words) as caught:
        from_csv(path)
    assert caught.value.exit_code == 2 and "instruments.csv" in str(caught.value)
    path.write_bytes(b"\xff\xfe\x00junk")
    with pytest.raises(EngineError, match=r"UTF-8|column"):
        from_csv(path)


def test_a_list_is_never_cut_in_silence(tmp_path, monkeypatch):
    monkeypatch.setattr(instruments, "CSV_ROWS", 3)
    path = tmp_path / "instruments.csv"
    rows = [f"NSE_EQ|INE00000{n:04}1,N{n},EQ,1,10" for n in range(4)]
    path.write_text("\n".join([HEAD, *rows[:3], ""]))
    assert [one.symbol for one in from_csv(path)] == ["N0", "N1", "N2"]
    path.write_text("\n".join([HEAD, *rows, ""]))
    with pytest.raises(EngineError, match="more than 3 rows"):
        from_csv(path)


def test_a_list_as_a_spreadsheet_writes_it(tmp_path):
    path = tmp_path / "instruments.csv"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEAD},more\r\n{GOOD},x\r\n".encode())
    (found,) = from_csv(path)
    assert (found.key, found.symbol, found.tick, found.lot, found.tradable) == (KEY, "MADEUP", 10, 1, True)


# ---- two hundred of each -------------------------------------------------------------------------------------------------------
def mutated(frame: pl.DataFrame, rng: np.random.Generator) -> pl.DataFrame:
    """One to three things a recorder, a spreadsheet or a bad disk may do to a table."""
    odd = [None, float("nan"), float("inf"), -1.0, 0.0, 1e300, -1e18, 2.0**63, 1e-300]
    for _ in range(int(rng.integers(1, 4))):
        if not frame.columns:
            break
        name = str(rng.choice(frame.columns))
        what, column = int(rng.integers(0, 12)), frame[name]
        if what == 0:
            frame = frame.drop(name)
        elif what == 1:
            frame = frame.rename({name: name.upper() if rng.random() < 0.5 else f"{name} "})
        elif what == 2:
            kinds = [pl.String, pl.Boolean, pl.Int8, pl.Float32, pl.Date, pl.Time, pl.Binary, pl.Categorical]
            kind = kinds[int(rng.integers(0, len(kinds)))]
            try:
                frame = frame.with_columns(column.cast(kind, strict=False))
            except pl.exceptions.PolarsError:
                frame = frame.with_columns(pl.lit(None, kind).alias(name))
        elif what == 3:
            frame = frame.with_columns(pl.when(pl.int_range(pl.len()) % int(rng.integers(1, 90)) == 0).then(None).otherwise(
                pl.col(name)).alias(name))
        elif what in (4, 5) and column.dtype.is_numeric():
            values = column.cast(pl.Float64).to_list()
            for _ in range(int(rng.integers(1, 5))):
                if values:
                    values[int(rng.integers(0, len(values)))] = odd[int(rng.integers(0, len(odd)))]
            frame = frame.with_columns(pl.Series(name, values, pl.Float64))
        elif what == 6:
            frame = frame.sample(fraction=1.0, shuffle=True, seed=int(rng.integers(0, 1000)))
        elif what == 7:
            frame = pl.concat([frame, frame[: int(rng.integers(0, 50))]])
        elif what == 8 and isinstance(column.dtype, pl.Datetime):
            zone = [None, "UTC", "Asia/Kolkata", "America/New_York"][int(rng.integers(0, 4))]
            frame = frame.with_columns(column.dt.replace_time_zone(zone))
        elif what == 9:
            frame = frame.head(int(rng.integers(0, 3)))
        elif what == 10:
            frame = frame.with_columns(pl.Series(name, [[1, 2]] * len(frame)))
        elif what == 11:
            frame = frame.with_columns(pl.lit("é\n;DROP" if rng.random() < 0.5 else "").alias(name))
    return frame


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_tables_are_refused_in_one_line_or_read_right(tmp_path, layout):
    """What is read is whole: prices above 0, volumes not below, times in the order of receipt and of this century."""
    make, read = LAYOUTS[layout]
    rng, read_right, refused = np.random.default_rng(77), 0, 0
    for case in range(count(60, 200)):
        folder = written(tmp_path / str(case), mutated(make(), rng))
        if rng.random() < 0.1:
            path = folder / "MADEUP.parquet"
            data = bytearray(path.read_bytes())
            if rng.random() < 0.5:
                data = data[: int(rng.integers(0, len(data)))]
            else:
                data[int(rng.integers(0, len(data)))] ^= int(rng.integers(1, 256))
            path.write_bytes(data)
        try:
            found = read(folder)
        except EngineError as error:
            text = str(error)
            assert error.exit_code == 2 and "\n" not in text and len(text) < 600, text
            refused += 1
            continue
        read_right += 1
        if layout == "minutes":
            bars = found[1]
            assert bars.filter(pl.min_horizontal("open", "high", "low", "close") <= 0).is_empty()
            assert bars.filter(pl.col("volume") < 0).is_empty() and len(bars.unique(["inst", "ms"])) == len(bars)
        else:
            assert (found.rows["ltp"] > 0).all() and (found.rows["vtt"] >= 0).all() and (np.diff(found.received) >= 0).all()
    assert refused > 10 and read_right > 10
