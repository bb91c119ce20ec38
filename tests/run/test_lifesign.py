"""The launcher's sign of life: sent while the engine beats, never when it does not, and by nothing that holds the launcher up."""
import os
import stat
import sys
import time

import numpy as np
import pytest

from _ext.trail.status import STATUS
from engine.run import lifesign
from engine.run.lifesign import LATE_S, SILENT_S, LifeSign
from engine.run.supervisor import Supervisor
from engine.trail.rundir import RunDir
from engine.trail.signs import ENDED, NOT_READY, READY, troubles
from tests.kit.answering import answering
from tests.system.conftest import Cli
from tests.watch.test_delivery import until

PLACE = "0a1b2c-the-place"


@pytest.fixture
def web(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    with answering() as served:
        monkeypatch.setenv("ENGINE_ALERTS_HEARTBEAT", f"{served.url}/{PLACE}")
        yield served


def status(beat: int, ready: int = READY) -> np.void:
    row = np.zeros(1, STATUS)[0]
    row["heartbeat"], row["ready"] = beat, ready
    return row


def known(sign: LifeSign) -> LifeSign:
    """One that has seen the engine beat: the first beat it finds may be of an engine that is dead."""
    sign.take(status(7), -1)
    assert sign._process is None
    return sign


def done(sign: LifeSign) -> bool:
    """Waits for the process that sends; what it said is taken at the next look."""
    return until(lambda: sign._process is None or sign._process.poll() is not None)


def test_it_is_sent_at_intervals_while_the_engine_beats(web, tmp_path):
    sign = known(LifeSign(tmp_path, 60))
    for now, expected in ((0, 1), (30, 1), (59, 1), (60, 2), (100, 2), (125, 3)):
        sign.take(status(now + 9), now)
        assert done(sign) and len(web.asked) == expected, now
    assert sign.why == "" and {(a.method, a.path) for a in web.asked} == {("GET", f"/{PLACE}")}


def test_an_engine_that_hangs_or_is_not_ready_silences_it(web, tmp_path):
    sign = known(LifeSign(tmp_path, 5))
    sign.take(status(1), 0)
    assert done(sign) and len(web.asked) == 1
    for now in range(1, 60):                                 # the same beat again and again
        sign.take(status(1), now)
        assert done(sign)
    assert len(web.asked) == 1 + int((SILENT_S - 1) // 5)
    before = len(web.asked)
    for given in (None, status(2, NOT_READY), status(3, ENDED)):
        sign.take(given, 100)
        assert sign._process is None
    assert len(web.asked) == before


def test_a_clock_of_the_wall_that_jumps_changes_nothing(web, tmp_path):
    sign = known(LifeSign(tmp_path, 60))
    sign.take(status(10**18), 0)
    assert done(sign)
    sign.take(status(5), 61)
    assert done(sign) and len(web.asked) == 2


def test_without_an_address_nothing_is_started(tmp_path, monkeypatch, web):
    monkeypatch.delenv("ENGINE_ALERTS_HEARTBEAT")
    monkeypatch.setattr(lifesign.subprocess, "Popen", lambda *_, **__: pytest.fail("started"))
    known(LifeSign(tmp_path)).take(status(1), 0)
    assert web.asked == []


def test_one_that_hangs_is_ended_and_is_never_waited_for(web, tmp_path):
    web.free.clear()
    sign, begun = known(LifeSign(tmp_path, 5)), time.monotonic()
    sign.take(status(1), 0)
    for now in range(1, int(LATE_S) + 1):
        sign.take(status(now + 9), now)
    assert time.monotonic() - begun < 3 and sign._process is not None, "each look returns at once"
    sign.take(status(99), LATE_S + 1)
    assert sign.why == f"the sign of life was not taken within {LATE_S:.0f} s"
    sign.close()


def test_what_is_wrong_is_said_without_the_address_and_shown_as_a_trouble(web, tmp_path):
    web.answer = lambda _: (404, "text/plain", b"", {})
    run = RunDir(tmp_path / "run")
    supervisor = Supervisor(run)
    known(supervisor.sign).take(status(1), 0)
    assert done(supervisor.sign)
    supervisor.sign.take(status(2), 1)
    assert supervisor.sign.why == "the sign of life was not taken: it answers 404"
    found = troubles(run, None, {}, supervisor.said())
    assert supervisor.sign.why in found and PLACE not in str(found)
    supervisor.is_done = True
    assert supervisor.said()["sign"] == "", "a run that has ended misses nobody"


def test_an_address_that_is_none_is_said_once_and_stops_nothing(web, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_ALERTS_HEARTBEAT", "ftp://hidden.example")
    sign = LifeSign(tmp_path)
    known(sign).take(status(1), 0)
    assert "begins with https" in sign.why and "hidden" not in sign.why


def test_its_process_has_no_token_of_the_broker(web, tmp_path, monkeypatch):
    """Nor has its command line an address."""
    kept = tmp_path / "environment"
    script = tmp_path / "child"
    script.write_text(f"#!{sys.executable}\nimport os, sys\nopen({str(kept)!r}, 'w').write(repr((sys.argv, dict(os.environ))))\n")
    script.chmod(stat.S_IRWXU)
    monkeypatch.setattr(lifesign, "COMMAND", [str(script)])
    monkeypatch.setenv("ENGINE_TOKEN", "the-broker-token")
    monkeypatch.setenv("SOME_PASSWORD", "another")
    sign = LifeSign(tmp_path)
    known(sign).take(status(1), 0)
    assert done(sign)
    argv, environment = eval(kept.read_text())
    assert environment["ENGINE_ALERTS_HEARTBEAT"].endswith(PLACE) and PLACE not in str(argv)
    assert "the-broker-token" not in str(environment) and "another" not in str(environment)
    assert os.environ["ENGINE_TOKEN"] == "the-broker-token"


def test_a_run_sends_it_and_counts_its_processes(web, tmp_path):
    """The real command: the outside address hears of it within seconds of the engine being ready."""
    Cli(tmp_path).run("run", "--names", "12", "--for", "7s", "--no-store", "--run-dir", str(tmp_path / "run"),
                      ENGINE_ALERTS_HEARTBEAT=f"{web.url}/{PLACE}", ENGINE_ALERTS__HEARTBEAT_S="5")
    assert 1 <= len(web.asked) <= 3 and {a.path for a in web.asked} == {f"/{PLACE}"}
    for path in (tmp_path / "run").rglob("*"):
        assert not path.is_file() or PLACE.encode() not in path.read_bytes(), path
