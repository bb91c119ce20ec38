"""The comparison with other backtesters (`bench/peers`): what it does without them."""
import datetime as dt

import numpy as np
import pytest

from bench.peers import compare, rows
from engine.feed import dayfile
from engine.feed.dayfile import DayFile
from engine.market.instruments import Instrument


def side(name, empty, full, within=()):
    def runs(seconds, parts):
        return [compare.Run(s, 100.0, {"events": 7, "trades": 2} | ({"run_s": p} if parts else {}))
                for s, p in zip(seconds, parts or seconds, strict=True)]

    return compare.Side(name, lambda given: [], empty=runs(empty, [0.0] * len(empty) if within else ()), full=runs(full, within))


def test_the_table_says_what_the_rows_cost_and_how_many_times_ours():
    ours = side(compare.OURS, (0.5, 0.6, 0.5), (1.0, 1.0, 1.1))
    peer = side("peer", (1.0, 1.0, 1.0), (9.0, 9.0, 7.0), (5.0, 4.0, 6.0))
    head, _, first, second = compare.table([ours, peer]).splitlines()
    assert head.count("|") == first.count("|") == second.count("|")
    assert first == f"| {compare.OURS} | 7 | 2 | 0.50 (0.50-0.60) | 1.00 (1.00-1.10) | 0.50 (0.40-0.60) | 1 |  |  | 100 |"
    assert second == ("| peer | 7 | 2 | 1.00 (1.00-1.00) | 9.00 (7.00-9.00) | 8.00 (6.00-8.00) | 16.0 (10.0-20.0) | "
                      "5.00 (4.00-6.00) | 10.0 (10.0-10.0) | 100 |")


def test_a_ratio_is_of_the_same_round():
    found = compare.ratio(np.array([10.0, 40.0, 20.0]), np.array([1.0, 4.0, 2.0]))
    assert found == (10.0, 10.0, 10.0)


@pytest.mark.parametrize("script", compare.PEERS)
def test_every_peer_has_its_script_and_pinned_requirements(script):
    assert (compare.HERE / f"on_{script}.py").exists()
    wanted = (compare.HERE / f"{script}.txt").read_text().split()
    assert wanted[0].startswith(script) and all("==" in line for line in wanted)


def test_the_arrays_of_a_day_are_its_rows(tmp_path):
    specs = [Instrument(key="NSE_EQ|A", symbol="A", tick=5), Instrument(key="NSE_EQ|B", symbol="B", tick=10)]
    columns = {"inst": np.array([0, 1, 0, 0], np.uint32), "received": np.array([1, 1, 2, 3], np.int64),
               "ltp": np.array([100_000, 2_000, 100_002, 99_990], np.int64), "vtt": np.array([50, 9, 50, 80], np.int64)}
    path = tmp_path / "2021-05-14.ticks.day"
    dayfile.write(path, dt.date(2021, 5, 14), "ticks", specs, columns, [])
    folder = rows.cut(rows.day_of(tmp_path, 3), 3, tmp_path / "cut")
    assert DayFile(folder / path.name).rows == 3
    found = dict(np.load(folder / "rows.npz"))
    assert found["ns"].tolist() == [1_000_000, 1_000_000, 2_000_000] and found["last"].tolist() == [1000.0, 20.0, 1000.02]
    assert found["volume"].tolist() == [0, 0, 0] and rows.arrays_of(DayFile(path))["volume"].tolist() == [0, 0, 0, 30]
    assert found["bid"].tolist() == [999.85, 19.8, 999.85] and found["ask"].tolist() == [1000.15, 20.1, 1000.15]
    assert found["symbols"].tolist() == ["A", "B"] and found["steps"].tolist() == [0.05, 0.1] and not found["is_index"].any()


def test_what_fails_says_so(tmp_path):
    failing = compare.Side("failing", lambda given: ["sh", "-c", "echo no rows >&2; exit 3"])
    with pytest.raises(SystemExit, match="failing: exit 3\nno rows"):
        compare.measured(failing, tmp_path, tmp_path)
    said = compare.Side("well", lambda given: ["echo", '{"events": 1}'])
    assert compare.measured(said, tmp_path, tmp_path).said == {"events": 1}
