"""Option chains: ratios, the strike at the money, volatility from the feed or from the price, and what a jump of it does."""
import datetime as dt

import numpy as np
import pytest
import QuantLib as quantlib

from _ext.core.records import CANDIDATE, REC_CANDIDATE, REC_FRAME
from _ext.core.sink import KeepingSink, RecordSink
from _ext.entrance import Core
from _ext.market.greeks import greeks
from engine import config
from engine.broker.upstox import master
from engine.feed import TICK_DTYPE, encode
from engine.market import universe
from engine.market.instruments import Instrument, shipped
from engine.market.sessions import IST, epoch_ms
from engine.run.opening import Boot, begin
from engine.sim.contracts import expiry_after, step_of, with_contracts
from engine.sim.market import SyntheticMarket
from tests.conftest import recording

DAY = dt.date(2026, 9, 1)
EXPIRY = dt.date(2026, 9, 29)
STRIKES = (95_000, 100_000, 105_000)


class Desk:
    """One stock with calls and puts at three strikes."""

    def __init__(self, trail=None, **settings):
        stock = Instrument("NSE_EQ|A", "A", price=100_000)
        self.specs = [stock, *(Instrument(f"NSE_FO|{k}{right}", f"A {k} {right}", "option", 5, 500, 20_000, False, False,
                                    underlying=stock.key, expiry=EXPIRY.isoformat(), strike=k, right=right)
                               for k in STRIKES for right in ("CE", "PE"))]
        self.core = Core(trail or RecordSink(), len(self.specs), 64)
        self.now = epoch_ms(DAY, 30)
        begin(self.core, config.Config.model_construct(models="/nonexistent", **settings), self.specs, DAY, SyntheticMarket(
            [stock], DAY, 1).history(), self.now * 1_000_000, Boot("test", 1, "0"), 10**8)
        self.vtt = 0

    def tick(self, inst, ltp, iv=0.0, oi=0.0, vtt=None, has=1 | 64, after=500):
        self.now += after
        self.vtt += 10
        row = np.zeros(1, TICK_DTYPE)
        key = self.specs[inst].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"], row["ltp"] = key, len(key), 1, has, ltp
        row["ltt"], row["vtt"], row["iv"], row["oi"] = self.now, self.vtt if vtt is None else vtt, iv, oi
        self.core.feed(REC_FRAME, self.now * 1_000_000, encode(row, self.now))
        return self.core.market.chains.view(0)


def test_ratios_and_the_strike_at_the_money():
    desk = Desk()
    desk.tick(0, 101_000)
    shown = (500, .2, 10), (1000, .22, 30), (1500, .30, 50), (700, .34, 70), (0, .4, 5), (2000, .5, 9)
    for inst, (oi, iv, volume) in enumerate(shown, 1):
        chain = desk.tick(inst, 3_000, iv, oi, volume)
    assert chain["strike"] == 100_000 and chain["iv"] == pytest.approx(0.32) and len(chain["contracts"]) == 6
    assert chain["pcr"] == pytest.approx(3700 / 2000) and chain["pcr_volume"] == pytest.approx(109 / 65)
    chain = desk.tick(3, 3_000, 0.36, 1000, 60)
    assert chain["iv"] == pytest.approx(0.35) and chain["pcr"] == pytest.approx(3700 / 1500)
    assert desk.core.market.row(0)["iv"] == pytest.approx(0.35)
    chain = desk.tick(0, 104_000, after=60_000)
    assert chain["strike"] == 105_000 and chain["iv"] == pytest.approx(0.45)
    row = desk.core.market.row(0)
    assert row["iv"] / row["iv5"] == pytest.approx(0.35 / 0.32, rel=0.2)          # the smile between strikes is no spike


def test_without_the_feed_s_volatility_it_is_the_price_s():
    desk = Desk()
    desk.tick(0, 100_000)
    years = (dt.datetime.combine(EXPIRY, dt.time(15, 30), IST).timestamp() - desk.now / 1000 - 0.5) / (365 * 86_400)
    g = greeks(1000, 1000, years, 0, 0.28, True)
    option = desk.tick(3, round(g["price"] * 100))["contracts"][3]
    assert option["computed"] and option["iv"] == pytest.approx(0.28, abs=2e-4)
    for name in ("delta", "gamma", "theta", "vega", "rho"):
        assert option["greeks"][name] == pytest.approx(g[name], rel=2e-3)
    assert not desk.tick(3, 2_500, iv=0.31)["contracts"][3]["computed"]


