"""The rules of the house, checked: who may import whom, what the engine process must never load."""
import re
import subprocess
import sys

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
