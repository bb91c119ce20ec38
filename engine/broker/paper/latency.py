"""How long a broker took to answer order requests, as live days have shown: what the engine's own matching draws from."""
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import orjson

from engine.errors import DataError

LEAST = 20
"""Requests from which on their quantiles say something."""
QUANTILES = 101
MOST_NS = 60_000_000_000


def path() -> Path:
    """The file, of this user's machine."""
    return Path(os.environ.get("XDG_STATE_HOME", Path.home() / ".local" / "state")) / "spike" / "latency.json"


def quantiles_of(latencies: Sequence[int]) -> list[int]:
    """0, 1, ... 100 per cent of requests there and back, ns. DataError where there are too few."""
    good = [latency for latency in latencies if 0 < latency <= MOST_NS]
    if len(good) < LEAST:
        raise DataError(f"{len(good)} answers to order requests; {LEAST} are needed to say how long one takes")
    return [max(round(value), 1) for value in np.quantile(np.array(good, float), np.linspace(0, 1, QUANTILES))]


def keep(quantiles: Sequence[int], run: str, count: int) -> Path:
    """Makes them what backtests and paper runs draw from."""
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_suffix(".new")
    temporary.write_bytes(orjson.dumps({"run": run, "requests": count, "quantiles_ns": list(quantiles)}))
    temporary.replace(target)
    return target


def kept_latencies() -> list[int]:
    """The quantiles in force, ns; empty where none were measured. DataError for a file that is damaged."""
    try:
        document = orjson.loads(path().read_bytes())
        found = [int(value) for value in document["quantiles_ns"]]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError):
        raise DataError(f"{path()} cannot be read: remove it, or measure anew with `python -m engine parity RUN --keep`") from None
    if len(found) != QUANTILES or found != sorted(found) or not 0 < found[0] <= found[-1] <= MOST_NS:
        raise DataError(f"{path()} holds no latencies: remove it, or measure anew with `python -m engine parity RUN --keep`")
    return found


def latency_notes() -> list[str]:
    """What a result says of the delays it was made with."""
    found = kept_latencies()
    if not found:
        return []
    return [f"delays are drawn from those measured live ({path()}): median {found[50] / 1e6:.0f} ms, 99 % within "
            f"{found[99] / 1e6:.0f} ms"]