def black(price: int, strike: int, years: float, sigma: float, is_call: bool) -> int:
    """QuantLib's price of an option in paise, without interest."""
    kind = quantlib.Option.Call if is_call else quantlib.Option.Put
    return round(quantlib.blackFormula(kind, strike, price, sigma * years ** 0.5))


def test_a_jump_of_the_volatility_strengthens_its_stock():
    """The same move of the stock, while its options at the money trade at 30 % and at 45 % (QuantLib's prices): the strength
    differs by 0.15 (1 - 2^-2.5), half as much again being 2.5 times the 20 % that count 1."""
    made = []
    for sigma in (0.30, 0.45):
        trail = KeepingSink((REC_CANDIDATE,))
        desk = Desk(trail, source={"spike": {"emit": 0.001, "trade": 0.001, "cooldown_s": 0}})
        years = (dt.datetime.combine(EXPIRY, dt.time(15, 30), IST).timestamp() - desk.now / 1000) / (365 * 86_400)
        desk.tick(0, 100_000)
        for inst in (3, 4):
            desk.tick(inst, black(100_000, 100_000, years, 0.30, inst == 3))
        for second in range(61):                            # the next five minutes begin with it
            desk.tick(0, 100_000 + 10 * (second % 2), after=5_000)
        assert desk.core.market.row(0)["iv5"] == pytest.approx(0.30, rel=2e-3)
        for inst in (3, 4):
            desk.tick(inst, black(100_010, 100_000, years, sigma, inst == 3), after=100)
        trail.kept.clear()
        desk.tick(0, 100_400, after=500)
        (_, _, payload), = trail.kept
        made.append((np.frombuffer(payload, CANDIDATE)[0], desk.core.market.row(0)))
    (plain, before), (strong, after) = made
    assert before["iv"] == pytest.approx(0.30, rel=2e-3) and after["iv"] == pytest.approx(0.45, rel=2e-3)
    assert plain["z20"] == strong["z20"] and plain["rz"] == strong["rz"] > 3
    assert strong["strength"] - plain["strength"] == pytest.approx(0.15 * (1 - 2 ** -2.5), abs=1.5e-3)


def test_the_synthetic_universe_has_every_kind():
    specs = with_contracts(shipped(), DAY, 10)
    assert len(specs) == 208 * 12 and len({s.key for s in specs}) == len(specs)
    assert expiry_after(DAY) == EXPIRY and expiry_after(dt.date(2026, 11, 2)) == dt.date(2026, 11, 23)      # the 24th is a holiday
    assert [step_of(p) for p in (10_000, 137_000, 1_500_000)] == [200, 5_000, 50_000]
    some = with_contracts(shipped()[:6], DAY, 6)
    market = SyntheticMarket(some, DAY, 3)
    market.minutes = 4
    core = Core(RecordSink(), len(some), 64)
    begin(core, config.Config.model_construct(models="/nonexistent"), some, DAY, market.history(), epoch_ms(DAY) * 1_000_000,
          Boot("test", 1, "0"), 10**8)
    for at, _, frame in market.frames(50):
        core.feed(REC_FRAME, at * 1_000_000, frame)
    for inst in range(6):
        chain = core.market.chains.view(inst)
        assert 0.05 < chain["iv"] < 1.0 and abs(chain["strike"] / core.market.row(inst)["ltp"] - 1) < 0.05
        future = core.market.row(6 + inst)
        assert abs(future["ltp"] / core.market.row(inst)["ltp"] - 1.003) < 0.01
    sent = core.market.chains.view(0)["contracts"][12]
    assert 0 < sent["greeks"]["delta"] < 1 and sent["greeks"]["theta"] < 0


@pytest.mark.recording(twin="tests/market/test_universe.py::test_what_the_engine_is_told_of")
def test_the_engine_watches_the_options_nearest_to_the_price():
    day = dt.date(2026, 8, 21)
    found = universe.build(master.read(recording("instruments").joinpath(f"NSE.{day}.json.gz").read_bytes()).listing, day)
    prices = {"NSE_EQ|INE002A01018": 140_300}
    mine = [s for s in found.specs(options=4, prices=prices) if s.kind == "option"]
    assert sorted((s.strike, s.right) for s in mine) == [(140_000, "CE"), (140_000, "PE"), (141_000, "CE"), (141_000, "PE")]
    assert {s.expiry for s in mine} == {"2026-08-25"} and not any(s.tradable for s in mine)
