"""A strategy's file: loaded, kept with the run by its content, and loaded again from what the run has kept.

A strategy is trusted code in the process that has the broker's token: whoever can write its file can trade the account.
"""
import hashlib
import inspect
import re
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from engine.strategies.base import Strategy, StrategyError
from engine.strategies.stops import KEPT, stopped_in, unended_in
from engine.strategies.watchdog import limited

if TYPE_CHECKING:
    from _ext.entrance import Core

SHIPPED = Path(__file__).parent / "shipped"
SIZE_MAX = 1 << 20
LOAD_S = 20.0
"""Longest time a file may take to be imported."""
CALLS = ("on_bar", "on_candidate", "on_fill", "on_exit")
"""What a strategy may be called for; it has one of them at least."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_LIBRARIES = tuple(str(Path(path).resolve()) for name, path in sysconfig.get_paths().items() if name in (
    "stdlib", "platstdlib", "purelib", "platlib"))
_ENGINE = str(Path(__file__).parents[2])


@dataclass(frozen=True, slots=True)
class Source:
    """A strategy's text, and of the modules it imports from beside it: relative path -> content."""
    name: str
    file: str                         # relative path of the strategy's own
    texts: Mapping[str, bytes]

    @property
    def sha256(self) -> str:
        """Of all of it."""
        digest = hashlib.sha256()
        for path, text in sorted(self.texts.items()):
            digest.update(path.encode() + b"\0" + hashlib.sha256(text).digest())
        return digest.hexdigest()


def path_of(file: str) -> Path:
    """A file that is named, or one of those that come with the engine. StrategyError where there is none."""
    named = Path(file)
    path = named if named.suffix == ".py" else SHIPPED / f"{file}.py"
    if not file or not path.is_file():
        what = named.absolute() if named.suffix == ".py" else repr(file)
        raise StrategyError(f"{what}: there is no such strategy file; those that come with the engine are {', '.join(shipped())}")
    if path.stat().st_size > SIZE_MAX:
        raise StrategyError(f"{file} has {path.stat().st_size:,} bytes, at most {SIZE_MAX:,} are read")
    return path


def shipped() -> list[str]:
    """Names of the strategies that come with the engine."""
    return sorted(path.stem for path in SHIPPED.glob("*.py") if path.stem != "__init__")


def load(name: str, file: Path, parameters: Mapping[str, Any]) -> tuple[Strategy, Source]:
    """A strategy of its file, with its parameters. StrategyError says what is wrong with either."""
    if not NAME.fullmatch(name):
        raise StrategyError(f"strategy {name!r}: a name has small letters, digits and _, at most 31")
    module, others = _executed(name, file)
    found = [value for value in vars(module).values() if inspect.isclass(value) and issubclass(value, Strategy)
             and value.__module__ == module.__name__]
    if len(found) != 1:
        raise StrategyError(f"{file.name}: it has {len(found)} classes of engine.Strategy, one is wanted")
    try:
        strategy = found[0](name, found[0].Parameters(**parameters))
    except ValidationError as error:
        words = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg'].lower()}" for e in error.errors())
        known = ", ".join(found[0].Parameters.model_fields) or "none"
        raise StrategyError(f"strategy {name}: {words}; its parameters are {known}") from None
    except StrategyError:
        raise
    except Exception as error:
        raise StrategyError(f"strategy {name} cannot be made: {type(error).__name__}: {error}") from None
    if not (set(CALLS) & vars(found[0]).keys()):
        raise StrategyError(f"{file.name}: {found[0].__name__} has none of {', '.join(CALLS)}: it would never be called")
    if wrong := [call for call in CALLS if inspect.iscoroutinefunction(getattr(found[0], call))]:
        raise StrategyError(f"{file.name}: {wrong[0]} is async, and nobody would await it")
    texts = {file.name: file.read_bytes()}
    for other in others:
        path = Path(str(other.__file__)).resolve()
        texts[str(path.relative_to(file.resolve().parent)) if path.is_relative_to(file.resolve().parent) else path.name] = (
            path.read_bytes())
    return strategy, Source(name, file.name, texts)


def _executed(name: str, file: Path) -> tuple[ModuleType, list[ModuleType]]:
    """The module of a file, and those it imports that are neither the engine's nor a library's. They are forgotten again: another
    day, or another strategy, gets its own."""
    module = ModuleType(f"strategy_{name}")
    module.__file__ = str(file)
    before, folder = set(sys.modules), str(file.resolve().parent)
    sys.modules[module.__name__] = module
    sys.path.insert(0, folder)
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        with limited(LOAD_S):
            exec(compile(file.read_bytes(), str(file), "exec"), vars(module))
    except StrategyError:
        raise
    except BaseException as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
        where = f", line {lines[-1]}" if lines else ""
        raise StrategyError(f"{file.name}{where}: {type(error).__name__}: {error}") from None
    finally:
        sys.dont_write_bytecode = bytecode
        sys.path.remove(folder)
        others = [found for key in set(sys.modules) - before if (found := sys.modules[key]) is not module and _is_own(found)]
        for key in [key for key, found in sys.modules.items() if found is module or found in others]:
            del sys.modules[key]
    return module, sorted(others, key=lambda other: other.__name__)


def _is_own(module: ModuleType) -> bool:
    """Whether a module is the user's."""
    path = getattr(module, "__file__", None)
    resolved = str(Path(path).resolve()) if path else ""
    return bool(resolved) and not resolved.startswith(_LIBRARIES) and not (
        resolved.startswith(_ENGINE) and module.__name__.split(".")[0] in ("engine", "_ext"))


def prepare(core: "Core", settings: Mapping[str, Any], folder: Path | None,
            loaded: Mapping[str, tuple[Strategy, Source]] | None = None) -> list[dict[str, Any]]:
    """Loads the strategies of a configuration for `core`, but for those that are `loaded`, and keeps their text in the run's
    `folder`; their entries in the START record."""
    entries = []
    for name, setting in settings.items():
        strategy, source = (loaded or {}).get(name) or load(name, path_of(setting.file), setting.parameters)
        core.pipeline.strategies[name] = strategy
        if folder is not None:
            keep(folder, source)
        entries.append({"name": name, "file": source.file, "sha256": source.sha256,
                        "parameters": strategy.parameters.model_dump(mode="json")})
    return entries


def keep(run: Path, source: Source) -> None:
    """Keeps a strategy's text in a run's folder."""
    for path, text in source.texts.items():
        into = run / KEPT / source.name / path
        into.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        into.write_bytes(text)


def recall(core: "Core", entries: Sequence[Mapping[str, Any]], folder: Path, is_over: bool = True) -> None:
    """Loads the strategies that a START record names from what the run in `folder` has kept, each to be stopped at the call it was
    stopped at, or, where the run's engine `is_over`, at the call that had not come back. StrategyError where a text is gone or is
    another."""
    stopped = stopped_in(folder) | (unended_in(folder, entries) if is_over else {})
    for entry in entries:
        if "sha256" not in entry:
            continue
        name, path = entry["name"], folder / KEPT / entry["name"] / entry["file"]
        if not path.is_file():
            raise StrategyError(f"{path}: the run's copy of strategy {name} is gone")
        strategy, source = load(name, path, entry["parameters"])
        if source.sha256 != entry["sha256"]:
            raise StrategyError(f"{path.parent}: the run's copy of strategy {name} was changed: put it back")
        core.pipeline.strategies[name] = strategy
        core.pipeline.stopped[name] = stopped.get(name, 0)
