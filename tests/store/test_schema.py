"""Tables of an earlier version are brought up to date with what they hold; those of a later one are left alone."""
import re
import subprocess
import sys
from types import SimpleNamespace

import orjson
import pytest

from _ext.signals.features import FEATURES
from engine.store import schema
from tests.conftest import ROOT

SCRIPT = '''
import json, re, sys
from pathlib import Path
from engine.store import schema
from engine.store.earlier import Direct

client = Direct(Path(sys.argv[1]))
signals = next(s for s in schema.statements("spike") if "spike.signals (" in s)
signals = signals.replace("side Int8, source LowCardinality(String), own Map(LowCardinality(String), Float64),\\n", "")
signals = re.sub(r", f_mid_since_tick Float32", "", signals)            # a feature that came since
client.command(signals)
client.command("INSERT INTO spike.signals (run, id, direction, strength, f_strength) VALUES (7, 1, -1, 0.5, 0.25)")
said = [schema.version_of(client, "spike"), schema.migrate(client, "spike"), schema.migrate(client, "spike")]
names = [row[0] for row in client.query("SELECT name FROM system.columns WHERE database = 'spike' "
                                        "AND table = 'signals'").result_rows]
row = client.query("SELECT run, direction, strength, side, source, length(own), f_strength, isNaN(f_mid_since_tick) "
                   "FROM spike.signals").result_rows
versions = client.query("SELECT version FROM spike.schema_version").result_rows
client.command(f"INSERT INTO spike.schema_version VALUES ({schema.VERSION + 1}, now())")
try:
    schema.migrate(client, "spike")
except schema.SchemaError as error:
    said.append(str(error))
print(json.dumps([said, names, row, versions]))
'''


def test_a_database_of_the_time_before_is_brought_up_to_date_once(tmp_path):
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False,
                          cwd=ROOT)
    assert done.returncode == 0, done.stderr[-800:]
    said, names, rows, versions = orjson.loads(done.stdout.splitlines()[-1])
    assert said[:3] == [1, 1, schema.VERSION] and f"of version {schema.VERSION + 1}, this engine knows {schema.VERSION}" in said[3]
    assert set(names) == {name for name, _ in schema.columns("signals")} and versions == [[schema.VERSION]]
    assert rows == [[7, -1, 0.5, -1, "spike", 0, 0.25, 1]]              # what it held is still there, and follows its move


BEFORE_BARS = """
import json, sys
from pathlib import Path
from engine.store import schema
from engine.store.earlier import Direct

client = Direct(Path(sys.argv[1]))
for text in (
    "CREATE TABLE spike.schema_version (version UInt32, at DateTime) ENGINE = MergeTree ORDER BY version",
    "INSERT INTO spike.schema_version VALUES (3, now())",
    *(s for s in schema.statements("spike") if "spike.ticks (" in s or "spike.signals (" in s),
    "CREATE TABLE spike.bars_1m (run UInt32, inst UInt32, trade_date Date, bar_ts DateTime('Asia/Kolkata'), "
    "open AggregateFunction(argMin, Int64, Tuple(DateTime64(3, 'Asia/Kolkata'), UInt64)), "
    "high SimpleAggregateFunction(max, Int64), low SimpleAggregateFunction(min, Int64), "
    "close AggregateFunction(argMax, Int64, Tuple(DateTime64(3, 'Asia/Kolkata'), UInt64)), "
    "volume SimpleAggregateFunction(sum, UInt64), turnover SimpleAggregateFunction(sum, UInt64), "
    "updates SimpleAggregateFunction(sum, UInt64)) ENGINE = AggregatingMergeTree ORDER BY (run, inst, trade_date, bar_ts)",
    "CREATE TABLE spike.bars_5m AS spike.bars_1m ENGINE = AggregatingMergeTree ORDER BY (run, inst, trade_date, bar_ts)",
    *("CREATE MATERIALIZED VIEW spike.to_bars_" + tf + " TO spike.bars_" + tf + " AS SELECT run, inst, trade_date, " + start
      + "(toDateTime(exch_ts, 'Asia/Kolkata')) AS bar_ts, argMinState(t.ltp, (t.exch_ts, t.seq)) AS open, max(t.ltp) AS high, "
      "min(t.ltp) AS low, argMaxState(t.ltp, (t.exch_ts, t.seq)) AS close, sum(toUInt64(t.volume)) AS volume, "
      "sum(toUInt64(t.volume) * toUInt64(t.ltp)) AS turnover, count() AS updates FROM spike.ticks AS t "
      "WHERE bitAnd(flags, 1432) = 0 AND ltp > 0 GROUP BY run, inst, trade_date, bar_ts"
      for tf, start in (("1m", "toStartOfMinute"), ("5m", "toStartOfFiveMinutes"))),
    "INSERT INTO spike.ticks (run, trade_date, inst, exch_ts, seq, ltp, volume) VALUES (7, '2026-09-01', 2, "
    "'2026-09-01 09:15:01', 1, 10000, 5), (7, '2026-09-01', 2, '2026-09-01 09:15:59', 2, 10100, 7), "
    "(7, '2026-09-01', 2, '2026-09-01 09:16:00', 3, 9900, 1)",
    "CREATE TABLE spike.gaps (run UInt32, seq UInt64, ts DateTime64(9, 'Asia/Kolkata'), inst UInt32, "
    "kind LowCardinality(String), begin DateTime64(9, 'Asia/Kolkata'), end DateTime64(9, 'Asia/Kolkata'), "
    "first_minute DateTime('Asia/Kolkata'), "
    "last_minute DateTime('Asia/Kolkata'), volume Int64, measured Float64, threshold Float64) ENGINE = MergeTree "
    "ORDER BY (run, ts, seq)",
    "INSERT INTO spike.gaps (run, seq, first_minute, last_minute) VALUES (7, 1, '2026-09-01 09:15:00', '2026-09-01 09:16:00'), "
    "(7, 2, 0, 0)",
):
    client.command(text)
cut, kept = int(sys.argv[2]), client.command
def killed(text, left=[cut]):
    left[0] -= 1
    if left[0] < 0:
        raise KeyboardInterrupt
    return kept(text)
if cut:                                                    # a server that ends after so many statements
    client.command = killed
    try:
        schema.migrate(client, "spike")
    except KeyboardInterrupt:
        pass
    client.command = kept
said = [schema.migrate(client, "spike"), schema.migrate(client, "spike")]
ask = lambda sql: client.query(sql).result_rows
print(json.dumps([said, ask("SELECT toString(bar_ts), open, high, low, close, volume, turnover, updates FROM spike.bars_1m "
                            "ORDER BY bar_ts"),
                  ask("SELECT toString(bar_ts), open_rs, close_rs, volume FROM spike.bars_5m"),
                  ask("SELECT toString(first_minute), toString(last_minute) FROM spike.gaps ORDER BY seq"),
                  ask("SELECT name FROM system.tables WHERE database = 'spike' "
                      "AND (name LIKE '%before' OR name LIKE 'to_bars%')")]))
"""


