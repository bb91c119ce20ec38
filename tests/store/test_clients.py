"""Any tool reads the database: each client in use, unmodified, over HTTP; India's time and rupees in every one of them."""
import asyncio
import datetime as dt
import json
import shutil
import subprocess
import urllib.request
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from engine.config import Config
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.store.client import client_of, connection_of
from engine.store.embedded import password_of
from engine.store.home import Home
from engine.store.process import main as store
from engine.trail.rundir import RunDir, RunError

IST = ZoneInfo("Asia/Kolkata")
FIRST = dt.datetime(2026, 9, 1, 9, 15, tzinfo=IST)
BAR = "SELECT bar_ts, open_rs, symbol FROM bars_1m ORDER BY bar_ts, symbol LIMIT 1"


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(clickhouse-connect client, port, password, run) of a stored run."""
    run = RunDir(tmp_path_factory.mktemp("a home") / "its run")
    market = SyntheticMarket(shipped()[:8], dt.date(2026, 9, 1), 3)
    market.minutes = 25
    run_virtual(Config(), market, "test", run, 3, None)
    with pytest.raises(RunError, match="nothing serves the database now"):
        connection_of(Config(), run)
    store(Config(), run, once=True, drain_only=False, confined=False)
    with client_of(Config(), run) as client:
        port = int(client.url.rsplit(":", 1)[1].rstrip("/"))
        yield client, port, password_of(Home(run.home).database), run


@pytest.fixture(scope="module")
def first(served):
    """The first bar, from the table itself: (symbol, open in paise)."""
    (found,) = served[0].query("SELECT s.symbol, b.open FROM bars AS b FINAL INNER JOIN instruments AS s ON s.inst = b.inst "
                               "ORDER BY b.bar_ts, s.symbol LIMIT 1").result_rows
    return found


def test_clickhouse_connect(served, first):
    client = served[0]
    ((stamp, price, symbol),) = client.query(BAR).result_rows
    assert stamp == FIRST and stamp.utcoffset() == dt.timedelta(hours=5.5) and (symbol, round(price * 100)) == first
    frame = client.query_df(BAR)
    assert frame["bar_ts"][0].isoformat() == "2026-09-01T09:15:00+05:30" and frame["open_rs"][0] == price
    table = client.query_arrow(BAR)
    assert str(table.schema.field("bar_ts").type).endswith("tz=Asia/Kolkata]")
    result = client.query("SELECT count() FROM bars_1m WHERE symbol = {name:String} AND volume > {least:UInt64}",
                          parameters={"name": symbol, "least": 0})
    assert result.first_row[0] > 20


def test_times_the_reader_makes_are_indias_too(served):
    client = served[0]
    hour = client.query("SELECT toString(toStartOfHour(max(ts))), toHour(max(ts)) FROM signals").first_row
    assert hour == ("2026-09-01 09:00:00", 9)
    stamp = client.query("SELECT toStartOfFiveMinutes(min(exch_ts)) FROM ticks WHERE bitAnd(flags, 5528) = 0").first_row[0]
    assert (stamp.hour, stamp.minute) == (9, 15)


def test_polars(served, first):
    frame = pl.from_arrow(served[0].query_arrow(BAR))
    assert frame["bar_ts"][0] == FIRST and frame["bar_ts"].dtype.time_zone == "Asia/Kolkata"
    assert (frame["symbol"][0], round(frame["open_rs"][0] * 100)) == first


def test_sqlalchemy(served, first):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    _, port, password, _ = served
    engine = sqlalchemy.create_engine(f"clickhousedb://reader:{password}@127.0.0.1:{port}/spike?compression=false&compress=false")
    with engine.connect() as connection:
        row = connection.execute(sqlalchemy.text(BAR)).fetchone()
        assert (row[2], round(row[1] * 100)) == first and row[0] == FIRST
        count = connection.execute(sqlalchemy.text("SELECT count() FROM trades_view WHERE action IN ('BUY', 'SELL; --')")).scalar()
        assert count >= 0


def test_aiochclient(served, first):
    aiochclient = pytest.importorskip("aiochclient")
    import aiohttp

    _, port, password, _ = served

    async def ask():
        async with aiohttp.ClientSession() as session:
            client = aiochclient.ChClient(session, url=f"http://127.0.0.1:{port}/", user="reader", password=password,
                                          database="spike")
            return await client.fetchrow("SELECT symbol, open, toString(bar_ts) AS at FROM bars_1m ORDER BY bar_ts, symbol LIMIT 1")

    row = asyncio.run(ask())
    assert (row["symbol"], row["open"]) == first and row["at"] == "2026-09-01 09:15:00"


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_clickhouse_client_of_node(served, first, tmp_path):
    _, port, password, _ = served
    got = subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "@clickhouse/client"], cwd=tmp_path, check=False,
                         capture_output=True, timeout=120)
    if got.returncode:
        pytest.skip("@clickhouse/client cannot be had here")
    (tmp_path / "ask.mjs").write_text(f"""
        import {{ createClient }} from '@clickhouse/client'
        const client = createClient({{ url: 'http://127.0.0.1:{port}', username: 'reader', password: process.env.PASSWORD,
                                       database: 'spike' }})
        const rows = await (await client.query({{ query: `{BAR}`, format: 'JSONEachRow' }})).json()
        const some = await (await client.query({{ query: 'SELECT count() AS n FROM bars_1m WHERE symbol = {{name:String}}',
                                                  format: 'JSON', query_params: {{ name: rows[0].symbol }} }})).json()
        console.log(JSON.stringify([rows[0], some.data[0].n]))
        await client.close()
    """)
    done = subprocess.run(["node", "ask.mjs"], cwd=tmp_path, env={"PASSWORD": password, "PATH": "/usr/local/bin:/usr/bin:/bin"},
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr[-800:]
    row, count = json.loads(done.stdout)
    assert (row["symbol"], round(row["open_rs"] * 100)) == first and row["bar_ts"] == "2026-09-01 09:15:00" and int(count) > 20


@pytest.mark.parametrize(("form", "head"), [
    ("CSVWithNames", b'"bar_ts","open_rs","symbol"\n"2026-09-01 09:15:00",'), ("JSONEachRow", b'{"bar_ts":"2026-09-01 09:15:00",'),
    ("TSV", b"2026-09-01 09:15:00\t"), ("Parquet", b"PAR1"), ("Vertical", b"Row 1:")])
def test_curl(served, form, head):
    """As curl asks: the statement in the body, name and password in the address's place."""
    _, port, password, _ = served
    request = urllib.request.Request(f"http://127.0.0.1:{port}/", f"{BAR} FORMAT {form}".encode(), {
        "X-ClickHouse-User": "reader", "X-ClickHouse-Key": password})
    with urllib.request.urlopen(request) as answer:
        assert answer.read().startswith(head) and answer.headers["X-ClickHouse-Timezone"] == "Asia/Kolkata"
    request = urllib.request.Request(f"http://127.0.0.1:{port}/?param_a=7", b"SELECT {a:UInt8} + 1, 'a;b' -- one; two", {
        "X-ClickHouse-User": "reader", "X-ClickHouse-Key": password})
    with urllib.request.urlopen(request) as answer:
        assert answer.read() == b"8\ta;b\n"


