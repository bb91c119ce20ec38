"""The kill switch: a hung engine is fenced and flat in time; nothing else is touched.

`kill --drill` is `engine/run/drill.py`.
"""
import asyncio
import datetime as dt
import os
import subprocess
import sys
import time

import orjson
import pytest

from _ext.trail.status import StatusBlock
from engine.broker.base import QuoteRow
from engine.broker.upstox.api import Api
from engine.market.instruments import Instrument
from engine.run import fence
from engine.run.child import Child
from engine.run.kill import Flattener, Report, limit_price, slices
from engine.run.launcher import Launcher
from engine.run.supervisor import DEAD_MAN_S
from engine.sim.exchange import Exchange
from engine.sim.faults import Delivery, Network
from engine.sim.market import SyntheticMarket
from engine.sim.server import SimServer
from engine.trail.rundir import RunDir, RunError, start_time


def test_a_hung_engine_with_positions_is_fenced_and_flat_within_five_seconds(cli):
    document = cli.json("kill", "--drill")
    steps = [s["step"] for s in document["steps"]]
    assert document["flat"] and document["left"] == {} and document["ms"] < 5000
    assert not any((cli.base / "runs").iterdir()), "a rehearsal is not the latest run"
    assert document["steps"][0] == {"step": "told the engine", "ms": document["steps"][0]["ms"], "outcome": "no answer"}
    assert steps[1:3] == ["ended the engine", "locked the account"] and sum(s.startswith("sold") for s in steps) >= 2


