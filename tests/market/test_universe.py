"""Master file and universe on a small file made here: what is taken, what is refused, what a change overnight means.

Its rooms are `engine/market/universe/terms.py`, `engine/market/universe/changes.py`, `engine/market/universe/liquidity.py`,
`engine/market/universe/overnight.py` and `engine/market/universe/record.py`.
"""
import datetime as dt
import gzip
from dataclasses import replace
from math import isnan

import numpy as np
import orjson
import pytest

from _ext.core.records import WARM_BAR
from engine.broker.upstox import master
from engine.broker.upstox.master import MasterError
from engine.market import universe
from engine.market.sessions import IST
from engine.market.universe import ACTIVE, INACTIVE, SUSPENDED, UNSEEN, Seen, Turnover
from engine.run import universe as kept

DAY, NEXT = dt.date(2026, 9, 1), dt.date(2026, 9, 2)
EXPIRIES = dt.date(2026, 9, 29), dt.date(2026, 10, 27)
NAMES = ("AAA", "BBB", "CCC", "DDD")
MISSING = object()


def end_of(day: dt.date) -> int:
    return round(dt.datetime.combine(day, dt.time(23, 59, 59), IST).timestamp() * 1000)


def contract(name: str, kind: str, expiry: dt.date, strike: float = 0.0, index: bool = False, **changes) -> dict:
    row = {"segment": "NSE_FO", "instrument_key": f"NSE_FO|{name}{kind}{expiry:%m}{strike:g}", "expiry": end_of(expiry),
           "lot_size": 500, "tick_size": 10.0, "freeze_quantity": 20_000.0, "instrument_type": kind, "strike_price": strike,
           "underlying_key": f"NSE_INDEX|{name}" if index else f"NSE_EQ|{name}", "asset_type": "INDEX" if index else "EQUITY",
           "asset_symbol": name, "trading_symbol": f"{name} {strike:g} {kind} {expiry:%d %b %y}"}
    return row | changes


def rows(names=NAMES, expiries=EXPIRIES) -> list[dict]:
    out = [{"segment": "NSE_EQ", "instrument_key": f"NSE_EQ|{n}", "trading_symbol": n, "name": f"{n} LIMITED", "isin": f"IN{n}",
            "instrument_type": "EQ", "lot_size": 1, "tick_size": 5.0, "freeze_quantity": 100_000.0, "security_type": "NORMAL",
            "cas_eligible": n != "DDD"} for n in names]
    out.append({"segment": "NSE_INDEX", "instrument_key": "NSE_INDEX|NIFTY"})
    for n in (*names, "NIFTY"):
        for expiry in expiries:
            out += [contract(n, "FUT", expiry, index=n == "NIFTY")]
            out += [contract(n, right, expiry, strike, index=n == "NIFTY") for strike in (100.0, 110.0) for right in ("CE", "PE")]
    return out


def data_of(content) -> bytes:
    return gzip.compress(orjson.dumps(content), 1)


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """The floors of a file of this size, and a folder of its own."""
    monkeypatch.setattr(master, "LEAST", {"rows": 45, "contracts": 40, "futures": 8, "stocks": 4})
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


def read(content, before=None):
    return master.read(data_of(content), before)


def built(content=None, day=DAY, **given):
    return universe.build(read(content or rows()).listing, day, **given)


# ---- the file ----------------------------------------------------------------------------------------------------------------
def test_a_whole_file_is_taken():
    found = read(rows())
    assert found.counts() == {"rows": 55, "contracts": 50, "futures": 10, "stocks": 4}
    assert found.counts(EXPIRIES[0]) == found.counts()       # its last day still counts
    later = found.counts(EXPIRIES[0] + dt.timedelta(days=1))
    assert later == {"rows": 30, "contracts": 25, "futures": 5, "stocks": 4}


@pytest.mark.parametrize(("what", "count"), [("rows", 55), ("contracts", 50), ("futures", 10), ("stocks", 4)])
def test_each_floor_at_its_edge(monkeypatch, what, count):
    monkeypatch.setitem(master.LEAST, what, count)
    read(rows())
    monkeypatch.setitem(master.LEAST, what, count + 1)
    with pytest.raises(MasterError, match=f"has {count} {what}, {count + 1} are the least: it is cut off"):
        read(rows())


@pytest.mark.parametrize(("before", "good"), [(55, True), (61, True), (62, False)])
def test_a_file_may_lose_a_tenth_of_the_last_one(before, good):
    """0.9 of 61 is 54.9, of 62 it is 55.8: 55 and 56 rows."""
    counts = {"rows": before, "contracts": 50, "futures": 10, "stocks": 4}
    if good:
        read(rows(), counts)
    else:
        with pytest.raises(MasterError, match="after the last one"):
            read(rows(), counts)


