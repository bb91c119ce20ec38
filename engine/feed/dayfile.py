"""The day file: all that was recorded of one day, ticks or bars, in columns that are mapped and not read.

`DAY1`, the length of a JSON head, the head (day, instruments, whence it was made, columns), then each column from a multiple of 64
bytes on. A column that says nothing is left out. Foreign files are read with as much suspicion as any other (`DataError`).
"""
import contextlib
import dataclasses
import datetime as dt
import hashlib
import os
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from engine.errors import DataError
from engine.feed import TICK_DTYPE, UNKNOWN_KEY
from engine.market.instruments import Instrument

MAGIC, HEAD, ALIGN = b"DAY1", struct.Struct("<4sI"), 64
SUFFIX = ".day"
HEAD_MAX = 64 << 20
BAR_COLUMNS = ("inst", "ms", "open", "high", "low", "close", "volume", "interest")
BAR_DTYPE = np.dtype([("inst", "<u4"), *((name, "<i8") for name in BAR_COLUMNS[1:])])
"""One bar of one minute: prices in paise, `ms` of its start, `interest` the open interest of a contract."""
_KEYED = ("inst", "key", "key_len")
_NESTED = ("levels", "day", "i1")
_AGAIN = ("bidQ", "bidP", "askQ", "askP")
"""Fields of a tick that are said by the instrument's number, in columns of their parts, or by the first level."""


WIDTHS = {"bars": dict.fromkeys(BAR_COLUMNS, 0), "ticks": {"inst": 0, "received": 0} | {
    name: 0 for name in TICK_DTYPE.names or () if name not in (*_KEYED, *_NESTED, *_AGAIN)} | {
    f"{name}.{part}": TICK_DTYPE[name].shape[0] if TICK_DTYPE[name].shape else 0
    for name in _NESTED for part in TICK_DTYPE[name].base.names or ()}}
"""Columns there may be, and how many values a row of each has at most; 0: one."""
NEEDED = {"bars": {"inst", "ms"}, "ticks": {"inst", "received"}}


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """A file the day was made of, and what was said of its columns."""
    name: str
    sha256: str
    asked: str = ""

    @classmethod
    def of(cls, path: Path, asked: str = "") -> "Source":
        with path.open("rb") as file:
            name = "/".join([*(part for part in path.parts[:-1] if "=" in part), path.name])     # symbol=SBIN/part-0.parquet
            return cls(name, hashlib.file_digest(file, "sha256").hexdigest(), asked)


class Head:
    """What a day file says of itself: day, kind (ticks or bars), instruments, whence it was made, and the sha256 of its content.
    DataError for other files."""

    def __init__(self, path: Path):
        self.path = path
        try:
            self._read()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{path.name}: not a day file that can be read: make it again with `python -m engine data "
                            "import`") from None

    def _read(self) -> None:
        with self.path.open("rb") as file:
            magic, length = HEAD.unpack(file.read(HEAD.size).ljust(HEAD.size, b"\0"))
            if magic != MAGIC or length > HEAD_MAX:
                raise ValueError
            head = orjson.loads(file.read(length))
        self.day = dt.date.fromisoformat(head["day"])
        self.kind = str(head["kind"])
        self.specs = [_instrument(row) for row in head["instruments"]]
        self.sources = [Source(**row) for row in head["sources"]]
        self.notes = [str(note) for note in head["notes"]]
        self.rows = int(head["rows"])
        self.described = head["columns"]
        self.content = str(head["content"])


class DayFile(Head):
    """A day file, mapped. `columns`: name -> array, ticks in order of receipt, bars by minute."""

    def _read(self) -> None:
        super()._read()
        size = self.path.stat().st_size
        self.columns: dict[str, np.ndarray] = {}
        for name, kind, width, offset in self.described:
            dtype, count = np.dtype(kind), self.rows * (width or 1)
            most = WIDTHS[self.kind][name]
            if dtype.kind not in "iuf" or not 0 <= width <= most or bool(width) != bool(most) or self.rows < 0 or (
                    offset % ALIGN or offset < HEAD.size or offset + count * dtype.itemsize > size):
                raise ValueError
            values = np.memmap(self.path, dtype, "r", offset, (count,)) if count else np.zeros(0, dtype)
            self.columns[str(name)] = values.reshape(self.rows, width) if width else values
        inst = self.columns["inst"]
        if not NEEDED[self.kind] <= set(self.columns) or (
                self.rows and not 0 <= int(inst.min()) <= int(inst.max()) < len(self.specs)):
            raise ValueError

    def ticks(self) -> tuple[np.ndarray, np.ndarray]:
        """(TICK_DTYPE rows, receipt ms), as they were recorded."""
        rows = np.zeros(self.rows, TICK_DTYPE)
        keys = np.array([s.key.encode() for s in self.specs], "S48")
        inst = self.columns["inst"]
        rows["key"], rows["key_len"] = keys[inst], np.char.str_len(keys)[inst]
        for name, values in self.columns.items():
            field, _, part = name.partition(".")
            if name in ("inst", "received"):
                continue
            if field == "levels":
                rows["levels"][part][:, :values.shape[1]] = values
            elif part:
                rows[field][part] = values
            else:
                rows[name] = values
        return rows, np.asarray(self.columns["received"])

    @property
    def is_whole(self) -> bool:
        """Whether the content is what was written."""
        return self.content == _content(self.specs, self.columns)

    def bars(self) -> np.ndarray:
        """BAR_DTYPE rows."""
        out = np.zeros(self.rows, BAR_DTYPE)
        for name in BAR_COLUMNS:
            if name in self.columns:
                out[name] = self.columns[name]
        return out


