"""The rules of the house, checked: who may import whom, what the engine process must never load."""
import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter

import pytest
import typer

from _ext.core import reasons, records
from engine import cli
from tests.conftest import ROOT

STAGES = ["core", "feed", "market", "signals", "trade", "trail"]
ROOMS = ["errors", "paths", "config", "market", "signals", "strategies", "feed", "broker", "trade", "trail", "sim", "store", "lab",
         "watch", "run", "backtest", "report", "cli"]
"""Of `engine`, each knows only those before it."""
LONG_FILES = {"_ext/core/records.pxd": "every record of the stream on one page"}
LONG_FUNCTIONS = {"fill_features": "a line a feature", "check": "the gate's truth table, an if a rule",
                  "_dispatch": "a branch a record type",
                  "decode_market": "a branch a field of the wire", "on_tick": "an update's way through the market stage",
                  "implied_vol": "one iteration with its guards", "next_minute": "one minute of the generator"}
COVERED = {
    **{f"engine/strategies/{name}.py": "tests/strategies/test_strategies.py" for name in ("base", "loading", "stops", "watchdog")},
    **{f"engine/strategies/shipped/{name}.py": "tests/strategies/test_shipped.py"
       for name in ("moving_average_cross", "spike_option", "spike_reversal")},
    **{module: "tests/strategies/test_check.py" for module in (
        "engine/backtest/check.py", "engine/backtest/play.py", "engine/strategies/template.py", "engine/strategies/trial.py",
        "engine/cli/strategy.py")},
    "_ext/signals/strategies.pyx": "tests/strategies/test_strategies.py",
    **{f"engine/backtest/{name}.py": "tests/backtest/test_session.py" for name in ("days", "drive", "options")},
    **{f"engine/backtest/{name}.py": "tests/backtest/test_results.py" for name in ("terminal", "trades")},
    "engine/trail/day_files.py": "tests/backtest/test_session.py",
    "_ext/core/reasons.pyx": "tests/test_house.py", "_ext/core/records.pyx": "tests/test_house.py",
    "_ext/entrance.pyx": "tests/trail/test_replay.py", "_ext/path.pyx": "tests/trail/test_replay.py",
    "_ext/feed/encode.pyx": "tests/feed/test_wire.py",
    "_ext/feed/frame.pyx": "tests/feed/test_listener.py", "_ext/follower.pyx": "tests/store/test_rows.py",
    "_ext/market/board.pyx": "tests/market/test_ledger.py", "_ext/market/market.pyx": "tests/market/test_ledger.py",
    "_ext/market/rolling.pyx": "tests/market/test_bars.py", "_ext/recorder.pyx": "tests/store/test_rows.py",
    "_ext/signals/onnx.pyx": "tests/signals/test_scorer.py", "_ext/signals/pipeline.pyx": "tests/signals/test_rules.py",
    "_ext/signals/source.pyx": "tests/test_limits.py", "_ext/trade/costs.pyx": "tests/trade/test_fills.py",
    "_ext/trade/exits.pyx": "tests/trade/test_sides.py", "_ext/trade/holdings.pyx": "tests/trade/test_sides.py",
    "_ext/trail/reader.pyx": "tests/trail/test_journal.py",
    "_ext/trail/segment.pyx": "tests/trail/test_segments.py", "_ext/trail/unpack.py": "tests/trail/test_segments.py",
    "_ext/trail/verifier.pyx": "tests/trail/test_replay.py", "engine/__main__.py": "tests/test_commands.py",
    "engine/broker/base.py": "tests/run/test_shell.py", "engine/broker/upstox/answers.py": "tests/trade/test_answers.py",
    "engine/broker/upstox/api.py": "tests/trade/test_answers.py", "engine/broker/upstox/client.py": "tests/trade/test_answers.py",
    "engine/broker/upstox/doctor.py": "tests/system/test_doctor.py",
    "engine/broker/upstox/fetch.py": "tests/market/test_history.py", "engine/cli/doctor.py": "tests/system/test_doctor.py",
    "engine/cli/closing.py": "tests/test_commands.py", "engine/cli/engine.py": "tests/system/test_live.py",
    "engine/cli/evening.py": "tests/test_commands.py", "engine/cli/report.py": "tests/system/test_doctor.py",
    "engine/cli/flatten.py": "tests/test_commands.py", "engine/cli/kill.py": "tests/system/test_kill.py",
    "engine/cli/login.py": "tests/broker/test_consent.py", "engine/cli/logs.py": "tests/system/test_live.py",
    "engine/cli/operator.py": "tests/test_commands.py", "engine/cli/pause.py": "tests/test_commands.py",
    "engine/cli/replay.py": "tests/system/test_virtual.py",
    "engine/cli/resume.py": "tests/test_commands.py", "engine/cli/run.py": "tests/system/test_virtual.py",
    "engine/cli/sim.py": "tests/sim/test_sdk.py", "engine/cli/typed.py": "tests/run/test_options.py",
    "engine/cli/status.py": "tests/test_commands.py", "engine/cli/store.py": "tests/test_commands.py",
    "engine/cli/train.py": "tests/lab/test_train.py", "engine/config/limits.py": "tests/test_limits.py",
    "engine/errors.py": "tests/test_commands.py", "engine/paths.py": "tests/watch/test_server.py",
    "engine/lab/dataset.py": "tests/lab/test_train.py",
    "engine/lab/evaluate.py": "tests/lab/test_train.py", "engine/lab/graph.py": "tests/lab/test_train.py",
    "engine/lab/members.py": "tests/lab/test_train.py", "engine/lab/outcomes.py": "tests/lab/test_train.py",
    "engine/lab/report.py": "tests/lab/test_train.py", "engine/lab/series.py": "tests/lab/test_train.py",
    "engine/market/instruments.py": "tests/market/test_calendar.py", "engine/market/sessions.py": "tests/market/test_hours.py",
    **{f"engine/market/universe/{name}.py": "tests/market/test_universe.py"
       for name in ("changes", "liquidity", "overnight", "record", "terms")},
    "engine/public.py": "tests/run/test_options.py", "engine/run/session.py": "tests/run/test_options.py",
    "engine/run/supervisor.py": "tests/run/test_launcher.py", "engine/run/universe.py": "tests/market/test_universe.py",
    "engine/sim/charges.py": "tests/trade/test_fills.py", "engine/sim/order.py": "tests/sim/test_exchange.py",
    "engine/run/clock.py": "tests/sim/test_pace.py", "engine/run/doctor.py": "tests/system/test_doctor.py",
    "engine/run/drill.py": "tests/system/test_kill.py",
    "engine/broker/upstox/market.py": "tests/run/test_paper.py", "engine/run/order_line.py": "tests/system/test_live.py",
    "engine/backtest/uptime.py": "tests/backtest/test_steps.py", "engine/cli/rollout.py": "tests/backtest/test_steps.py",
    "engine/cli/paper.py": "tests/backtest/test_paper_report.py",
    "engine/run/unwind.py": "tests/system/test_paper.py", "engine/config/changes.py": "tests/test_changes.py",
    **{module: "tests/backtest/test_whatif.py" for module in (
        "engine/backtest/remade.py", "engine/backtest/differences.py", "engine/cli/whatif.py")},
    "engine/broker/paper/latency.py": "tests/backtest/test_parity.py", "engine/cli/parity.py": "tests/backtest/test_parity.py",
    "engine/run/opening.py": "tests/run/test_shell.py",
    "engine/run/virtual.py": "tests/system/test_virtual.py", "engine/run/virtual_feed.py": "tests/feed/test_subscriptions.py",
    "engine/sim/columns.py": "tests/sim/test_market.py", "engine/sim/contracts.py": "tests/market/test_chain.py",
    "engine/sim/faults.py": "tests/trade/test_reconcile.py", "engine/sim/day_table.py": "tests/sim/test_days.py",
    "engine/sim/feed.py": "tests/feed/test_subscriptions.py",
    "engine/sim/player.py": "tests/sim/test_pace.py", "engine/sim/recorded.py": "tests/lab/test_stored.py",
    "engine/sim/rest.py": "tests/sim/test_requests.py", "engine/sim/server.py": "tests/sim/test_requests.py",
    "engine/store/__main__.py": "tests/test_commands.py", "engine/store/windows.py": "tests/store/test_rows.py",
    "engine/store/functions.py": "tests/store/test_statements.py",
    "engine/store/grants.py": "tests/store/test_confinement.py", "engine/store/landlock.py": "tests/store/test_confinement.py",
    **{f"engine/store/{name}.py": "tests/store/test_home.py" for name in ("client", "earlier", "filling", "keeper", "process")},
    "engine/store/storing.py": "tests/store/test_backtests.py",
    "engine/trade/inputs.py": "tests/broker/test_protocol.py",
    "engine/trade/tags.py": "tests/trade/test_golden.py", "engine/trail/compress.py": "tests/trail/test_segments.py",
    "engine/trail/resources.py": "tests/run/test_child.py", "engine/trail/signs.py": "tests/system/test_trouble.py",
    "engine/config/alerts.py": "tests/watch/test_conditions.py",
    **{f"engine/watch/{name}.py": "tests/watch/test_metrics.py" for name in ("figures", "tally", "trades", "watched")},
    "engine/watch/drift.py": "tests/signals/test_models.py", "engine/watch/day_report.py": "tests/trade/test_evening.py",
    "engine/watch/events.py": "tests/test_events.py", "engine/watch/explain.py": "tests/store/test_queries.py",
    "engine/watch/ledger.py": "tests/cli/test_gaps.py",
    "_ext/minutes.pyx": "tests/store/test_bars.py", "_ext/quotes.pyx": "tests/watch/test_quotes.py",
    "engine/cli/watch.py": "tests/system/test_watch.py", "engine/watch/trades.py": "tests/backtest/test_results.py",
    **{f"engine/watch/{name}.py": "tests/watch/test_day.py" for name in ("chains", "packed", "panels", "rows", "rules")},
    **{f"engine/watch/{name}.py": "tests/watch/test_seek.py" for name in ("moment", "then")},
    **{f"engine/watch/server/{name}.py": "tests/watch/test_server.py" for name in (
        "app", "guard", "measures", "operations", "runs", "seeker", "serving")},
    "engine/watch/server/hub.py": "tests/system/test_watch.py", "engine/watch/server/serve.py": "tests/system/test_watch.py",
    "engine/watch/questions.py": "tests/cli/test_mcp.py",
    "engine/watch/state.py": "tests/trade/test_evening.py", "engine/watch/view.py": "tests/test_commands.py",
}
"""Modules without a test file of their name, and the one that covers each."""
IMPORT = re.compile(r"^\s*(?:from|import)\s+(_ext|engine)(?:\.(\w+))?", re.MULTILINE)


