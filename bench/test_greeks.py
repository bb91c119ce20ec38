"""Implied volatility and five Greeks of one option: a microsecond, nothing allocated."""
import tracemalloc

import numpy as np

from _ext.market.greeks import greeks, greeks_of_prices
from bench.conftest import BUDGETS, note, percentiles, sampled


def test_volatility_and_greeks(benchmark):
    rng, n = np.random.default_rng(1), 20_000
    strike, years = 1000 * np.exp(rng.normal(0, 0.06, n)), rng.uniform(1 / 365, 0.2, n)
    sides = rng.integers(0, 2, n).astype(np.uint8)
    prices = np.array([greeks(1000, k, t, 0.065, 0.3, bool(c))["price"] for k, t, c in zip(strike, years, sides, strict=True)])
    spot = np.full(n, 1000.0)
    rows = benchmark(greeks_of_prices, prices, spot, strike, years, 0.065, sides)
    assert np.nanmedian(np.abs(rows[:, 0] - 0.3)) < 1e-12

    def part(i, j):
        greeks_of_prices(prices[i:j], spot[i:j], strike[i:j], years[i:j], 0.065, sides[i:j])

    ns = percentiles(sampled(part, 0, n))
    note("implied volatility and five Greeks", "ns", ns, f"target {BUDGETS['greeks']['target_ns']} ns")
    assert ns["p50"] <= BUDGETS["greeks"]["max_ns"]
    tracemalloc.start()
    greeks_of_prices(prices, spot, strike, years, 0.065, sides)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows.nbytes + 4096            # the answer's own array and nothing for each option