def test_a_key_twice_an_underlying_missing_or_a_bare_name():
    with pytest.raises(MasterError, match="a key twice"):
        read([*rows(), rows()[0]])
    with pytest.raises(MasterError, match="a key twice"):
        read([*rows(), rows()[-1]])
    with pytest.raises(MasterError, match="1 underlyings of contracts are not in"):
        read([r for r in rows() if r["instrument_key"] != "NSE_INDEX|NIFTY"] + [dict(rows()[0], instrument_key="NSE_EQ|ZZZ")])
    for bare, good in ((2, True), (3, False)):
        cut = [r for r in rows() if not (r["segment"] == "NSE_FO" and r["asset_symbol"] in NAMES[:bare]
                                         and r["instrument_type"] == "CE")]
        if good:
            read(cut)
        else:
            master.LEAST["contracts"] = 10
            master.LEAST["rows"] = 10
            with pytest.raises(MasterError, match="3 have no futures or no options"):
                read(cut)
    same = rows()
    same[1]["trading_symbol"] = "AAA"
    with pytest.raises(MasterError, match="one symbol"):
        read(same)


@pytest.mark.parametrize(("segment", "field", "value"), [
    ("NSE_EQ", "tick_size", 0), ("NSE_EQ", "tick_size", "5"), ("NSE_EQ", "tick_size", 0.5), ("NSE_EQ", "isin", None),
    ("NSE_EQ", "name", ""), ("NSE_EQ", "freeze_quantity", -5), ("NSE_EQ", "lot_size", MISSING), ("NSE_FO", "tick_size", 0.1),
    ("NSE_FO", "lot_size", 500.5), ("NSE_FO", "lot_size", 0), ("NSE_FO", "lot_size", True), ("NSE_FO", "instrument_type", "XX"),
    ("NSE_FO", "strike_price", "x"), ("NSE_FO", "strike_price", 100.0), ("NSE_FO", "expiry", 1e18), ("NSE_FO", "expiry", 0),
    ("NSE_FO", "expiry", None), ("NSE_FO", "instrument_key", 7), ("NSE_FO", "freeze_quantity", 499),
    ("NSE_FO", "trading_symbol", "")])
def test_one_impossible_value_is_enough(segment, field, value):
    """Of the first share or its future."""
    content = rows()
    row = next(r for r in content if r["segment"] == segment)
    row[field] = value
    if value is MISSING:
        del row[field]
    with pytest.raises(MasterError):
        read(content)


def with_tests(count: int) -> list[dict]:
    """The exchange's symbols for mock sessions, as the files of 2025 have them: a share and a future each, no options."""
    out = rows()
    for i in range(1, count + 1):
        share = next(r for r in out if r["segment"] == "NSE_EQ") | {
            "instrument_key": f"NSE_EQ|DUMMYSAN{i:03}", "isin": f"DUMMYSAN{i:03}", "trading_symbol": f"{i:02}1NSETEST"}
        future = contract("AAA", "FUT", dt.date(2036, 11, 27)) | {
            "instrument_key": f"NSE_FO|9{i:05}", "underlying_key": share["instrument_key"], "asset_symbol": share["trading_symbol"]}
        out += [share, future]
    return out


@pytest.mark.parametrize("count", [1, 2, 3, 18])
def test_the_exchanges_test_symbols_are_in_no_universe(count):
    found = read(with_tests(count))
    assert found.counts() == read(rows()).counts() and set(built(with_tests(count)).stocks) == set(NAMES)
    named = with_tests(count)
    for row in named:                                      # by either of the two signs
        if row.get("isin", "").startswith("DUMMY"):
            row["isin"] = "INE000A01001"
    assert set(built(named).stocks) == set(NAMES)
    assert set(built([r | {"trading_symbol": "MOCK"} if r.get("isin", "").startswith("DUMMY") else r
                      for r in with_tests(count)]).stocks) == set(NAMES)


def test_a_share_is_no_test_symbol_for_a_name_that_is_like_one():
    content = rows()
    content[0]["trading_symbol"] = "NSETEST"
    assert "NSETEST" in built(content).stocks


def test_a_file_of_all_exchanges_or_unpacked_is_read_as_that_of_one():
    others = [{"segment": "BSE_EQ", "instrument_key": "BSE_EQ|AAA", "trading_symbol": "AAA", "isin": "INAAA"},
              contract("AAA", "FUT", EXPIRIES[0]) | {"segment": "BSE_FO", "instrument_key": "BSE_FO|1"},
              {"segment": "MCX_FO", "instrument_key": "MCX_FO|1", "tick_size": 0.1}, {"segment": "NSE_COM"}]
    found = read([*others, *rows(), *others])
    assert found.counts() == read(rows()).counts() and found.listing == read(rows()).listing
    assert master.read(orjson.dumps(rows())).listing == read(rows()).listing
    # what the other exchanges list more or less of is no sign of a file that is cut off
    read(rows(), found.counts())


