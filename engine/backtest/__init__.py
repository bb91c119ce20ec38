"""Backtests: day files through the code that trades, orders to the engine's own matching, and what came of it.

`engine.backtest(...)` is public.backtest: a package may be called where its class says so.
"""
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from engine.public import backtest

        return backtest(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
