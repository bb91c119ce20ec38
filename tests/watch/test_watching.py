"""Metrics and alerts of a run's folder, put together: told, kept, acknowledged, scraped, and no address anywhere."""
import os
import time

import orjson
import pytest

from engine.broker.upstox.login import LoginError
from engine.config.alerts import Alerts
from engine.trail.note import Note
from engine.trail.rundir import RunDir, start_time
from engine.watch import watching as module
from engine.watch.alerts.secrets import Addresses
from engine.watch.watching import Watching, resident, token_left, trained_ago
from tests.conftest import ROOT
from tests.kit.answering import answering
from tests.watch.test_conditions import well
from tests.watch.test_delivery import until

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
SECRET = "s3cretOfTheHook"


@pytest.fixture
def web():
    with answering() as served:
        yield served


@pytest.fixture
def given(web) -> Addresses:
    return Addresses((f"json://127.0.0.1:{web.port}/{SECRET}",), f"{web.url}/beat-{SECRET}")


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return RunDir(tmp_path / "run")


def view_of(watching: Watching, silent_s: float = 0):
    view = well()
    view.wall_ns = time.time_ns()
    view.status["heartbeat"] = view.wall_ns - round(silent_s * 1e9)
    watching.tally.last_frame = view.now_ns
    return view


def test_an_alert_is_told_kept_acknowledged_and_over(run, given, web):
    watching = Watching(run, Alerts(), ROOT / "models", given)
    assert watching.look(view_of(watching)) == []
    (notice,) = watching.look(view_of(watching, silent_s=20))
    assert notice.title == "no sign of life of the engine"
    assert until(lambda: any(a.method == "POST" for a in web.asked))
    (row,) = watching.rows()
    assert row["name"] == "engine_silent" and row["severity"] == "page" and row["until_us"] is None and not row["acknowledged_by"]
    assert b'spike_alerts_firing{severity="page"} 1.0' in watching.metrics.text()
    watching.acknowledge(row["id"], "asha", time.time_ns())
    watching.close()

    again = Watching(run, Alerts(), ROOT / "models", given)   # the process was started again
    assert again.look(view_of(again, silent_s=21)) == [] and again.rows()[0]["acknowledged_by"] == "asha"
    assert [n.kind for n in again.look(view_of(again))] == ["recovery"] and again.rows()[0]["until_us"]
    assert until(lambda: sum(a.method == "POST" for a in web.asked) == 2)
    assert until(lambda: again.delivery.channels()[0].sent == 1)
    again.close()
    for path in run.path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET.encode() not in again.metrics.text() and SECRET not in repr(vars(again))


def test_the_sign_of_life_is_sent_while_the_engine_beats(run, given, web):
    watching = Watching(run, Alerts(heartbeat_s=5), ROOT / "models", given)
    watching.look(view_of(watching, silent_s=20))
    time.sleep(0.2)
    assert not any(a.method == "GET" for a in web.asked)
    watching.look(view_of(watching))
    assert until(lambda: [a.path for a in web.asked if a.method == "GET"] == [f"/beat-{SECRET}"])
    watching.close()


def test_what_the_machine_says_stands_in_the_metrics(run, given):
    note = Note(run.children)
    note.write({"engine": [os.getpid(), start_time(os.getpid())], "store": [os.getpid(), 1]})
    Note(run.launcher).write({"died": {"engine": 2}, "deaths": {}})
    watching = Watching(run, Alerts(), ROOT / "models", given)
    view = view_of(watching)
    view.launcher, view.model = {}, "f1b58a0c291a8ffd"
    watching.look(view)
    assert view.restarts == {"engine": 2} and set(view.memory) == {"engine"} and view.memory["engine"] > 10**7
    free = os.statvfs(run.path)
    assert view.disk_free == pytest.approx(free.f_bavail * free.f_frsize, rel=0.05) and view.disk_rate is None
    trained = orjson.loads((ROOT / "models" / "f1b58a0c291a8ffd.json").read_bytes())["trained"]
    assert trained == "2026-11-27" and view.model_age_s == pytest.approx(view.wall_ns / 1e9 - 1_795_717_800)
    assert view.token_s is None, "a simulated run has none"
    watching.close()


def test_the_disks_pace_is_that_of_the_last_minutes(run):
    watching = Watching(run, Alerts(), ROOT / "models", Addresses())
    minute = 60 * 10**9
    assert [watching._pace(t * minute, free) for t, free in ((0, 600), (0.5, 600))] == [None, None]
    assert watching._pace(1 * minute, 540) == 1.0
    assert watching._pace(20 * minute, 540) is None, "what is older than ten minutes is forgotten"
    assert watching._pace(22 * minute, 660) == -1.0


def test_a_folder_that_cannot_be_written_stops_nothing(run, given, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "keep", full)
    watching = Watching(run, Alerts(), ROOT / "models", given)
    watching.look(view_of(watching))
    assert len(watching.look(view_of(watching, silent_s=20))) == 1
    watching.close()


def test_addresses_that_others_can_read_are_a_trouble_and_no_crash(run, tmp_path, monkeypatch):
    file = tmp_path / "open"
    file.write_text(f"json://u:{SECRET}@x.example\n")
    file.chmod(0o644)
    monkeypatch.setenv("ENGINE_ALERTS_FILE", str(file))
    watching = Watching(run, Alerts(), ROOT / "models")
    view = view_of(watching)
    watching.look(view)
    assert "chmod 600" in view.troubles[0] and SECRET not in str(view.troubles) and watching.delivery.channels() == []


def test_the_token_and_the_model(monkeypatch, tmp_path):
    def load(words):
        def raises(now):
            raise LoginError(words)
        return raises

    monkeypatch.setattr(module, "token_in_force", load("the token expired at 03:30"))
    assert token_left() == -1.0
    monkeypatch.setattr(module, "token_in_force", load("there is no token"))
    assert token_left() is None
    assert trained_ago(tmp_path, "0123456789abcdef", 5) is None and trained_ago(tmp_path, "", 5) is None
    (tmp_path / "0123456789abcdef.json").write_text('{"trained": "yesterday"}')
    assert trained_ago(tmp_path, "0123456789abcdef", 5) is None
    assert resident(os.getpid()) > 10**7 and resident(2**22) == 0
