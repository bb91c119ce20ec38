"""The day file: what was recorded comes back to the byte; what is damaged is refused in words, whatever is damaged."""
import datetime as dt
import struct

import numpy as np
import orjson
import pytest

from engine.errors import DataError
from engine.feed import dayfile
from engine.feed.dayfile import BAR_DTYPE, HEAD, DayFile, Source, of_bars, of_ticks, write
from engine.market.instruments import Instrument, shipped
from engine.sim.contracts import with_contracts
from engine.sim.market import SyntheticMarket
from tests.kit.counts import count

DAY = dt.date(2026, 9, 1)
FROM = [Source("x.csv", "0" * 64, "UTC")]


@pytest.fixture(scope="module")
def recorded():
    """(rows, receipt ms, instruments) of ten minutes, options with Greeks among them."""
    specs = with_contracts(shipped()[:3], DAY, 2)
    market = SyntheticMarket(specs, DAY, 3)
    parts = [market.next_minute() for _ in range(10)]
    rows = np.concatenate([p[0].view(np.uint8) for p in parts]).view(parts[0][0].dtype)
    rows["inst"] = 0
    return rows, np.concatenate([p[1] for p in parts]), specs


@pytest.fixture
def path(tmp_path, recorded):
    rows, received, specs = recorded
    write(tmp_path / "a.day", DAY, "ticks", specs, of_ticks(rows, received, specs), FROM, ["said"])
    return tmp_path / "a.day"


def test_ticks_come_back_to_the_byte(path, recorded):
    day = DayFile(path)
    rows, received = day.ticks()
    assert rows.tobytes() == recorded[0].tobytes() and (received == recorded[1]).all() and day.specs == recorded[2]
    assert (day.day, day.kind, day.sources, day.notes) == (DAY, "ticks", FROM, ["said"])
    assert "delta" in day.columns and not {"iep", "auction_iep", "key", "rp"} & set(day.columns)


def test_columns_are_mapped_and_lie_by_64(path):
    head = orjson.loads(path.read_bytes()[HEAD.size:][:HEAD.unpack(path.read_bytes()[:HEAD.size])[1]])
    assert all(row[3] % 64 == 0 for row in head["columns"]) and path.stat().st_size % 64 == 0
    assert all(isinstance(values.base, np.memmap) or isinstance(values, np.memmap) for values in DayFile(path).columns.values())
    with pytest.raises(ValueError, match="read-only"):
        DayFile(path).columns["ltp"][0] = 1


def test_bars_come_back(tmp_path):
    bars = np.zeros(3, BAR_DTYPE)
    bars["inst"], bars["ms"], bars["close"] = [0, 1, 0], [1, 2, 3], [5, 6, 7]
    write(tmp_path / "b.day", DAY, "bars", shipped()[:2], of_bars(bars), FROM)
    day = DayFile(tmp_path / "b.day")
    assert (day.bars() == bars).all() and set(day.columns) == {"inst", "ms", "close"}


def test_a_day_without_rows_is_one(tmp_path, recorded):
    rows, received, specs = recorded
    write(tmp_path / "e.day", DAY, "ticks", specs, of_ticks(rows[:0], received[:0], specs), [])
    assert len(DayFile(tmp_path / "e.day").ticks()[0]) == 0


def test_a_disk_that_is_full_leaves_what_was_there(path, recorded, monkeypatch):
    before = path.read_bytes()

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dayfile.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(path, DAY, "ticks", [], {"inst": np.zeros(0, np.uint32)}, [])
    assert path.read_bytes() == before and [p.name for p in path.parent.iterdir()] == ["a.day"]


def changed(path, change):
    """The file with another head."""
    data = path.read_bytes()
    magic, length = HEAD.unpack(data[:HEAD.size])
    head = orjson.loads(data[HEAD.size:HEAD.size + length])
    change(head)
    text = orjson.dumps(head)
    path.write_bytes(HEAD.pack(magic, len(text)) + text + data[HEAD.size + len(text):].ljust(64))
    return path


def column(name, at, value):
    def change(head):
        next(row for row in head["columns"] if row[0] == name)[at] = value
    return change


@pytest.mark.parametrize("change", [
    lambda h: h.update(rows=-1), lambda h: h.update(rows=10**12), lambda h: h.update(rows="many"), lambda h: h.update(day="today"),
    lambda h: h.update(kind="films"), lambda h: h.pop("instruments"), lambda h: h.update(instruments=h["instruments"][:1]),
    lambda h: h["instruments"][0].update(colour="red"), lambda h: h["instruments"][0].update(key=5),
    lambda h: h["instruments"][0].update(tick="x"), lambda h: h["instruments"][0].update(tradable=1),
    lambda h: h.update(columns=[]), lambda h: h.update(columns=7),
    column("ltp", 3, 10**9), column("ltp", 3, -64), column("ltp", 3, 7), column("ltp", 1, "|O"), column("ltp", 1, "<U99"),
    column("ltp", 1, "nonsense"), column("levels.bidP", 2, -1), column("levels.bidP", 2, 10**6), column("ltp", 0, "inst"),
    lambda h: h.update(sources=["x"])], ids=range(23))
def test_a_head_that_lies_is_refused(path, change):
    with pytest.raises(DataError, match=r"a\.day: not a day file that can be read: make it again with `python -m engine data imp"):
        DayFile(changed(path, change)).ticks()


def test_other_files_are_no_day_files(tmp_path):
    for data in (b"", b"DAY", b"PAR1" * 40, HEAD.pack(b"DAY1", 2**32 - 1), HEAD.pack(b"DAY1", 5) + b"[1,2]" + b"\0" * 64,
                 HEAD.pack(b"DAY1", 9) + b"[" * 9, struct.pack("<4sI", b"DAY2", 2) + b"{}"):
        (tmp_path / "x.day").write_bytes(data)
        with pytest.raises(DataError, match="not a day file"):
            DayFile(tmp_path / "x.day")
    with pytest.raises(DataError, match="not a day file"):
        DayFile(tmp_path / "none.day")


@pytest.mark.long
def test_damage_is_refused_or_read_within_its_bounds(path, recorded):
    """A byte changed or the end cut off, seeded: never anything but DataError, or as many rows of instruments there are."""
    whole, rng = path.read_bytes(), np.random.default_rng(5)
    head = HEAD.size + HEAD.unpack(whole[:HEAD.size])[1]
    refused = 0
    for _ in range(count(200, 2000)):
        data = bytearray(whole)
        if rng.random() < 0.2:
            data = data[:int(rng.integers(0, len(data)))]
        else:
            for at in rng.integers(0, head, int(rng.integers(1, 4))):
                data[at] ^= int(rng.integers(1, 256))
        path.write_bytes(data)
        try:
            rows, received = DayFile(path).ticks()
        except DataError:
            refused += 1
        else:
            assert len(rows) == len(received) <= len(recorded[0])
    assert refused > 50


def test_an_instrument_is_named_by_its_number(tmp_path, recorded):
    rows, received, specs = recorded
    columns = of_ticks(rows, received, [*specs, Instrument("NSE_EQ|LAST", "LAST")])
    assert columns["inst"].dtype == np.uint32 and columns["inst"].max() == len(specs) - 1
