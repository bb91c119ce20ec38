"""Notes and tags of people: what is kept in the run's folder, what hostile text becomes, and the route."""
import asyncio
import json
import os
import shutil
import stat
import time

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.watch import notes as work
from engine.watch.notes import NoteRefused, Notes
from tests.test_commands import here, said
from tests.watch.test_server import CHANGE, HOST, PAGE, TOKEN, Server

__all__ = ["here", "said"]


def lines(folder):
    return [json.loads(line) for line in (folder / "notes.jsonl").read_text().splitlines()]


def test_a_note_is_a_line_with_who_and_when(tmp_path):
    before = time.time_ns()
    kept = Notes(tmp_path).add(7, "the news came  first\n#News and #gap-up", ["late"], "page: asha")
    assert (kept.number, kept.candidate, kept.text) == (1, 7, "the news came first #News and #gap-up")
    assert kept.tags == ("late", "news", "gap-up") and before <= kept.at <= time.time_ns()
    assert stat.S_IMODE((tmp_path / "notes.jsonl").stat().st_mode) == 0o600
    assert lines(tmp_path) == [{"n": 1, "candidate": 7, "at": kept.at, "who": "page: asha",
                                "text": "the news came first #News and #gap-up", "tags": ["late", "news", "gap-up"]}]
    assert Notes(tmp_path).of(7) == [kept] and Notes(tmp_path).of(8) == []


def test_taking_one_back_adds_a_line_and_removes_none(tmp_path):
    notes = Notes(tmp_path)
    for text in ("one #a", "two #b"):
        notes.add(7, text, [], "page: asha")
    first = (tmp_path / "notes.jsonl").read_bytes()
    notes.remove(1, "page: ravi")
    assert (tmp_path / "notes.jsonl").read_bytes().startswith(first)
    assert lines(tmp_path)[2] | {"at": 0} == {"n": 3, "removes": 1, "at": 0, "who": "page: ravi"}
    assert [note.text for note in notes.of(7)] == ["two #b"] and notes.tags() == {7: ["b"]}
    with pytest.raises(NoteRefused, match="no note 1"):
        notes.remove(1, "page: ravi")
    assert notes.add(7, "three", [], "page: asha").number == 4                          # a number is never given again


def test_another_reader_sees_what_was_added(tmp_path):
    writer, reader = Notes(tmp_path), Notes(tmp_path)
    assert reader.tags() == {}
    writer.add(3, "#x", [], "a")
    assert reader.tags() == {3: ["x"]}
    writer.add(3, "#y", ["x"], "a")
    assert reader.tags() == {3: ["x", "y"]}
    (tmp_path / "notes.jsonl").unlink()
    assert reader.tags() == {}


@pytest.mark.parametrize(("text", "tags", "words"), [
    ("", [], "empty"), (" \n\x00\u202e", [], "empty"), ("x" * 1001, [], "1,000"), ("a", ["two words"], "no tag"),
    ("a", [""], "no tag"), ("a", ["-x"], "no tag"), ("a", ["<b>"], "no tag"), ("a", ["t" * 33], "no tag"),
    ("#" + "t" * 33, [], "no tag"),
    ("", [f"t{n}" for n in range(9)], "at most 8 tags")])
def test_what_is_no_note_is_refused_and_leaves_no_line(tmp_path, text, tags, words):
    with pytest.raises(NoteRefused, match=words):
        Notes(tmp_path).add(1, text, tags, "a")
    assert not (tmp_path / "notes.jsonl").exists()


def test_text_cannot_turn_or_hide_what_others_read(tmp_path):
    kept = Notes(tmp_path).add(1, "a\x1b[31mred\x07 \u202eback\u2028next\u200b\r<script>", [], "b\x1b]0;x\x07")
    assert kept.text == "a[31mred backnext <script>" and kept.who == "b]0;x"             # tags of HTML are for the page to escape


