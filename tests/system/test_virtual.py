"""Runs on virtual time: one seed, one digest; replay; a killed run goes on; the store holds exactly what a clean run's does.

The engine is `engine/run/virtual.py`.
"""
import os
import random
import shutil
import signal
import time

import numpy as np
import pytest

from _ext.core.records import FIRST_TELEMETRY, REC_FRAME
from _ext.trail.reader import Reader
from _ext.trail.segment import segment_names
from engine.trail.rundir import RunDir
from tests.conftest import recording
from tests.kit.counts import count
from tests.kit.store import contents, tables
from tests.system.conftest import SHORT


def test_one_seed_one_digest_and_an_identical_replay(cli):
    first = cli.json("run", *SHORT, "--no-store", "--run-dir", str(cli.base / "a"))
    second = cli.json("run", *SHORT, "--no-store", "--run-dir", str(cli.base / "b"))
    other = cli.json("run", *SHORT[:4], "--seed", "4", "--minutes", "45", "--no-store", "--run-dir", str(cli.base / "c"))
    assert first["digest"] == second["digest"] != other["digest"]
    assert first["updates"] > 20_000 and first["candidates"] > 0
    replayed = cli.json("replay", str(cli.base / "a"))
    assert replayed["identical"] and replayed["digest"] == first["digest"] and replayed["updates"] == first["updates"]


@pytest.mark.recording(twin="tests/system/test_virtual.py::test_one_seed_one_digest_and_an_identical_replay")
def test_the_recorded_session_end_to_end(cli):
    folder = recording("upstox_v3_2025-12-15")
    run_dir = str(cli.base / "r")
    document = cli.json("run", "--data", str(folder), "--speed", "max", "--for", "60s", "--run-dir", run_dir)
    assert document["updates"] > 200_000 and document["market_time"] > "15:40" and document["problem"] is None
    assert document["stored"] == document["updates"]
    assert cli.json("query", "SELECT count() n, uniqExact(seq, inst) u FROM ticks", "--run-dir", run_dir) == [
        {"n": document["updates"], "u": document["updates"]}]
    with tables(run_dir) as client:
        bars = client.query("SELECT sum(volume) v FROM bars_1m").first_row[0]
        ticks = client.query("SELECT sum(volume) v FROM ticks WHERE bitAnd(flags, 408) = 0").first_row[0]
    assert bars == ticks > 0
    assert cli.json("replay", "--run-dir", run_dir)["identical"] and cli.json("replay", run_dir)["identical"]
    assert "give one of them" in cli.run("replay", run_dir, "--run-dir", run_dir, code=2)


def test_one_flipped_byte_of_one_price_changes_the_digest(cli):
    document = cli.json("run", *SHORT, "--no-store", "--run-dir", str(cli.base / "a"))
    journal = cli.base / "a" / "journal"
    path = journal / segment_names(journal)[0]
    data = bytearray(path.read_bytes())
    frame = next(payload for kind, _, _, payload in Reader(journal) if kind == REC_FRAME)
    at = data.index(frame) + frame.index(b"\x09") + 1          # the last price of the first update
    data[at] ^= 1
    path.write_bytes(data)
    replayed = cli.run("replay", str(cli.base / "a"), "--json", code=1)
    assert '"identical": false' in replayed and document["digest"] not in replayed.split('"expected"')[0]


@pytest.mark.long
def test_killed_at_any_moment_goes_on_to_the_same_day(cli):
    """SIGKILL of the run (engine and launcher in one) at random moments: the journal grows on, the digest is the clean run's."""
    day = ("--names", "20", *SHORT[2:])
    clean = cli.json("run", *day, "--run-dir", str(cli.base / "clean"))
    seed = random.randrange(10**6)
    print("seed", seed)
    chance = random.Random(seed)
    run_dir = cli.base / "killed"
    had = 0
    for _ in range(count(3, 5, 12)):
        process = cli.start("run", *day, "--run-dir", str(run_dir), "--json")
        time.sleep(chance.uniform(0.8, 4.0))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        records = [r[:3] for r in RunDir(run_dir).reader()]
        assert len(records) >= had, "journaled records were lost"
        had = len(records)
    _end_store(run_dir)
    again = cli.json("run", *day, "--run-dir", str(run_dir))
    assert again["digest"] == clean["digest"]
    assert [r[1] for r in RunDir(run_dir).reader() if r[0] < FIRST_TELEMETRY] == list(range(1, had_inputs(run_dir) + 1))
    assert cli.json("replay", str(run_dir))["identical"]
    assert contents(run_dir) == contents(cli.base / "clean")


def had_inputs(run_dir) -> int:
    return sum(1 for r in RunDir(run_dir).reader() if r[0] < FIRST_TELEMETRY)


def _end_store(run_dir) -> None:
    """Waits for the store a killed run left behind: it ends with its journal or when it is told."""
    lock = run_dir / "store.lock"
    if lock.exists() and lock.read_text().strip():
        pid = int(lock.read_text())
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return
            time.sleep(3)


