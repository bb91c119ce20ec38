"""Days of a backtest from the database, and its results there: one run of the home `runs`, stored once for all of this file."""
import contextlib
import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import orjson
import polars as pl
import pytest

from engine.__main__ import main
from engine.backtest import clickhouse
from engine.backtest.clickhouse import Stored
from engine.backtest.days import days_of
from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.errors import DataError
from engine.feed import encode
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.store.client import client_of
from engine.store.process import main as store
from engine.store.storing import put
from engine.trail.rundir import DATABASE_FOLDER, RunDir
from tests.backtest.test_session import LOOSE
from tests.kit.days import DAY

MINUTES = 75


class BestQuotes(SyntheticMarket):
    """A market whose feed shows the best quotes and nothing below, as the table ticks has it."""

    def frames(self):
        for at, rows, _ in super().frames():
            rows["levels"][:, 1:] = 0
            rows["n_levels"] = 1
            yield at, rows, encode(rows, at)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with `runs/one`, whose rows are in `runs/clickhouse`, and a reader of that as long as the tests of this file run."""
    base = tmp_path_factory.mktemp("home")
    (base / "runs" / DATABASE_FOLDER).mkdir(parents=True, mode=0o700)
    run = RunDir.new(base / "runs" / "one")
    market = BestQuotes(list(shipped()[:10]), DAY, 5, mood=4.0)
    market.minutes = MINUTES
    run_virtual(Config(), market, "sim", run, 5, None)
    store(Config(), run, once=True, drain_only=False, confined=False)
    with client_of(Config(), run) as client:
        yield base, client


@pytest.fixture
def inside(home, monkeypatch):
    monkeypatch.chdir(home[0])
    return home


def done(data: str, folder: Path, **options):
    document = backtest(BacktestOptions(data=data, run_dir=folder, journal=False, **options), Config(**LOOSE))
    return document, pl.read_parquet(folder / "trades.parquet")


def test_decisions_on_stored_ticks_are_those_on_the_run_s_own_frames(inside, tmp_path):
    (of_run, run_trades), (stored, trades) = done("runs/one", tmp_path / "a"), done("clickhouse", tmp_path / "b")
    assert len(trades) > 5 and trades.equals(run_trades)
    for part in ("rows", "result", "groups", "counts", "daily"):
        assert stored[part] == of_run[part], part
    assert any("best quotes alone" in note for note in stored["notes"]) and stored["content"].keys() == {str(DAY)}


def test_a_day_file_is_made_once_and_again_where_the_database_has_other_rows(inside):
    cache, said = Path("runs/days"), []

    def made() -> tuple[list[str], Path]:
        said.clear()
        (head,) = days_of(Path("clickhouse:sim"), cache, said.append)
        return list(said), head.path

    made()
    words, path = made()
    assert words == []
    note = path.with_name(f"{DAY}.ticks.json")
    rows, last, at = orjson.loads(note.read_bytes())
    for other in ([rows - 1, last, at], [rows, last - 1, at], [rows, last, at + 1]):
        note.write_bytes(orjson.dumps(other))
        assert "making a day file" in made()[0][0] and orjson.loads(note.read_bytes()) == [rows, last, at]


def test_minutes_are_taken_where_they_are_asked_for(inside, tmp_path):
    document, _ = done("clickhouse:one:bars", tmp_path / "a", names=shipped()[0].symbol)
    assert any("1 of 1 days are bars" in note for note in document["notes"]) and not any("quotes" in n for n in document["notes"])
    (head,) = days_of(Path("clickhouse:bars"), Path("runs/days"))
    assert head.kind == "bars" and head.rows == 10 * MINUTES and head.specs[0].key == shipped()[0].key


@pytest.mark.parametrize(("data", "words"), [
    ("clickhouse:nobody", "no run and no market called 'nobody'"), ("clickhouse:a:b", "clickhouse:RUN"),
    ("clickhouse:", "clickhouse:RUN")])
def test_what_is_not_there_is_said(inside, data, words):
    with pytest.raises(DataError, match=words):
        days_of(Path(data), Path("runs/days"))


def test_a_day_that_is_not_there_is_said_and_so_is_a_home_without_a_database(inside, tmp_path):
    with pytest.raises(DataError, match=f"no day from 2030-01-01.* there are {DAY}"):
        days_of(Path("clickhouse"), Path("runs/days"), span=(dt.date(2030, 1, 1), None))
    with pytest.raises(DataError, match="there is no database in"):
        days_of(Path("clickhouse"), tmp_path / "runs" / "days")
    with pytest.raises(DataError, match=r"does not give the rows \(it does not answer\): .* query"):
        days_of(Path("clickhouse"), tmp_path / "no" / "days", config=Config(store={"url": "http://127.0.0.1:1/spike"}))


def test_of_several_runs_the_one_that_saw_most_and_never_two_markets():
    one, more = Stored(1, "one", "sim", DAY, 5, (9, 9)), Stored(2, "more", "sim", DAY, 6, (1, 1))
    other, real = (Stored(3, "next", "sim", DAY + dt.timedelta(1), 1, (1, 1)), Stored(4, "real", "upstox", DAY, 1, (1, 1)))
    said: list[str] = []
    assert clickhouse._chosen([one, more, other], "", "ticks", said.append) == [more, other]
    assert len(said) == 1 and "run more is taken" in said[0] and "another: one" in said[0]
    with pytest.raises(DataError, match=r"several markets.*clickhouse:upstox"):
        clickhouse._chosen([one, real], "", "ticks", said.append)
    with pytest.raises(DataError, match="no bars of any run"):
        clickhouse._chosen([], "", "bars", said.append)
    days = [one, other]
    assert clickhouse._within(days, other.day, None) == days and clickhouse._within(days, None, DAY) == [one]


# ---- results ----------------------------------------------------------------------------------------------------------------
def test_results_are_stored_once_and_are_what_the_folder_says(inside, tmp_path):
    base, client = inside
    document, trades = done("runs/one", Path("runs/backtest-a"), store=True)
    number = document["stored"]
    assert number and document["not_stored"] is None

    def asked(sql: str):
        return client.query(sql, parameters={"number": number}).result_rows

    (itself,) = asked("SELECT trades, net_rs, win_rate, updates, name, sources FROM backtests WHERE backtest = {number:String}")
    result = document["result"]
    assert itself == (result["trades"], result["net"], result["win_rate"], document["rows"], "backtest-a", "spike")
    rows = asked("SELECT symbol, candidate, entry_price_rs, net_rs, reason, toUnixTimestamp64Nano(entry_time), side FROM "
                 "backtest_trades WHERE backtest = {number:String} ORDER BY trade")
    assert rows == [(t["symbol"], t["candidate"], t["entry_price"], t["gross"] - t["charges"], t["reason"], ns, t["side"])
                    for t, ns in zip(trades.to_dicts(), trades["entry_time"].dt.epoch("ns").to_list(), strict=True)]
    assert asked("SELECT toString(day), trades, net_rs FROM backtest_days WHERE backtest = {number:String}") == [
        (row["day"], row["trades"], row["net"]) for row in document["daily"]]
    figures = {(grouped, word): amount for grouped, word, amount in asked(
        "SELECT grouped, word, amount FROM backtest_figures WHERE backtest = {number:String} AND figure = 'average_bp'")}
    assert figures == {("all", ""): result["average_bp"]} | {
        (name, word): of["average_bp"] for name, part in document["groups"].items() for word, of in part.items()}

    before = asked("SELECT (SELECT count() FROM backtests), (SELECT count() FROM backtest_trades), count() FROM backtest_figures")
    assert put(base / "runs" / "backtest-a", Config()) == {"backtest": number, "is_new": False}
    again, _ = done(str(base / "runs" / "one"), Path("runs/backtest-b"), store=True)      # made anew, of data by another path
    assert again["stored"] == number and before == asked(
        "SELECT (SELECT count() FROM backtests), (SELECT count() FROM backtest_trades), count() FROM backtest_figures")
    other, _ = done("runs/one", Path("runs/backtest-c"), store=True, seed=2)
    assert other["stored"] != number and asked("SELECT count() FROM backtests")[0][0] == before[0][0] + 1


def test_commands_store_a_folder_and_ask_a_home_that_has_no_latest_run(inside, monkeypatch, capsys):
    def said(*words: str) -> str:
        monkeypatch.setattr("sys.argv", ["engine", *words])
        with contextlib.suppress(SystemExit):
            main()
        streams = capsys.readouterr()
        return streams.out + streams.err

    done("runs/one", Path("runs/backtest-d"), seed=3)
    assert "runs/backtest-d: stored as" in said("store", "--backtest", "runs/backtest-d")
    assert "runs/backtest-d: is there already as" in said("store", "--backtest", "runs/backtest-d")
    assert "runs/one is not the folder of a backtest" in said("store", "--backtest", "runs/one")
    assert said("query", "SELECT name FROM backtests WHERE name = 'backtest-d'", "--format", "tsv") == "name\nbacktest-d\n"


def test_a_reader_may_ask_for_every_column(inside):
    """None of them is called as a function is that readers may not call."""
    from engine.store.schema import columns, table_names

    for table in sorted(name for name in table_names() if name.startswith("backtest")):
        names = ", ".join(name for name, _ in columns(table))
        inside[1].query(f"SELECT {names} FROM {table} FINAL ORDER BY backtest LIMIT 1")


def test_without_store_no_database_is_opened_or_made(days_alone, tmp_path, monkeypatch):
    from engine.store import storing

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(storing, "put", lambda *_: pytest.fail("nobody asked for it"))
    document = backtest(BacktestOptions(data=days_alone, journal=False), Config(store={"url": "http://127.0.0.1:1"}))
    assert document["stored"] is None and not (tmp_path / "runs" / DATABASE_FOLDER).exists()


@pytest.fixture
def days_alone(tmp_path):
    from tests.kit.days import recorded_day

    recorded_day(tmp_path / "days", minutes=5, names=2)
    return tmp_path / "days"


def test_a_database_without_a_run_is_said_to_have_none():
    client = SimpleNamespace(query=lambda *_, **__: SimpleNamespace(result_rows=[]))
    with pytest.raises(DataError, match=r"no ticks of any run: .* store --once"):
        clickhouse._chosen(clickhouse._stored(client, "ticks", ""), "", "ticks", lambda _: None)
