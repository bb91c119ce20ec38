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
