"""A run: what a core is told first, the shell between core and broker, the processes and their life.

`engine.run(...)` is public.run: a package may be called where its class says so, and this one has the name of what it does.
"""
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        from engine.public import run

        return run(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
