"""`query`: wide rows a field a line, nothing cut, files of other formats, and how other tools connect."""
import json

import polars as pl
import pytest

from engine.cli.query import print_rows
from tests.kit.store import stored_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(stored_run(tmp_path_factory.mktemp("query"), 6).path)


def test_rows_that_fit_are_a_table_and_others_a_field_a_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_rows(["symbol", "n"], [["SBIN", 3], ["[bold]ITC", 4_000_000_000]])
    table = capsys.readouterr().out
    assert "[bold]ITC" in table and "4000000000" in table and "…" not in table and table.count("\n") == 6
    wide = [f"a_rather_long_name_{k}" for k in range(6)]
    print_rows(wide, [[123456789.123456, "x" * 90, 1, 2, 3, None]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "row 1" and [line.split()[0] for line in lines[1:]] == wide
    assert "123456789.123456" in lines[1] and "x" * 90 in lines[2] and lines[6].endswith("None")
    print_rows(["empty"], [])
    assert "empty" in capsys.readouterr().out


@pytest.mark.parametrize("table", ["trades", "signals", "orders_view", "bars_1m"])
def test_no_number_is_cut(said, run, monkeypatch, table):
    monkeypatch.setenv("COLUMNS", "80")
    assert said("query", f"SELECT * FROM {table} LIMIT 3", "--run-dir", run) == (0, "") and "…" not in said.out
    if "row 1" in said.out:
        shown = dict(line.strip().split(None, 1) for line in said.out.partition("row 2")[0].splitlines()[1:] if " " in line.strip())
        assert said("query", f"SELECT * FROM {table} LIMIT 1", "--run-dir", run, "--json") == (0, "")
        assert set(shown) <= set(json.loads(said.out)[0]) and len(shown) > 8


def test_answers_as_files(said, run, here):
    sql = "SELECT symbol, bar_ts, close_rs, volume FROM bars_1m ORDER BY symbol, bar_ts"
    for name, words in (("bars.csv", ()), ("bars.parquet", ()), ("bars.json", ()), ("bars.dat", ("--format", "parquet"))):
        assert said("query", sql, "--run-dir", run, "--out", name, *words) == (0, "")
    frame = pl.read_parquet(here / "bars.parquet")
    assert frame.equals(pl.read_parquet(here / "bars.dat")) and frame.columns == ["symbol", "bar_ts", "close_rs", "volume"]
    assert len(frame) > 100 and frame["bar_ts"].dtype.time_zone == "Asia/Kolkata"
    rows = pl.read_csv(here / "bars.csv")
    assert rows["close_rs"].to_list() == frame["close_rs"].to_list() and rows["bar_ts"][0] == "2026-09-01 09:15:00"
    assert json.loads((here / "bars.json").read_text().splitlines()[0])["symbol"] == frame["symbol"][0]
    assert said("query", "SELECT 7 AS n", "--run-dir", run, "--json", "--format", "csv") == (0, "") and said.out == '"n"\n7\n'
    code, text = said("query", sql, "--run-dir", run, "--out", "bars.xls")
    assert code == 2 and "--format" in text and ".parquet" in text


def test_a_mistake_and_nothing_asked_are_said(said, run):
    code, text = said("query", "SELECT nothing FROM bars_1m", "--run-dir", run)
    assert code == 1 and "nothing" in text
    code, text = said("query", "SELECT 1", "--run-dir", run, "--out", "no/such/folder.csv")
    assert code == 1 and "no/such" in text and "Traceback" not in text
    code, text = said("query", "--run-dir", run)
    assert code == 2 and "--connection" in text
    code, text = said("query", "--connection", "--run-dir", run)
    assert code == 1 and "query --serve" in text
