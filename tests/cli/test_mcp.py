"""`mcp` by the package's own client over stdio: five tools, each answer beside what other commands say, and what is refused."""
import asyncio
import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.cli.options import Failed
from engine.config import Config
from engine.errors import UsageError
from engine.trail.rundir import RunDir
from engine.watch import questions
from engine.watch.notes import Notes
from tests.conftest import ROOT
from tests.kit.store import stored_run

SECRET = "987654:very-secret-word"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = stored_run(tmp_path_factory.mktemp("runs") / "day", 6).path
    (folder / "watch.address").write_text(f"http://127.0.0.1:1/?token={SECRET}\n")
    Notes(folder).add(1, "look at this", ["seen"], "page: asha")
    return folder


def talked(run: Path, *calls: tuple[str, dict[str, Any]]) -> tuple[list[Any], list[Any]]:
    """(tools, answers) of one server that a client starts."""
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    async def talk() -> tuple[list[Any], list[Any]]:
        server = StdioServerParameters(command=sys.executable, args=["-m", "engine", "mcp", "--run-dir", str(run)], cwd=ROOT,
                                       env={"ENGINE_ALERTS_URLS": f"tgram://{SECRET}/1", "ENGINE_TOKEN": SECRET})
        with (run.parent / "mcp.err").open("a") as errors:
            async with Client(stdio_client(server, errlog=errors), read_timeout_seconds=60) as client:
                tools = (await client.list_tools()).tools
                return tools, [await client.call_tool(name, arguments) for name, arguments in calls]

    return asyncio.run(talk())


