"""A core fed with rows, and what it proposed."""
import datetime as dt

import numpy as np
import orjson

from _ext.core.records import CANDIDATE, REC_CANDIDATE, REC_FRAME, REC_INSTRUMENTS, REC_PROFILE, REC_START, REC_TIMER
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine import config
from engine.market import instruments, sessions
from engine.sim.recorded import Recording, frames_of


def candidates(recording: Recording, folder, timers: bool = False) -> tuple[np.ndarray, Core]:
    """Every CANDIDATE record the compiled path makes of a recording (no timers unless asked: the twin has none)."""
    journal = Journal(folder, 64 << 20, 1 << 40)
    core = Core(journal, len(recording.specs))
    begin = int(recording.received[0]) * 1_000_000
    core.feed(REC_START, begin, orjson.dumps(config.Config().record()))
    core.feed(REC_INSTRUMENTS, begin, instruments.table(recording.specs, recording.day).tobytes())
    core.feed(REC_PROFILE, begin, sessions.profile(recording.day).tobytes())
    for n, (at, _, frame) in enumerate(frames_of(recording.rows, recording.received)):
        core.feed(REC_FRAME, at * 1_000_000, frame)
        if timers and n % 20 == 0:
            core.feed(REC_TIMER, at * 1_000_000)
    journal.close()
    rows = [np.frombuffer(r[3], CANDIDATE) for r in Reader(folder) if r[0] == REC_CANDIDATE]
    return (np.concatenate(rows) if rows else np.zeros(0, CANDIDATE)), core


def time_of(ms: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(ms / 1000, sessions.IST)