@pytest.mark.long
def test_the_store_killed_again_and_again_stores_everything_once(cli):
    clean = cli.base / "clean"
    cli.json("run", *SHORT, "--run-dir", str(clean))
    want = contents(clean)
    copy = cli.base / "copy"
    shutil.copytree(clean / "journal", copy / "journal")
    chance = random.Random(5)
    for _ in range(count(3, 5, 12)):
        process = cli.start("store", "--run-dir", str(copy), "--once")
        time.sleep(chance.uniform(0.6, 3.0))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    (copy / "store.cursor").unlink(missing_ok=True)           # even the memory of what was sent may be lost
    cli.run("store", "--run-dir", str(copy), "--once")
    assert contents(copy) == want


def test_another_run_is_not_mixed_into_a_journal(cli):
    cli.json("run", *SHORT, "--no-store", "--run-dir", str(cli.base / "a"))
    text = cli.run("run", *SHORT[:4], "--seed", "9", "--minutes", "45", "--no-store", "--run-dir", str(cli.base / "a"), code=1)
    assert "journal of another run" in text


def test_a_corrupt_journal_is_named(cli):
    cli.json("run", *SHORT, "--no-store", "--run-dir", str(cli.base / "a"))
    journal = cli.base / "a" / "journal"
    path = journal / segment_names(journal)[-1]
    data = np.fromfile(path, np.uint8)
    data[len(data) // 2] ^= 255
    data.tofile(path)
    text = cli.run("replay", str(cli.base / "a"), code=1)
    assert "1 corrupt" in text and "NOT IDENTICAL" in text


@pytest.mark.parametrize(("arguments", "words"), [
    (("run", "--data", "/nowhere", "--speed", "max"), "no Parquet files"),
    (("run", "--speed", "70"), "at most 50"),
    (("run", "--for", "soon"), "duration"),
    (("run", "--source", "moon"), "'sim' or 'upstox'"),
    (("run", "--source", "upstox"), "python -m engine login"),
    (("run", "--live"), "needs --source upstox"),
    (("run", "--speed", "max", "--mood", "sad"), "'normal' or 'lively'"),
    (("replay", "/nowhere"), "no such run"),
])
def test_bad_usage_is_exit_2_with_a_remedy(cli, arguments, words):
    assert words in cli.run(*arguments, *(("--run-dir", str(cli.base / "x")) if arguments[0] == "run" else ()), code=2)


def test_wrong_parquet_columns_are_named(cli):
    import polars as pl

    (cli.base / "data").mkdir()
    pl.DataFrame({"recv_ts": [1], "ltp": [2.0]}).write_parquet(cli.base / "data" / "x.parquet")
    text = cli.run("run", "--data", str(cli.base / "data"), "--speed", "max", "--run-dir", str(cli.base / "x"), code=2)
    assert "x.parquet" in text and "ap1" in text and "cum_volume" in text
    pl.DataFrame({"ts": [1], "ltp_paise": [2], "cum_volume": [3]}).write_parquet(cli.base / "data" / "x.parquet")
    text = cli.run("run", "--data", str(cli.base / "data"), "--speed", "max", "--run-dir", str(cli.base / "x"), code=2)
    assert "column ts" in text and "a time with its zone" in text


@pytest.mark.parametrize(("text", "words"), [
    ("[risk]\nnotionall = 0.1\n", "risk.notionall"), ("[risk]\nnotional = 7\n", "risk.notional"),
    ("[risk\n", "not valid TOML"), ("colour = 1\n", "colour"),
])
def test_malformed_configuration_is_exit_2(cli, text, words):
    path = cli.base / "engine.toml"
    path.write_text(text)
    assert words in cli.run("run", *SHORT, "--run-dir", str(cli.base / "x"), code=2, ENGINE_CONFIG=str(path))


def test_an_unknown_variable_is_refused(cli):
    assert "ENGINE_RISKK" in cli.run("run", *SHORT, "--run-dir", str(cli.base / "x"), code=2, ENGINE_RISKK="1")


@pytest.mark.machine
def test_a_full_disk_ends_the_run_with_a_word(cli):
    """A journal folder on a tmpfs that is too small."""
    import subprocess

    small = cli.base / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(small)], check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        text = cli.run("run", "--names", "60", *SHORT[2:], "--no-store", "--run-dir", str(small / "a"), code=1)
        assert "no room" in text
        replayed = cli.json("replay", str(small / "a"))
        assert replayed["identical"] and replayed["updates"] > 0       # what was journaled is whole
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_earlier_run_serves_as_a_market(cli):
    """The frames of a journal, run again under the same configuration, give the same candidates."""
    first = cli.json("run", *SHORT, "--no-store", "--run-dir", str(cli.base / "a"))
    again = cli.json("run", "--data", str(cli.base / "a"), "--speed", "max", "--no-store", "--run-dir", str(cli.base / "b"))
    for name in ("updates", "candidates", "signals", "orders", "bars"):
        assert again[name] == first[name] > 0, name
