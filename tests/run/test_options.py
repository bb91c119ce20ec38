"""What a run may be asked for, from the command line and from Python: one declaration, one set of words.

`engine/public.py` and `engine/run/session.py` are what runs it, `engine/cli/typed.py` makes the command's options.
"""
import os
from importlib import import_module

import orjson
import pytest
from typer.testing import CliRunner

import engine
from engine.cli import app
from engine.config import Config
from engine.run.options import OptionError, RunOptions, SimOptions, made

REFUSED = [
    ({"names": 0}, "--names 0: at least 1"),
    ({"names": 209}, "--names 209: at most 208"),
    ({"names": "x"}, "--names x: a whole number"),
    ({"speed": "50.5"}, "--speed 50.5: at most 50"),
    ({"speed": 0}, "--speed 0.0: more than 0"),
    ({"speed": "nan"}, "--speed nan: a number that is one"),
    ({"seconds": "inf"}, "--for inf: a number that is one"),
    ({"speed": "fast"}, "--speed fast: a factor of up to 50, or max"),
    ({"seconds": "x"}, "--for x: a duration such as 60s, 5m or 1h"),
    ({"seconds": "-3s"}, "--for -3.0: more than 0"),
    ({"start": "9:15"}, "--start 9:15: market time as 09:15"),
    ({"start": "16:00"}, "--start 16:00: market time as 09:15"),
    ({"day": "1.9.2026"}, "--day 1.9.2026: a day as 2026-11-26"),
    ({"mood": "sad"}, "--mood sad: 'normal' or 'lively'"),
    ({"source": "nse"}, "--source nse: 'sim' or 'upstox'"),
    ({"seed": -1}, "--seed -1: at least 0"),
    ({"contracts": -2}, "--contracts -2: at least -1"),
    ({"run_dir": ""}, "--run-dir : an empty name: write the folder of a run, or leave --run-dir away"),
    ({"live": True}, "--live trades money: it needs --source upstox"),
    ({"flatten": True, "leave_stops": True}, "--flatten or --leave-stops, not both"),
    ({"mode": 1}, "--mode 1: there is no such option")]


@pytest.mark.parametrize(("values", "words"), REFUSED, ids=[words.partition(":")[0] for _, words in REFUSED])
def test_what_cannot_be_is_refused_in_our_words(values, words):
    with pytest.raises(OptionError) as refused:
        made(RunOptions, values)
    assert str(refused.value) == words
    with pytest.raises(engine.EngineError):
        engine.run(**values)


def test_a_core_is_one_of_those_there_are():
    for core in (100_000, "first", "1 "):
        with pytest.raises(OptionError, match=f"--cpus {core}: a core this process may use"):
            made(RunOptions, {"cpus": core})


def test_two_mistakes_are_both_named():
    with pytest.raises(OptionError, match=r"--names 0: at least 1; --minutes 376: at most 375"):
        made(RunOptions, {"names": 0, "minutes": 376})


@pytest.mark.parametrize(("text", "seconds"), [("60s", 60), ("5m", 300), ("1h", 3600), ("90", 90), ("0.5m", 30), ("3 s", 3)])
def test_durations(text, seconds):
    assert made(RunOptions, {"seconds": text}).seconds == seconds


def test_speeds_and_endings():
    assert made(RunOptions, {"speed": "max"}).speed is None and made(RunOptions, {"speed": "50"}).speed == 50
    assert RunOptions().ending == "" and RunOptions(flatten=True).ending == "flatten"
    assert RunOptions(leave_stops=True).ending == "leave-stops"
    assert made(SimOptions, {"port": "8080"}).port == 8080


def test_the_command_line_shows_each_option_with_its_range():
    shown = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"}).output
    for field in RunOptions.model_fields.values():
        if not (field.json_schema_extra or {}).get("hidden"):
            assert field.description.split(";")[0][:40] in shown
    assert "1..208" in shown and "sim|upstox" in shown and "--unlisted" not in shown and "--no-store" in shown