def test_compiled_modules_import_only_from_their_own_or_earlier_stages():
    for path in (ROOT / "_ext").rglob("*.p[yx]*"):
        stage = path.parent.name
        for package, name in IMPORT.findall(path.read_text()) if stage in STAGES else ():
            assert package == "_ext", f"{path}: compiled code never imports engine"
            if name in STAGES:
                assert STAGES.index(name) <= STAGES.index(stage), f"{path} imports {name}"


def test_rooms_know_only_those_before_them():
    found = set()
    for path in (ROOT / "engine").rglob("*.py"):
        room = path.relative_to(ROOT / "engine").parts[0].removesuffix(".py")
        text = path.read_text()
        names = re.findall(r"^\s*(?:from|import) engine\.(\w+)", text, re.M)
        names += [n.strip().split(" as ")[0] for line in re.findall(r"^\s*from engine import ([\w, ]+)", text,
                                                                    re.M) for n in line.split(",")]
        found |= {(room, name) for name in names if room in ROOMS and name in ROOMS and ROOMS.index(name) > ROOMS.index(room)}
    assert not found


def test_files_import_each_other_in_no_circle():
    """Also within a function; what only the type checker reads does not count."""
    for graph in (_python_imports(), _compiled_imports()):
        assert len(graph) > 40
        TopologicalSorter(graph).prepare()                 # raises CycleError, which names the circle


