"""The store process gives up the machine: files, ports, programs, secrets."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.config import Config
from engine.run.doctor import Doctor
from engine.run.launcher import Launcher
from engine.store import confinement, grants, landlock
from engine.store.client import client_of
from engine.trail.rundir import RunDir, RunError
from tests.conftest import ROOT


def needs_landlock(test):
    return pytest.mark.machine(pytest.mark.skipif(landlock.version() == 0, reason="this kernel has no Landlock")(test))


INSIDE = """
import os, socket, sys, threading
from pathlib import Path
from engine.config import Config
from engine.store import confinement
from engine.trail.rundir import RunDir
run = RunDir(Path(sys.argv[1]))
run.make_memory()
allowed, other = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
{before}
confinement.confine(run, Config(), allowed.getsockname()[1])
def tried(what, *arguments):
    try:
        what(*arguments)
    except OSError as error:
        return type(error).__name__
    return "done"
home, port = Path(sys.argv[2]), other.getsockname()[1]
called = socket.create_connection
print(tried((run.path / "x").write_text, "x"), tried((run.memory / "s").write_text, "x"), tried((run.memory / "s").unlink),
      tried(run.memory.rmdir), tried(called, ("127.0.0.1", allowed.getsockname()[1])),
      tried(Path("/proc/self/auxv").read_bytes))
print(tried((home / "token").read_text), tried((home / "new").write_text, "x"), tried((home / "token").unlink),
      tried(os.listdir, home), tried(Path("/etc/passwd").read_text), tried(Path("README.md").read_text),
      tried(Path("/proc/self/environ").read_text),
      tried(called, ("127.0.0.1", port)), tried(os.execv, "/bin/true", ["true"]))
"""


def inside(tmp_path, before: str = "") -> subprocess.CompletedProcess:
    (tmp_path / "token").write_text("secret")
    (tmp_path / "memory").mkdir()
    return subprocess.run(
        [sys.executable, "-c", INSIDE.format(before=before), str(tmp_path / "run"), str(tmp_path)],
        capture_output=True, text=True, cwd=ROOT, check=False,
        env=confinement.environment() | {"ENGINE_SHM": str(tmp_path / "memory")})


@needs_landlock
def test_inside_only_the_run_folder_and_one_port_are_there(tmp_path):
    allowed, refused = inside(tmp_path).stdout.splitlines()
    assert set(allowed.split()) == {"done"}, "chDB without its auxv looks for it behind the environment, and may crash there"
    assert refused.split() == ["PermissionError"] * 9
    assert (tmp_path / "token").read_text() == "secret"


@needs_landlock
def test_a_second_thread_would_stay_free_and_is_refused(tmp_path):
    done = inside(tmp_path, "threading.Thread(target=threading.Event().wait, daemon=True).start()")
    assert done.returncode != 0 and "another thread runs already" in done.stderr


def test_the_environment_holds_no_secret(monkeypatch):
    for name in (
        "ENGINE_TOKEN",
        "ENGINE_API_KEY",
        "ENGINE_API_SECRET",
        "ENGINE_SANDBOX_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "PGPASSWORD",
        "GITHUB_TOKEN",
    ):
        monkeypatch.setenv(name, "swordfish")
    monkeypatch.setenv("ENGINE_STORE__ROWS", "1000")
    monkeypatch.setenv("ENGINE_RISK__MAX_POSITIONS", "2")
    kept = confinement.environment()
    assert "swordfish" not in kept.values() and kept["ENGINE_STORE__ROWS"] == "1000" and kept["ENGINE_RISK__MAX_POSITIONS"] == "2"
    assert kept["PATH"] == os.environ["PATH"]


def test_the_launcher_starts_the_store_without_secrets_and_the_engine_with_them(tmp_path, monkeypatch):
    started = {}

    class Started:
        pid = 1

        def __init__(self, command, env=None, **_):
            started[command[2]] = env

    monkeypatch.setenv("ENGINE_TOKEN", "swordfish")
    monkeypatch.setattr("engine.run.launcher.subprocess.Popen", Started)
    launcher = Launcher(RunDir(tmp_path / "run"), "", quiet=True)
    launcher.add("store", "store", "--run-dir", str(tmp_path / "run"))
    launcher.add("engine", "engine", "--run-dir", str(tmp_path / "run"))
    assert "ENGINE_TOKEN" not in started["engine.store"] and started["engine"]["ENGINE_TOKEN"] == "swordfish"
    assert started["engine"]["PYTHONHASHSEED"] == "0", "a strategy's sets have one order in every life"


def asked(run: RunDir, sql: str):
    with client_of(Config(), run) as client:
        return client.query(sql).result_rows


def database(tmp_path) -> RunDir:
    """A run folder with a database that nobody serves."""
    run = RunDir(tmp_path / "run")
    (run.database / "data").mkdir(parents=True)
    return run


@needs_landlock
def test_a_query_without_a_store_starts_a_confined_process_which_ends_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_TOKEN", "swordfish")
    run = database(tmp_path)
    with client_of(Config(), run) as client:
        pid = int((run.database / "lock").read_text())
        assert b"swordfish" not in Path(f"/proc/{pid}/environ").read_bytes() and pid != os.getpid()
        assert client.query("SELECT 1 + 1").result_rows == [(2,)]
        with client_of(Config(), run) as another:  # it is asked, and none is started
            assert another.query("SELECT 3").result_rows == [(3,)]
        assert int((run.database / "lock").read_text()) == pid
    assert not Path(f"/proc/{pid}").exists() and not (run.database / "port").exists()
    assert "chdb" not in sys.modules or asked(run, "SELECT 4") == [(4,)]


def test_without_landlock_readers_are_off_until_they_are_switched_on(tmp_path, monkeypatch):
    run, command = database(tmp_path), confinement.command
    monkeypatch.setattr(confinement, "command", lambda *arguments: command(*arguments, "--unconfined"))
    with pytest.raises(RunError, match="unconfined_readers = true"):
        asked(run, "SELECT 1")
    monkeypatch.setenv("ENGINE_STORE__UNCONFINED_READERS", "true")
    assert asked(run, "SELECT 1") == [(1,)]


def test_a_run_without_a_database_is_said(tmp_path):
    with pytest.raises(RunError, match="has no database"):
        asked(RunDir(tmp_path / "run"), "SELECT 1")


@pytest.mark.parametrize(
    ("version", "readers", "state", "said"),
    [
        (7, False, "ok", "folder and port"),
        (3, False, "warn", "TCP only from kernel 6.7"),
        (0, False, "warn", "readers of the embedded database are off"),
        (0, True, "warn", "on all the same"),
    ],
)
def test_doctor_says_what_confines_the_store(monkeypatch, version, readers, state, said):
    monkeypatch.setattr(landlock, "version", lambda: version)
    config = Config()
    config.store.unconfined_readers = readers
    doctor = Doctor(config, None, None, "sim")
    doctor._confinement()
    (check,) = doctor.checks
    assert (check.name, check.state) == ("confinement", state) and said in check.said


def test_the_configuration_of_the_database_is_its_owners(tmp_path):
    grants.connection(tmp_path)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*.xml")} == {0o600} and len(list(tmp_path.glob("*.xml"))) == 2
    with pytest.raises(RunError, match="cannot have"):
        grants.connection(tmp_path / "a?config-file=b")
