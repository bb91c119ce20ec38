"""The operator's word to a running engine."""
import time
from pathlib import Path

from engine.cli.options import Failed, run_of


def instruct(run_dir: Path | None, state: int, word: str) -> None:
    from _ext.trail.status import StatusBlock
    from engine.trail.signs import is_running

    folder = run_of(run_dir)
    if not is_running(folder):
        raise Failed(f"no engine runs in {folder.path}")
    block = StatusBlock(folder.status)
    block.operator = state
    end = time.monotonic() + 2
    while time.monotonic() < end:
        seen = block.read()
        if seen is not None and seen["operator"] == state:
            print(f"{word}: the engine has seen it")
            return
        time.sleep(0.02)
    raise Failed(f"{word}: written, but the engine has not answered within 2 s")
