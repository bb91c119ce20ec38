"""`doctor` against a sim, well and unwell, and the day's report against the same broker.

It is `engine/run/doctor.py`, the broker's part of it `engine/broker/upstox/doctor.py`.
"""
import time

import orjson
import pytest

from tests.system.conftest import Cli

RUN = ("--names", "24", "--speed", "25", "--start", "09:19", "--no-store", "--json")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return Cli(tmp_path_factory.mktemp("doctor"))


@pytest.fixture(scope="module")
def running(home):
    """Where the broker of one run in `home` answers; every test asks the same run."""
    process = home.start("run", *RUN, "--run-dir", str(home.base / "live"))
    end = time.monotonic() + 60
    while time.monotonic() < end and not (home.base / "live" / "engine.json").exists():
        time.sleep(0.1)
    yield orjson.loads((home.base / "live" / "engine.json").read_bytes())["base"]
    process.send_signal(2)
    process.communicate(timeout=60)


def test_doctor_finds_a_sim_well_and_says_each_thing(home, running):
    document = home.json("doctor", "--source", "sim", "--base", running)
    names = {c["name"]: c for c in document["checks"]}
    assert document["well"] and set(names) >= {"limits", "disk", "shared memory", "model", "token", "login", "clock", "order host",
                                               "static IP", "funds", "session", "feed", "positions", "kill switch", "ClickHouse"}
    assert all(c["state"] in ("ok", "warn") for c in document["checks"]), document["checks"]


def test_fills_and_charges_agree_with_the_brokers_to_the_paisa(home, running):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        report = home.json("report", "--run-dir", str(home.base / "live"))
        if report["entries"] >= 2:
            break
        time.sleep(2)
    home.run("pause", "--run-dir", str(home.base / "live"))
    time.sleep(1)
    report = home.json("report", "--compare", "--run-dir", str(home.base / "live"))
    assert report["differences"] == [] and report["entries"] >= 2 and report["charges"] > 0


def test_without_a_token_it_says_how_to_get_one(cli):
    said = cli.run("doctor", code=1)
    assert "python -m engine login" in said and "not fit to trade" in said


def test_doctor_says_what_to_do_about_a_broker_that_is_not_there(cli):
    said = cli.run("doctor", "--source", "sim", "--base", "http://127.0.0.1:9", code=1)
    assert "fail" in said and "is the network up" in said and "not fit to trade" in said


def test_limits_that_contradict_each_other_are_warned_of(home, running):
    document = home.json("doctor", "--source", "sim", "--base", running, ENGINE_RISK__DAILY_LOSS="0.001")
    (limits,) = [c for c in document["checks"] if c["name"] == "limits"]
    assert limits["state"] == "warn" and "lose more than the day's" in limits["said"]
