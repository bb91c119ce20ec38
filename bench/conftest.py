"""Shared by the benchmarks: budgets, frames, percentiles. The answer is asserted before anything is timed."""
import gc
import time
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import shipped
from engine.sim import recorded
from engine.sim.market import SyntheticMarket
from tests.conftest import data_folder

BUDGETS = tomllib.loads((Path(__file__).parent / "budgets.toml").read_text())
RESULTS: list[str] = []


def percentiles(samples) -> dict[str, float]:
    """p50, p99, p99.9 and max."""
    values = np.asarray(samples, float)
    return {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99)),
            "p99.9": float(np.percentile(values, 99.9)), "max": float(values.max())}


def note(name: str, unit: str, values: dict[str, float], beside: str = "") -> None:
    """A line of the table printed at the end."""
    figures = "  ".join(f"{k} {v:,.4g} {unit}" for k, v in values.items())
    RESULTS.append(f"{name:<44} {figures}" + (f"   {beside}" if beside else ""))


def best_of(work: Callable[[], object], rounds: int = 15) -> tuple[float, list[float]]:
    """Fastest of `rounds` in seconds, and all of them; garbage collection off."""
    times = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            began = time.perf_counter()
            work()
            times.append(time.perf_counter() - began)
    finally:
        gc.enable()
    return min(times), times


def sampled(work: Callable[[int, int], object], begin: int, end: int, step: int = 200) -> list[float]:
    """ns an item of `work(i, i + step)` for consecutive blocks of [begin, end), caches warm, garbage collection off."""
    samples = []
    gc.collect()
    gc.disable()
    try:
        for i in range(begin, end, step):
            began = time.perf_counter_ns()
            work(i, i + step)
            samples.append((time.perf_counter_ns() - began) / step)
    finally:
        gc.enable()
    return samples


@pytest.fixture(scope="session")
def frames() -> tuple[list[bytes], list[bytes]]:
    """(frames, keys): of the recorded session where it lies at hand, else of the generator."""
    folder = data_folder() / "upstox_v3_2025-12-15"
    if folder.exists():
        session = recorded.load(folder)
        source = session.frames()
        keys = [s.key.encode() for s in session.specs]
    else:
        import datetime as dt
        market = SyntheticMarket(shipped()[:9], dt.date(2026, 9, 1), 1)
        market.skip_to(30)
        source = market.frames()
        keys = [s.key.encode() for s in market.specs]
    out = []
    for _, _, frame in source:
        out.append(frame)
        if len(out) == 40_000:
            break
    return out, keys


def quiet_rows(count: int, updates: int, seed: int) -> list[tuple[int, bytes]]:
    """(ms, frame) of `updates` updates over `count` instruments in random order: prices hardly move, volumes trickle."""
    rng = np.random.default_rng(seed)
    row = np.zeros(1, TICK_DTYPE)
    row["mode"], row["has"], row["n_levels"] = 1, 1 | 2 | 64, 5
    start = 1_788_234_300_000 + 3_600_000
    vtt = np.full(count, 1000)
    out = []
    for n, i in enumerate(rng.integers(0, count, updates).tolist()):
        key = f"NSE_EQ|INE{i:06d}0101".encode()
        at = start + n * 1000 // 2500
        vtt[i] += int(rng.integers(0, 3))
        row["key"], row["key_len"] = key, len(key)
        row["ltp"], row["cp"] = 100_000 + int(rng.integers(-1, 2)) * 10, 100_000
        row["ltt"], row["ltq"], row["vtt"] = at - 400, 1, vtt[i]
        for k in range(5):
            row["levels"][0, k] = (int(rng.integers(1, 5000)), 99_990 - 10 * k, int(rng.integers(1, 5000)), 100_010 + 10 * k)
        row["atp"], row["tbq"], row["tsq"] = 100_000, 85_000.0, 91_000.0
        out.append((at, encode(row, at)))
    return out


def pytest_terminal_summary(terminalreporter):
    if RESULTS:
        terminalreporter.section("measured (this machine, this run)")
        for line in RESULTS:
            terminalreporter.write_line(line)
