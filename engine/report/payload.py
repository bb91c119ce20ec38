"""The data of a report file: a header of JSON, and blocks of columns that the page unpacks when it draws them.

A block is columns of one length, byte planes of differences, gzip, base64 (docs/reports.md). Whoever raises VERSION changes
`src/report/payload.js` with it.
"""
import base64
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson

from engine.errors import DataError

FORMAT, VERSION = "spike-report", 1
WIDTHS = (1, 2, 4)
"""Bytes a value of whole numbers may take."""
MISSING = -(1 << 31)
"""Of whole numbers: nothing is known."""


@dataclass
class Block:
    """Columns of one length, in the order they are written."""
    name: str
    rows: int
    columns: list[dict[str, Any]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    def whole(self, name: str, values: Any, unit: str, differ: bool = True) -> None:
        """A column of whole numbers, |value| < 2^53. `differ`: each is kept as the difference from the one before, where neighbours
        are near; `unit` is for whoever reads the file. DataError where a value is too large."""
        column = self._checked(name, np.asarray(values, np.int64))
        steps = np.diff(column, prepend=np.int64(0)) if differ else column
        first = int(steps[0]) if differ and len(steps) else 0
        if differ and len(steps):
            steps[0] = 0
        folded = ((steps << 1) ^ (steps >> 63)).astype(np.uint64)           # 0, -1, 1, -2 ..: small whichever sign
        most = int(folded.max()) if len(folded) else 0
        width = next((width for width in WIDTHS if most < 1 << 8 * width), None)
        if width is None:
            raise DataError(f"{self.name}.{name}: a value does not fit the report file")
        self._add(name, unit, {"is": "delta" if differ else "whole", "width": width, "first": first},
                  folded.astype(f"<u{width}").view(np.uint8).reshape(-1, width).T.tobytes())

    def real(self, name: str, values: Any, unit: str) -> None:
        """A column of floats, seven digits of each; NaN: unknown."""
        column = self._checked(name, np.asarray(values, "<f4"))
        self._add(name, unit, {"is": "real", "width": 4}, column.view(np.uint8).reshape(-1, 4).T.tobytes())

    def words(self, name: str, values: list[str], unit: str = "") -> None:
        """A column of words, by their number in a list of those there are."""
        known = {word: number for number, word in enumerate(dict.fromkeys(values))}
        self.whole(name, [known[word] for word in values], unit, differ=False)
        self.columns[-1]["words"] = list(known)

    def bytes_of(self, name: str, values: np.ndarray, unit: str) -> None:
        """A column of bytes whose length is its own."""
        self._add(name, unit, {"is": "bytes", "width": 1, "count": len(values)}, values.astype(np.uint8).tobytes())

    def _checked(self, name: str, column: np.ndarray) -> np.ndarray:
        if column.shape != (self.rows,):
            raise DataError(f"{self.name}.{name}: {column.shape} values of {self.rows} rows")
        return column

    def _add(self, name: str, unit: str, how: dict[str, Any], data: bytes) -> None:
        self.columns.append({"name": name, "unit": unit, **how})
        self.parts.append(data)

    @property
    def head(self) -> dict[str, Any]:
        """What the header says of the block; the columns follow one another without gaps."""
        return {"rows": self.rows, "size": sum(map(len, self.parts)), "columns": self.columns}

    def packed(self) -> str:
        """The block as text: gzip without a time, so that the same figures make the same file, and base64."""
        return base64.b64encode(gzip.compress(b"".join(self.parts), 9, mtime=0)).decode()


def header_text(header: Mapping[str, Any], blocks: list[Block]) -> str:
    """The header as JSON that can stand within a script element: no `<`, so that nothing in it can end the element."""
    document = {"format": FORMAT, "version": VERSION, **header, "blocks": {block.name: block.head for block in blocks}}
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def unpacked(head: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Name -> array (or list of words) of a block as it stands in a file: what the page does, for whoever reads a report in
    Python."""
    data, at, out = gzip.decompress(base64.b64decode(text)), 0, dict[str, Any]()
    for column in head["columns"]:
        width, count = column["width"], column.get("count", head["rows"])
        raw = np.frombuffer(data, np.uint8, width * count, at)
        at += width * count
        if column["is"] == "bytes":
            out[column["name"]] = raw
            continue
        planes = np.ascontiguousarray(raw.reshape(width, count).T)
        if column["is"] == "real":
            out[column["name"]] = planes.view("<f4").reshape(count)
            continue
        folded = planes.view(f"<u{width}").reshape(count).astype(np.int64)
        values = (folded >> 1) ^ -(folded & 1)
        if column["is"] == "delta" and count:
            values[0] = column["first"]
            values = values.cumsum()
        out[column["name"]] = [column["words"][k] for k in values] if "words" in column else values
    return out
