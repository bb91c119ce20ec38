"""What came of a backtest as rows of four tables: itself, its days, its trades, and every figure with its interval.

The folder may be anybody's: it is read with suspicion (`DataError`). A backtest is known by a hash of what was asked and what came
of it, so the same one has one copy, whoever ran it and however often it is stored.
"""
import datetime as dt
import hashlib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from engine.errors import DataError
from engine.store.rows import Row, RowWriter, plain
from engine.store.schema import columns, migrate

DOCUMENT, TRADES = "backtest.json", "trades.parquet"
SIZE_MAX, ROWS_MAX, PART = 64 << 20, 5_000_000, 50_000
"""Bytes of the document and trades there may be, and rows of one insert."""
MADE_FOR = frozenset({"run_dir", "seconds", "at", "stored", "not_stored"})
"""Of the document: when, where and how fast; another time it is another, and the backtest the same."""
ASKED_FOR = frozenset({"run_dir", "journal", "store"})
"""Likewise of its options."""
MONEY = ("gross", "charges", "net")
FIGURES = ("total_return", "win_rate", "profit_factor", "average_bp", "sharpe", "sortino", "average_minutes", "exposure",
           "turnover", "max_drawdown")
COUNTS = ("trades", "open", "ambiguous")
TABLES = ("backtest_days", "backtest_trades", "backtest_figures", "backtests")
"""In the order in which they are written: the last says that the others are whole."""


class Results(NamedTuple):
    """A backtest as `number`, the hash it is known by, and its rows by table."""
    number: str
    rows: Mapping[str, list[Row]]