def test_what_is_printed_of_a_connection_connects_and_tells_no_secret(served):
    _, port, password, run = served
    words = connection_of(Config(), run)
    assert f"http://127.0.0.1:{port}" in words and password not in words
    line = next(line for line in words.splitlines() if "curl:" in line).partition("curl:")[2]
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.startswith('"run","time","symbol","action"')


@pytest.mark.parametrize("view", ["bars_1m", "bars_5m", "trades_view", "orders_view", "signals_view", "positions_view",
                                  "gaps_view"])
def test_views_mean_something(served, view):
    """Symbols have names, times lie within the day, rupees are paise by a hundred."""
    client = served[0]
    names = client.query(f"SELECT * FROM {view} LIMIT 0").column_names or client.query(f"DESCRIBE TABLE {view}").result_columns[0]
    time = "bar_ts" if view.startswith("bars") else "time"
    count, odd, early = client.query(
        f"SELECT count(), countIf(symbol = '' AND '{view}' != 'orders_view'), countIf({time} < '2026-09-01 09:00:00') "
        f"FROM {view}").first_row
    assert odd == 0 and early == 0 and (count > 0 or view in ("trades_view", "positions_view", "gaps_view"))
    for name in (n for n in names if n.endswith("_rs") and n[:-3] in names):
        assert client.query(f"SELECT countIf(abs({name} * 100 - {name[:-3]}) > 0.001) FROM {view}").first_row[0] == 0, name


def test_five_minutes_are_five_minutes(served):
    client = served[0]
    ((fives, minutes),) = client.query(
        "SELECT (SELECT sum(volume) FROM bars_5m), (SELECT sum(volume) FROM bars_1m)").result_rows
    assert fives == minutes > 0
    rows = client.query("SELECT symbol, bar_ts, open, high, low, close FROM bars_5m ORDER BY symbol, bar_ts LIMIT 3").result_rows
    for symbol, begin, *prices in rows:
        mine = client.query("SELECT open, high, low, close FROM bars_1m WHERE symbol = {s:String} AND bar_ts >= {b:DateTime64(0)} "
                            "AND bar_ts < {b:DateTime64(0)} + INTERVAL 5 MINUTE ORDER BY bar_ts",
                            parameters={"s": symbol, "b": begin}).result_rows
        opens, highs, lows, closes = zip(*mine, strict=True)
        assert prices == [opens[0], max(highs), min(lows), closes[-1]]


def test_bars_equal_an_aggregation_in_clickhouse(served):
    client = served[0]
    assert client.query("""
        SELECT count() FROM (SELECT inst, toStartOfMinute(exch_ts) AS at, argMin(ltp, (exch_ts, seq)) AS o, max(ltp) AS h,
            min(ltp) AS l, argMax(ltp, (exch_ts, seq)) AS c, sum(volume) AS v
            FROM ticks WHERE bitAnd(flags, 5528) = 0 GROUP BY inst, at) AS t
        FULL OUTER JOIN (SELECT * FROM bars FINAL) AS b ON b.inst = t.inst AND b.bar_ts = t.at
        WHERE (t.o, t.h, t.l, t.c, t.v) != (b.open, b.high, b.low, b.close, b.volume)""").first_row[0] == 0
    assert client.query("SELECT countIf(ltp <= 0), countIf(toYear(exch_ts) != 2026) FROM ticks").first_row == (0, 0)