@pytest.mark.parametrize(("data", "words"), [
    (b"instrument_key,exchange_token,tradingsymbol\nNSE_EQ|INE1,1,AAA\n", "which is JSON"), (b'{"AAA": {}}', "which is JSON"),
    (data_of([r for r in rows() if r["segment"] == "NSE_EQ"]), "has no F&O contract of NSE"), (b"[1", "damaged")],
    ids=["CSV", "by symbol", "shares alone", "cut"])
def test_a_file_of_another_kind_is_called_so(data, words):
    with pytest.raises(MasterError, match=words):
        master.read(data)


def test_an_option_needs_a_strike_and_a_freeze_of_one_lot_is_enough():
    content = rows()
    option = next(r for r in content if r.get("instrument_type") == "CE")
    option["freeze_quantity"] = option["lot_size"]
    read(content)
    option["strike_price"] = 0.0
    with pytest.raises(MasterError, match="makes no sense"):
        read(content)


def test_the_ban_list_of_the_day_and_no_other(tmp_path):
    path = tmp_path / "fo_secban.csv"
    path.write_text("Securities in Ban For Trade Date 01-SEP-2026:\n1,AAA\n2, CCC \n")
    assert master.banned(path, DAY) == {"AAA", "CCC"} and master.banned(path, NEXT) is None
    assert master.banned(None, DAY) is None and master.banned(tmp_path / "none", DAY) is None
    path.write_text("")
    assert master.banned(path, DAY) is None


# ---- the universe ------------------------------------------------------------------------------------------------------------
def test_stocks_with_their_terms():
    found = built(banned={"BBB"})
    assert list(found.stocks) == list(NAMES) and found.indices == {"NIFTY": "NSE_INDEX|NIFTY"}
    stock = found.stocks["AAA"]
    assert (stock.name, stock.key, stock.isin, stock.tick, stock.lot, stock.freeze, stock.equity_freeze) == (
        "AAA LIMITED", "NSE_EQ|AAA", "INAAA", 5, 500, 20_000, 100_000)
    assert stock.is_cas and not found.stocks["DDD"].is_cas and stock.status == ACTIVE
    assert stock.document()["options"] == {"2026-09-29": 4, "2026-10-27": 4}
    assert found.document()["counts"] == {"stocks": 4, "indices": 1, "futures": 8, "options": 32, ACTIVE: 4, INACTIVE: 0,
                                          SUSPENDED: 0}
    assert [c.expiry for c in stock.futures] == ["2026-09-29", "2026-10-27"]
    assert [(c.type, c.strike) for c in stock.options][:4] == [("CE", 10_000), ("PE", 10_000), ("CE", 11_000), ("PE", 11_000)]
    assert (found.stocks["BBB"].banned, stock.banned, built().stocks["BBB"].banned) == (1, 0, -1)
    assert list(built(excluded=["AAA", "CCC"]).stocks) == ["BBB", "DDD"]


def test_what_has_expired_is_left_out_the_day_after():
    assert len(built(day=EXPIRIES[0]).stocks["AAA"].futures) == 2
    assert [c.expiry for c in built(day=EXPIRIES[0] + dt.timedelta(days=1)).stocks["AAA"].futures] == ["2026-10-27"]


@pytest.mark.parametrize(("change", "reason"), [
    ({"security_type": "SME"}, "listed as EQ"), ({"instrument_type": "BE"}, "listed as BE")])
def test_a_share_that_is_none_of_the_ordinary_is_suspended(change, reason):
    content = rows()
    content[0] |= change
    stock = built(content).stocks["AAA"]
    assert (stock.status, stock.reason) == (SUSPENDED, reason)
    content = [r for r in rows() if not (r.get("instrument_type") == "FUT" and r.get("asset_symbol") == "AAA")]
    assert built(content).stocks["AAA"].reason == "no future is listed"


