"""Hundreds of seeded episodes, and a crash at every state of an order and of the broker; `make soak` runs 100,000."""
import itertools
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from _ext.core.records import INTENT_PLACE
from engine.broker.base import Request
from engine.run.shell import Send
from engine.run.virtual import TIMEOUT_NS, VirtualRun
from engine.sim.faults import Delivery, Rates
from engine.trade.outgoing import Outgoing
from tests.kit.counts import count
from tests.trade import episodes, guided
from tests.trade.episodes import Episode, Violation, WatchedLine, play, play_all

COUNT = int(os.environ.get("EPISODES") or count(100, 300, 5000))
"""Fewer under the sanitizers, where each takes twenty times as long."""


@pytest.mark.long
def test_episodes_keep_every_promise():
    reports, problems = play_all(20_260_000, COUNT, os.cpu_count() or 1)
    assert problems == []
    assert sum(r.entries for r in reports) > 5 * COUNT and sum(r.faults for r in reports) > 10 * COUNT
    assert sum(r.crashes for r in reports) > COUNT // 2 and sum(r.second_exits for r in reports) > COUNT // 10
    assert max(r.longest_unprotected for r in reports) < 3
    assert sum(r.guided for r in reports) > COUNT // 3 and sum(r.mapped for r in reports) > COUNT // 6
    assert sum(r.ended for r in reports) > COUNT // 4


def test_a_seed_repeats_itself():
    first, again = (play_all(7, 3, 1)[0] for _ in range(2))
    assert len(first) == 4 and [r.seed for r in first] == [8, 7, 8, 9]
    assert first == again


class Resending(VirtualRun):
    """The mistake of most clients: a place that got no answer is sent again."""

    def _answer(self, sent: int, due: int, send: Send, status: int, body: Any) -> None:
        super()._answer(sent, due, send, status, body)
        if due - sent >= TIMEOUT_NS and send.intent["kind"] == INTENT_PLACE:
            self.shell.outgoing.push(send.intent, sent)


class Forgetful(Outgoing):
    """Loses every third exit without a word."""

    def push(self, intent: Any, now: int) -> None:
        self.count = getattr(self, "count", 0) + (intent["role"] == 2)
        if intent["role"] != 2 or self.count % 3:
            super().push(intent, now)


@pytest.mark.parametrize(("module", "mistake"), [("tests.trade.episodes", Resending), ("engine.run.shell", Forgetful)])
def test_the_checker_finds_mistakes(monkeypatch, tmp_path, module, mistake):
    """A check that cannot fail proves nothing: two well-known mistakes are found within a few seeds."""
    monkeypatch.setattr(f"{module}.{mistake.__bases__[0].__name__}", mistake)
    found = 0
    for seed in range(30):
        folder = tmp_path / str(seed)
        try:
            Episode(seed, folder).run()
        except Violation:
            found += 1
        shutil.rmtree(folder)
    assert found >= 3


@pytest.mark.parametrize(("name", "value"), [
    ("AGAIN_NS", 40_000_000_000), ("FRESH_NS", 5_000_000_000), ("LEAST", 60),
    ("ACT_NS", 0), ("to_tick", lambda price, tick, up: price)])
def test_the_checker_of_guides_finds_mistakes(monkeypatch, name, value):
    """A checker with another rule than the engine's is an engine with another than the checker's."""
    monkeypatch.setattr(guided, name, value)
    assert any(play(seed, is_guided=True).problem for seed in range(1, 20))


# ---- a crash at every state ---------------------------------------------------------------------------------------------
FATES = ("never arrives", "answer lost", "answered")
STATES = ("open", "part filled", "filled", "rejected", "hidden")
MOMENTS = {"in flight": 0.005, "answer on its way": 0.025, "answer heard": 0.2, "three seconds later": 3.0,
           "ten seconds later": 10.0}
"""Seconds after the request left."""


