"""A paper run on the broker's own names: a TLS server stands for every *.upstox.com and writes down each request of a whole run,
with restarts, flatten, kill, and a closed terminal. All of them are reads of the market.
"""
import os
import re
import shutil
import signal
import time

import orjson
import pytest

from _ext.core.records import REC_BOOT, REC_FILL
from _ext.trail.status import StatusBlock
from engine.run.vitals import READY
from tests.kit.upstox import TOKEN, Elsewhere
from tests.system.test_live import updates, wait_until
from tests.system.test_paper import engine_of, is_the_same_again, positions, running

pytestmark = [pytest.mark.machine, pytest.mark.skipif(
    shutil.which("gcc") is None or shutil.which("openssl") is None, reason="gcc and openssl make the names point here")]
ALLOWED = {
    "api.upstox.com": r"/v3/feed/market-data-feed/authorize|/market-data-feeder/v3/upstox-developer-api/feeds"
                      r"|/v3/market-quote/(quotes|ohlc)|/v3/historical-candle/.+|/v2/market/(holidays|timings/.+|status/.+)",
    "wsfeeder-api.upstox.com": r"/market-data-feeder/.+", "assets.upstox.com": r"/market-quote/instruments/.+"}
RUN = ("run", "--source", "upstox", "--no-store", "--json")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    with Elsewhere(tmp_path_factory.mktemp("elsewhere")) as made:
        yield made


def entered(path) -> None:
    """Asks the engine for entries, as the drill does, until there are some."""
    wait_until(lambda: updates(path) > 50, 60, "updates")
    for _ in range(20):
        if positions(path) > 0:
            return
        os.kill(engine_of(path), signal.SIGUSR1)
        time.sleep(0.5)
    raise AssertionError("no position")


def ready(path) -> int:
    """Number of the engine's process that is ready; 0: none is."""
    status = StatusBlock(path / "status").read()
    return int(status["pid"]) if status is not None and status["ready"] == READY else 0


def no_request_but_reads(elsewhere) -> None:
    heard = elsewhere.heard
    assert len(heard) > 50
    wrong = [(method, host, path) for method, host, path in heard
             if method != "GET" or not re.fullmatch(ALLOWED.get(host, "(?!)"), path)]
    assert wrong == []


def test_a_paper_run_asks_for_prices_whatever_happens_to_it(cli, elsewhere, tmp_path):
    """Entries, a SIGKILL with positions open, the operator's flatten, a closed terminal: and the day is the same made again."""
    cli.env |= elsewhere.env
    path = tmp_path / "run"
    with running(cli, *RUN, "--run-dir", str(path)) as process:
        entered(path)
        pid = engine_of(path)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: ready(path) not in (0, pid) and positions(path) > 0, 60, "the engine again, with its positions")
        cli.run("flatten", "--run-dir", str(path))
        wait_until(lambda: positions(path) == 0, 20, "flat")
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    no_request_but_reads(elsewhere)
    kinds = is_the_same_again(path, tmp_path)
    assert kinds.count(REC_BOOT) == 1 and kinds.count(REC_FILL) >= 2
    note = orjson.loads((path / "engine.json").read_bytes())
    assert note["paper"] and not note["live"] and {"base", "orders"}.isdisjoint(note) and note["lock"].startswith("paper:")
    for file in path.glob("*.json"):
        assert b"upstox.com" not in file.read_bytes(), f"{file.name} names a broker"
    for file in (file for file in path.rglob("*") if file.is_file()):
        assert TOKEN.encode() not in file.read_bytes(), f"{file.name} has the token"


def test_the_end_of_a_hung_engine_asks_nobody(cli, elsewhere, tmp_path):
    """`kill`, as the dead man runs it, closes the book from the journal."""
    cli.env |= elsewhere.env
    path = tmp_path / "run"
    with running(cli, *RUN, "--run-dir", str(path)):
        entered(path)
        os.kill(engine_of(path), signal.SIGSTOP)
        before = len(elsewhere.heard)
        document = cli.json("kill", "--run-dir", str(path), "--yes")
        assert document["flat"] and len(elsewhere.heard) == before
    no_request_but_reads(elsewhere)
    is_the_same_again(path, tmp_path)


def test_what_only_observes_reads_no_account_either(cli, elsewhere, tmp_path):
    cli.env |= elsewhere.env
    path = tmp_path / "run"
    done = cli.json(*RUN[:-1], "--observe", "--for", "4s", "--run-dir", str(path))
    assert done["updates"] > 0 and done["orders"] == 0
    no_request_but_reads(elsewhere)
