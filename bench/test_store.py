"""Journal to ClickHouse: rows a second and bytes a row, through the embedded server as in production."""
import asyncio
import datetime as dt
import threading
import time

import clickhouse_connect

from bench.conftest import BUDGETS, note
from engine.config import Config
from engine.market.instruments import shipped
from engine.run.virtual import run_virtual
from engine.sim.market import SyntheticMarket
from engine.store.embedded import Embedded
from engine.store.windows import Store
from engine.trail.checked import capacity_of
from engine.trail.rundir import RunDir


def test_store(tmp_path):
    market = SyntheticMarket(shipped(), dt.date(2026, 9, 1), 5)
    market.minutes = 40
    run = RunDir(tmp_path / "run")
    document = run_virtual(Config(), market, "bench", run, 5, None)
    embedded = Embedded(run.database)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    port = asyncio.run_coroutine_threadsafe(embedded.start(), loop).result()
    try:
        with clickhouse_connect.get_client(host="127.0.0.1", port=port, username="store", password=embedded.writer,
                                           compress=False) as c:
            store = Store(run.reader(), c, "spike", capacity_of(run.path), run.path / "cursor")
            began = time.perf_counter()
            while store.step():
                pass
            rate = store.stored / (time.perf_counter() - began)
            assert store.stored == document["updates"]
            assert c.query("SELECT count(), uniqExact(seq, inst) FROM spike.ticks").result_rows == [(store.stored, store.stored)]
            c.command("OPTIMIZE TABLE spike.ticks FINAL")
            sql = "SELECT sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND table = 'ticks'"
            size = c.query(sql).result_rows[0][0]
    finally:
        asyncio.run_coroutine_threadsafe(embedded.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
    note("store in, with bars", "", {"rows/s": rate, "bytes a row": size}, "goal 500,000 rows/s; budget 14 bytes")
    assert rate >= BUDGETS["store"]["min_rows_per_s"] and size <= BUDGETS["store"]["max_bytes_per_row"]