def test_what_the_engine_is_told_of():
    found = built(banned={"AAA"})
    found = replace(found, stocks=found.stocks | {"BBB": replace(found.stocks["BBB"], status=SUSPENDED),
                                                  "CCC": replace(found.stocks["CCC"], status=INACTIVE)})
    shares = found.specs()
    assert [(s.symbol, s.tradable, s.is_cas, s.tick, s.lot, s.freeze) for s in shares] == [
        ("AAA", True, True, 5, 1, 100_000), ("BBB", False, True, 5, 1, 100_000), ("DDD", True, False, 5, 1, 100_000)]
    told = found.specs(futures=True, options=3, prices={"NSE_EQ|AAA": 10_400, "NSE_EQ|CCC": 10_400})
    future = told[3]
    assert (future.kind, future.lot, future.freeze, future.tick, future.expiry) == ("future", 500, 20_000, 10, "2026-09-29")
    assert (future.underlying, future.banned, future.tradable) == ("NSE_EQ|AAA", 1, True)
    assert not told[4].tradable and len(told) == 3 + 3 + 3
    assert [(s.strike, s.right, s.expiry, s.tradable) for s in told[6:]] == [
        (10_000, "CE", "2026-09-29", False), (10_000, "PE", "2026-09-29", False), (11_000, "CE", "2026-09-29", False)]
    for price, strikes in ((10_500, [10_000, 10_000]), (10_501, [11_000, 11_000])):        # half-way: the lower
        assert [s.strike for s in found.specs(options=2, prices={"NSE_EQ|AAA": price})[3:]] == strikes


# ---- from one day to the next --------------------------------------------------------------------------------------------------
def changed(name: str, kind: str | None, **fields) -> list[dict]:
    """The rows with a share's (kind None) or its contracts' fields changed."""
    content = rows()
    for row in content:
        if kind is None and row["instrument_key"] == f"NSE_EQ|{name}":
            row |= fields
        elif row.get("asset_symbol") == name and row["instrument_type"] == kind:
            row |= fields
    return content


@pytest.mark.parametrize(("kind", "fields", "seen", "blocks"), [
    (None, {"tick_size": 10.0}, ("stock", "tick", "5", "10"), True),
    (None, {"freeze_quantity": 50_000.0}, ("stock", "freeze", "100000", "50000"), True),
    (None, {"trading_symbol": "AAB"}, ("stock", "symbol", "AAA", "AAB"), False),
    (None, {"isin": "INX"}, ("stock", "isin", "INAAA", "INX"), True),
    (None, {"cas_eligible": False}, ("stock", "closing auction", "True", "False"), False),
    ("FUT", {"lot_size": 250}, ("future", "lot", "500", "250"), True),
    ("FUT", {"tick_size": 5.0}, ("future", "tick", "10", "5"), True),
    ("CE", {"freeze_quantity": 30_000.0}, ("option", "freeze", "20000", "30000"), True),
    ("PE", {"trading_symbol": "X"}, ("option", "name", None, "X"), False)])
def test_each_change_of_terms_and_which_block(kind, fields, seen, blocks):
    old, new = built(), built(changed("AAA", kind, **fields), NEXT)
    changes = universe.diff(old, new)
    found = changes[0]
    assert (found.what, found.field, found.now) == (seen[0], seen[1], seen[3]) and seen[2] in (None, found.was)
    assert {c.is_blocking for c in changes} == {blocks} and {c.symbol for c in changes} == {new.stocks.get("AAA", found).symbol}
    today, _ = universe.follow(old, new, {})
    status = next(s for s in today.stocks.values() if s.key == "NSE_EQ|AAA")
    assert (status.status == SUSPENDED) == blocks and today.stocks["BBB"].status == ACTIVE
    if blocks:
        assert "acknowledge" in status.reason
        for acknowledged, want in ((NEXT, ACTIVE), (DAY, SUSPENDED)):
            assert universe.follow(old, new, {"AAA": acknowledged.isoformat()})[0].stocks["AAA"].status == want
        third = built(changed("AAA", kind, **fields), dt.date(2026, 9, 3))
        assert universe.follow(today, third, {})[0].stocks["AAA"].status == SUSPENDED           # nobody has looked
        assert universe.follow(today, third, {"AAA": NEXT.isoformat()})[0].stocks["AAA"].status == ACTIVE


def test_joined_left_and_back_with_other_terms():
    old = built()
    without = [r for r in rows() if r.get("asset_symbol") != "CCC"]
    master.LEAST.update(stocks=3, contracts=30, rows=30, futures=6)
    new = built(without, NEXT)
    assert [(c.symbol, c.kind) for c in universe.diff(old, new) if c.what == "stock"] == [("CCC", "left")]
    assert [(c.symbol, c.kind) for c in universe.diff(new, old) if c.what == "stock"] == [("CCC", "joined")]
    today, _ = universe.follow(old, new, {})
    gone = today.stocks["CCC"]
    assert gone.status == INACTIVE and gone.futures == () and "2026-09-02" in gone.reason and gone.lot == 500
    third = dt.date(2026, 9, 3)
    assert universe.follow(today, built(rows(), third), {})[0].stocks["CCC"].status == ACTIVE
    back, changes = universe.follow(today, built(changed("CCC", "FUT", lot_size=250), third), {})
    assert back.stocks["CCC"].status == SUSPENDED and ("lot", "500", "250") in {(c.field, c.was, c.now) for c in changes}


