"""The broker's instrument file and the universe it describes, on the real ones where they are."""
import csv
import datetime as dt
import gzip
import zlib
from collections import Counter
from dataclasses import replace

import orjson
import pytest

from engine.broker.upstox import master
from engine.config import Config, Rollout
from engine.market import universe
from engine.market.universe import SUSPENDED, Change, Contract, Stock, Turnover, Universe
from engine.run import rollout
from engine.run import universe as kept
from tests.conftest import recording
from tests.kit.counts import count

DAYS = dt.date(2026, 8, 18), dt.date(2026, 8, 21)


def file_of(day):
    return recording("instruments").joinpath(f"NSE.{day}.json.gz").read_bytes()


def raw(day):
    return orjson.loads(gzip.decompress(file_of(day)))


@pytest.mark.recording(twin="tests/market/test_universe.py::test_stocks_with_their_terms")
@pytest.mark.parametrize("day", DAYS)
def test_stocks_lots_ticks_and_keys_equal_an_independent_count(day):
    found = universe.build(master.read(file_of(day)).listing, day)
    with (recording("instruments") / "fo_universe_by_snapshot.csv").open(newline="") as file:
        listed = {r["underlying"]: r for r in csv.DictReader(file) if r["snapshot"] == day.isoformat() and r["type"] == "EQUITY"}
    assert found.stocks.keys() == listed.keys() and len(found.stocks) == 208
    assert sorted(found.indices) == ["BANKNIFTY", "FINNIFTY", "MIDCPNIFTY", "NIFTY", "NIFTYFPI", "NIFTYNXT50"]
    for symbol, stock in found.stocks.items():
        row = listed[symbol]
        assert (stock.key, stock.isin) == (row["underlying_key"], row["isin"])
        if symbol != "MOTHERSON":              # the list has the other exchange's name and tick there; the file says 1 paisa
            assert (stock.name, stock.tick) == (row["name"], float(row["eq_tick_size_paise"]))
        assert len(stock.options) == int(row["n_options"])
        futures = [(row[f"fut{i}_expiry"], row[f"fut{i}_key"],
                    *(float(row[f"fut{i}_{n}"]) for n in ("lot", "tick_paise", "freeze"))) for i in (1, 2, 3) if row[f"fut{i}_key"]]
        assert [(c.expiry, c.key, c.lot, c.tick, c.freeze) for c in stock.futures] == futures
        assert stock.status == "ACTIVE" and stock.is_cas and stock.sector != "unknown"


@pytest.mark.recording(twin="tests/market/test_universe.py::test_each_change_of_terms_and_which_block")
def test_the_change_between_two_real_days_is_right_in_every_row():
    old, new = (universe.build(master.read(file_of(day)).listing, day) for day in DAYS)
    changes = universe.diff(old, new)
    sides = [{r["instrument_key"]: r for r in raw(day) if r.get("segment") == "NSE_FO" and r["asset_type"] == "EQUITY"}
             for day in DAYS]
    for kind, keys in (("listed", sides[1].keys() - sides[0].keys()), ("delisted", sides[0].keys() - sides[1].keys())):
        assert {c.key for c in changes if c.kind == kind} == keys
    fields = ("lot_size", "tick_size", "freeze_quantity", "expiry", "trading_symbol")
    changed = {key for key in sides[0].keys() & sides[1].keys() if any(sides[0][key][f] != sides[1][key][f] for f in fields)}
    assert {c.key for c in changes if c.kind in ("changed", "reused") and c.what != "stock"} == changed
    assert Counter(c.kind for c in changes) == {"listed": 742}


@pytest.mark.parametrize("data", [b"", b"not gzip", gzip.compress(b"[1, 2"), gzip.compress(b"[1, 2]"), gzip.compress(b"{}")],
                         ids=["empty", "not gzip", "cut short", "not rows", "no list"])   # gzip's own bytes hold the time
def test_damaged_files_are_refused(data):
    with pytest.raises(master.MasterError, match="fetch it again"):
        master.read(data)


