"""The broker's instrument file, on the real ones where they are."""
import datetime as dt
import gzip

import orjson
import pytest

from engine.config import Config, Rollout
from engine.market import master
from engine.trade import rollout
from tests.conftest import recording

DAY = dt.date(2026, 8, 21)


def test_the_real_file_has_208_stocks_and_their_contracts():
    data = recording("instruments").joinpath("NSE.2026-08-21.json.gz").read_bytes()
    specs = master.parse(data, DAY, futures=True)
    stocks = [s for s in specs if s.kind == "equity"]
    futures = {s.underlying: s for s in specs if s.kind == "future"}
    assert len(stocks) == len(futures) == 208
    reliance = next(s for s in stocks if s.symbol == "RELIANCE")
    assert (reliance.key, reliance.tick, reliance.lot, reliance.freeze, reliance.is_cas) == (
        "NSE_EQ|INE002A01018", 10, 1, 100_000, True)
    assert futures[reliance.key].lot == 500 and futures[reliance.key].expiry == "2026-08-25"


@pytest.mark.parametrize("data", [b"", b"not gzip", gzip.compress(b"[1, 2"), gzip.compress(b"[]"), gzip.compress(b"{}")])
def test_damaged_files_are_refused(data):
    with pytest.raises(master.MasterError, match="fetch it again"):
        master.parse(data, DAY)


def test_half_a_file_is_refused():
    rows = [{"segment": "NSE_EQ", "instrument_key": str(i)} for i in range(master.LEAST_ROWS)]
    with pytest.raises(master.MasterError, match="only 0 F&O stocks"):
        master.parse(gzip.compress(orjson.dumps(rows)), DAY)


def test_ban_list_of_the_day_only(tmp_path):
    path = tmp_path / "fo_secban.csv"
    path.write_text("Securities in Ban For Trade Date 21-AUG-2026:\n1,SAIL\n2,IDEA\n")
    assert master.banned(path, DAY) == {"SAIL", "IDEA"}
    assert master.banned(path, DAY + dt.timedelta(days=1)) is None and master.banned(None, DAY) is None


def test_going_live_begins_with_one_name_and_half_a_per_cent():
    from engine.market.instruments import shipped

    config, specs = rollout.apply(Config(rollout=Rollout(symbols=["RELIANCE", "TCS"])), list(shipped()))
    assert [s.symbol for s in specs if s.tradable] == ["RELIANCE"]
    assert config.risk.notional == 0.005 and config.risk.max_positions == 1
    config, specs = rollout.apply(Config(rollout=Rollout(step=4)), list(shipped()))
    assert sum(s.tradable for s in specs) == 208 and config.risk.notional == 0.05 and config.risk.max_positions == 3