def results_of(folder: Path) -> Results:
    """The rows of a backtest's folder. DataError where it is none, is not whole, or says what no backtest says."""
    document, trades = _document(folder / DOCUMENT), _trades(folder / TRADES)
    if document.get("is_whole") is not True:
        raise DataError(f"{folder}: the backtest did not come to its end: run it again, and store that")
    asked = {name: value for name, value in document.items() if name not in MADE_FOR}
    try:
        asked["options"] = {name: value for name, value in asked["options"].items() if name not in ASKED_FOR}
        if asked.get("content"):                           # the rows say which data it was, wherever they lay
            del asked["data"], asked["options"]["data"]
        number = hashlib.sha256(orjson.dumps([asked, trades], option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        at = document.get("at") or dt.datetime.fromtimestamp((folder / DOCUMENT).stat().st_mtime, dt.UTC).isoformat()
        made = {
            "backtest_days": [{"day": _day(row["day"]), "trades": int(row["trades"]), "net_rs": float(row["net"])}
                              for row in document["daily"]],
            "backtest_trades": [_trade(row) | {"trade": at} for at, row in enumerate(trades)],
            "backtest_figures": list(_figures(document)),
            "backtests": [_itself(document) | {"name": folder.name, "made": _ms(dt.datetime.fromisoformat(at)),
                                               "kept": _ms(dt.datetime.now(dt.UTC))}]}
        return Results(number, {table: [_row(table, {"backtest": number} | row) for row in rows] for table, rows in made.items()})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise DataError(f"{folder}: {DOCUMENT} or {TRADES} is not as a backtest of this engine writes it: run it again") from None


def send(client: Any, database: str, results: Results) -> bool:
    """Inserts through `client` (clickhouse-connect) what is not there yet; whether it was not. Tables are made or brought up to
    date first. What an attempt that was killed has left goes."""
    migrate(client, database)
    mine = f"WHERE backtest = '{results.number}'"

    def has(table: str) -> bool:
        return int(client.query(f"SELECT count() FROM {database}.{table} {mine}").result_rows[0][0]) > 0

    if has("backtests"):
        return False
    for table in TABLES:
        if has(table):
            client.command(f"ALTER TABLE {database}.{table} DELETE {mine} SETTINGS mutations_sync = 1")
        writer, names = RowWriter([plain(kind) for _, kind in columns(table)]), [name for name, _ in columns(table)]
        rows = results.rows[table]
        for begin in range(0, len(rows), PART):
            client.raw_insert(f"{database}.{table}", names, writer.rows(rows[begin:begin + PART]), fmt="RowBinary")
    return True


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(SIZE_MAX + 1)
        document = orjson.loads(data) if len(data) <= SIZE_MAX else None
    except (OSError, ValueError):
        raise DataError(f"{path.parent} is not the folder of a backtest: it has no {DOCUMENT} that can be read") from None
    if document is None:
        raise DataError(f"{path}: it has more than {SIZE_MAX >> 20} MB: no backtest writes that")
    if not isinstance(document, dict):
        raise DataError(f"{path}: it is not what a backtest writes")
    return document


def _trades(path: Path) -> list[dict[str, Any]]:
    """Rows of the table, times as ns since 1970."""
    import polars as pl

    try:
        frame = pl.read_parquet(path, n_rows=ROWS_MAX + 1)
        frame = frame.with_columns(pl.col(pl.Datetime).dt.epoch("ns"))
    except (OSError, pl.exceptions.PolarsError):
        raise DataError(f"{path.parent} is not the folder of a backtest: it has no {TRADES} that can be read") from None
    if len(frame) > ROWS_MAX:
        raise DataError(f"{path}: it has more than {ROWS_MAX:,} trades: store parts of it")
    return frame.to_dicts()


def _row(table: str, of: Mapping[str, Any]) -> Row:
    """By the table's columns; KeyError where one is missing."""
    return [of[name] for name, _ in columns(table)]


def _itself(document: Mapping[str, Any]) -> dict[str, Any]:
    result, settings = document["result"], document["settings"]
    return {
        "data": str(document["data"]), "content": _json(document.get("content", {})), "first_day": _day(document["first"]),
        "last_day": _day(document["last"]), "days": int(result["days"]), "updates": int(document["rows"]),
        "sources": ", ".join(str(source["name"]) for source in settings["sources"]), "options": _json(document["options"]),
        "settings": _json(settings), "counts": _json(document["counts"]), "notes": "\n".join(map(str, document["notes"])),
        "layout": str(document["layout"]), "account_rs": float(document["account"]),
        "drawdown_from": _day(result["drawdown_from"]), "drawdown_to": _day(result["drawdown_to"]),
        **{name: int(result[name]) for name in COUNTS}, **{f"{name}_rs": float(result[name]) for name in MONEY},
        **{name: _number(result[name]) for name in FIGURES}}


def _figures(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """A row a figure of the whole, of each group, and of the run with the good extreme first."""
    wholes = [("all", "", document["result"])] + ([("bound", "", document["optimistic"])] if "optimistic" in document else [])
    for grouped, word, of in [*wholes, *((name, str(word), of) for name, part in document["groups"].items()
                                         for word, of in part.items())]:
        for figure in ("trades", *MONEY, *FIGURES):
            if figure in of:
                low, high = (of["interval"].get(figure) or (None, None))
                yield {"grouped": grouped, "word": word, "figure": f"{figure}_rs" if figure in MONEY else figure,
                       "amount": _number(of[figure]), "low": _number(low), "high": _number(high)}


def _trade(row: Mapping[str, Any]) -> dict[str, Any]:
    out = {name: row[name] for name in ("symbol", "source", "reason")} | {
        name: int(row[name]) for name in ("candidate", "side", "quantity", "entry_time", "is_ambiguous")}
    if not all(isinstance(value, (str, int)) for value in out.values()):
        raise ValueError
    return out | {
        "day": _day(row["day"]), "exit_time": int(row["exit_time"]) or None, "strength": float(row["strength"]),
        "score": _number(row["score"]), "net_rs": float(row["gross"]) - float(row["charges"]),
        **{f"{name}_rs": float(row[name]) for name in ("entry_price", "exit_price", "gross", "charges")},
        **{f"{name}_rs": float(row[name]) or None for name in ("stop", "target")}}


def _number(value: Any) -> float | None:
    """None for what is no number: not scored, not defined."""
    return None if value is None or not math.isfinite(value) else float(value)


def _day(text: Any) -> int | None:
    return None if text is None else (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days


def _ms(at: dt.datetime) -> int:
    return round(at.timestamp() * 1000)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
