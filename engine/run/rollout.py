"""Going live in steps: how many names and how much of the account, and when the next step may be taken."""
import dataclasses
from dataclasses import dataclass

from engine.config import Config
from engine.market.instruments import Instrument


@dataclass(frozen=True, slots=True)
class Step:
    symbols: int
    notional: float          # share of the account in one position
    positions: int


STEPS = (Step(1, 0.005, 1), Step(3, 0.01, 1), Step(10, 0.02, 2), Step(10_000, 0.05, 3))
"""Step 1 is where everybody begins.

The rule for stepping up: five trading days in a row at the present step whose evening report shows no unreconciled difference,
no stop sent a second time, no trading state REDUCING other than by a loss limit, and charges equal to the broker's to the
paisa. One day that fails sends back to the step before. `rollout.step` in engine.toml is changed by a person, never by the
engine.
"""


def apply(config: Config, specs: list[Instrument]) -> tuple[Config, list[Instrument]]:
    """The configuration and names of the step in force; limits only ever become tighter."""
    step = STEPS[config.rollout.step - 1]
    risk = config.risk.model_copy(update={"notional": min(config.risk.notional, step.notional),
                                          "max_positions": min(config.risk.max_positions, step.positions)})
    wanted = config.rollout.symbols or [s.symbol for s in specs if s.kind == "equity"]
    chosen = set(wanted[:step.symbols])
    keys = {s.key for s in specs if s.symbol in chosen}
    return (config.model_copy(update={"risk": risk}),
            [dataclasses.replace(s, tradable=s.tradable and (s.key in keys or s.underlying in keys)) for s in specs])