def test_contracts_come_go_and_keys_are_used_again():
    def kinds(old, new):
        return {(c.what, c.kind) for c in universe.diff(old, new)}

    one = rows()
    assert kinds(built(one), built(one, NEXT)) == set()
    after = EXPIRIES[0] + dt.timedelta(days=1)
    assert kinds(built(one), built(one, after)) == {("future", "expired"), ("option", "expired")}
    fewer = [r for r in one if not (r.get("strike_price") == 110.0 and r["asset_symbol"] == "AAA")]
    assert kinds(built(one), built(fewer, NEXT)) == {("option", "delisted")}
    assert kinds(built(fewer), built(one, NEXT)) == {("option", "listed")}
    again = rows()
    next(r for r in again if r.get("strike_price") == 110.0)["strike_price"] = 120.0
    assert kinds(built(one), built(again, NEXT)) == {("option", "reused")}


def test_a_roll_to_a_future_of_another_lot_is_a_change_of_the_stock():
    content = rows()
    for row in content:
        if row.get("asset_symbol") == "AAA" and row["expiry"] == end_of(EXPIRIES[1]):
            row["lot_size"] = 400
    after = EXPIRIES[0] + dt.timedelta(days=1)
    changes = universe.diff(built(content), built(content, after))
    assert [(c.field, c.was, c.now) for c in changes if c.what == "stock"] == [("lot", "500", "400")]


def split(name: str, isin: str, **terms) -> list[dict]:
    """The rows after a change of `name`'s face value: another ISIN, hence another key, under the same symbol."""
    out = rows()
    for row in out:
        if row["instrument_key"] == f"NSE_EQ|{name}":
            row |= {"isin": isin, "instrument_key": f"NSE_EQ|{isin}"}
        elif row.get("asset_symbol") == name:
            row |= {"underlying_key": f"NSE_EQ|{isin}"} | terms
    return out


def test_a_share_with_a_new_isin_goes_on_under_its_symbol():
    old, new = built(), built(split("AAA", "INNEW", lot_size=2500), NEXT)
    changes = universe.diff(old, new)
    assert [(c.kind, c.field, c.was, c.now) for c in changes if c.what == "stock"] == [("changed", "isin", "INAAA", "INNEW")]
    assert {c.kind for c in changes} == {"changed"}, "its contracts keep their keys"
    today, _ = universe.follow(old, new, {})
    assert today.stocks["AAA"].key == "NSE_EQ|INNEW" and today.stocks["AAA"].status == SUSPENDED
    assert {s.key for s in today.specs()} >= {"NSE_EQ|INNEW"} and "NSE_EQ|AAA" not in {s.key for s in today.specs()}
    # all that changed is shown: the ISIN, the lots of two futures and of eight options
    for words in ("stock isin INAAA -> INNEW", "2 futures lot 500 -> 2500", "8 options lot 500 -> 2500", "acknowledge AAA`"):
        assert words in today.stocks["AAA"].reason
    # once is enough, and it is told to the engine and trades on each day after
    seen = old
    for day in (NEXT, *(NEXT + dt.timedelta(days=n) for n in (1, 2))):
        seen, more = universe.follow(seen, built(split("AAA", "INNEW", lot_size=2500), day),
                                     {"AAA": NEXT.isoformat()})
        assert seen.stocks["AAA"].status == ACTIVE and any(s.symbol == "AAA" and s.tradable for s in seen.specs())
        assert bool(more) == (day == NEXT)


def test_terms_that_change_while_nobody_has_looked_are_all_shown():
    third, fourth = dt.date(2026, 9, 3), dt.date(2026, 9, 4)
    one, _ = universe.follow(built(), built(changed("AAA", "FUT", lot_size=250), NEXT), {})
    content = changed("AAA", "FUT", lot_size=250)
    content[0]["tick_size"] = 10.0
    two, _ = universe.follow(one, built(content, third), {})
    for words in ("changed on 2026-09-02: 2 futures lot 500 -> 250", "changed on 2026-09-03: stock tick 5 -> 10"):
        assert words in two.stocks["AAA"].reason
    assert two.stocks["AAA"].reason.count("acknowledge") == 1
    after, _ = universe.follow(two, built(content, fourth), {"AAA": third.isoformat()})
    assert after.stocks["AAA"].status == ACTIVE
    early, _ = universe.follow(two, built(content, fourth), {"AAA": NEXT.isoformat()})
    assert early.stocks["AAA"].status == SUSPENDED, "the second change came after somebody had looked"


