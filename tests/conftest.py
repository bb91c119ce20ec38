"""Where real market data lies, what every test may use, and who may skip."""
import os
import socket
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_SKIP = {"recording", "machine", "prometheus", "browser"}
"""Marks of tests that need what a clean clone or a machine may lack; any other test that skips has failed."""
collect_ignore = [] if find_spec("torch") else ["lab/test_sequence.py"]      # of the extra `sequence`, which nobody has by chance


def data_folder() -> Path:
    """Real recordings: ENGINE_DATA, or ../shared/data beside the project."""
    return Path(os.environ.get("ENGINE_DATA", ROOT.parent / "shared" / "data"))


def recording(name: str) -> Path:
    """A recorded file or folder; skips the test, which bears the mark `recording`, where it is absent."""
    path = data_folder() / name
    if not path.exists():
        pytest.skip(f"no recording {name}: set ENGINE_DATA to a folder that has it")
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and not MAY_SKIP & {mark.name for mark in item.iter_markers()}:
        report.outcome = "failed"
        report.longrepr = f"skipped, and has none of the marks {', '.join(sorted(MAY_SKIP))}: {call.excinfo.value}"
    return report


@pytest.fixture
def unused_tcp_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