def _instrument(row: dict[str, Any]) -> Instrument:
    """An instrument of a head, each field of its own type."""
    made = Instrument(**row)
    if any(type(getattr(made, field.name)) is not field.type for field in dataclasses.fields(Instrument)):
        raise ValueError
    return made


def numbers_of(keys: np.ndarray, specs: Iterable[Instrument]) -> np.ndarray:
    """uint32: which of `specs` each of `keys` (S48) is."""
    number = {s.key.encode(): i for i, s in enumerate(specs)}
    found, at = np.unique(keys, return_inverse=True)
    return np.array([number[key] for key in found.tolist()], np.uint32)[at]


def of_ticks(rows: np.ndarray, received: np.ndarray, specs: Iterable[Instrument]) -> dict[str, np.ndarray]:
    """The columns of ticks. Fields of which every row says nothing are left out. Whose a row is stands in `inst`: that the decoder
    did not know it says nothing any more, and the core would pass it over."""
    columns: dict[str, np.ndarray] = {"inst": numbers_of(rows["key"], specs), "received": received.astype(np.int64)}
    for name in TICK_DTYPE.names or ():
        if name in _NESTED:
            for part in TICK_DTYPE[name].base.names or ():
                values = rows[name][part]
                used = np.flatnonzero(values.any(axis=0)) if values.ndim > 1 else np.zeros(0, int)
                columns[f"{name}.{part}"] = values[:, :used[-1] + 1] if len(used) else values if values.ndim == 1 else values[:, :0]
        elif name not in (*_KEYED, *_AGAIN):
            columns[name] = rows[name] & np.uint16(~UNKNOWN_KEY & 0xFFFF) if name == "has" else rows[name]
    return {name: values for name, values in columns.items() if name in ("inst", "received") or values.any()}


def of_bars(bars: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of BAR_DTYPE rows."""
    return {name: bars[name] for name in BAR_COLUMNS if name in ("inst", "ms") or bars[name].any()}


def write(path: Path, day: dt.date, kind: str, specs: Iterable[Instrument], columns: Mapping[str, np.ndarray],
          sources: Iterable[Source], notes: Iterable[str] = ()) -> None:
    """Puts a day file in place of what was there, whole or not at all. OSError where the disk does not take it."""
    rows = len(columns["inst"])
    described: list[list[Any]] = [[name, values.dtype.str, values.shape[1] if values.ndim > 1 else 0, 0]
                                  for name, values in columns.items()]
    specs = list(specs)
    head = {"day": day.isoformat(), "kind": kind, "rows": rows, "instruments": [dataclasses.asdict(s) for s in specs],
            "content": _content(specs, columns),
            "sources": [dataclasses.asdict(s) for s in sources], "notes": list(notes), "columns": described}
    at = _aligned(HEAD.size + len(orjson.dumps(head)) + 24 * len(described))        # room for the offsets themselves
    for row, values in zip(described, columns.values(), strict=True):
        row[3] = at
        at = _aligned(at + values.nbytes)
    text = orjson.dumps(head)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with part.open("wb") as file:
            file.write(HEAD.pack(MAGIC, len(text)) + text)
            for row, values in zip(described, columns.values(), strict=True):
                file.seek(row[3])
                np.ascontiguousarray(values).tofile(file)
            file.truncate(at)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            part.unlink()


def _content(specs: Iterable[Instrument], columns: Mapping[str, np.ndarray]) -> str:
    """sha256 of what the columns say, and of whom."""
    digest = hashlib.sha256(orjson.dumps([dataclasses.asdict(s) for s in specs]))
    for name, values in columns.items():
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).view(np.uint8).data)
    return digest.hexdigest()


def in_order(received: np.ndarray, inst: np.ndarray) -> np.ndarray:
    """Order of rows by receipt. Of an instrument that comes more than once in a millisecond, the second row follows the first of
    all others, as in the frames the rows become."""
    order = np.argsort(received, kind="stable")
    at, who = received[order].astype(np.int64), inst[order].astype(np.int64)
    same = np.lexsort((np.arange(len(order)), who, at))
    is_first = np.ones(len(order), bool)
    is_first[1:] = (at[same][1:] != at[same][:-1]) | (who[same][1:] != who[same][:-1])
    if is_first.all():
        return order
    begin = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    again = np.zeros(len(order), np.int64)
    again[same] = np.arange(len(order)) - begin
    return order[np.lexsort((np.arange(len(order)), again, at))]


def _aligned(at: int) -> int:
    return -(-at // ALIGN) * ALIGN
