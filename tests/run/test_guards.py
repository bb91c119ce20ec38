"""What the engine keeps an eye on: who stopped the entries lets them go on, and nobody else."""
import datetime as dt
import os
import time
from types import SimpleNamespace

import pytest

from _ext.core.records import OP_KILL, OP_PAUSE, OP_REDUCE, OP_RUN
from engine.broker.upstox.login import LoginError, Token
from engine.market.sessions import IST
from engine.run.guards import Guards, ModelWatch, Target


class Watched:
    """Guards over a status word, a broker and a launcher that only remember."""

    def __init__(self, tmp_path, is_live: bool = True):
        self.status, self.renewed, self.notes, self.ends = SimpleNamespace(operator=OP_RUN), [], [], []
        self.target = Target("https://api.upstox.com", "a-token-of-yesterday", "upstox", expires=time.time() + 3600)
        run = SimpleNamespace(store=tmp_path / "none", beat=tmp_path / "beat", path=tmp_path)
        run.beat.touch()
        self.guards = Guards(run, self.status, self.target, is_live, self.notes.append, lambda: self.ends.append(1),
                             self.renewed.append)
        self.silence = 0.0
        self.guards.attendance = SimpleNamespace(silence=lambda: self.silence)


@pytest.fixture
def watched(tmp_path) -> Watched:
    return Watched(tmp_path)


# ---- stops that end with their cause -------------------------------------------------------------------------------------
def die(watched: Watched, monkeypatch) -> None:
    """The token is over and nobody has logged in."""
    def nobody() -> Token:
        raise LoginError("log in")

    monkeypatch.setattr("engine.run.guards.login.load", nobody)
    watched.target.expires = time.time() - 1
    watched.guards.look()


def log_in(watched: Watched, monkeypatch) -> None:
    token = Token("a-token-of-today", dt.datetime.now(IST) + dt.timedelta(hours=8))
    monkeypatch.setattr("engine.run.guards.login.load", lambda: token)
    watched.guards.look()


def test_a_dead_token_stops_entries_until_another_is_there(watched, monkeypatch):
    die(watched, monkeypatch)
    assert watched.status.operator == OP_REDUCE
    log_in(watched, monkeypatch)
    assert watched.status.operator == OP_RUN and watched.renewed == ["a-token-of-today"]


@pytest.mark.parametrize("word", [OP_PAUSE, OP_REDUCE, OP_KILL])
def test_another_token_lifts_no_stop_a_person_made(watched, monkeypatch, word):
    watched.status.operator = word
    die(watched, monkeypatch)
    log_in(watched, monkeypatch)
    assert watched.status.operator == word and watched.renewed == ["a-token-of-today"]


@pytest.mark.parametrize("word", [OP_PAUSE, OP_KILL])
def test_what_a_person_says_after_the_token_died_stands(watched, monkeypatch, word):
    die(watched, monkeypatch)
    watched.status.operator = word
    log_in(watched, monkeypatch)
    assert watched.status.operator == word


def test_a_word_is_said_once_before_the_token_dies(watched):
    watched.target.expires = time.time() + 599
    for _ in range(3):
        watched.guards.look()
    assert len(watched.notes) == 1 and "ends within ten minutes" in watched.notes[0] and watched.status.operator == OP_RUN


def drained(watched: Watched, monkeypatch, trouble: str) -> None:
    monkeypatch.setattr("engine.run.guards.read_note", lambda path: {"drain": trouble})
    watched.guards.look()


def test_a_full_disk_stops_entries_until_it_takes_the_journal_again(watched, monkeypatch):
    drained(watched, monkeypatch, "the disk is full")
    assert watched.status.operator == OP_REDUCE and watched.guards.drain == "the disk is full"
    drained(watched, monkeypatch, "")
    assert watched.status.operator == OP_RUN and watched.guards.drain == ""


@pytest.mark.parametrize(("before", "after"), [(OP_RUN, OP_PAUSE), (OP_RUN, OP_KILL), (OP_REDUCE, OP_REDUCE), (OP_PAUSE, OP_PAUSE)])
def test_a_disk_with_room_again_lifts_no_stop_a_person_made(watched, monkeypatch, before, after):
    watched.status.operator = before
    drained(watched, monkeypatch, "the disk is full")
    watched.status.operator = after
    drained(watched, monkeypatch, "")
    assert watched.status.operator == after


def test_a_stop_with_two_causes_ends_with_the_last_of_them(watched, monkeypatch):
    """The disk has room again while the token is still dead: nothing is entered yet."""
    drained(watched, monkeypatch, "the disk is full")
    die(watched, monkeypatch)
    drained(watched, monkeypatch, "")
    assert watched.status.operator == OP_REDUCE
    log_in(watched, monkeypatch)
    assert watched.status.operator == OP_RUN


@pytest.mark.parametrize(("is_live", "silence", "word", "ends"), [
    (True, 60.0, OP_RUN, 0), (True, 60.1, OP_PAUSE, 0), (False, 10.0, OP_RUN, 0), (False, 10.1, OP_RUN, 1), (False, 61.0, OP_RUN,
                                                                                                             1)])
def test_a_silent_launcher(tmp_path, is_live, silence, word, ends):
    """With real money the engine stays and enters nothing; without, it ends, once."""
    watched = Watched(tmp_path, is_live)
    watched.silence = silence
    for _ in range(3):
        watched.guards.look()
    assert watched.status.operator == word and len(watched.ends) == ends


@pytest.mark.parametrize("word", [OP_REDUCE, OP_KILL])
def test_a_silent_launcher_softens_no_stop(watched, word):
    watched.status.operator, watched.silence = word, 100.0
    watched.guards.look()
    assert watched.status.operator == word


def test_the_token_that_died_is_not_another_one(watched, monkeypatch):
    """The broker ended it before its time: what the file still has is what was refused."""
    die(watched, monkeypatch)
    token = Token("a-token-of-yesterday", dt.datetime.now(IST) + dt.timedelta(hours=8))
    monkeypatch.setattr("engine.run.guards.login.load", lambda: token)
    watched.guards.look()
    assert watched.status.operator == OP_REDUCE and watched.renewed == []


def test_the_end_of_each_token_is_told(watched, monkeypatch):
    """Of that which another login has brought too, on the second day of a process that runs on."""
    die(watched, monkeypatch)
    log_in(watched, monkeypatch)
    watched.target.expires = time.time() + 300
    watched.guards.look()
    assert sum("ends within ten minutes" in note for note in watched.notes) == 2


def test_a_login_that_is_over_as_well_is_no_other_token(watched, monkeypatch):
    """Nobody has logged in today: what the file has is of the day before yesterday."""
    die(watched, monkeypatch)
    token = Token("a-token-of-the-day-before", dt.datetime.now(IST) - dt.timedelta(seconds=1))
    monkeypatch.setattr("engine.run.guards.login.load", lambda: token)
    watched.guards.look()
    assert watched.status.operator == OP_REDUCE and watched.renewed == []


# ---- models ----------------------------------------------------------------------------------------------------------------
def test_models_change_with_their_file_also_to_one_that_is_older(tmp_path):
    """Who goes back to the models of yesterday may put back the file with its time."""
    watch = ModelWatch(SimpleNamespace(), SimpleNamespace(models=str(tmp_path), signals=SimpleNamespace(noise=0.7)), lambda: 1,
                       lambda text: None)
    assert not watch.has_changed()
    (tmp_path / "active.json").write_text("{}")
    for at, changed in ((200, True), (200, False), (100, True), (100, False)):
        os.utime(tmp_path / "active.json", (at, at))
        assert watch.has_changed() == changed