@given(st.text(max_size=1000))
def test_any_text_is_kept_on_one_line_and_read_back(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("notes")
    try:
        kept = Notes(folder).add(1, text, [], "a")
    except NoteRefused:
        assert not (folder / "notes.jsonl").exists()
        return
    assert Notes(folder).of(1) == [kept] and len((folder / "notes.jsonl").read_bytes().splitlines()) == 1
    assert kept.text.isprintable()


def test_a_line_that_is_none_takes_no_other_with_it(tmp_path):
    notes = Notes(tmp_path)
    notes.add(1, "first", [], "a")
    with (tmp_path / "notes.jsonl").open("ab") as file:
        file.write(b'{"n": 2, "candidate"\nnull\n[]\n{"n": 18446744073709551615, "removes": 1}\n'
                   b'{"n": 2, "candidate": 1, "at": 5, '
                   b'"who": "\\u001b[2Jb", "text": 5, "tags": []}\n'
                   b'{"n": 2, "candidate": 1, "at": 5, "who": "b\\u001b[2J", "text": "'
                   + b"y" * 3000 + b'", "tags": []}\n{"n": 3, "cut')
    assert [(note.text, note.who) for note in notes.of(1)] == [("first", "a"), ("y" * 1000, "b[2J")]
    assert notes.add(1, "after the cut", [], "a").number == 3
    assert [note.text[:5] for note in notes.of(1)] == ["first", "yyyyy", "after"]


def test_a_run_has_so_many_and_a_candidate_has(tmp_path, monkeypatch):
    monkeypatch.setattr(work, "OF_ONE_MAX", 2)
    monkeypatch.setattr(work, "NOTES_MAX", 4)
    notes = Notes(tmp_path)
    for candidate in (1, 1):
        notes.add(candidate, "x", [], "a")
    with pytest.raises(NoteRefused, match="candidate 1 has 2 notes"):
        notes.add(1, "x", [], "a")
    notes.add(2, "x", [], "a")
    notes.remove(1, "a")
    with pytest.raises(NoteRefused, match="full"):
        notes.add(2, "x", [], "a")


def test_nothing_is_followed_or_waited_for(tmp_path):
    (tmp_path / "elsewhere").write_text("{}")
    (tmp_path / "notes.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NoteRefused, match="cannot be kept"):
        Notes(tmp_path).add(1, "x", [], "a")
    assert Notes(tmp_path).of(1) == [] and (tmp_path / "elsewhere").read_text() == "{}"
    (tmp_path / "notes.jsonl").unlink()
    os.mkfifo(tmp_path / "notes.jsonl")
    with pytest.raises(NoteRefused):
        Notes(tmp_path).add(1, "x", [], "a")
    assert Notes(tmp_path).of(1) == []


# ---- the route ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def copied(day_run, tmp_path_factory):
    """Of a copy: a note stays in the folder."""
    folder = tmp_path_factory.mktemp("copied") / "run"
    shutil.copytree(day_run, folder)
    return Server(folder)


@pytest.fixture
def server(copied):
    """Without a note."""
    (copied.serving.follow.run.path / "notes.jsonl").unlink(missing_ok=True)
    return copied


def post(server, status, **body):
    answer = server.ask("/api/notes", CHANGE, "POST", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_a_note_on_a_refused_candidate_and_on_a_trade(server):
    refused = server.json("/api/candidates?verdict=refused&limit=1")["rows"][0]["id"]
    trade = server.json("/api/trades")["rows"][0]
    assert trade["tags"] == [] and server.json(f"/api/candidate/{refused}")["notes"] == []
    first = post(server, 200, candidate=refused, text="would have won #regret")
    post(server, 200, candidate=trade["candidate"], text="chased", tags=["late"])
    found = server.json(f"/api/candidate/{refused}")["notes"]
    assert found == [first] and (found[0]["text"], found[0]["tags"]) == ("would have won #regret", ["regret"])
    assert found[0]["who"].startswith("page: ") and abs(found[0]["t_us"] / 1e6 - time.time()) < 60
    tags = {row["candidate"]: row["tags"] for row in server.json("/api/trades")["rows"]}
    assert tags.pop(trade["candidate"]) == ["late"] and not any(tags.values())
    assert post(server, 200, removes=first["n"]) == {"removed": first["n"]}
    assert server.json(f"/api/candidate/{refused}")["notes"] == []


@pytest.mark.parametrize(("body", "status", "words"), [
    ({"candidate": 999_999, "text": "x"}, 404, "no candidate"), ({"text": "x"}, 409, "send `candidate`"),
    ({"candidate": 3, "removes": 1}, 409, "send `candidate`"), ({"removes": 1, "text": "x"}, 409, "send `candidate`"),
    ({"removes": 5}, 409, "no note 5"), ({"candidate": 3, "text": " "}, 409, "empty"),
    ({"candidate": -1, "text": "x"}, 400, "candidate"),
    ({"candidate": 3, "text": "x" * 1001}, 400, "text"), ({"candidate": 3, "tags": ["t"] * 9}, 400, "tags"),
    ({"candidate": 3, "tags": ["two words"]}, 409, "no tag"), ({"candidate": 3, "text": "x", "who": "me"}, 400, "who"),
    ({"candidate": 3, "text": "x", "run": "../run"}, 404, "no name of a run")])
def test_what_the_route_refuses(server, body, status, words):
    assert words in post(server, status, **body)["error"]
    assert server.serving.follow.notes.of(3) == []


def test_a_note_is_a_change_like_any_other_to_the_guard(server):
    body = {"candidate": 3, "text": "x"}
    for without in ("origin", "x-spike", "cookie"):
        headers = {name: value for name, value in CHANGE.items() if name != without}
        assert server.ask("/api/notes", headers, "POST", json=body).status_code in (401, 403), without
    for wrong in ({"x-spike": "0" * 64}, {"origin": "http://evil.example"}, {"host": "evil.example"}):
        assert server.ask("/api/notes", CHANGE | wrong, "POST", json=body).status_code == 403, wrong
    assert server.ask("/api/notes", PAGE, "GET").status_code in (404, 405)
    assert not (server.serving.follow.run.path / "notes.jsonl").exists()
    program = {"host": HOST, "authorization": f"Bearer {TOKEN}", "x-spike": CHANGE["x-spike"]}
    assert server.ask("/api/notes", program, "POST", json=body).status_code == 200


def test_a_note_is_shown_at_an_earlier_moment_too(server):
    post(server, 200, candidate=3, text="seen afterwards")

    async def ask():
        try:
            row = (await server.serving.candidate("", None, 3))["row"]
            return await server.serving.candidate("", row["t_us"] + 60_000_000, 3)
        finally:
            await server.serving.seeker.close()

    assert [note["text"] for note in asyncio.run(ask())["notes"]] == ["seen afterwards"]


def test_explain_shows_them(server, said):
    post(server, 200, candidate=3, text="why was it refused? #ask", tags=["late"])
    folder = str(server.serving.follow.run.path)
    assert said("explain", "3", "--run-dir", folder) == (0, "")
    assert " note 1 of " in said.out and ": why was it refused? #ask #late\n" in said.out
    assert said("explain", "3", "--run-dir", folder, "--json") == (0, "")
    assert [note["tags"] for note in orjson.loads(said.out)["notes"]] == [["late", "ask"]]
