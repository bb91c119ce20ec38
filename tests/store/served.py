"""A store process for tests: `python -m tests.store.served RUN_DIR [unconfined]` serves a database with the table t and says its
port and the store's secret; it ends with its standard input."""
import asyncio
import os
import socket
import sys
from pathlib import Path

from engine.config import Config
from engine.store import confinement
from engine.store.embedded import Embedded
from engine.trail.rundir import RunDir


async def _serve(run: RunDir, listener: socket.socket) -> None:
    embedded = Embedded(run.database)
    embedded.session.query("CREATE TABLE IF NOT EXISTS spike.t (a UInt32, b String) ENGINE = MergeTree ORDER BY a")
    embedded.session.query("INSERT INTO spike.t SELECT 1, 'one'")
    print(await embedded.start(listener), embedded.writer, flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(0, lambda: None if os.read(0, 64) else ended.set())
    await ended.wait()
    await embedded.stop()


if __name__ == "__main__":
    folder = RunDir(Path(sys.argv[1]))
    folder.database.mkdir(mode=0o700, exist_ok=True)
    bound = socket.create_server(("127.0.0.1", 0))
    if "unconfined" not in sys.argv:
        assert confinement.confine(folder, Config(), bound.getsockname()[1])
    asyncio.run(_serve(folder, bound))
