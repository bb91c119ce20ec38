"""Where real market data lies, and what every test may use."""
import os
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