@pytest.mark.long
@pytest.mark.recording(twin="tests/market/test_universe.py::test_a_file_may_lose_a_tenth_of_the_last_one")
def test_cut_and_half_files_are_refused():
    whole, rows = file_of(DAYS[1]), raw(DAYS[1])
    contracts = [r for r in rows if r.get("segment") == "NSE_FO"]
    others = [r for r in rows if r.get("segment") != "NSE_FO"]
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0x10
    for data in (whole[:len(whole) // 2], whole[:-1], bytes(flipped), b""):
        with pytest.raises(master.MasterError, match="fetch it again"):
            master.read(data)
    half = (rows[:len(rows) // 2], rows[::2], rows[len(rows) // 2:], others, others + contracts[::2],
            contracts + [r for r in others if r.get("segment") != "NSE_EQ"], [])
    for part in half[::count(3, 1)]:
        with pytest.raises(master.MasterError, match=r"cut off|damaged|no F&O contract"):
            master.read(gzip.compress(orjson.dumps(part), 1))
    before = master.read(whole).counts()
    few = others + [row for at, row in enumerate(contracts) if at % 8]
    master.read(gzip.compress(orjson.dumps([r for r in rows if r.get("segment") != "NSE_COM"]), 1), before)
    with pytest.raises(master.MasterError, match="after the last one"):
        master.read(gzip.compress(orjson.dumps(few), 1), before)


@pytest.mark.recording(twin="tests/market/test_universe.py::test_what_has_expired_is_left_out_the_day_after")
def test_the_day_after_an_expiry_is_no_cut_file():
    """Two fifths of all contracts end with the month; what is left, and a new month of a fifth, is whole."""
    rows, day = raw(DAYS[1]), dt.date(2026, 8, 26)
    before = master.read(file_of(DAYS[1]))
    living = [r for r in rows if r.get("segment") != "NSE_FO" or master.last_day(r) >= day]
    later = master.read(gzip.compress(orjson.dumps(living), 1), before.counts(day))
    assert 15_000 < len(later.contracts) < 25_000 and len(universe.build(later.listing, day).stocks) > 200
    with pytest.raises(master.MasterError, match="after the last one"):
        master.read(gzip.compress(orjson.dumps(living), 1), before.counts())


@pytest.fixture(scope="module")
def part():
    """The rows of the real file that say all of one stock: it and its contracts. They are taken as they are."""
    rows = raw(DAYS[1])
    key = next(r["underlying_key"] for r in rows if r.get("segment") == "NSE_FO" and r["asset_type"] == "EQUITY")
    found = [r for r in rows if key in (r.get("instrument_key"), r.get("underlying_key"))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(master, "LEAST", {})
        assert len(master.read(gzip.compress(orjson.dumps(found), 1)).contracts) > 50
    return found


@pytest.mark.recording(twin="tests/market/test_universe.py::test_one_impossible_value_is_enough")
@pytest.mark.parametrize(("segment", "field", "value"), [
    ("NSE_EQ", "tick_size", 0), ("NSE_EQ", "tick_size", "5"), ("NSE_EQ", "isin", None), ("NSE_EQ", "freeze_quantity", -5),
    ("NSE_FO", "tick_size", 0.1), ("NSE_FO", "lot_size", 500.5), ("NSE_FO", "instrument_type", "XX"),
    ("NSE_FO", "strike_price", "x"), ("NSE_FO", "expiry", 1e18), ("NSE_FO", "expiry", None), ("NSE_FO", "instrument_key", 7),
    ("NSE_FO", "lot_size", True)])
def test_one_impossible_value_is_enough(monkeypatch, part, segment, field, value):
    row = next(r for r in part if r.get("segment") == segment)
    monkeypatch.setitem(row, field, value)
    monkeypatch.setattr(master, "LEAST", {})
    with pytest.raises(master.MasterError):
        master.read(gzip.compress(orjson.dumps(part), 1))


@pytest.mark.recording(twin="tests/market/test_universe.py::test_a_key_twice_an_underlying_missing_or_a_bare_name")
def test_a_key_named_twice_is_refused():
    rows = raw(DAYS[1])
    again = dict(next(r for r in rows if r.get("segment") == "NSE_FO"))
    with pytest.raises(master.MasterError, match="twice"):
        master.read(gzip.compress(orjson.dumps([*rows, again | {"lot_size": 1}]), 1))


def test_zlib_bombs_stop():
    squeeze = zlib.compressobj(9, wbits=31)
    with pytest.raises(master.MasterError, match="unpacks to more than"):
        master.read(b"".join(squeeze.compress(bytes(1 << 24)) for _ in range(17)) + squeeze.flush())


def stock(symbol, **terms):
    future = Contract(f"NSE_FO|{symbol}", "FUT", "2026-09-29", 0, terms.pop("lot", 500), 10, 20_000, f"{symbol} FUT")
    return replace(Stock(symbol, symbol, f"NSE_EQ|{symbol}", symbol, 10, future.lot, future.freeze, 100_000, "unknown", True,
                         (future,)), **terms)


def of(day, *stocks):
    return Universe(day, {s.symbol: s for s in stocks}, {})


def test_changed_terms_block_a_name_until_somebody_has_looked():
    monday, tuesday, wednesday = (dt.date(2026, 9, d) for d in (7, 8, 9))
    old = of(monday, stock("A"), stock("B"), stock("C"))
    new, changes = universe.follow(old, of(tuesday, stock("A", lot=250), stock("B"), stock("D")), {})
    assert new.stocks["A"].status == SUSPENDED and "lot 500 -> 250" in new.stocks["A"].reason
    assert new.stocks["B"].status == "ACTIVE" and new.stocks["C"].status == "INACTIVE"
    assert Change("A", "future", "NSE_FO|A", "changed", "lot", "500", "250") in changes and changes[0].is_blocking
    assert {(c.symbol, c.kind) for c in changes if c.what == "stock"} == {("C", "left"), ("D", "joined")}
    back, _ = universe.follow(new, of(wednesday, stock("A", lot=250), stock("C", lot=900)), {})
    assert back.stocks["C"].status == SUSPENDED and "lot 500 -> 900" in back.stocks["C"].reason
    renamed = replace(stock("B", lot=900), symbol="BB")
    turned, told = universe.follow(old, of(tuesday, renamed), {})
    assert ("symbol", "B", "BB") in {(c.field, c.was, c.now) for c in told} and turned.stocks["BB"].status == SUSPENDED
    assert not next(s for s in new.specs() if s.symbol == "A").tradable and "C" not in {s.symbol for s in new.specs()}
    later, none = universe.follow(new, of(wednesday, stock("A", lot=250), stock("B"), stock("D")), {})
    assert later.stocks["A"].status == SUSPENDED and not none
    seen, _ = universe.follow(new, of(wednesday, stock("A", lot=250)), {"A": tuesday.isoformat()})
    assert seen.stocks["A"].status == "ACTIVE"


def test_an_expired_key_that_names_another_contract_is_no_change_of_terms():
    old, new = of(dt.date(2026, 9, 29), stock("A")), of(dt.date(2026, 9, 30), stock("A"))
    (fresh,) = new.stocks["A"].futures
    new.stocks["A"] = replace(new.stocks["A"], futures=(replace(fresh, expiry="2026-12-29", lot=100),))
    assert [c.kind for c in universe.diff(old, new)] == ["reused"]


@pytest.mark.recording(twin="tests/market/test_universe.py::test_days_follow_each_other_on_disk")
def test_each_day_kept_follows_from_the_one_before(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    sources = {day: master.read(file_of(day)) for day in DAYS}
    for day in DAYS:
        master.kept(day).write_bytes(file_of(day))
    first = kept.take(DAYS[0], sources[DAYS[0]].listing, None)
    assert not first.changes and {r["valid_from"] for r in first.rows} == {"2026-08-18"}
    tampered = [r | {"lot_size": 1000} if r.get("asset_symbol") == "RELIANCE" and r.get("instrument_type") == "FUT" else r
                for r in sources[DAYS[1]].contracts]
    second = kept.take(DAYS[1], replace(sources[DAYS[1]], contracts=tampered).listing, {"RELIANCE"})
    assert second.universe.stocks["RELIANCE"].status == SUSPENDED and second.universe.stocks["RELIANCE"].banned == 1
    rows = [r for r in second.rows if r["symbol"] == "RELIANCE"]
    assert [(r["lot"], r["valid_from"], r["valid_to"]) for r in rows] == [(500, "2026-08-18", "2026-08-21"),
                                                                        (1000, "2026-08-21", universe.FOR_EVER)]
    assert {r["valid_from"] for r in second.rows if r["symbol"] != "RELIANCE"} == {"2026-08-18"}
    kept.acknowledge(["RELIANCE"], DAYS[1])
    again = kept.take(DAYS[1], replace(sources[DAYS[1]], contracts=tampered).listing, None)
    assert again.universe.stocks["RELIANCE"].status == "ACTIVE"
    # no run was begun on either day: the next one tells the store of both
    later = kept.noted(DAYS[1] + dt.timedelta(days=3))
    assert [d["day"] for d in later] == ["2026-08-18", "2026-08-21"]
    assert {"lot"} == {c["field"] for c in later[1]["changes"] if c["symbol"] == "RELIANCE" and c["what"] == "future"}
    kept.announce(later)
    assert not kept.noted(DAYS[1] + dt.timedelta(days=3))


def test_turnover_is_the_usual_one_where_history_knows_it():
    quote = {"volume": 1000, "average_price": 50.0, "depth": {"buy": [{"price": 99.0}], "sell": [{"price": 101.0}]}}
    found = universe.turnover_of(quote, {"oi": 200.0, "last_price": 100.0})
    assert found == Turnover(50_000.0, 20_000.0, pytest.approx(200.0))
    assert universe.turnover_of(quote, {}, 7e6).value == 7e6
    assert universe.turnover_of({}, {}) == Turnover(pytest.approx(float("nan"), nan_ok=True), pytest.approx(
        float("nan"), nan_ok=True), pytest.approx(float("nan"), nan_ok=True))


def test_liquidity_is_the_mean_rank_of_what_is_known():
    scores = universe.liquidity({"A": Turnover(100, 10, 1), "B": Turnover(50, 20, 2), "C": Turnover(10, 5, 3), "D": Turnover()})
    assert scores["A"] == pytest.approx(0.5 + 0.3 * 0.5 + 0.2) and scores["B"] == pytest.approx(0.25 + 0.3 + 0.1)
    assert scores["C"] == 0.0 and scores["D"] != scores["D"]
    assert universe.liquidity({"A": Turnover(5), "B": Turnover(5)}) == {"A": 0.5, "B": 0.5}


@pytest.mark.parametrize(("last", "previous", "factor", "explained"), [
    (1000, 1000, 1.0, True), (1000, 1030, 1.03, True), (1000, 500, 0.5, True), (1500, 1000, 2 / 3, True),
    (1000, 100.2, 0.1002, True),
    (1000, 870, 1.0, False), (100, 1000, 10.0, True), (0, 1000, 1.0, True)])
def test_a_night_is_explained_by_a_split_or_leaves_the_name_alone(last, previous, factor, explained):
    is_split = explained and last and abs(previous / last - 1) > 0.08
    seen = universe.Seen(previous / last, last / previous) if is_split else universe.UNSEEN     # as the broker's candles show it
    found, reason = universe.overnight(last, previous, seen)
    assert found == pytest.approx(factor) and (reason == "") is explained


def test_ban_list_of_the_day_only(tmp_path):
    path = tmp_path / "fo_secban.csv"
    path.write_text("Securities in Ban For Trade Date 21-AUG-2026:\n1,SAIL\n2,IDEA\n")
    assert master.banned(path, DAYS[1]) == {"SAIL", "IDEA"}
    assert master.banned(path, DAYS[1] + dt.timedelta(days=1)) is None and master.banned(None, DAYS[1]) is None


def test_going_live_begins_with_one_name_and_half_a_per_cent():
    from engine.market.instruments import shipped

    config, specs = rollout.apply(Config(rollout=Rollout(symbols=["RELIANCE", "TCS"])), list(shipped()), 1)
    assert [s.symbol for s in specs if s.tradable] == ["RELIANCE"]
    assert config.risk.notional == 0.005 and config.risk.max_positions == 1
    config, specs = rollout.apply(Config(), list(shipped()), 4)
    assert sum(s.tradable for s in specs) == 208 and config.risk.notional == 0.05 and config.risk.max_positions == 3
