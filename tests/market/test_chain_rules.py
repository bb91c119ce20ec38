"""What a chain takes from an update of a contract, and which strike and expiry it is about; each rule at its edge."""
import numpy as np
import orjson
import pytest

from _ext.core.records import REC_FRAME, REC_INSTRUMENTS, REC_START
from _ext.core.sink import RecordSink
from _ext.entrance import Core
from engine import config
from engine.feed import TICK_DTYPE, encode
from engine.market.instruments import NO_INST, Instrument, table
from engine.market.sessions import epoch_ms
from tests.market.conftest import DAY

STOCK = Instrument("NSE_EQ|A", "A")
NEAR, FAR = "2026-09-29", "2026-10-27"


def option(strike: int, right: str, expiry: str = NEAR) -> Instrument:
    return Instrument(f"NSE_FO|{strike}{right}{expiry[5:]}", f"A {strike}", "option", 5, 500, tradable=False, is_cas=False,
                underlying=STOCK.key, expiry=expiry, strike=strike, right=right)


class Chain:
    """One stock and contracts of it; updates by row."""

    def __init__(self, *contracts: Instrument):
        self.specs = [STOCK, *contracts]
        self.core = Core(RecordSink(), len(self.specs), 64)
        self.now = epoch_ms(DAY, 30)
        begin = self.now * 1_000_000
        self.core.feed(REC_START, begin, orjson.dumps(config.Config(models="").record()))
        self.core.feed(REC_INSTRUMENTS, begin, table(self.specs, DAY).tobytes())

    def tick(self, inst: int, ltp: int = 3_000, iv: float = 0.0, oi: float = 0.0, vtt: int = 1, has: int = 1 | 64,
             after: int = 500, **fields):
        self.now += after
        row = np.zeros(1, TICK_DTYPE)
        key = self.specs[inst].key.encode()
        row["key"], row["key_len"], row["mode"], row["has"], row["ltp"] = key, len(key), 1, has, ltp
        row["ltt"], row["vtt"], row["iv"], row["oi"] = self.now, vtt, iv, oi
        for name, value in fields.items():
            row[name] = value
        self.core.feed(REC_FRAME, self.now * 1_000_000, encode(row, self.now))
        return self.core.market.chains.view(0)


def test_the_nearest_strike_and_of_two_the_lower():
    chain = Chain(*(option(k, right) for k in (95_000, 100_000, 105_000) for right in ("CE", "PE")))
    for price, strike in ((96_000, 95_000), (97_499, 95_000), (97_500, 95_000), (97_501, 100_000), (102_500, 100_000),
                          (102_501, 105_000), (110_000, 105_000), (101_000, 100_000), (92_000, 95_000)):
        view = chain.tick(0, price, after=60_000)
        assert view["strike"] == strike, price
        assert {chain.specs[view[side]].strike for side in ("call", "put")} == {strike}
        assert chain.specs[view["call"]].right == "CE" and chain.specs[view["put"]].right == "PE"


@pytest.mark.parametrize("order", [1, -1])
def test_a_strike_with_a_call_alone_borrows_no_other_strike_s_put(order):
    contracts = [option(100_000, "CE"), option(95_000, "CE"), option(95_000, "PE")][::order]
    chain = Chain(*contracts)
    for inst, iv in enumerate((0.2, 0.4, 0.6)[::order], 1):
        chain.tick(inst, iv=iv)
    view = chain.tick(0, 100_000, after=60_000)
    assert (view["strike"], view["call"], view["put"]) == (100_000, 1 + contracts.index(option(100_000, "CE")), NO_INST)
    assert view["iv"] == 0.2


@pytest.mark.parametrize("order", [1, -1])
def test_the_next_expiry_counts_in_either_order_of_the_table(order):
    contracts = [option(100_000, "CE", FAR), option(100_000, "PE", FAR), option(105_000, "CE"), option(105_000, "PE")][::order]
    chain = Chain(*contracts)
    view = chain.tick(0, 100_000)
    assert view["strike"] == 105_000 and {chain.specs[view[s]].expiry for s in ("call", "put")} == {NEAR}


def test_an_expiry_that_is_over_does_not_count():
    chain = Chain(option(100_000, "CE", "2026-08-25"), option(105_000, "CE"), option(105_000, "PE"))
    assert chain.tick(0, 100_000)["strike"] == 105_000


def test_one_side_alone_is_the_volatility_at_the_money():
    chain = Chain(option(100_000, "CE"), option(100_000, "PE"))
    chain.tick(0, 100_000)
    assert chain.tick(1, iv=0.3)["iv"] == pytest.approx(0.3)
    assert chain.tick(2, iv=0.4)["iv"] == pytest.approx(0.35)
    chain = Chain(option(100_000, "CE"), option(100_000, "PE"))
    chain.tick(0, 100_000)
    assert chain.tick(2, iv=0.4)["iv"] == pytest.approx(0.4)
    assert chain.core.market.row(0)["iv"] == pytest.approx(0.4)