def test_a_name_comes_back_under_another_key_and_is_judged_by_its_last_terms():
    without = [r for r in rows() if r.get("asset_symbol") != "CCC"]
    master.LEAST.update(stocks=3, contracts=30, rows=30, futures=6)
    gone, _ = universe.follow(built(), built(without, NEXT), {})
    back, changes = universe.follow(gone, built(split("CCC", "INNEW"), dt.date(2026, 9, 3)), {})
    assert back.stocks["CCC"].status == SUSPENDED and ("isin", "INCCC", "INNEW") in {(c.field, c.was, c.now) for c in changes}


def test_a_symbol_given_to_another_share_keeps_both_apart():
    """AAA is renamed AAX and keeps its key; a new share gets the symbol AAA, as after a demerger."""
    content = rows()
    new = rows(("AAA",))
    for row in new:
        row |= {name: row[name].replace("|AAA", "|INNEW") for name in ("instrument_key", "underlying_key") if name in row}
        row |= {"isin": "INNEW"} if "isin" in row else {}
    for row in content:
        row |= {"trading_symbol": "AAX"} if row["instrument_key"] == "NSE_EQ|AAA" else {}
        row |= {"asset_symbol": "AAX"} if row.get("asset_symbol") == "AAA" else {}
    both = content + [r for r in new if r.get("asset_symbol", r.get("trading_symbol")) == "AAA"]
    today, changes = universe.follow(built(), built(both, NEXT), {})
    assert (today.stocks["AAX"].key, today.stocks["AAA"].key) == ("NSE_EQ|AAA", "NSE_EQ|INNEW")
    told = {(c.symbol, c.kind, c.field) for c in changes if c.what == "stock"}
    assert told == {("AAX", "changed", "symbol"), ("AAA", "joined", "")}


def test_a_symbol_taken_over_by_a_share_that_was_there_is_that_shares():
    """AAA leaves F&O and BBB, which stays, is renamed AAA: the symbol is the living one's."""
    content = [r for r in rows() if r.get("asset_symbol") != "AAA" and r["instrument_key"] != "NSE_EQ|AAA"]
    for row in content:
        row |= {"trading_symbol": "AAA"} if row["instrument_key"] == "NSE_EQ|BBB" else {}
        row |= {"asset_symbol": "AAA"} if row.get("asset_symbol") == "BBB" else {}
    master.LEAST.update(stocks=3, contracts=30, rows=30, futures=6)
    today, changes = universe.follow(built(), built(content, NEXT), {})
    assert (today.stocks["AAA"].key, today.stocks["AAA"].status) == ("NSE_EQ|BBB", ACTIVE)
    assert {(c.key, c.kind) for c in changes if c.what == "stock"} == {("NSE_EQ|AAA", "left"), ("NSE_EQ|BBB", "changed")}


def test_a_key_that_names_another_stocks_contract_is_used_again():
    content = rows()
    after = EXPIRIES[0] + dt.timedelta(days=1)
    new = rows(expiries=(EXPIRIES[1], dt.date(2026, 11, 24)))
    first = next(r["instrument_key"] for r in content if r.get("asset_symbol") == "AAA" and r["expiry"] == end_of(EXPIRIES[0]))
    row = next(r for r in new if r.get("asset_symbol") == "BBB" and r["expiry"] == end_of(dt.date(2026, 11, 24)))
    row["instrument_key"] = first
    found = [c for c in universe.diff(built(content), built(new, after)) if c.key == first]
    assert [(c.symbol, c.kind, c.was, c.now) for c in found] == [("BBB", "reused", "AAA 0 FUT 29 Sep 26", row["trading_symbol"])]


def test_stocks_that_left_are_not_counted():
    without = [r for r in rows() if r.get("asset_symbol") != "CCC"]
    master.LEAST.update(stocks=3, contracts=30, rows=30, futures=6)
    found, _ = universe.follow(built(), built(without, NEXT), {})
    assert found.document()["counts"].items() >= {"stocks": 3, "ACTIVE": 3, "INACTIVE": 1}.items()


# ---- ranks and nights ----------------------------------------------------------------------------------------------------------
def test_liquidity_is_a_weighted_mean_of_ranks():
    names = {"a": Turnover(100, 10, 5), "b": Turnover(300, 30, 1), "c": Turnover(200, 20, 3), "d": Turnover(200), "e": Turnover()}
    scores = universe.liquidity(names)
    assert scores["b"] == pytest.approx(1.0) and scores["a"] == pytest.approx(0.0)
    # turnover: 200 and 200 share the ranks 1 and 2 of 3; open interest and spread: the middle of three
    assert scores["c"] == pytest.approx(0.5 * 0.5 + 0.3 * 0.5 + 0.2 * 0.5) and scores["d"] == pytest.approx(0.5)
    assert isnan(scores["e"])
    parts = universe.liquidity({"a": Turnover(2, 1, 1), "b": Turnover(1, 2, 2)})
    assert parts == {"a": pytest.approx(0.5 + 0.2), "b": pytest.approx(0.3)}


