"""The tables: what `schema.sql` says of them, and how a database of an earlier version comes to have them.

`schema.sql` is what a new database gets. One that is there is brought up to date once, by the numbered statements of MIGRATIONS
from its version on; columns it lacks (a feature that came since) are added empty. Journals are never migrated.
"""
import re
from pathlib import Path
from typing import Any

from _ext.signals.features import FEATURES

KEPT_TOKENS = 100_000
VERSION = 5
MIGRATIONS: dict[int, tuple[str, ...]] = {
    2: ("ALTER TABLE {db}.signals ADD COLUMN IF NOT EXISTS side Int8 DEFAULT direction AFTER arm",
        "ALTER TABLE {db}.signals ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT 'spike' AFTER side",
        "ALTER TABLE {db}.signals ADD COLUMN IF NOT EXISTS own Map(LowCardinality(String), Float64) AFTER source"),
    3: (),
    4: ("DROP VIEW IF EXISTS {db}.to_bars_1m", "DROP VIEW IF EXISTS {db}.to_bars_5m", "DROP TABLE IF EXISTS {db}.bars_5m"),
    5: (),
}
"""Version -> what leads to it from the one before; tables that are new (3: runs, 4: bars, 5: backtests) are made by schema.sql."""
AFTERWARDS: dict[int, tuple[str, ...]] = {
    4: ("ALTER TABLE {db}.gaps MODIFY COLUMN first_minute Nullable(DateTime64(0, 'Asia/Kolkata'))",
        "ALTER TABLE {db}.gaps MODIFY COLUMN last_minute Nullable(DateTime64(0, 'Asia/Kolkata'))",
        "ALTER TABLE {db}.gaps UPDATE first_minute = NULL, last_minute = NULL WHERE toUnixTimestamp(first_minute) = 0 "
        "SETTINGS mutations_sync = 1"),
}
"""What is done once every table is there."""
ASIDE = "RENAME TABLE {db}.bars_1m TO {db}.bars_before"
TO_BARS = ("INSERT INTO {db}.bars SELECT run, trade_date, inst, 1, toDateTime64(bar_ts, 0, 'Asia/Kolkata'), argMinMerge(open), "
        "max(high), min(low), argMaxMerge(close), sum(volume), sum(turnover), sum(updates), 0, 1, bar_ts + INTERVAL 1 MINUTE "
        "FROM {db}.bars_before GROUP BY run, trade_date, inst, bar_ts", "DROP TABLE {db}.bars_before")
"""The bars of a database of version 3, which were made of ticks in ClickHouse, make room for a view of that name and are taken
over; each step can be done again where a server was killed after it."""
_TYPE_END = re.compile(r" (?:CODEC\(|DEFAULT |COMMENT )")
_TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS \{db\}\.(\w+)\s*\(\s*(.*?)\s*\)\s*ENGINE = ", re.S)


class SchemaError(ValueError):
    """The database is of a later version than this engine; says what to do."""


def _text() -> str:
    features = ", ".join(f"f_{name} Float32" for name in FEATURES)
    return (Path(__file__).parent / "schema.sql").read_text().replace("{features}", features).replace("{window}", str(KEPT_TOKENS))


def statements(database: str) -> list[str]:
    """The statements of schema.sql for `database`."""
    parts = ("\n".join(line for line in part.splitlines() if not line.startswith("--")) for part in _text().split(";"))
    return [s.strip().replace("{db}", database) for s in parts if s.strip()]


def table_names() -> set[str]:
    """Every table that schema.sql describes."""
    return {m[1] for m in _TABLE.finditer(_text())}


def columns(table: str) -> list[tuple[str, str]]:
    """(name, type) of each column of a table, in the order in which rows are written."""
    body = next(m[2] for m in _TABLE.finditer(_text()) if m[1] == table)
    out = []
    for part in _split(body):
        name, _, rest = part.strip().partition(" ")
        if name != "INDEX":
            out.append((name, _TYPE_END.split(rest, maxsplit=1)[0].strip()))
    return out


def _split(text: str) -> list[str]:
    """At commas outside brackets and quotes."""
    parts, depth, quoted, begin = [], 0, False, 0
    for at, letter in enumerate(text):
        quoted ^= letter == "'"
        depth += 0 if quoted else {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0 and not quoted:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


def migrate(client: Any, database: str) -> int:
    """Makes the tables, or brings those that are there up to date; the version found. SchemaError for a later one."""
    found = version_of(client, database)
    if found > VERSION:
        raise SchemaError(f"the database {database} is of version {found}, this engine knows {VERSION}: use the engine that wrote "
                          "it, or another database")
    for number in range(found + 1, VERSION + 1) if found else ():
        for statement in MIGRATIONS[number]:
            client.command(statement.replace("{db}", database))
    if "bars_1m" in _tables(client, database, "AggregatingMergeTree"):
        client.command(ASIDE.replace("{db}", database))
    for statement in statements(database):
        client.command(statement)
    later = [s for number in range(found + 1, VERSION + 1) for s in AFTERWARDS.get(number, ())] if found else []
    for statement in [*later, *(TO_BARS if "bars_before" in _tables(client, database) else ())]:
        client.command(statement.replace("{db}", database))
    have = {row[0] for row in client.query(f"SELECT name FROM system.columns WHERE database = '{database}' "
                                           "AND table = 'signals'").result_rows}
    for name, kind in columns("signals"):
        if name not in have:
            client.command(f"ALTER TABLE {database}.signals ADD COLUMN IF NOT EXISTS {name} {kind}"
                           + (" DEFAULT nan" if kind == "Float32" else ""))
    if found != VERSION:
        client.command(f"INSERT INTO {database}.schema_version VALUES ({VERSION}, now())")
    return found


def uuid_of(client: Any, database: str) -> str:
    """What tells this database from another of the same name: a cursor that speaks of the other says nothing here."""
    return str(client.command(f"SELECT toString(uuid) FROM system.tables WHERE database = '{database}' AND name = 'ticks'"))


def _tables(client: Any, database: str, engine: str = "%") -> set[str]:
    """Names of the tables and views, of those of one engine."""
    return {row[0] for row in client.query(f"SELECT name FROM system.tables WHERE database = '{database}' "
                                           f"AND engine LIKE '{engine}'").result_rows}


def version_of(client: Any, database: str) -> int:
    """0: there are no tables; 1: those of the time before versions were kept."""
    tables = _tables(client, database)
    if "schema_version" not in tables:
        return 1 if "signals" in tables else 0
    return int(client.command(f"SELECT max(version) FROM {database}.schema_version"))
