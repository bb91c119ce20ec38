"""Results of a backtest's folder as rows: the same ones known again, and a folder that is anything else refused.

How they come into a database is in tests/backtest/test_clickhouse.py; here what `engine/store/storing.py` does where they do not.
"""
import asyncio
import time
from types import SimpleNamespace

import orjson
import pytest

from engine.backtest.options import BacktestOptions
from engine.backtest.session import backtest
from engine.config import Config
from engine.errors import DataError
from engine.store import backtests, storing
from engine.store.backtests import results_of, send
from engine.store.schema import columns
from engine.trail.note import Note
from engine.trail.rundir import RunDir, RunError
from tests.backtest.test_session import LOOSE
from tests.kit.days import recorded_day


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder of a backtest, its document)."""
    base = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(base)
        recorded_day(base / "days", minutes=60)
        backtest(BacktestOptions(run_dir=base / "b", journal=False), Config(**LOOSE))
    return base / "b", orjson.loads((base / "b" / "backtest.json").read_bytes())


@pytest.fixture
def folder(made, tmp_path):
    """Makes a folder of the same trades and the document with other fields."""
    def write(**fields):
        path = tmp_path / "copy"
        path.mkdir(exist_ok=True)
        (path / "trades.parquet").write_bytes((made[0] / "trades.parquet").read_bytes())
        (path / "backtest.json").write_bytes(orjson.dumps(made[1] | fields))
        return path
    return write


def test_each_table_has_its_rows_by_its_columns(made):
    results = results_of(made[0])
    assert list(results.rows) == list(backtests.TABLES) and len(results.rows["backtest_trades"]) == made[1]["result"]["trades"] > 3
    for table, rows in results.rows.items():
        assert rows and {(len(row), row[0]) for row in rows} == {(len(columns(table)), results.number)}


def test_another_time_and_place_are_the_same_backtest_and_another_question_is_not(made, folder):
    number, options = results_of(made[0]).number, made[1]["options"]
    same = [{"seconds": 99.0, "run_dir": "/x", "at": "2026-01-01T00:00:00+05:30"}, {"data": "elsewhere"},
            {"options": options | {"journal": True, "store": True, "run_dir": "x", "data": "elsewhere"}}]
    assert [results_of(folder(**fields)).number for fields in same] == [number] * 3
    result = made[1]["result"]
    other = [{"options": options | {"seed": 2}}, {"content": {"2026-09-01": "0" * 64}}, {"result": result | {"net": 0.0}},
             {"settings": made[1]["settings"] | {"limits": {}}}]
    assert number not in {results_of(folder(**fields)).number for fields in other}
    before = {"content": {}, "at": None}                   # of before these were said
    assert results_of(folder(**before)).number != results_of(folder(**before, data="elsewhere")).number


@pytest.mark.parametrize(("fields", "words"), [
    ({"is_whole": False}, "did not come to its end: run it again"), ({"daily": [{"day": "soon"}]}, "not as a backtest"),
    ({"result": None}, "not as a backtest"), ({"groups": {"hour": 3}}, "not as a backtest"), ({"first": 5}, "not as a backtest"),
    ({"rows": "many"}, "not as a backtest"), ({"options": []}, "not as a backtest"), ({"at": "soon"}, "not as a backtest"),
    ({"settings": {"sources": [1]}}, "not as a backtest")])
def test_a_document_no_backtest_has_written_is_refused(folder, fields, words):
    with pytest.raises(DataError, match=words):
        results_of(folder(**fields))


def test_a_folder_of_something_else_is_refused(folder, tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"not the folder of a backtest: it has no backtest\.json"):
        results_of(tmp_path)
    with pytest.raises(DataError, match="not the folder of a backtest"):
        storing.put(tmp_path, Config())
    path = folder()
    (path / "trades.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"no trades\.parquet that can be read"):
        results_of(path)
    (path / "backtest.json").write_bytes(b"[]")
    with pytest.raises(DataError, match="not what a backtest writes"):
        results_of(path)
    monkeypatch.setattr(backtests, "ROWS_MAX", 1)
    with pytest.raises(DataError, match="more than 1 trades"):
        results_of(folder())
    monkeypatch.setattr(backtests, "SIZE_MAX", 1)
    with pytest.raises(DataError, match="no backtest writes that"):
        results_of(folder())


class Client:
    """A database that has `there` rows of each table."""

    def __init__(self, **there: int):
        self.there, self.said, self.inserted = there, [], []

    def query(self, text):
        return SimpleNamespace(result_rows=[(self.there.get(text.partition("db.")[2].split()[0], 0),)])

    def command(self, text):
        self.said.append(text)

    def raw_insert(self, table, names, data, fmt):
        self.inserted.append(table)


def test_what_a_killed_attempt_left_goes_and_what_is_whole_stays(made, monkeypatch):
    monkeypatch.setattr(backtests, "migrate", lambda *_: None)
    results = results_of(made[0])
    half = Client(backtest_days=1, backtest_trades=3)
    assert send(half, "db", results) and half.inserted[-1] == "db.backtests" and len(half.inserted) == 4
    assert half.said == [f"ALTER TABLE db.{table} DELETE WHERE backtest = '{results.number}' SETTINGS mutations_sync = 1"
                         for table in ("backtest_days", "backtest_trades")]
    whole = Client(backtests=1)
    assert not send(whole, "db", results) and whole.inserted == whole.said == []


def test_who_waits_hears_what_is_in_the_way(tmp_path, monkeypatch):
    run, note = RunDir(tmp_path), Note(tmp_path / "stored.json")

    def wait(**said):
        note.write({"at": time.time(), "backtest": "", "trouble": "", "problem": ""} | said)
        return asyncio.run(storing.stored(run, 1.0))

    monkeypatch.setattr(storing, "PATIENCE_S", 0.0)
    assert wait(backtest="ab")["backtest"] == "ab"
    with pytest.raises(DataError, match="no backtest"):
        wait(problem="no backtest")
    with pytest.raises(RunError, match=r"does not take the results \(full\).*store --backtest"):
        wait(trouble="full")
    monkeypatch.setattr(storing, "SILENCE_S", 0.0)
    with pytest.raises(RunError, match="takes no results"):
        wait(at=0.5, backtest="of another time")
    note.close()


def test_a_server_that_does_not_answer_is_trouble_and_no_end(made, tmp_path):
    run = RunDir(tmp_path / "b")
    for name in ("backtest.json", "trades.parquet"):
        (run.path / name).write_bytes((made[0] / name).read_bytes())
    filling = storing.Storing(run, Config(), {"dsn": "http://127.0.0.1:1/spike"}, "spike")
    try:
        with pytest.raises(RunError, match="does not take the results"), pytest.MonkeyPatch.context() as patch:
            patch.setattr(storing, "PATIENCE_S", 0.1)
            asyncio.run(storing.stored(run, 1.0))
    finally:
        filling.end()
