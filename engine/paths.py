"""Folders that outlive a run."""
import os
from pathlib import Path


def state_folder() -> Path:
    """Of this machine's user: locks of accounts, the page's token, addresses of alerts."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "spike"
