"""What is installed is what is needed: dependencies by what the code imports, and an environment that mends itself."""
import ast
import importlib.metadata
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CYTHON = {"cpython", "cython", "libc", "posix"}
OURS = {"_ext", "engine"}


def named(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w.-]", text)[0].lower() for text in requirements}


def imported(path: Path) -> set[str]:
    """Top-level names of what a file imports, anywhere in it."""
    text = path.read_text()
    if path.suffix != ".py":
        found = set(re.findall(r"^\s*(?:from|c?import)\s+(\w+)", text, re.MULTILINE))
    else:
        nodes = list(ast.walk(ast.parse(text)))
        found = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names} | {
            node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level}
    return {name.split(".")[0] for name in found} - set(sys.stdlib_module_names) - CYTHON - OURS


def distributions(modules: set[str]) -> set[str]:
    """What to install for them, by the names in pyproject.toml where they are there."""
    known, extras = importlib.metadata.packages_distributions(), PROJECT["optional-dependencies"]
    declared = named([*PROJECT["dependencies"], *extras["watch"], *extras["train"], *extras["sequence"]])
    names = {module: [name.lower().replace("_", "-") for name in known.get(module, ())] for module in modules}
    return {next((name for name in names[module] if name in declared), module) for module in modules}


def test_what_running_needs_is_what_the_code_imports():
    """Each import of the product is among the dependencies or those of `watch`, which `make run` installs too, and each of them is
    imported; the other extras are the lab's alone."""
    base = named([*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["watch"]])
    files = [p for folder in ("_ext", "engine") for p in (ROOT / folder).rglob("*") if p.suffix in (".py", ".pyx", ".pxd")]
    assistant = ROOT / "engine" / "cli" / "mcp.py"
    running = {module for p in files if (ROOT / "engine" / "lab") not in p.parents and p != assistant for module in imported(p)}
    lab = {module for p in files if (ROOT / "engine" / "lab") in p.parents for module in imported(p)}
    by_library = {"onnxruntime", "websockets"}     # opened by _ext/signals/onnx.pyx, and by uvicorn
    with_another = {"starlette"}                   # what FastAPI is made of
    assert distributions(running - with_another) == base - by_library
    extras = PROJECT["optional-dependencies"]
    assert distributions(imported(assistant)) <= base | named(extras["mcp"])
    assert distributions(lab) <= base | named(extras["train"]) | named(extras["sequence"])


def test_what_the_lab_lacks_is_named_with_the_command_that_brings_it(monkeypatch):
    from engine.cli.options import Failed
    from engine.cli.train import _with_libraries

    for module, command in (("sklearn", "make install-train"), ("torch", "make install-sequence")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(Failed, match=f"{module} is missing.*`{command}`"):
            _with_libraries(lambda module=module: __import__(module))
        assert command.removeprefix("make install-") in PROJECT["optional-dependencies"]


@pytest.fixture
def place(tmp_path):
    """A folder with a sound .venv of its own, without packages: pip is a stand-in."""
    (tmp_path / "pyproject.toml").touch()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    pip = next((tmp_path / ".venv" / "lib").iterdir()) / "site-packages" / "pip" / "_internal"
    pip.mkdir(parents=True)
    (pip / "__init__.py").touch()
    (pip.parent / "__init__.py").touch()
    return tmp_path


def wrong_with(place: Path) -> str:
    code = "import environment; print(environment.what_is_wrong())"
    return subprocess.run([sys.executable, "-c", code], cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT / "tools")}, check=True,
                          capture_output=True, text=True).stdout.strip()


def test_a_whole_environment_is_left_alone(place):
    assert wrong_with(place) == ""


@pytest.mark.parametrize(("breaks", "words"), [
    (lambda p: (p / ".venv").rename(p / "away"), "none yet"),
    (lambda p: (p / ".venv" / "begun").touch(), "interrupted"),
    (lambda p: (p / ".venv" / "bin" / "python").unlink(), "Python of the one there is gone"),
    (lambda p: (p / ".venv" / "pyvenv.cfg").unlink(), "Python of the one there is gone"),
    (lambda p: next((p / ".venv" / "lib").iterdir()).rename(p / ".venv" / "lib" / "python3.4"), "no pip, or is of another Python"),
    (lambda p: next((p / ".venv" / "lib").rglob("_internal")).rename(p / "pip"), "no pip")],
    ids=["absent", "interrupted", "python-gone", "half-made", "other-version", "no-pip"])
def test_a_broken_environment_is_seen(place, breaks, words):
    breaks(place)
    assert words in wrong_with(place)


def test_a_moved_environment_is_seen(place):
    moved = place.rename(place.with_name("moved"))
    assert "another folder" in wrong_with(moved)


@pytest.mark.parametrize(("said", "words"), [
    ("OSError: [Errno 28] No space left on device", "the disk is full"),
    ("WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...)'", "cannot be reached"),
    ("... SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] ...", "does not trust"),
    ("/x/.venv/bin/python: No module named pip", "made anew"),
    ("something nobody has seen before", "something nobody has seen before")])
def test_what_pip_says_is_put_into_words(said, words, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import environment

    with pytest.raises(SystemExit, match=words):
        environment.explain(said, "pip failed")
