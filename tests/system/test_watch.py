"""The page's process beside a real run: it shows what the engine does, what it is asked is journaled with who, and its death
changes nothing.

`engine/watch/server/hub.py`, `engine/watch/server/serve.py`, `engine/cli/watch.py`.
"""
import json
import os
import signal
import stat
import struct
import time
from itertools import pairwise
from pathlib import Path

import httpx
import numpy as np
import pytest
from websockets.sync.client import connect

from _ext.core.records import OPERATION, REC_OPERATION, REC_OPERATOR
from _ext.quotes import FRAME_ROW
from engine.trail.rundir import RunDir

SECRETS = {"ENGINE_ALERTS_URLS": "json://asha:pa55-of-a-person@127.0.0.1:9/hook-of-nobody",
           "ENGINE_ALERTS_HEARTBEAT": "http://127.0.0.1:9/ping-of-a-person", "ENGINE_API_SECRET": "secret-of-an-app"}
WORDS = ("pa55-of-a-person", "hook-of-nobody", "ping-of-a-person", "secret-of-an-app")
"""What must stand nowhere. Nobody answers at these addresses."""


class Watched:
    """A run on the sim with its page; `client` has the token."""

    def __init__(self, cli, folder: Path, *more: str):
        self.process = cli.start("run", "--names", "30", "--speed", "20", "--seed", "4", "--run-dir", str(folder), "--for", "60s",
                                 *more, ENGINE_WATCH__IS_ON="true", ENGINE_WATCH__PORT="0", **SECRETS)
        self.run, address = folder, folder / "watch.address"
        end = time.monotonic() + 60
        while not address.exists():
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.1)
        assert stat.S_IMODE(address.stat().st_mode) == 0o600
        self.base, _, self.token = address.read_text().strip().partition("/?token=")
        self.headers = {"authorization": f"Bearer {self.token}"}
        self.client = httpx.Client(base_url=self.base, headers=self.headers, timeout=20)
        while not self.client.get("/api/moment").json()["counts"]["updates"]:
            time.sleep(0.2)

    def socket(self):
        return connect(self.base.replace("http", "ws") + "/ws", additional_headers=self.headers)

    def operate(self, name: str, argument: str = "") -> dict:
        change = {"x-spike": self.client.get("/api/session").json()["csrf"]}
        asked = self.client.post("/api/operations", headers=change, json={"operation": name, "argument": argument})
        assert asked.status_code == 200, asked.text
        done = self.client.post("/api/operations/confirm", headers=change, json={"confirm": asked.json()["confirm"]})
        assert done.status_code == 200, done.text
        return done.json()

    def end(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGINT)
        self.process.communicate(timeout=60)


@pytest.fixture
def watched(cli, tmp_path):
    watched = Watched(cli, tmp_path / "runs" / "one")
    yield watched
    watched.end()


def test_a_run_shows_what_it_does_and_takes_what_it_is_asked(watched):
    with watched.socket() as socket:
        frames, pulses = [], []
        end = time.monotonic() + 30
        while (len(frames) < 20 or len(pulses) < 4) and time.monotonic() < end:
            message = socket.recv(timeout=10)
            (frames if isinstance(message, bytes) else pulses).append(message)
    kinds = [frame[4] for frame in frames]
    numbers = [struct.unpack_from("<I", frame, 16)[0] for frame in frames]
    assert kinds[0] == 1 and 0 in kinds                       # a keyframe first
    assert all(b - a in (0, 1) for a, b in pairwise(numbers))
    assert len(np.frombuffer(frames[0], FRAME_ROW, offset=40)) == 30
    assert json.loads(pulses[-1])["pulse"]["counts"]["updates"] > 0
    assert watched.client.get("/api/session").json()["mode"] == "simulated"

    assert "the engine has seen it" in watched.operate("pause")["words"]
    end = time.monotonic() + 5
    while watched.client.get("/api/moment").json()["state"]["operator"] != "PAUSE":
        assert time.monotonic() < end
        time.sleep(0.1)
    watched.operate("resume")
    at = watched.client.get("/api/session").json()["latest_us"] - 20_000_000
    then = watched.client.get(f"/api/moment?at={at}").json()
    assert then["now_us"] == at and then["same"]

    journal = [(kind, payload) for kind, _, payload in RunDir.existing(watched.run).reader().pick((REC_OPERATION, REC_OPERATOR))]
    asked = [np.frombuffer(payload, OPERATION)[0] for kind, payload in journal if kind == REC_OPERATION]
    assert [kind for kind, _ in journal] == [REC_OPERATION, REC_OPERATOR] * 2      # who asked stands before what followed
    assert all(row["who"].startswith(b"page: ") for row in asked)
    said = {path: watched.client.get(path).text for path in watched.client.get("/api/openapi.json").json()["paths"]
            if "{" not in path and not path.startswith("/api/operations")} | {"/": watched.client.get("/").text}
    said |= {str(path): path.read_bytes().decode(errors="replace") for path in watched.run.rglob("*")
             if path.is_file() and path.name != "watch.address"}
    assert any("page: " in text for text in said.values()) and len(said) > 30 and said["/metrics"].count("spike_") > 50
    assert [(where, word) for where, text in said.items() for word in (*WORDS, watched.token) if word in text] == []


def test_without_the_token_nothing_is_shown(watched):
    with httpx.Client(base_url=watched.base) as stranger:
        assert stranger.get("/api/moment").status_code == 401 and stranger.get("/").status_code == 401
        assert stranger.get("/api/moment", headers=watched.headers | {"host": "evil.example"}).status_code == 403
        upgrade = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13",
                   "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA=="}
        for headers in ({}, watched.headers | {"origin": "http://evil.example"}):
            assert stranger.get("/ws", headers=upgrade | headers).status_code == 403
    said = [json.loads(line) for line in (watched.run / "watch.out").read_text().splitlines() if line.startswith("{")]
    assert len(said) >= 5 and {line["refused"] for line in said} == {401, 403} and watched.token not in str(said)


def test_the_death_of_the_page_changes_nothing(cli, tmp_path):
    """Killed in mid-day it comes back by itself; the day's replay is identical."""
    watched = Watched(cli, tmp_path / "runs" / "two")
    before = children(watched.run)["watch"][0]
    os.kill(before, signal.SIGKILL)
    end = time.monotonic() + 30
    while children(watched.run).get("watch", [before])[0] == before or not (watched.run / "watch.address").exists():
        assert time.monotonic() < end
        time.sleep(0.2)
    watched.end()
    assert cli.json("replay", str(watched.run))["identical"]
    assert not (watched.run / "watch.address").exists()


def children(run: Path) -> dict[str, list[int]]:
    return json.loads((run / "children.json").read_bytes())
