"""A trading engine for NSE F&O stocks: what it offers to Python.

`run(...)` runs a day and gives its summary, `replay(folder)` recomputes every decision of a run, `explain(number, folder)` gives
the chain of one candidate, `whatif(folder, settings)` makes a day again with something changed, `parity(folder)` holds one against
the model; `decode`, `decode_into` and `encode` speak the wire. Each is imported when it is first asked for, so that the commands
that must act at once wait for no library.
"""
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.backtest.options import BacktestOptions as BacktestOptions
    from engine.config import Config as Config
    from engine.errors import EngineError as EngineError
    from engine.feed import decode as decode
    from engine.feed import decode_into as decode_into
    from engine.feed import encode as encode
    from engine.public import backtest as backtest
    from engine.public import explain as explain
    from engine.public import parity as parity
    from engine.public import replay as replay
    from engine.public import run as run
    from engine.public import whatif as whatif
    from engine.run.options import RunOptions as RunOptions
    from engine.strategies.base import Parameters as Parameters
    from engine.strategies.base import Strategy as Strategy
    from engine.strategies.base import StrategyError as StrategyError

WHERE = {"BacktestOptions": "engine.backtest.options", "Config": "engine.config", "EngineError": "engine.errors",
         "Parameters": "engine.strategies.base", "RunOptions": "engine.run.options", "Strategy": "engine.strategies.base",
         "StrategyError": "engine.strategies.base", "decode": "engine.feed", "decode_into": "engine.feed", "encode": "engine.feed",
         "explain": "engine.public", "parity": "engine.public", "replay": "engine.public", "whatif": "engine.public"}
"""The module of each public name. `run` and `backtest` are folders, which may be called (engine/run/__init__.py)."""

__all__ = ["BacktestOptions", "Config", "EngineError", "Parameters", "RunOptions", "Strategy", "StrategyError", "backtest",
           "decode", "decode_into", "encode", "explain", "parity", "replay", "run", "whatif"]


def __getattr__(name: str) -> Any:
    if name in ("run", "backtest"):
        return import_module(f"engine.{name}")
    if name not in WHERE:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(WHERE[name]), name)