class ScriptedLine(WatchedLine):
    """Does one thing to the first request of one role; all else goes well."""

    def __init__(self, exchange: Any, role: str, fate: str, state: str):
        super().__init__(exchange, Rates())
        self.role, self.fate, self.state = role, fate, state
        self.is_done = False
        self.is_clear = False
        exchange.share = self._part
        exchange.veto = lambda order: "rejected by the script" if self._is_it(order) and state == "rejected" else ""
        self.victim = ""

    def _is_it(self, order: Any) -> bool:
        if not self.victim and (order.tag or "").endswith(self.role):
            self.victim = order.order_id
        return order.order_id == self.victim

    def _part(self, order: Any, quantity: int) -> int:
        if not self._is_it(order) or self.exchange.freed:
            return quantity
        return {"open": 0, "part filled": min(quantity, max(0, 10 - order.filled))}.get(self.state, quantity)

    def latency(self) -> int:
        return 17_000_000

    def journey(self, request: Request) -> Delivery:
        if request.method != "POST" or self.is_done or not str((request.body or {}).get("tag")).endswith(self.role):
            return Delivery(self.latency(), self.latency())
        self.is_done = True
        self.struck()
        self.note(request.body["instrument_token"])
        if self.fate == "never arrives":
            return Delivery(None, None)
        return Delivery(self.latency(), None if self.fate == "answer lost" else self.latency())

    def on_placed(self, order_id: str, now: int) -> None:
        if self.state == "hidden" and self.exchange.orders[order_id].tag.endswith(self.role) and not self.hidden:
            self.hidden[order_id] = now + 25_000_000_000


class Crash(Episode):
    """Buys, and dies at a given moment after the entry ("e") or its stop ("x") was decided."""

    def __init__(self, folder: Path, role: str, fate: str, state: str, moment: str, fall: float):
        super().__init__(1, folder, Rates())
        self.role, self.fate, self.state, self.moment, self.fall = role, fate, state, moment, fall
        self.settings.risk.stop, self.settings.risk.target, self.settings.risk.trail = 0.01, 0.05, 0
        self.settings.risk.hold_s, self.settings.risk.exit_by = 600, "modify"
        self.crash_at, self.wild = [], 0.0
        self.due = None

    def line_for(self, exchange: Any) -> WatchedLine:
        exchange.freed = False
        line = ScriptedLine(exchange, self.role, self.fate, self.state)
        line.struck = self.struck
        return line

    def struck(self) -> None:
        self.due = self.virtual.now / 1e9 + MOMENTS[self.moment]

    def frames(self):
        at, price, vtt = self.now / 1e9, episodes.PRICES[0], 1000
        begin, is_down = at, False
        for step in range(2_000):
            at += 0.004 if self.due is not None and not is_down and self.due - at < 0.3 else 0.1
            self.now = round(at * 1000) * 1_000_000
            if step == 20:
                self.enter(0, 1, round(at * 1e9), is_sure=True)
            if self.due is not None and at >= self.due and not is_down:
                is_down = True
                self.crash(round(at * 1e9))
                price = round(price * (1 - self.fall) / 10) * 10
            if is_down and at - self.due > 15:
                self.virtual.exchange.freed = True
            if at - begin > 130 and (self.is_quiet() or at - begin > 160):
                return
            vtt += 10
            rows = self.row(0, price, vtt)
            yield self.now // 1_000_000, rows, episodes.encode(rows, self.now // 1_000_000)


@pytest.mark.parametrize("role", ["e", "x"])
@pytest.mark.parametrize(("fate", "state"), [("never arrives", "open"), *itertools.product(FATES[1:], STATES)])
def test_a_crash_at_every_state_of_order_and_broker(tmp_path, role, fate, state):
    for number, (moment, fall) in enumerate(itertools.product(MOMENTS, (0.0, 0.02))):
        crash = Crash(tmp_path / str(number), role, fate, state, moment, fall)
        report = crash.run()
        assert report.crashes == 1, (moment, fall)
        assert report.entries == (0 if (role, fate) == ("e", "never arrives") else 1)


def test_the_checker_of_guides_goes_by_the_engines_clock(tmp_path):
    """A stock's best price came with the frame after a fill, and was taken for one before it: the trailed stop seemed wrong."""
    episode: Any = guided.GuidedEpisode(1, tmp_path)
    episode.now = 3_000_000
    episode.virtual = SimpleNamespace(core=SimpleNamespace(now=4_000_000))
    for i in range(2):
        episode.seen(episode.row(0, 140_000 + i, 1000), 3_000_000 + 2_000_000 * i)
    assert episode.stock == [(4_000_000, 140_000), (5_000_000, 140_001)]
