"""`doctor` against a sim, well and unwell, and the evening's account against the same broker."""
import time

import orjson
import pytest

from tests.system.conftest import Cli

RUN = ("--names", "24", "--speed", "25", "--start", "09:19", "--no-store", "--json")


@pytest.fixture
def running(cli: Cli):
    process = cli.start("run", *RUN, "--run-dir", str(cli.base / "live"))
    end = time.monotonic() + 60
    while time.monotonic() < end and not (cli.base / "live" / "engine.json").exists():
        time.sleep(0.1)
    yield orjson.loads((cli.base / "live" / "engine.json").read_bytes())["base"]
    process.send_signal(2)
    process.communicate(timeout=60)


def test_doctor_finds_a_sim_well_and_says_each_thing(cli, running):
    document = cli.json("doctor", "--source", "sim", "--base", running)
    names = {c["name"]: c for c in document["checks"]}
    assert document["well"] and set(names) >= {"limits", "disk", "shared memory", "model", "token", "login", "clock", "order host",
                                               "static IP", "funds", "session", "feed", "positions", "kill switch", "ClickHouse"}
    assert all(c["state"] in ("ok", "warn") for c in document["checks"]), document["checks"]


def test_fills_and_charges_agree_with_the_brokers_to_the_paisa(cli, running):
    end = time.monotonic() + 90
    while time.monotonic() < end:
        evening = cli.json("evening", "--run-dir", str(cli.base / "live"))
        if evening["entries"] >= 2:
            break
        time.sleep(2)
    cli.run("pause", "--run-dir", str(cli.base / "live"))
    time.sleep(1)
    evening = cli.json("evening", "--compare", "--run-dir", str(cli.base / "live"))
    assert evening["differences"] == [] and evening["entries"] >= 2 and evening["charges"] > 0


def test_without_a_token_it_says_how_to_get_one(cli):
    said = cli.run("doctor", code=1)
    assert "python -m engine login" in said and "not fit to trade" in said


def test_doctor_says_what_to_do_about_a_broker_that_is_not_there(cli):
    said = cli.run("doctor", "--source", "sim", "--base", "http://127.0.0.1:9", code=1)
    assert "fail" in said and "is the network up" in said and "not fit to trade" in said


def test_limits_that_contradict_each_other_are_warned_of(cli, running):
    document = cli.json("doctor", "--source", "sim", "--base", running, ENGINE_RISK__DAILY_LOSS="0.001")
    (limits,) = [c for c in document["checks"] if c["name"] == "limits"]
    assert limits["state"] == "warn" and "lose more than the day's" in limits["said"]