@pytest.mark.parametrize(("before", "after", "factor", "is_explained"), [
    (1000, 1000, 1.0, True), (1000, 1005, 1.0, True), (1000, 1006, 1.006, True), (1000, 996, 1.0, True), (1000, 994, 0.994, True),
    (1000, 1079, 1.079, True), (1000, 1081, 1.0, False), (1000, 920, 0.92, True), (1000, 919, 1.0, False), (1000, 500, 0.5, True),
    (1000, 502, 0.502, True), (1000, 505, 1.0, False), (1000, 2000, 2.0, True), (1000, 667, 0.667, True), (1000, 100, 0.1, True),
    (1000, 0, 1.0, True), (0, 1000, 1.0, True)])
def test_a_night_is_a_split_a_dividend_or_not_explained(before, after, factor, is_explained):
    is_split = is_explained and abs(after / before - 1) > 0.08 if before and after else False
    got, reason = universe.overnight(before, after, Seen(after / before, before / after) if is_split else UNSEEN)
    assert got == pytest.approx(factor) and (reason == "") == is_explained


@pytest.mark.parametrize(("what", "before", "after", "factor", "shares"), [
    ("bonus 1:1", 2100, 1050, 0.5, 2.0), ("bonus 1:10", 1100, 1000, 10 / 11, 1.1), ("bonus 1:20", 1050, 1000, 20 / 21, 1.05),
    ("bonus 3:5", 800, 500, 0.625, 1.6), ("split 5:1", 500, 100, 0.2, 5.0), ("split 1:100 reverse", 8.65, 865, 100.0, 0.01),
    ("bonus 1:2 on a tick", 1000.05, 666.70, 666.70 / 1000.05, 1.5)])
def test_a_usual_ratio_speaks_for_itself(what, before, after, factor, shares):
    assert universe.overnight(before, after) == (pytest.approx(factor), "")
    assert universe.shares_added(before, after) == pytest.approx(shares, rel=1e-3)


@pytest.mark.parametrize(("what", "before", "after"), [
    ("demerger, price discovered anew", 773.60, 289.50), ("demerger", 2841.85, 2580.00), ("demerger", 1000, 430),
    ("rights", 100, 62), ("SIEMENS, 2025-04-07", 4928.15, 2450.0), ("SIEMENS as it closed", 4928.15, 2478.4), ("3:7", 1000, 300.3)])
def test_a_ratio_that_is_none_is_left_alone_and_adds_no_share(what, before, after):
    factor, reason = universe.overnight(before, after)
    assert factor == 1.0 and "nothing tells a split from a demerger" in reason
    assert universe.shares_added(before, after) == 1.0


def test_a_dividend_and_a_small_right_change_the_price_alone():
    for before, after in ((1000, 960), (1000, 1006), (1000, 925)):
        assert universe.overnight(before, after)[0] == pytest.approx(after / before)
        assert universe.shares_added(before, after) == 1.0
    assert universe.shares_added(1000, 1004) == 1.0 and universe.shares_added(0, 5) == 1.0 == universe.shares_added(5, 0)


def test_candles_adjusted_since_tell_a_split_from_a_demerger():
    # a bonus of 7:3 (0.3) whose last minute closed off the exchange's close: prices and volumes of the candles say what it was
    split, demerger = Seen(0.3, 1 / 0.3), Seen(0.374, 1.0)
    assert universe.overnight(1000, 302, split) == (0.3, "") and universe.shares_added(1000, 302, split) == pytest.approx(1 / 0.3)
    assert universe.overnight(773.60, 289.50, demerger) == (0.374, "") and universe.shares_added(773.60, 289.50, demerger) == 1.0
    # prices adjusted, volumes of neither kind: nobody knows
    odd = Seen(0.5, 1.4)
    assert universe.overnight(1000, 500, odd)[1] and universe.shares_added(1000, 500, odd) == 1.0
    # adjusted by another factor than the night's
    assert universe.overnight(1000, 430, Seen(0.5, 2.0))[1] and universe.shares_added(1000, 430, Seen(0.5, 2.0)) == 1.0
    # SIEMENS: exactly a half by its price, and the volumes are those of the day: no share was added
    assert universe.overnight(1000, 500, Seen(0.5, 1.0)) == (0.5, "") and universe.shares_added(1000, 500, Seen(0.5, 1.0)) == 1.0
    # candles as they were: the ratio speaks, where it can
    assert universe.overnight(1000, 500, Seen(1.0, 1.0)) == (0.5, "") and universe.overnight(1000, 430, Seen(1.0, 1.0))[1]


