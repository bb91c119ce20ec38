"""What every candidate source is: a name, parameters with units, rules, statistics of its own, and what it says to an update.

A new source is one file `sources/NAME.pyx` with a class `Source`; the configuration names it (`sources = ["spike", "NAME"]`).
"""
from importlib import import_module
from pkgutil import iter_modules
from typing import NamedTuple

from libc.stdint cimport int64_t, uint32_t
from _ext.core.reasons cimport Reason
from _ext.core.records cimport Candidate
from _ext.core.records import N_OWN_STATISTICS
from _ext.market.state cimport Row, TickInfo
from _ext.signals.rules cimport Rules, validate

MAX_SOURCES = 8


class SourceError(ValueError):
    """A source that is not there, or a parameter that cannot be; says what there is."""


class Parameter(NamedTuple):
    """One setting of a source. `unit` is what the number is of; `least` and `most` are allowed themselves."""
    default: float
    unit: str
    says: str
    least: float
    most: float


cdef class CandidateSource:
    """Base of all sources. `is_scored`: whether the noise filter judges its candidates; a source no model was measured on has none.

    A subclass gives `parameters` (name -> Parameter), `statistics` ((name, unit), at most six, in the order of Event.own) and
    `is_scored` by class attributes, and takes `(capacity, **parameters)`. It keeps no clock and allocates nothing after that.
    """
    parameters = {}
    statistics = ()

    def __init__(self, uint32_t capacity):
        self.capacity = capacity

    cdef bint on_tick(self, uint32_t inst, const Row* r, const TickInfo* t, Event* out) noexcept nogil:
        """Whether this update makes a candidate; fills `out` then. Called for every update, so quick where it does not."""
        return False

    cdef Reason judge(self, const Rules* rules, const Row* r, const TickInfo* t, bint cas, int64_t opposing,
                      Candidate* c) noexcept nogil:
        """PASS, or the first of the source's own rules against a candidate. `opposing`: ms since its last one worth trading the
        other way in this name; -1: there was none."""
        return validate(rules, r, t, cas, opposing, c)


def names() -> tuple:
    """Sources there are, by the files in `sources/`."""
    import _ext.signals.sources

    return tuple(sorted(module.name for module in iter_modules(_ext.signals.sources.__path__)))


def source_of(str name not None) -> type:
    """The class of a source; SourceError where there is none of the name, or it promises what cannot be kept."""
    if name not in names():
        raise SourceError(f"there is no source {name!r}; there are {', '.join(names())}")
    found = import_module(f"_ext.signals.sources.{name}").Source
    if len(found.statistics) > N_OWN_STATISTICS:
        raise SourceError(f"source {name} has {len(found.statistics)} statistics, at most {N_OWN_STATISTICS} are kept")
    return found


def statistics_of(dict entry not None) -> tuple:
    """(name, unit) of the statistics of its own that a source adds, as a START record names it; a strategy adds none."""
    return () if "sha256" in entry else source_of(entry["name"]).statistics


def parameters_of(str name not None, dict given not None) -> dict:
    """Every parameter of a source: what is given, else the default. SourceError for one it does not have, or beyond its bounds."""
    known = source_of(name).parameters
    for key, value in given.items():
        if key not in known:
            raise SourceError(f"source {name} has no parameter {key!r}; it has {', '.join(known) or 'none'}")
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not known[key].least <= value <= known[key].most:
            raise SourceError(f"{key} of source {name} is {value!r}; it is a number from {known[key].least:g} to "
                              f"{known[key].most:g} ({known[key].unit})")
    return {key: type(p.default)(given.get(key, p.default)) for key, p in known.items()}
