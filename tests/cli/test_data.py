"""`data`: files of other tools in as day files, a run's ticks, bars and trades out."""
import json

import polars as pl
import pytest

from tests.kit.store import stored_run
from tests.market.test_layouts import BROKER, NAIVE
from tests.market.test_tables import full, written


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(stored_run(tmp_path_factory.mktemp("data"), 6).path)


def test_candles_come_in_and_are_shown(said, here, capsys):
    (here / "SBIN.csv").write_text(BROKER)
    assert said("data", "import", "SBIN.csv", "--out", "days") == (0, (
        "note: SBIN.csv: read as candles, stamp of timestamp, open of open, high of high, low of low, close of close, volume of "
        "volume, interest of oi\nnote: SBIN.csv: prices are read as rupees\n"
        "note: SBIN.csv: timestamp is read as text with its offset\n"))
    assert "days/2025-12-15.bars.day: 1 instruments, 2 bars" in said.out and "1 day files in days" in said.out
    assert said("data", "show", "days/2025-12-15.bars.day") == (0, "")
    assert "2025-12-15: 2 bars of 1 instruments: SBIN" in said.out and "made of: SBIN.csv" in said.out
    assert said("data", "show", "days/2025-12-15.bars.day", "--json") == (0, "")
    assert json.loads(said.out)["instruments"] == ["SBIN"]
    code, text = said("data", "import", "SBIN.csv", "--out", "days", "--json")
    assert code == 0 and json.loads(said.out) == {"days": [], "notes": ["SBIN.csv: is there already"]} and "already" in text


def test_what_is_open_is_asked_for(said, here):
    (here / "SBIN.csv").write_text(NAIVE)
    code, text = said("data", "import", "SBIN.csv")
    assert code == 2 and text.startswith("error: SBIN.csv: row 1: Datetime is the text") and "--zone" in text
    assert said("data", "import", "SBIN.csv", "--zone", "Asia/Kolkata")[0] == 0 and (here / "days/2025-12-15.bars.day").exists()
    for words, want in ((("none.csv",), "no such file"), (("SBIN.csv", "--zone", "Mars"), "--zone"),
                        (("SBIN.csv", "--prices", "annas"), "--prices"), (("SBIN.csv", "--volume", "x"), "--volume"), ((), "PATH")):
        code, text = said("data", "import", *words)
        assert code == 2 and want in text and text.count("\n") <= 1, text


def test_a_folder_that_cannot_be_written(said, here):
    (here / "SBIN.csv").write_text(BROKER)
    (here / "days").write_text("a file")
    code, text = said("data", "import", "SBIN.csv")
    assert code == 1 and "days: File exists: choose another folder with --out" in text


@pytest.mark.parametrize(("what", "price"), [("ticks", "ltp"), ("bars", "close_rs"), ("signals", "price_rs"), ("orders", ""),
                                             ("trades", ""), ("positions", ""), ("gaps", "")])
def test_what_a_run_kept_goes_out(said, run, here, what, price):
    for suffix in ("parquet", "csv"):
        assert said("data", "export", what, "--out", f"x.{suffix}", "--run-dir", run) == (0, "")
    frame, text = pl.read_parquet(here / "x.parquet"), pl.read_csv(here / "x.csv", infer_schema_length=None)
    assert len(frame) == len(text) and frame.columns == text.columns and f"{len(frame):,} {what} in x.csv" in said.out
    if price:
        time = {"ticks": "exch_ts", "bars": "bar_ts"}.get(what, "time")
        assert len(frame) > 2 and frame.schema[time].time_zone == "Asia/Kolkata" and frame[time].is_sorted()
        assert frame[price].to_list() == text[price].to_list()


def test_one_symbol_and_one_day_go_out(said, run, here):
    assert said("data", "export", "bars", "--out", "x.parquet", "--run-dir", run) == (0, "")
    whole = pl.read_parquet(here / "x.parquet")
    symbol = whole["symbol"][0]
    for what in ("bars", "ticks"):
        assert said("data", "export", what, "--out", "y.parquet", "--run-dir", run, "--symbol", symbol.lower(), "--day",
                    "2026-09-01", "--json") == (0, "")
        assert json.loads(said.out)["rows"] == len(pl.read_parquet(here / "y.parquet")) > 10
    assert set(pl.read_parquet(here / "y.parquet")["inst"]) == {whole.filter(pl.col("symbol") == symbol)["inst"][0]}
    assert said("data", "export", "bars", "--out", "z.csv", "--run-dir", run, "--day", "2026-09-02") == (0, "")
    assert "0 bars in z.csv" in said.out
    for words, want in ((("bars", "--out", "x.xls"), ".parquet or .csv"), (("films", "--out", "x.csv"), "films"),
                        (("bars", "--out", "x.csv", "--day", "soon"), "2026-09-01")):
        code, text = said("data", "export", *words, "--run-dir", run)
        assert code == 2 and want in text
    code, text = said("data", "export", "bars", "--out", "no/such/x.csv", "--run-dir", run)
    assert code == 1 and "no/such/x.csv" in text and "Traceback" not in text


def test_a_day_file_goes_out(said, here):
    written(here / "a", full(5))
    assert said("data", "import", "a", "--out", "days")[0] == 0
    assert said("data", "export", "ticks", "--data", "days/2025-12-15.ticks.day", "--out", "x.parquet") == (0, "")
    assert pl.read_parquet(here / "x.parquet")["ltp_rs"][0] == 1000.0
    for words in (("--day", "2025-12-15"), ("--run-dir", "a")):
        code, text = said("data", "export", "ticks", "--data", "days/2025-12-15.ticks.day", "--out", "x.parquet", *words)
        assert code == 2 and "leave --day and --run-dir out" in text
    code, text = said("data", "export", "trades", "--data", "days/2025-12-15.ticks.day", "--out", "x.parquet")
    assert code == 2 and "it holds ticks, not trades" in text