def test_lots_of_contracts_that_kept_their_keys_are_a_witness():
    assert universe.overnight(1000, 302, Seen(lots=10 / 3))[0] == pytest.approx(0.302)
    assert universe.shares_added(1000, 302, Seen(lots=10 / 3)) == pytest.approx(1 / 0.302)
    assert universe.overnight(1000, 500, Seen(lots=4.0))[1] and universe.shares_added(1000, 500, Seen(lots=4.0)) == 1.0
    assert universe.overnight(1000, 302, Seen(lots=1.0))[1]
    assert universe.lots_by([("500", "1000"), ("250", "500")]) == 2.0 and isnan(universe.lots_by([]))
    assert isnan(universe.lots_by([("500", "1000"), ("500", "400")])) and isnan(universe.lots_by([("0", "5")]))


def test_the_witness_is_the_median_of_minutes_in_both():
    kept = np.zeros(30, WARM_BAR)
    kept["minute"], kept["close"], kept["volume"] = np.arange(100, 130), 10_000, 500
    new = kept[5:].copy()
    new["close"], new["volume"] = 5_000, 1_000
    new["volume"][3] = 90_000                             # one minute that was corrected says nothing
    assert universe.witnessed(kept, new) == Seen(0.5, 2.0)
    assert isnan(universe.witnessed(kept[:24], new).prices) and isnan(universe.witnessed(kept, new[:0]).prices)
    new["volume"] = 0
    assert isnan(universe.witnessed(kept, new).volumes)


def test_turnover_from_quotes():
    quote = {"depth": {"buy": [{"price": 99.9}], "sell": [{"price": 100.1}]}, "volume": 1000, "average_price": 100.0}
    future = {"oi": 5000, "last_price": 101.0}
    assert universe.turnover_of(quote, future) == Turnover(100_000, 505_000, pytest.approx(20.0))
    assert universe.turnover_of(quote, future, 7.0).value == 7.0
    none = universe.turnover_of({"depth": {"buy": [], "sell": [{"price": 100.1}]}}, {})
    assert all(isnan(x) for x in (none.value, none.open_interest, none.spread_bp))


def test_days_follow_each_other_on_disk():
    def day(content, when):
        master.kept(when).write_bytes(data_of(content))
        return kept.take(when, read(content).listing, None)

    first = day(rows(), DAY)
    assert not first.changes and {r["valid_from"] for r in first.rows} == {"2026-09-01"}
    second = day(changed("AAA", "FUT", lot_size=250), NEXT)
    assert second.universe.stocks["AAA"].status == SUSPENDED
    mine = [r for r in second.rows if r["symbol"] == "AAA"]
    assert [(r["valid_from"], r["valid_to"], r["lot"]) for r in mine] == [
        ("2026-09-01", "2026-09-02", 500), ("2026-09-02", universe.FOR_EVER, 250)]
    assert [(r["valid_from"], r["valid_to"]) for r in second.rows if r["symbol"] == "BBB"] == [("2026-09-01", universe.FOR_EVER)]
    kept.acknowledge(["AAA"], NEXT)
    third = day(changed("AAA", "FUT", lot_size=250), dt.date(2026, 9, 3))
    assert third.universe.stocks["AAA"].status == ACTIVE and not third.changes
    assert [d["day"] for d in kept.noted(dt.date(2026, 9, 4))] == ["2026-09-01", "2026-09-02", "2026-09-03"]
    assert [d["day"] for d in kept.noted(dt.date(2026, 9, 3))] == ["2026-09-01", "2026-09-02"]
    kept.announce(kept.noted(NEXT))
    assert [d["day"] for d in kept.noted(dt.date(2026, 9, 4))] == ["2026-09-02", "2026-09-03"]


def test_a_table_of_instruments_comes_back_as_it_was():
    """Shares, futures and options, with and without a closing auction, banned, with bands: the bytes of a record and back."""
    from engine.market.instruments import Instrument, of_table, table

    day = dt.date(2026, 9, 1)
    month = {"is_cas": False, "underlying": "NSE_EQ|A", "expiry": "2026-09-29"}
    names = [Instrument("NSE_EQ|A", "RELIANCE", tick=10, lower=90_000, upper=110_000),
             Instrument("NSE_EQ|B", "BBB", is_cas=False, tradable=False),
             Instrument("NSE_FO|1", "RELIANCE FUT", "future", 10, 500, 20_000, banned=1, **month),
             Instrument("NSE_FO|2", "RELIANCE 1300 PE", "option", 5, 500, 20_000, banned=-1, strike=130_000, right="PE", **month)]
    rows = table(names, day)
    assert of_table(rows) == names and table(of_table(rows), day).tobytes() == rows.tobytes()
