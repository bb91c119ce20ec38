"""What a store (ClickHouse, embedded or a server) has of the market, as the lab reads files: a day's ticks, or one-minute bars."""
import datetime as dt
from typing import Any

import numpy as np
import polars as pl

from _ext.core.records import WARM_BAR
from engine.errors import DataError
from engine.feed import HAS_DEPTH, HAS_FULL, HAS_LTPC, TICK_DTYPE
from engine.market.instruments import Instrument
from engine.sim.recorded import Recording
from engine.store.client import EVERY_RUN

TICK = np.dtype([("inst", "<u4"), ("ltt", "<i8"), ("received", "<i8"), ("ltp", "<i8"), ("ltq", "<u4"), ("vtt", "<u8"),
                 ("bid", "<i8"), ("ask", "<i8"), ("bid_qty", "<u4"), ("ask_qty", "<u4"), ("oi", "<u8"), ("iv", "<f4")])
BAR = np.dtype([("inst", "<u4"), ("ms", "<i8"), ("open", "<i8"), ("high", "<i8"), ("low", "<i8"), ("close", "<i8"),
                ("volume", "<u8")])
"""A row of each query as RowBinary writes it."""
WARM = 75
"""Minutes of the day before that fill the windows."""


def _rows(client: Any, query: str, dtype: np.dtype) -> np.ndarray:
    return np.frombuffer(client.raw_query(query, fmt="RowBinary"), dtype)


def _instruments(client: Any, run: int) -> list[Instrument]:
    found = client.query("SELECT inst, key, symbol, kind, tick, lot, freeze, tradable, cas FROM instruments "
                         f"WHERE run = {run} ORDER BY inst").result_rows
    if [row[0] for row in found] != list(range(len(found))) or not found:
        raise DataError(f"the store does not have all instruments of run {run}")
    return [Instrument(key, symbol, kind, tick, lot, freeze, bool(tradable), bool(cas)) for _, key, symbol, kind, tick, lot, freeze,
            tradable, cas in found]


def ticks(client: Any, day: dt.date | None = None, among: str = EVERY_RUN, named: int = 0) -> Recording:
    """Every update of `day` (by default the last one there) that the run `named` saw, or else the run `among` these that saw most
    of it, in order of receipt. The store keeps the best quotes, no deeper ones. Raises DataError where there are none."""
    found = client.query(f"SELECT run, trade_date FROM ticks WHERE {f'run = {named}' if named else among} " +
                         (f"AND trade_date = '{day}' " if day else "") +
                         "GROUP BY run, trade_date ORDER BY trade_date DESC, count() DESC, run DESC LIMIT 1").result_rows
    if not found:
        raise DataError(f"the store has no ticks{f' of {day}: ask it SELECT DISTINCT trade_date FROM ticks' if day else ''}")
    run, date = found[0]
    specs = _instruments(client, run)
    stored = _rows(client, "SELECT inst, toUnixTimestamp64Milli(exch_ts), intDiv(toUnixTimestamp64Micro(recv_ts), 1000), ltp, "
                   "ltq, vtt, bid, ask, bid_qty, ask_qty, oi, iv FROM ticks "
                   f"WHERE run = {run} AND trade_date = '{date}' ORDER BY recv_ts, seq", TICK)
    rows = np.zeros(len(stored), TICK_DTYPE)
    keys = np.array([s.key.encode() for s in specs], "S48")
    rows["key"], rows["key_len"] = keys[stored["inst"]], np.char.str_len(keys)[stored["inst"]]
    rows["mode"], rows["has"], rows["n_levels"] = 1, HAS_LTPC | HAS_DEPTH | HAS_FULL, 1
    for name in ("ltp", "ltt", "ltq", "vtt", "oi", "iv"):
        rows[name] = stored[name]
    for level, name in (("bidP", "bid"), ("askP", "ask"), ("bidQ", "bid_qty"), ("askQ", "ask_qty")):
        rows["levels"][level][:, 0] = stored[name]
    return Recording(rows, stored["received"].copy(), specs, _before(client, date, specs, among))


def _before(client: Any, day: dt.date, specs: list[Instrument], among: str) -> np.ndarray:
    """WARM_BAR rows of the last WARM minutes of the day before, where the store has one."""
    found = [(run, date) for run, date in _days(client, among) if date < day]
    if not found:
        return np.zeros(0, WARM_BAR)
    known, stored = _bars(client, *found[-1])
    at = {s.key: k for k, s in enumerate(specs)}
    inst = np.array([at.get(s.key, -1) for s in known])[stored["inst"]]
    last = (inst >= 0) & (stored["ms"] > stored["ms"].max() - WARM * 60_000)
    rows = np.zeros(int(last.sum()), WARM_BAR)
    rows["inst"], rows["minute"] = inst[last], stored["ms"][last] // 60_000
    for name in ("open", "high", "low", "close", "volume"):
        rows[name] = stored[name][last]
    return rows


def _days(client: Any, among: str) -> list[tuple[int, dt.date]]:
    """(run that saw most of it, day), in order."""
    return [(int(run), day) for run, day in client.query(
        "SELECT argMax(run, seen), trade_date FROM (SELECT run, trade_date, sum(updates) AS seen FROM bars FINAL "
        f"WHERE {among} GROUP BY run, trade_date) GROUP BY trade_date ORDER BY trade_date").result_rows]


def _bars(client: Any, run: int, day: dt.date) -> tuple[list[Instrument], np.ndarray]:
    """(instruments of the run, BAR rows in order) of one day."""
    return _instruments(client, run), _rows(
        client, "SELECT inst, toUnixTimestamp(bar_ts) * 1000::Int64, open, high, low, close, toInt64(volume) FROM bars FINAL "
        f"WHERE run = {run} AND tf = 1 AND trade_date = '{day}' ORDER BY inst, bar_ts", BAR)


def bars(client: Any, among: str = EVERY_RUN) -> tuple[list[Instrument], pl.DataFrame]:
    """(stocks, bars) as series.bars_of_folder: of each day from the run `among` these that saw most of it. Raises DataError
    where there are none."""
    specs: dict[str, Instrument] = {}
    parts = []
    for run, day in _days(client, among):
        of_run, mine = _bars(client, run, day)
        for s in of_run:
            if s.kind == "equity":
                specs.setdefault(s.key, s)
        at = {key: k for k, key in enumerate(specs)}
        new = np.array([at[s.key] if s.kind == "equity" else -1 for s in of_run])[mine["inst"]]
        columns = {name: mine[name].astype(np.int64) for name in BAR.names or () if name != "inst"}
        parts.append(pl.DataFrame({"inst": new} | columns).filter(pl.col("inst") >= 0))
    if not parts:
        raise DataError("the store has no bars")
    return list(specs.values()), pl.concat(parts)
