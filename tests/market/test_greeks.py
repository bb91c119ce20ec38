"""Greeks and implied volatility against QuantLib over a grid with its corners, and against what the feed sent."""
import csv
import datetime as dt
import math
from itertools import product

import numpy as np
import polars as pl
import pytest
import QuantLib as ql
from hypothesis import given
from hypothesis import strategies as st

from _ext.market.greeks import greeks, greeks_of_prices, implied_volatility
from engine.market.sessions import IST
from tests.conftest import recording

GRID = list(product((100.0, 59300.0, 7.5), (0.2, 0.5, 0.8, 0.95, 0.99, 1.0, 1.01, 1.05, 1.25, 2.0, 5.0),
                    (1e-6, 1 / 365 / 24, 1 / 365, 7 / 365, 30 / 365, 1, 3), (1e-4, 0.01, 0.1, 0.3, 1.0, 4.0), (0.0, 0.065),
                    (False, True), (True, False)))
"""Spot, moneyness, years, volatility, rate, on a future, call."""


def oracle(spot, strike, years, rate, sigma, is_call, is_future):
    forward = spot if is_future else spot * math.exp(rate * years)
    payoff = ql.PlainVanillaPayoff(ql.Option.Call if is_call else ql.Option.Put, strike)
    c = ql.BlackCalculator(payoff, forward, sigma * math.sqrt(years), math.exp(-rate * years))
    if is_future:
        return {"price": c.value(), "delta": c.deltaForward(), "gamma": c.gammaForward(), "vega": c.vega(years) / 100}
    return {"price": c.value(), "delta": c.delta(spot), "gamma": c.gamma(spot), "vega": c.vega(years) / 100,
            "theta": c.theta(spot, years) / 365, "rho": c.rho(years) / 100}


def test_price_and_greeks_equal_quantlib():
    for spot, moneyness, years, sigma, rate, is_future, is_call in GRID:
        ours = greeks(spot, spot * moneyness, years, rate, sigma, is_call, 0.0, is_future)
        for name, value in oracle(spot, spot * moneyness, years, rate, sigma, is_call, is_future).items():
            assert ours[name] == pytest.approx(value, rel=1e-8, abs=1e-8), (name, spot, moneyness, years, sigma, rate)


def test_the_volatility_of_quantlib_s_prices_is_found_where_they_hold_it():
    checked = 0
    for spot, moneyness, years, sigma, rate, is_future, is_call in GRID:
        strike = spot * moneyness
        known = oracle(spot, strike, years, rate, sigma, is_call, is_future)
        if known["vega"] * 100 * 1e-8 < 4e-15 * max(spot, strike):      # the price's last bit is worth more than that
            continue
        found = implied_volatility(known["price"], spot, strike, years, rate, is_call, 0.0, is_future)
        assert found == pytest.approx(sigma, abs=1e-8), (spot, moneyness, years, sigma, rate, is_future, is_call)
        checked += 1
    assert checked > 4000


def test_no_volatility_and_no_time():
    for is_call, strike, value, delta in ((True, 90, 10, 1), (True, 110, 0, 0), (False, 110, 10, -1), (True, 100, 0, 0.5)):
        for years, sigma in ((0.0, 0.3), (0.1, 0.0)):
            g = greeks(100, strike, years, 0, sigma, is_call)
            assert (g["price"], g["delta"], g["gamma"], g["vega"]) == (value, delta, 0, 0)
    assert implied_volatility(10, 100, 90, 0.1, 0, True) == 0.0 and implied_volatility(0, 100, 110, 0.1, 0, True) == 0.0


@pytest.mark.parametrize("values", [(9, 100, 90, 0.1, 0, True), (101, 100, 90, 0.1, 0, True), (-1, 100, 90, 0.1, 0, True),
                                    (math.nan, 100, 90, 0.1, 0, True), (5, 0, 90, 0.1, 0, True), (5, 100, 90, 0.0, 0, True),
                                    (5, math.inf, 90, 0.1, 0, True), (111, 100, 110, 0.1, 0, False)])
def test_prices_without_a_volatility_have_none(values):
    assert math.isnan(implied_volatility(*values))


def test_numbers_that_make_no_sense_give_no_greeks():
    for values in ((-1, 100, 0.1, 0, 0.2), (100, 0, 0.1, 0, 0.2), (100, 100, -1, 0, 0.2), (100, 100, 0.1, 0, math.nan)):
        assert all(math.isnan(x) for x in greeks(*values, True).values())