def state_of(run: Path) -> dict[str, str]:
    """Every file that says what the run did, by its contents."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(run.rglob("*"))
            if path.is_file() and "clickhouse" not in path.relative_to(run).parts}


def test_a_client_asks_all_there_is_and_changes_nothing(run, said):
    before = state_of(run)
    tools, answers = talked(run, ("status", {}), ("explain", {"number": 1}), ("report", {}), ("runs", {}),
                            ("query", {"sql": "SELECT count() AS n FROM signals WHERE run = {run:UInt32}"}),
                            ("query", {"sql": "SELECT symbol, close_rs FROM bars_1m ORDER BY symbol, bar_ts", "rows": 3}))
    assert [tool.name for tool in tools] == ["status", "explain", "query", "report", "runs"]
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    assert tools[1].input_schema["properties"]["number"]["maximum"] == 2**53 - 1
    assert not any(answer.is_error for answer in answers), answers
    status, chain, day, runs, count, bars = (answer.structured_content for answer in answers)
    assert status["run"] == "day" and not status["running"]
    assert said("explain", "1", "--run-dir", str(run), "--json")[0] == 0
    assert chain == {name: value for name, value in json.loads(said.out).items() if name != "problem"}
    assert [note["text"] for note in chain["notes"]] == ["look at this"]
    assert said("report", "--run-dir", str(run), "--json")[0] == 0
    assert json.loads(said.out).items() <= day.items() and day["trades"] >= day["wins"] >= 0
    assert [row["name"] for row in runs["rows"]] == ["day"] and runs["own"] == "day"
    assert said("query", "SELECT count() AS n FROM signals", "--run-dir", str(run), "--json")[0] == 0
    assert count == {"columns": ["n"], "rows": [[json.loads(said.out)[0]["n"]]], "is_whole": True} and count["rows"][0][0] > 0
    assert len(bars["rows"]) == 3 and not bars["is_whole"] and bars["columns"] == ["symbol", "close_rs"]
    assert SECRET not in "".join(str(answer) for answer in answers)
    assert state_of(run) == before


REFUSED = (
    ("explain", {"number": 999_999}, "there is no candidate 999999"), ("explain", {"number": 0}, "number is a whole number"),
    ("explain", {"number": "1; DROP"}, "number is a whole number"), ("explain", {"number": True}, "number is a whole number"),
    ("explain", {"number": 10**30}, "number is a whole number"), ("explain", {"number": 5, "is_order": "yes"}, "true or false"),
    ("explain", {"number": 99_999, "is_order": True}, "there is no order 99999"),
    ("status", {"run": "../../etc"}, "no name of a run"), ("status", {"run": "nobody"}, "there is no run"),
    ("status", {"run": 7}, "run is a text"), ("report", {"run": "x" * 201}, "at most 200 characters"),
    ("query", {"sql": ""}, "sql is empty"), ("query", {"sql": "S" * 8001}, "sql is a text of at most 8,000"),
    ("query", {"sql": "SELECT 1", "rows": 1001}, "rows is a whole number of 1 to 1,000"),
    ("query", {"sql": "DROP TABLE signals"}, ""), ("query", {"sql": "INSERT INTO signals SELECT * FROM signals"}, ""),
    ("query", {"sql": "SELECT * FROM file('/etc/passwd', 'LineAsString')"}, ""),
    ("query", {"sql": "SELECT 1; SELECT 2"}, ""), ("query", {"sql": "SELECT nothing FROM signals"}, "nothing"),
    ("order", {"symbol": "SBIN"}, "order"), ("pause", {}, "pause"), ("flatten", {}, "flatten"))


def test_what_is_refused_is_said_and_the_server_goes_on(run):
    before = state_of(run)
    answers = talked(run, *((name, arguments) for name, arguments, _ in REFUSED), ("status", {}))[1]
    for (name, arguments, words), answer in zip(REFUSED, answers, strict=False):
        text = answer.content[0].text
        assert answer.is_error and words in text and "root:" not in text, (name, arguments, text)
        assert "pydantic" not in text and "Traceback" not in text and SECRET not in text and len(text) < 1200
    assert not answers[-1].is_error and state_of(run) == before
    assert talked(run, ("query", {"sql": "SELECT count() FROM signals"}))[1][0].structured_content["rows"][0][0] > 0


def test_an_answer_is_bounded_in_bytes_and_numbers_are_json(run):
    asked = questions.Questions(RunDir.existing(run), Config())
    wide = asked.query("SELECT repeat('x', 1900) AS x, arrayJoin(range(900)) AS n", 1000)
    assert not wide["is_whole"] and 130 < len(wide["rows"]) < 140    # 256 KiB of 1,908 bytes each
    odd = asked.query("SELECT nan AS a, toUInt64(18446744073709551615) AS b, toDate('2026-09-01') AS c, repeat('x', 3000) AS d")
    assert odd["rows"][0][:3] == [None, "18446744073709551615", "2026-09-01"] and len(odd["rows"][0][3]) == 2004


@pytest.mark.parametrize(("readonly", "is_asked"), [(0, False), (1, True), (2, True)])
def test_a_server_of_ones_own_is_asked_as_a_reader_alone(run, monkeypatch, readonly, is_asked):
    """Its statements are not guarded by us."""
    class Rows(list):
        class source:
            column_names = ("n",)

    class Client:
        seen: list[str] = []

        def query(self, sql):
            return type("Answer", (), {"result_rows": [[readonly]]})

        def query_rows_stream(self, sql, parameters=None):
            self.seen.append(sql)
            return contextlib.nullcontext(Rows([[1]]))

    client = Client()
    monkeypatch.setattr(questions, "client_of", lambda config, run: contextlib.nullcontext(client))
    asked = questions.Questions(RunDir.existing(run), Config(store={"url": "http://user@host:8123/db"}))
    with contextlib.nullcontext() if is_asked else pytest.raises(UsageError, match="may write"):
        assert asked.query("SELECT 1 AS n")["rows"] == [[1]]
    assert (client.seen == ["SELECT 1 AS n"]) == is_asked


def test_without_its_package_the_command_says_what_brings_it(run, monkeypatch):
    from engine.cli.mcp import mcp

    monkeypatch.setitem(sys.modules, "mcp.server", None)
    with pytest.raises(Failed, match="make install-mcp"):
        mcp(run)