def test_only_the_process_that_wrote_the_note_is_ended(tmp_path, monkeypatch):
    """A pid that belongs to another process by now is left alone."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        target = {"pid": bystander.pid, "started": start_time(bystander.pid) - 1, "account": "a", "base": "b"}
        fence.fence(RunDir(tmp_path / "run"), target, Report()).release()
        assert bystander.poll() is None
        fence.fence(RunDir(tmp_path / "run"), target | {"started": start_time(bystander.pid)}, Report()).release()
        assert bystander.wait(5) == -9
    finally:
        bystander.kill()


def test_a_run_without_an_engine_is_named(cli):
    assert "none: no such run folder" in cli.run("kill", "--run-dir", str(cli.base / "none"), "--yes", code=2)
    assert not (cli.base / "none").exists()


def test_slices_of_the_freeze_quantity():
    assert slices(100, 40) == [40, 40, 20] and slices(40, 40) == [40] and slices(7, 40) == [7]


def test_limits_stay_inside_the_circuit_and_on_the_grid():
    quote = QuoteRow("x", price=10_000, bid=9_995, ask=10_005, band=(9_990, 10_010))
    assert limit_price(quote, 10, 0.005, 5) == 9990 and limit_price(quote, -10, 0.005, 5) == 10010
    assert limit_price(QuoteRow("x", price=10_000), 10, 0.01, 5) == 9900
    assert limit_price(QuoteRow("x"), 10, 0.01, 5) == 0


@pytest.mark.parametrize("whole", [False, True])
def test_what_others_hold_is_left_unless_asked_for(whole):
    """Ours is what orders with our mark made; the rest of the account is a person's."""

    async def life() -> dict[str, int]:
        specs = [Instrument("NSE_EQ|A", "RELIANCE", tick=10, price=100_000, freeze=30), Instrument("NSE_EQ|B", "TCS", tick=10,
                                                                                                   price=200_000)]
        market = SyntheticMarket(specs, dt.date(2026, 9, 1), 1)
        exchange = Exchange(specs, 100_000_000)
        server = SimServer(market, exchange, 50.0)
        port = await server.start()
        try:
            for _, (at, rows, _) in zip(range(2000), market.frames(), strict=False):
                exchange.on_rows(rows, at * 1_000_000)
            for key, tag, side, quantity in (("NSE_EQ|A", "spk.abc.1.e", "BUY", 50), ("NSE_EQ|A", None, "BUY", 7),
                                             ("NSE_EQ|B", None, "SELL", 3)):
                for part in slices(quantity, 30):
                    price = exchange.last(key) * (1.03 if side == "BUY" else 0.97) // 10 * 10 / 100
                    exchange.place({"quantity": part, "product": "I", "validity": "DAY", "price": price, "tag": tag,
                                    "instrument_token": key, "order_type": "LIMIT", "transaction_type": side,
                                    "disclosed_quantity": 0, "trigger_price": 0, "is_amo": False}, server.now())
            assert (exchange.net("NSE_EQ|A"), exchange.net("NSE_EQ|B")) == (57, -3)
            rest = Api("demo", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
            report = Report()
            await Flattener(rest, "spk", {"NSE_EQ|A": (10, 30), "NSE_EQ|B": (10, 0)}, report, whole).run()
            await rest.close()
            assert report.left == {}, report.steps
            return {key: exchange.net(key) for key in exchange.position}
        finally:
            await server.stop()

    assert asyncio.run(life()) == ({"NSE_EQ|A": 0, "NSE_EQ|B": 0} if whole else {"NSE_EQ|A": 7, "NSE_EQ|B": -3})


class Hidden(Network):
    """The first close gets a 504 and shows in the book four seconds later."""
    done = False

    def journey(self, request):
        if request.path == "/v3/order/place" and not self.done:
            self.done = True
            return Delivery(0, 0, (504, ""))
        return Delivery(0, 0)

    def on_placed(self, order_id, now):
        if not self.hidden:
            self.hidden[order_id] = now + 4_000_000_000


class Deaf(Network):
    """Cancels are throttled for a second and a half."""
    since = 0.0

    def journey(self, request):
        if request.path == "/v3/order/cancel":
            self.since = self.since or time.monotonic()
            if time.monotonic() - self.since < 1.5:
                return Delivery(0, 0, (429, "UDAPI10005"), is_done=False)
        return Delivery(0, 0)


@pytest.mark.parametrize("trouble", [Hidden, Deaf])
def test_kill_turns_no_position_round(trouble):
    """An order that may exist is waited for, and nothing is closed beside one that could not be cancelled."""

    async def life() -> tuple[int, list[str], Report]:
        specs = [Instrument("NSE_EQ|A", "RELIANCE", tick=10, price=100_000)]
        market = SyntheticMarket(specs, dt.date(2026, 9, 1), 1)
        exchange = Exchange(specs, 100_000_000)
        server = SimServer(market, exchange, 1.0, line=trouble(exchange))
        port = await server.start()
        server.begin()
        try:
            for _, (at, rows, _) in zip(range(300), market.frames(), strict=False):
                exchange.on_rows(rows, at * 1_000_000)
            last = exchange.last("NSE_EQ|A") // 10 * 10
            for side, kind, price, trigger, leg in (("BUY", "LIMIT", last * 103 // 1000 * 10, 0, "e"),
                                                    ("SELL", "SL", last * 90 // 1000 * 10, last * 91 // 1000 * 10, "x")):
                exchange.place({"quantity": 10, "product": "I", "validity": "DAY", "price": price / 100, "tag": f"spk.a.1.{leg}",
                                "instrument_token": "NSE_EQ|A", "order_type": kind, "transaction_type": side,
                                "disclosed_quantity": 0, "trigger_price": trigger / 100, "is_amo": False}, server.now())
            assert exchange.net("NSE_EQ|A") == 10
            rest = Api("demo", f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
            report = Report()
            await Flattener(rest, "spk", {"NSE_EQ|A": (10, 100_000)}, report).run()
            await asyncio.sleep(0.5)
            await rest.close()
            return exchange.net("NSE_EQ|A"), [o.status for o in exchange.orders.values()], report
        finally:
            await server.stop()

    net, statuses, report = asyncio.run(life())
    assert net == 0 and report.left == {} and set(statuses) <= {"complete", "cancelled"}, report.steps


def test_the_launcher_kills_an_engine_that_holds_positions_and_is_silent(tmp_path, monkeypatch):
    run = RunDir(tmp_path / "run")
    block = StatusBlock(run.status, create=True)
    started: list[str] = []
    launcher = Launcher(run, "", quiet=True)
    monkeypatch.setattr(launcher, "_start", lambda child: started.append(" ".join(child.command[3:4])))
    launcher.children.append(Child("engine", []))
    clock = [1000.0]
    monkeypatch.setattr("engine.run.launcher.time.monotonic", lambda: clock[0])
    for positions, silence, expected in ((0, DEAD_MAN_S + 1, []), (2, DEAD_MAN_S - 1, []), (2, DEAD_MAN_S + 1, ["kill"])):
        block.values["positions"], block.values["ready"] = positions, 1
        block.values["heartbeat"] += 1                      # whatever the wall clock says: it beats, then it is silent
        block.publish()
        launcher.dead_man()
        clock[0] += silence
        launcher.dead_man()
        assert started == expected
    launcher.supervise()
    assert started == ["kill"], "a killed engine is not started again"


def test_three_crashes_never_loosen_what_the_operator_said(tmp_path):
    run = RunDir(tmp_path / "run")
    block = StatusBlock(run.status, create=True)
    launcher = Launcher(run, "", quiet=True)
    launcher.status = block
    for said, expected in ((0, 2), (3, 3)):
        block.operator = said
        child = Child("engine", ["x"], process=subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]))
        child.deaths = [time.monotonic()] * 2
        child.process.wait()
        launcher.children = [child]
        launcher.supervise()
        assert block.operator == expected


def test_two_engines_on_one_account_cannot_both_enter(cli):
    """The second on this machine does not start; one elsewhere is recognised by its orders (test_reconcile)."""
    first = cli.start("run", "--names", "12", "--speed", "1", "--start", "10:00", "--run-dir", str(cli.base / "one"), "--no-store",
                      "--json")
    try:
        end = time.monotonic() + 40
        while time.monotonic() < end and not (cli.base / "one" / "engine.json").exists():
            time.sleep(0.1)
        base = orjson.loads((cli.base / "one" / "engine.json").read_bytes())["base"]
        said = cli.run("engine", "--base", base, "--run-dir", str(cli.base / "two"), code=1, timeout=60)
        assert "is in use by process" in said
    finally:
        first.send_signal(2)
        first.communicate(timeout=60)


def test_no_engine_survives_its_test():
    assert not [pid for pid in os.listdir("/proc") if pid.isdigit() and b"spike-drill" in _command(pid)]


def _command(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_errors_are_run_errors(tmp_path):
    with pytest.raises(RunError, match="no engine"):
        fence.target_of(RunDir(tmp_path / "x"))
