"""The operator's word to a running engine."""
import getpass
import time
from pathlib import Path

from engine.cli.options import Failed, run_of


def instruct(run_dir: Path | None, kind: int, word: str) -> None:
    """Asks the engine of a run for an operation (records.OperationKind) and waits until it has been taken. Raises Failed."""
    from _ext.trail.status import StatusBlock
    from engine.trail.signs import is_running

    folder = run_of(run_dir)
    if not is_running(folder):
        raise Failed(f"no engine runs in {folder.path}")
    block = StatusBlock(folder.status)
    try:
        number = block.ask(kind, b"", f"command: {getpass.getuser()}".encode())
    except BlockingIOError as error:
        raise Failed(f"{word}: {error}; `python -m engine kill` ends it") from None
    end = time.monotonic() + 2
    while time.monotonic() < end:
        if block.taken >= number:
            print(f"{word}: the engine has seen it")
            return
        time.sleep(0.02)
    block.withdraw(number)                                 # the engine after this one shall not find it
    raise Failed(f"{word}: the engine has not answered within 2 s, it was taken back; `python -m engine kill` ends the engine")
