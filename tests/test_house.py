"""The rules of the house, checked: who may import whom, what the engine process must never load."""
import re
import subprocess
import sys

import pytest
import typer

from _ext.core import reasons, records
from engine import cli
from tests.conftest import ROOT

STAGES = ["core", "feed", "market", "signals", "trade", "trail"]
TRAIL_SEAM = {("trade", "trail")}      # decisions are put where they are made: trail.journal's base class is the seam
IMPORT = re.compile(r"^\s*(?:from|import)\s+(_ext|engine)(?:\.(\w+))?", re.MULTILINE)


def test_compiled_modules_import_only_from_their_own_or_earlier_stages():
    for path in (ROOT / "_ext").rglob("*.p[yx]*"):
        stage = path.parent.name
        for package, name in IMPORT.findall(path.read_text()) if stage in STAGES else ():
            assert package == "_ext", f"{path}: compiled code never imports engine"
            if name in STAGES and (stage, name) not in TRAIL_SEAM:
                assert STAGES.index(name) <= STAGES.index(stage), f"{path} imports {name}"


RECORD_LITERAL = re.compile(r"\bfeed\(\d|\.records\(\d|Keeping\(\(\d|\.append\(\d+, |\.event\(\d|\.rows\(\d+, "
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


def test_a_dtype_lies_as_the_compiler_laid_the_struct():
    """Offsets by C's rules, worked out by hand."""
    assert records.INSTRUMENT.fields["tick"][1] == 80 and records.INSTRUMENT["key"] == "S48"
    assert records.INTENT.fields["order_type"][1] == 34 and records.INTENT.fields["quantity"][1] == 40
    assert records.CANDIDATE.fields["score"][1] == 128 + 4 * 54 and records.CANDIDATE["feature"].shape == (54,)
    assert re.fullmatch("[0-9a-f]{16}", records.LAYOUT)


def test_the_engine_process_loads_no_analytics():
    """Importing what the engine process runs, and loading its model, pulls in no pandas, scikit-learn, chDB, polars, FastAPI or
    ONNX Runtime's Python, and starts no thread of Python's."""
    code = ("import engine.process, pathlib, sys, threading\n"
            "assert engine.process.models.active(pathlib.Path('models')).keep_warm() is None\n"
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
    code = (f"import sys\nimport engine.cli.{name}, engine.trade.fence, engine.watch.signs\nfrom engine.__main__ import main\n"
            f"sys.argv = ['engine', '{name}', '--run-dir', '/nonexistent']\n"
            "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2, end\n"
            "slow = {'polars', 'aiohttp', 'picows', 'rich', 'pandas', 'chdb', 'pydantic_settings'}\n"
            "assert not slow & set(sys.modules), slow & set(sys.modules)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
