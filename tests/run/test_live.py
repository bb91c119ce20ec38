"""The engine process before it trades: with real money the order host must have answered, and clearly."""
import asyncio
from types import SimpleNamespace

import orjson
import pytest

from _ext.core.records import OP_KILL, OP_PAUSE, OP_REDUCE, OP_RUN, REC_START
from _ext.trail.journal import Journal
from engine.broker.base import Answer
from engine.config import Config
from engine.run.guards import Target
from engine.run.live import EngineProcess
from engine.trail.rundir import RunDir, RunError


@pytest.fixture
def probed(tmp_path, monkeypatch):
    """Probes an order host that gives this answer: the orders that were to be cancelled there."""
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))

    def probe(status: int, body: object = None, source: str = "upstox", observe: bool = False) -> list[str]:
        asked = []

        class Host:
            async def cancel(self, order_id: str) -> Answer:
                asked.append(order_id)
                return Answer(status, body, 1)

        target = Target("https://api.upstox.com", "t", source, "A1")
        process = EngineProcess(Config(), RunDir(tmp_path / "run"), target, 1, observe)
        if process.account is not None:
            process.account = Host()
        asyncio.run(process._probe())
        return asked

    return probe


def error(code: str) -> dict:
    return {"status": "error", "errors": [{"errorCode": code}]}


@pytest.mark.parametrize(("status", "body"), [
    (0, None), (500, None), (502, None), (503, None), (200, None), (200, {"status": "success"}), (200, {"status": "error"}),
    (401, None), (403, None), (401, error("UDAPI100050")), (400, error("UDAPI1154"))])
def test_an_order_host_that_refuses_us_or_says_nothing_clear_begins_no_day(probed, status, body):
    with pytest.raises(RunError, match="the order host refuses us"):
        probed(status, body)


@pytest.mark.parametrize(("status", "body"), [
    (404, error("UDAPI100010")), (400, error("UDAPI100040")), (423, error("UDAPI100074")), (429, None)])
def test_an_order_host_that_knows_no_such_order_is_one_that_takes_ours(probed, status, body):
    """Before the market's hours and when it is busy too: who answers so has taken the token."""
    assert probed(status, body) == ["0"]


@pytest.mark.parametrize(("operator", "then"), [
    (OP_RUN, OP_REDUCE), (OP_PAUSE, OP_PAUSE), (OP_REDUCE, OP_REDUCE), (OP_KILL, OP_KILL)])
def test_a_second_engine_ends_entries_and_takes_back_no_word_of_the_operator(tmp_path, monkeypatch, operator, then):
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    process = EngineProcess(Config(), RunDir(tmp_path / "run"), Target("https://api.upstox.com", "t", "upstox", "A1"), 1, False)
    process.status = SimpleNamespace(operator=operator)
    process._second_engine("spk.9.1.e")
    assert process.status.operator == then
    assert len(process.notes) == (operator == OP_RUN)


@pytest.mark.parametrize("given", [{"source": "sim"}, {"observe": True}])
def test_who_sends_no_real_order_asks_no_order_host(probed, given):
    assert probed(0, **given) == []


@pytest.mark.parametrize(("begun", "wanted", "word"), [
    ({"via": 1}, (False, False), "of a run on paper, and this one is with real money"),
    ({"via": 0}, (False, False), "of a run without either, and this one is with real money"),
    ({"via": 0, "step": 1}, (True, False), "of a run with real money, and this one is on paper"),
    ({"via": 0, "step": 1}, (False, True), "of a run with real money, and this one is without either"),
    ({"via": 1}, (True, False), ""), ({"via": 0, "step": 1}, (False, False), ""), ({"via": 0}, (False, True), "")])
def test_a_run_is_gone_on_with_by_its_own_kind_alone(tmp_path, monkeypatch, begun, wanted, word):
    """Real money over the journal of a paper run would have neither the limits of the roll-out nor the account's funds. Nothing is
    asked of anybody, and the note for `kill` stays as it was."""
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    run = RunDir(tmp_path / "run")
    journal = Journal(run.journal)
    journal.append(REC_START, 1, orjson.dumps(begun))
    journal.close()
    is_paper, observe = wanted
    process = EngineProcess(Config(), run, Target("https://api.upstox.com", "t", "upstox", "A1", is_paper=is_paper), 1, observe)

    async def opened() -> None:
        raise LookupError("went on")

    process.rest.open = opened
    with pytest.raises(RunError if word else LookupError, match=word or "went on"):
        asyncio.run(process.start())
    assert run.engine.exists() == (not word)
    process.run_lock.release()
    if not word:
        process.lock.release()
