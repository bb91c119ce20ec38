"""The market a run is made of: synthetic, recorded, or the frames of an earlier run."""
import datetime as dt
from pathlib import Path
from typing import Any

from engine.market.instruments import shipped
from engine.sim import recorded
from engine.sim.contracts import with_contracts
from engine.sim.market import SyntheticMarket
from engine.trail.checked import survey
from engine.trail.rundir import RunError

DEFAULT_DAY = dt.date(2026, 9, 1)
MOODS = {"normal": 1.0, "lively": 4.0}
"""How many times the calibrated size moves have."""


def market_of(data: Path | None, seed: int, day: dt.date | None, names: int, minutes: int = 375, mood: str = "normal",
              contracts: int = -1) -> Any:
    """The market asked for. `contracts`: options of each stock besides its future, -1: stocks alone. RunError for a journal that is
    not whole: half a market must not pass for one."""
    if data is not None and (data / "journal").is_dir():
        if damage := survey(data):
            raise RunError(damage)
        return recorded.Journaled(data / "journal")
    if data is not None:
        return recorded.load(data, day)
    date = day or DEFAULT_DAY
    specs = list(shipped()[:names])
    if contracts >= 0:
        specs = with_contracts(specs, date, contracts)
    market = SyntheticMarket(specs, date, seed, mood=MOODS[mood])
    market.minutes = min(market.minutes, minutes)
    return market