def test_from_python_a_day_runs_is_replayed_and_explained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    may = os.sched_getaffinity(0)
    done = engine.run(names=10, speed="max", minutes=45, store=False, run_dir=tmp_path / "run", config=Config(),
                      cpus=max(may) if len(may) > 1 else None)
    assert os.sched_getaffinity(0) == may, "the caller's process is where it was"
    assert done["problem"] is None and done["candidates"] > 0 and done["run_dir"] == str(tmp_path / "run")
    again = engine.replay(tmp_path / "run", config=Config())
    assert again["identical"] and again["digest"] == done["digest"]
    assert engine.explain(1, tmp_path / "run")["candidate"] == 1
    with pytest.raises(engine.EngineError, match="there is no candidate 999999"):
        engine.explain(999_999, tmp_path / "run")
    with pytest.raises(engine.EngineError, match="no such run folder"):
        engine.replay(tmp_path / "nowhere")


def test_the_public_names_are_there_and_no_others():
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    with pytest.raises(AttributeError):
        _ = engine.Strategist
    import_module("engine.run.live")
    assert callable(engine.run), "also once its modules are loaded"


@pytest.mark.machine
def test_the_engine_has_a_core_of_its_own(tmp_path, monkeypatch):
    may = os.sched_getaffinity(0)
    if len(may) < 2:
        pytest.skip("needs two cores")
    from engine.run.child import Child
    from engine.run.supervisor import Supervisor
    from engine.trail.rundir import RunDir

    core = max(may)
    run = RunDir.new(tmp_path / "run")
    try:
        supervisor = Supervisor(run, core=core)
        pinned, other = (Child(name, ["sleep", "20"], out=run.path / f"{name}.out") for name in ("engine", "sim"))
        pinned.core = supervisor.core
        for child in (pinned, other):
            child.start()
        assert os.sched_getaffinity(pinned.process.pid) == {core}
        assert os.sched_getaffinity(other.process.pid) == may - {core} == os.sched_getaffinity(0)
        for child in (pinned, other):
            child.process.kill()
            child.process.wait()
    finally:
        os.sched_setaffinity(0, may)


def test_the_cores_of_a_running_engine_are_told(tmp_path):
    from engine.trail.rundir import RunDir, start_time
    from engine.trail.signs import cores_of_engine

    run = RunDir.new(tmp_path / "run")
    assert cores_of_engine(run) == []
    run.engine.write_bytes(orjson.dumps({"pid": os.getpid(), "started": start_time(os.getpid())}))
    assert cores_of_engine(run) == sorted(os.sched_getaffinity(0))
    run.engine.write_bytes(orjson.dumps({"pid": os.getpid(), "started": start_time(os.getpid()) - 1}))
    assert cores_of_engine(run) == [], "that process has ended; its number is another's"


@pytest.mark.parametrize(("well", "agrees", "words"), [
    (True, True, None), (True, False, "not confirmed; no order was sent"), (True, None, "not confirmed; no order was sent"),
    (False, True, "doctor found what must be mended"), (False, False, "doctor found what must be mended")])
def test_real_orders_need_a_sound_machine_and_somebody_who_agrees(monkeypatch, tmp_path, well, agrees, words):
    from engine.run import rollout, session

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(rollout.RolloutError, match="real money begins after 5 good days of paper"):
        engine.run(source="upstox", live=True, config=Config(), confirm=lambda document, about: True)
    rollout.save(rollout.State(1))

    async def examine(config, source):
        return {"well": well, "checks": []}

    class Begun(Exception):
        pass

    def living(self):
        raise Begun

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(session, "examine", examine)
    monkeypatch.setattr(session.Folder, "living", living)
    confirm = None if agrees is None else lambda document, about: agrees and about.startswith("step 1 of going live")
    with pytest.raises(Begun if words is None else session.NotReady, match=words):
        engine.run(source="upstox", live=True, config=Config(), confirm=confirm)
    assert not (tmp_path / "runs").exists()
