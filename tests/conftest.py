"""Where real market data lies, and what every test may use."""
import os
import socket
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def data_folder() -> Path:
    """Real recordings: ENGINE_DATA, or ../shared/data beside the project."""
    return Path(os.environ.get("ENGINE_DATA", ROOT.parent / "shared" / "data"))


def recording(name: str) -> Path:
    """A recorded file or folder; skips the test where it is absent (recordings are not ours to ship)."""
    path = data_folder() / name
    if not path.exists():
        pytest.skip(f"no recording {name}: set ENGINE_DATA to a folder that has it")
    return path


@pytest.fixture
def unused_tcp_port() -> int:
    """A port nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