def _python_imports() -> dict[str, set[str]]:
    trees = {_dotted(path): ast.parse(path.read_text()) for path in (ROOT / "engine").rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, tree in trees.items():
        typing = {id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
                  for inner in ast.walk(node)}
        imports = [node for node in ast.walk(tree) if id(node) not in typing]
        found = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
        for node in imports:
            if isinstance(node, ast.ImportFrom) and node.module:
                found |= {inner if (inner := f"{node.module}.{alias.name}") in trees else node.module for alias in node.names}
        graph[name] = (found & trees.keys()) - {name}
    return graph


def _compiled_imports() -> dict[str, set[str]]:
    """A module and its .pxd are one."""
    texts: dict[str, str] = {}
    for path in (ROOT / "_ext").rglob("*.p[yx]*"):
        if path.suffix in (".py", ".pyx", ".pxd"):
            texts[_dotted(path)] = texts.get(_dotted(path), "") + path.read_text()
    graph: dict[str, set[str]] = {}
    for name, text in texts.items():
        found = {module for module, _ in re.findall(r"^ *from (_ext[\w.]+) c?import ([^\n(]*)", text, re.M)}
        found |= {f"{module}.{word}" for module, words in re.findall(r"^ *from (_ext[\w.]*) c?import ([^\n(]*)", text, re.M)
                  for word in re.split(r"[, ]+", words)}
        graph[name] = (found & texts.keys()) - {name}
    return graph


def _dotted(path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_only_the_brokers_room_and_the_sim_know_the_brokers_words():
    """Its paths, hosts and codes (docs/contributing.md); everybody else speaks engine/broker/base.py."""
    words = re.compile(r"UDAPI|/v[23]/|upstox\.com")
    found = [str(path.relative_to(ROOT)) for path in _sources("engine", "_ext") if words.search(path.read_text())
             and not str(path.relative_to(ROOT)).startswith(("engine/broker/upstox/", "engine/sim/"))]
    assert not found, found


def test_a_file_has_at_most_four_hundred_lines():
    long = {str(path.relative_to(ROOT)) for folder in ("_ext", "engine") for path in (ROOT / folder).rglob("*.*")
            if path.suffix in (".py", ".pyx", ".pxd", ".pxi") and len(path.read_text().splitlines()) > 400}
    assert long == set(LONG_FILES)


def test_a_function_has_at_most_sixty_lines():
    long = set()
    for path in _sources("engine"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60:
                long.add(node.name)
    begin = re.compile(r"^( *)(?:cdef|cpdef|def) [^=]*?(\w+)\(")
    for path in (path for path in (ROOT / "_ext").rglob("*.p*") if path.suffix in (".pyx", ".pxd", ".pxi")):
        lines, name, at, depth = path.read_text().splitlines(), "", 0, 0
        for number, line in enumerate([*lines, "end"]):
            indent = len(line) - len(line.lstrip())
            if name and line.strip() and indent <= depth and not line.lstrip().startswith(("#", ")")):
                if number - at > 61:
                    long.add(name)
                name = ""
            if not name and (match := begin.match(line)) and not line.strip().startswith("cdef class"):
                name, at, depth = match[2], number, len(match[1])
    assert long <= set(LONG_FUNCTIONS), long - set(LONG_FUNCTIONS)


RECORD_LITERAL = re.compile(r"\bfeed\(\d|\.records\(\d|KeepingSink\(\(\d|\.append\(\d+, |\.event\(\d|\.rows\(\d+, "
                            r"|(?<!entry\.)\b(?:kind|record\[0\]|head\.type|last\.type|r\[0\]) (?:==|!=|<|in \() ?\d+(?![\d.])")
CLOCK_LITERAL = re.compile(r"\+ 330\b|\b19_?800_?000|% ?1440|- 555\b|\b86_?400_?000_?000_?000\b|hours=5")


def _sources(*folders):
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.p[yx]*")):
            if path.suffix in (".py", ".pyx", ".pxd") and "reference" not in path.parts:
                yield path


def test_a_record_type_is_never_a_number():
    """Each has a name, the same in both halves (core/records.pxd)."""
    found = [f"{path.relative_to(ROOT)}: {m.group(0)}" for path in _sources("_ext", "engine", "tests", "bench")
             for m in RECORD_LITERAL.finditer(path.read_text()) if path.name != "test_house.py"]
    assert not found, found


def test_only_the_clock_knows_how_far_india_is_ahead():
    found = [f"{path.relative_to(ROOT)}: {m.group(0)}" for path in _sources("_ext", "engine") if path.stem != "clock"
             for m in CLOCK_LITERAL.finditer(path.read_text())]
    assert not found, found


def test_every_label_of_the_records_is_there_by_number():
    """Words where a reader of a log looks for them; the enums are the structs' own, so no number can be without one."""
    for enum, words in ((records.GapKind, records.GAPS), (records.Why, records.WHYS), (records.OrderStatus, records.ORDER_STATES),
                        (records.Outcome, records.OUTCOMES), (records.PositionState, records.POSITION_STATES),
                        (reasons.Reason, reasons.REASONS)):
        assert all(words[member] for member in enum) and len(words) == max(enum) + 1, enum
    assert records.OUTCOMES == ("", "accepted", "refused", "throttled", "ambiguous", "halted")
    assert records.REQUESTS == ("", "place", "modify", "cancel") and records.ORDER_TYPES == ("", "LIMIT", "SL")
    assert records.RECORD_NAMES[records.REC_FEED_NOTE] == "feed_note" and records.GAPS[records.GAP_HALTED] == "halted"
    assert reasons.REASONS[reasons.STOP_OUTSIDE_BAND] == "its stop would lie outside the price band"


def test_every_reason_is_named_by_a_test():
    """By its word or its name, in the rooms that give reasons: elsewhere `noise` or `operator` mean other things."""
    named = set()
    for path in (path for room in ("signals", "trade") for path in (ROOT / "tests" / room).rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in reasons.REASONS:
                named.add(reasons.Reason(reasons.REASONS.index(node.value)).name)
            elif isinstance(node, ast.Attribute | ast.Name):
                named.add(node.attr if isinstance(node, ast.Attribute) else node.id)
    assert not {reason.name for reason in reasons.Reason} - named


def _modules():
    """Every module of the product, and the test file of its name: a folder within a room is not repeated under tests."""
    for folder in ("_ext", "engine"):
        for path in sorted((ROOT / folder).rglob("*.py*")):
            if path.suffix in (".py", ".pyx") and path.name != "__init__.py":
                parts = path.relative_to(ROOT).parts
                yield "/".join(parts), "/".join(("tests", *parts[1:-1][:1], f"test_{path.stem}.py"))


def _imported(tree: ast.Module) -> set[str]:
    """What the file imports, by path and dotted."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def test_every_module_has_a_test_of_its_name_or_names_one():
    """The one that covers a module imports it, has its path at the top, or gives the command of its name."""
    names = dict(_modules())
    without = {module for module, own in names.items() if not (ROOT / own).exists()}
    assert without == set(COVERED)
    for module, test in COVERED.items():
        tree = ast.parse((ROOT / test).read_text())
        says = _imported(tree) | set(re.findall(r"`(\S+)`", ast.get_docstring(tree) or ""))
        if module.startswith("engine/cli/"):
            says |= {f"engine/cli/{node.value}.py" for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        assert says & {module, module.rpartition(".")[0].replace("/", ".")}, f"{test} says nothing of {module}"


def test_a_dtype_lies_as_the_compiler_laid_the_struct():
    """Offsets by C's rules, worked out by hand."""
    assert records.INSTRUMENT.fields["tick"][1] == 80 and records.INSTRUMENT["key"] == "S48"
    assert records.INTENT.fields["order_type"][1] == 34 and records.INTENT.fields["quantity"][1] == 48
    assert records.CANDIDATE.fields["score"][1] == 144 + 4 * 56 and records.CANDIDATE["feature"].shape == (56,)
    assert re.fullmatch("[0-9a-f]{16}", records.LAYOUT)


def test_the_engine_process_loads_no_analytics():
    """Importing what the engine process runs, and swapping its model, pulls in no pandas, scikit-learn, chDB, polars, FastAPI or
    ONNX Runtime's Python, and leaves no thread of Python's."""
    code = ("import asyncio, engine.run.live, sys, threading\n"
            "from _ext.entrance import Core\nfrom _ext.core.sink import RecordSink\n"
            "from engine.config import Config\nfrom engine.run.guards import ModelWatch\n"
            "core, said = Core(RecordSink(), 4), []\n"
            "asyncio.run(ModelWatch(core, Config(), lambda: 1, said.append).load())\n"
            "assert core.scorer.keep_warm() is None and len(said) == 1, said\n"
            "heavy = {'pandas', 'sklearn', 'chdb', 'polars', 'fastapi', 'scipy', 'clickhouse_connect', 'onnxruntime'}\n"
            "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
            "assert threading.active_count() == 1, threading.enumerate()")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_stage_folders_have_the_same_names_everywhere():
    for folder in ("_ext", "engine", "tests"):
        have = {path.name for path in (ROOT / folder).iterdir() if path.is_dir()}
        assert {"feed", "market", "signals", "trade", "trail"} <= have, folder


def test_the_directory_of_the_active_model_is_consistent():
    from pathlib import Path

    from engine.config import Config
    from engine.signals.models import active

    scorer = active(Path(Config().models))
    assert scorer is not None and scorer.threshold == 0.3


def test_a_command_is_one_module_of_its_name():
    """`python -m engine X` is engine/cli/X.py; nothing else has to know of it."""
    for name in cli.NAMES:
        assert (ROOT / "engine" / "cli" / f"{name}.py").exists()
        assert cli.app.registered_commands == [] and typer.main.get_command(cli.app).get_command(None, name).name == name
    assert {"run", "kill", "pause", "status", "train", "history"} <= set(cli.NAMES) and not set(cli.SHARED) & set(cli.NAMES)


@pytest.mark.parametrize("name", ["pause", "kill", "status"])
def test_who_must_act_at_once_waits_for_no_library(name):
    """Up to the moment the run is found, and with what ends an engine or reads its signs."""
    code = (f"import sys\nimport engine.cli.{name}, engine.run.fence, engine.trail.signs\nfrom engine.__main__ import main\n"
            f"sys.argv = ['engine', '{name}', '--run-dir', '/nonexistent']\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2, end\n"
            "slow = {'polars', 'aiohttp', 'picows', 'rich', 'pandas', 'chdb', 'pydantic', 'pydantic_settings'}\n"
            "assert not slow & set(sys.modules), slow & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