@given(st.floats(0.01, 1e6), st.floats(-1.5, 1.5), st.floats(1e-4, 5), st.floats(0.005, 3), st.floats(-0.05, 0.2), st.booleans())
def test_parity_and_round_trip(spot, log_moneyness, years, sigma, rate, is_call):
    strike = spot * math.exp(log_moneyness)
    call, put = (greeks(spot, strike, years, rate, sigma, side) for side in (True, False))
    assert call["price"] - put["price"] == pytest.approx(spot - strike * math.exp(-rate * years), abs=1e-11 * (spot + strike))
    mine = call if is_call else put
    found = implied_volatility(mine["price"], spot, strike, years, rate, is_call)
    if mine["vega"] * 100 * sigma > 1e-4 * spot:
        assert found == pytest.approx(sigma, rel=1e-9)
    else:
        again = greeks(spot, strike, years, rate, found, is_call)["price"] if not math.isnan(found) else mine["price"]
        assert again == pytest.approx(mine["price"], abs=1e-12 * (spot + strike))


def test_many_at_once_are_the_same():
    rng = np.random.default_rng(4)
    n = 500
    strike, years, sides = 100 * np.exp(rng.normal(0, 0.1, n)), rng.uniform(0.01, 0.3, n), rng.integers(0, 2, n).astype(np.uint8)
    prices = np.array([greeks(100, k, t, 0.06, 0.3, bool(c))["price"] for k, t, c in zip(strike, years, sides, strict=True)])
    rows = greeks_of_prices(prices, np.full(n, 100.0), strike, years, 0.06, sides)
    for row, k, t, c in zip(rows, strike, years, sides, strict=True):
        if not math.isnan(row[0]):
            assert row.tolist()[1:] == list(greeks(100, k, t, 0.06, row[0], bool(c)).values())
    with pytest.raises(ValueError, match="one length"):
        greeks_of_prices(prices[1:], np.full(n, 100.0), strike, years, 0.06, sides)


@pytest.mark.recording(twin="tests/market/test_greeks.py::test_price_and_greeks_equal_quantlib")
def test_the_feed_s_greeks_are_black_scholes_without_interest_to_half_past_three():
    """The feed sends four decimals. With interest 0, 365 days a year and 15:30 of the last day as the end, the spot its delta
    stands for (the index was not recorded) gives its vega, theta and rho to 0.005, a twentieth of what any other hour gives."""
    folder = recording("upstox_v3_2025-12-15")
    with (folder / "instruments.csv").open(newline="") as file:
        terms = {r["instrument_key"]: r for r in csv.DictReader(file)}
    end = dt.datetime(2025, 12, 30, 15, 30, tzinfo=IST)
    compared = 0
    for path in folder.glob("*.parquet"):
        frame = pl.read_parquet(path)
        row = terms[frame["instrument_key"][0]]
        if row["instrument_type"] not in ("CE", "PE"):
            continue
        strike, is_call = float(row["strike_price"]), row["instrument_type"] == "CE"
        for sent in frame.filter((pl.col("iv") > 0) & (pl.col("delta") != 0))[::500].iter_rows(named=True):
            years = (end - sent["recv_ts"]).total_seconds() / 86400 / 365
            low, high = 0.8 * strike, 1.2 * strike
            for _ in range(60):
                spot = (low + high) / 2
                if greeks(spot, strike, years, 0, sent["iv"], is_call)["delta"] < sent["delta"]:
                    low = spot
                else:
                    high = spot
            ours = greeks(spot, strike, years, 0, sent["iv"], is_call)
            for name in ("vega", "theta", "rho"):
                assert ours[name] == pytest.approx(sent[name], abs=0.005), (path.name, sent["recv_ts"], name)
            assert ours["gamma"] == pytest.approx(sent["gamma"], abs=0.00006)
            compared += 1
    assert compared > 200


@pytest.mark.parametrize("is_call", [True, False])
def test_of_an_option_on_a_future_the_rate_discounts_the_price_alone(is_call):
    """Black 76: price = exp(-rate x years) x what the forward and the strike make, so its change by the rate is -years x price."""
    ours = greeks(100.0, 103.0, 0.25, 0.06, 0.2, is_call, 0.0, True)
    step = 1e-6
    up, down = (greeks(100.0, 103.0, 0.25, 0.06 + sign * step, 0.2, is_call, 0.0, True)["price"] for sign in (1, -1))
    assert ours["rho"] == pytest.approx((up - down) / (2 * step) / 100, rel=1e-5) and ours["rho"] < 0
