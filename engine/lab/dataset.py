"""Candidates with features and labels, computed by the compiled path itself over generated days."""
import datetime as dt
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from _ext.core.records import CANDIDATE
from _ext.trail.journal import Journal, Reader
from _ext.wiring import Core
from engine import config
from engine.market import instruments, sessions
from engine.sim.exchange import Exchange
from engine.sim.market import ARTEFACTS, SyntheticMarket
from engine.sim.virtual import VirtualRun

START, INSTRUMENTS, PROFILE, BARS, LINK = 1, 2, 3, 4, 7


@dataclass
class Dataset:
    features: np.ndarray           # float32[rows, n]: at the tick and, one more row, at the decision
    is_real: np.ndarray            # bool: no artefact was planted there
    kind: np.ndarray               # what was planted, or "natural"
    at_tick: np.ndarray            # bool: the row is of the tick itself
    day: np.ndarray                # day number, for splits


def generated(seed: int, days: int, names: int, minutes: int = 375, artefacts: float = 2.0, spikes: float = 3.0) -> Dataset:
    """Candidates of `days` generated days of `names` names, artefacts and spikes planted more often than they happen."""
    parts = []
    for number in range(days):
        day = dt.date(2026, 9, 1) + dt.timedelta(days=number)
        chosen = np.random.default_rng([seed, number]).permutation(len(instruments.shipped()))[:names]
        specs = [instruments.shipped()[i] for i in sorted(chosen)]
        market = SyntheticMarket(specs, day, seed + number, spikes=spikes, artefacts=artefacts)
        market.minutes = min(market.minutes, minutes)
        parts.append(_label(market, *candidates_of(market, specs, day), number))
    return Dataset(*(np.concatenate([getattr(p, name) for p in parts]) for name in Dataset.__dataclass_fields__))


def candidates_of(market: SyntheticMarket, specs, day: dt.date) -> tuple[np.ndarray, np.ndarray]:
    """Every CANDIDATE and VERDICT record of the day, made without a model and without orders, and which are of the tick."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(folder, 64 << 20, 1 << 40)
        core = Core(journal, len(specs))
        begin = sessions.epoch_ms(day) * 1_000_000
        core.feed(START, begin, orjson.dumps(config.Config.model_construct().record()))
        core.feed(INSTRUMENTS, begin, instruments.table(specs, day).tobytes())
        core.feed(PROFILE, begin, sessions.profile(day).tobytes())
        core.feed(BARS, begin, market.history().tobytes())
        VirtualRun(core, market.frames(), Exchange(specs, 0), "lab", "0").run()
        journal.close()
        found = [(kind, payload) for kind, _, _, payload in Reader(Path(folder)) if kind in (64, 65)]
    return (np.frombuffer(b"".join(payload for _, payload in found), CANDIDATE),
            np.array([kind == 64 for kind, _ in found], bool))


def _label(market: SyntheticMarket, rows: np.ndarray, at_tick: np.ndarray, number: int) -> Dataset:
    kinds = []
    for row in rows:
        at = int(row["now"]) // 1_000_000
        hits = [label.kind for label in market.labels if label.inst == row["inst"] and label.begin <= at <= label.end]
        planted = [kind for kind in hits if kind in ARTEFACTS]
        kinds.append(planted[0] if planted else hits[0] if hits else "natural")
    kind = np.array(kinds, dtype=object)
    return Dataset(rows["feature"].copy(), ~np.isin(kind, ARTEFACTS), kind, at_tick,
                   np.full(len(rows), number))