@pytest.mark.parametrize("cut", [0, 2, 4, 5, 20, *range(33, 38)])
def test_bars_of_version_3_become_plain_rows(tmp_path, cut):
    """Also where the migration was cut off after any of its steps, and is done once more."""
    done = subprocess.run([sys.executable, "-c", BEFORE_BARS, str(tmp_path), str(cut)], capture_output=True, text=True, check=False,
                          cwd=ROOT)
    assert done.returncode == 0, done.stderr[-800:]
    said, minutes, fives, gaps, left = orjson.loads(done.stdout.splitlines()[-1])
    assert said == [3, schema.VERSION] and left == []
    assert [[*row[:5], *map(int, row[5:])] for row in minutes] == [
        ["2026-09-01 09:15:00", 10000, 10100, 10000, 10100, 12, 5 * 10000 + 7 * 10100, 2], ["2026-09-01 09:16:00", 9900, 9900, 9900,
                                                                                          9900, 1, 9900, 1]]
    assert [[*row[:3], int(row[3])] for row in fives] == [["2026-09-01 09:15:00", 100.0, 99.0, 13]]
    assert gaps == [["2026-09-01 09:15:00", "2026-09-01 09:16:00"], [None, None]]


def test_every_column_of_every_table_has_a_name_and_a_type():
    tables = re.findall(r"CREATE TABLE IF NOT EXISTS db\.(\w+)\s*\(", "\n".join(schema.statements("db")))
    assert len(tables) >= 12 and "schema_version" in tables
    for table in tables:
        columns = schema.columns(table)
        assert columns and all(re.fullmatch(r"\w+", name) and re.match(r"[A-Z]\w+", kind) for name, kind in columns), table
    assert [name for name, _ in schema.columns("signals")][-len(FEATURES):] == [f"f_{name}" for name in FEATURES]
    assert dict(schema.columns("signals"))["verdict"] == "Enum8('watched' = 0, 'refused' = 1, 'passed' = 2)"
    ticks = dict(schema.columns("ticks"))
    assert ticks["recv_ts"] == "DateTime64(6, 'Asia/Kolkata')" and "by_receipt" not in ticks


def test_each_version_has_its_statements():
    assert set(schema.MIGRATIONS) == set(range(2, schema.VERSION + 1))


def test_a_new_database_is_of_this_version_at_once():
    said = []
    client = SimpleNamespace(command=lambda text: said.append(text) or "", query=lambda text: SimpleNamespace(result_rows=[
        (name,) for name, _ in schema.columns("signals")] if "system.columns" in text else []))
    assert schema.migrate(client, "db") == 0
    assert said[-1].startswith(f"INSERT INTO db.schema_version VALUES ({schema.VERSION},")
    assert not any("ALTER" in text for text in said)


@pytest.mark.parametrize("text", ["a, b(c, d), 'e, f', g", "a"])
def test_columns_are_split_outside_brackets_and_quotes(text):
    assert [part.strip() for part in schema._split(text)] == {"a": ["a"]}.get(text, ["a", "b(c, d)", "'e, f'", "g"])