def test_a_strike_away_from_the_money_moves_nothing_at_it():
    chain = Chain(*(option(k, right) for k in (100_000, 105_000) for right in ("CE", "PE")))
    chain.tick(0, 100_000)
    chain.tick(1, iv=0.3)
    view = chain.tick(3, iv=0.9)
    assert view["iv"] == pytest.approx(0.3) and chain.core.market.row(0)["iv"] == pytest.approx(0.3)
    assert chain.core.market.row(3)["iv"] == pytest.approx(0.9)


@pytest.mark.parametrize(("right", "pcr"), [("CE", 500 / 300), ("PE", 300 / 500)])
def test_open_interest_is_the_latest_of_each_contract_and_nonsense_is_not_taken(right, pcr):
    other = "PE" if right == "CE" else "CE"
    chain = Chain(option(100_000, right), option(100_000, other))
    chain.tick(1, oi=900)
    chain.tick(2, oi=500)
    for wrong in (-1.0, 1e15, 1e300):
        assert chain.tick(1, oi=wrong)["open_interest"] == 1400, wrong
    view = chain.tick(1, oi=300)                            # it fell
    assert view["open_interest"] == 800 and view["pcr"] == pytest.approx(pcr)
    assert chain.tick(1, has=1)["open_interest"] == 800     # an update without it is no news


@pytest.mark.parametrize(("right", "pcr"), [("CE", 70 / 130), ("PE", 130 / 70)])
def test_volume_only_grows(right, pcr):
    other = "PE" if right == "CE" else "CE"
    chain = Chain(option(100_000, right), option(100_000, other))
    for vtt in (100, 90, 0, 130, 130):
        chain.tick(1, vtt=vtt)
    view = chain.tick(2, vtt=70)
    assert view["pcr_volume"] == pytest.approx(pcr)


def test_without_calls_there_is_no_ratio():
    chain = Chain(option(100_000, "CE"), option(100_000, "PE"))
    view = chain.tick(2, oi=500, vtt=70)
    assert view["pcr"] is None and view["pcr_volume"] is None
    assert chain.tick(1, oi=250, vtt=35)["pcr"] == 2.0


def test_the_feed_s_greeks_are_taken_where_it_sends_them():
    chain = Chain(option(100_000, "CE"), option(100_000, "PE"))
    chain.tick(0, 100_000)
    sent = {"delta": 0.5, "gamma": 0.01, "theta": -2.0, "vega": 1.5, "rho": 0.3}
    contract = chain.tick(1, 3_100, iv=0.3, has=1 | 4 | 64, **sent)["contracts"][1]
    assert {name: contract["greeks"][name] for name in sent} == sent and contract["greeks"]["price"] == 3_100
    assert not contract["computed"]


def test_a_volatility_is_computed_only_from_a_trade_on_a_known_price():
    chain = Chain(option(100_000, "CE"), option(100_000, "PE"))
    assert chain.tick(1, 3_000)["contracts"][1]["iv"] == 0.0                  # its stock has no price yet
    chain.tick(0, 100_000)
    assert chain.tick(1, 3_000, vtt=1)["contracts"][1]["iv"] == 0.0           # nothing traded
    first = chain.tick(1, 3_000, vtt=2)["contracts"][1]
    assert 0.2 < first["iv"] < 0.5 and first["computed"] and 0.4 < first["greeks"]["delta"] < 0.6
    put = chain.tick(2, 3_000, vtt=1)["contracts"][2]
    assert put["iv"] == pytest.approx(first["iv"], rel=1e-3) and -0.6 < put["greeks"]["delta"] < -0.4
    assert chain.tick(1, 200_000, vtt=3)["contracts"][1]["iv"] == 0.0         # more than arbitrage allows: not known
    gone = Chain(option(100_000, "CE", "2026-08-25"))
    gone.tick(0, 100_000)
    gone.tick(1, 3_000, vtt=2)
    assert gone.tick(1, 3_001, vtt=3)["contracts"][1]["iv"] == 0.0            # expired


def test_the_money_moves_to_another_strike_and_the_five_minutes_with_it():
    """The smile between strikes is no change of volatility: what the five minutes began with is scaled alike."""
    chain = Chain(*(option(k, right) for k in (100_000, 105_000) for right in ("CE", "PE")))
    chain.tick(0, 100_000)
    for inst, iv in ((1, 0.30), (2, 0.30), (3, 0.45), (4, 0.45)):
        chain.tick(inst, iv=iv)
    assert chain.core.market.row(0)["iv5"] == pytest.approx(0.30)
    chain.tick(1, iv=0.33)
    chain.tick(2, iv=0.33)
    chain.tick(0, 104_000, after=60_000)
    row = chain.core.market.row(0)
    assert row["iv"] == pytest.approx(0.45) and row["iv"] / row["iv5"] == pytest.approx(1.1)
