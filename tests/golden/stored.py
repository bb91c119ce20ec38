"""Inputs of a journal kept for years: every field by its name, so that only this file knows what today's records look like.

A stored record is a line of JSON, (type by name, time, fields); what the broker or the configuration spells itself (frames, START,
BOOT) stays as it was, frames as bytes behind an empty line. `records` builds today's records: a field that did not exist then has
its default, one that no longer exists is left out.
"""
import io
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from _ext.core.records import BOOK, HOLDING, PAYLOADS, RECORD_NAMES
from engine.config import Config
from engine.trade.inputs import book_record

NUMBERS = {name: number for number, name in RECORD_NAMES.items()}
JSON = ("start", "boot", "universe")
RAW = ("frame", "profile")
IMPLIED = {"pad"}
RENAMED = {"per_minute": "orders_per_minute", "per_hour": "orders_per_hour", "per_day": "orders_per_day", "futures": "vehicle",
           "broker_second": "requests_per_second", "broker_minute": "requests_per_minute", "replace": "exit_by",
           "broker_half_hour": "requests_per_half_hour"}
"""Limits that were called otherwise."""


def _plain(value: Any) -> Any:
    """A field as JSON has it."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item()


def _rows(payload: bytes, dtype: np.dtype) -> list[dict[str, Any]]:
    """Structs as dicts of what is not zero."""
    out = []
    for row in np.frombuffer(payload, dtype):
        fields = {name: _plain(row[name]) for name in dtype.names if name not in IMPLIED}
        out.append({name: value for name, value in fields.items() if value not in (0, "")})
    return out


def _described(name: str, payload: bytes, models: dict[str, str]) -> Any:
    if name in JSON:
        return orjson.loads(payload)
    if name in RAW:
        return len(payload)
    if name == "book":
        size = BOOK.itemsize
        return {"began": int(np.frombuffer(payload[:size], BOOK)[0]["began"]), "ids": np.frombuffer(payload[size:], "<u8").tolist()}
    if name == "model":
        return [row | {"sha256": models[row["sha256"]]} for row in _rows(payload, PAYLOADS[NUMBERS[name]])]
    dtype = PAYLOADS.get(NUMBERS[name])
    return _rows(payload, dtype) if dtype is not None else None


def store(path: Path, inputs: Iterable[tuple[int, int, bytes]], models: dict[str, str]) -> None:
    """Writes (type, now, payload) records to `path`; `models`: sha256 -> the name a golden model has."""
    text, raw = io.BytesIO(), io.BytesIO()
    for kind, now, payload in inputs:
        name = RECORD_NAMES[kind]
        text.write(orjson.dumps([name, now, _described(name, payload, models)], option=orjson.OPT_APPEND_NEWLINE))
        raw.write(payload if name in RAW else b"")
    path.write_bytes(lzma.compress(text.getvalue() + b"\n" + raw.getvalue(), preset=9 | lzma.PRESET_EXTREME))


def _built(rows: list[dict[str, Any]], dtype: np.dtype) -> bytes:
    out = np.zeros(len(rows), dtype)
    for row, fields in zip(out, rows, strict=True):
        for name, value in fields.items():
            if name in dtype.names and isinstance(value, list):
                row[name][:len(value)] = value                   # features that came since are not there
            elif name in dtype.names:
                row[name] = value.encode() if isinstance(value, str) else value
    return out.tobytes()


def _configuration(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored START: settings that came since have their defaults, and what stands elsewhere now is looked for there."""
    today = Config.model_construct(models="").record()
    if "detector" in stored:
        stored = dict(stored)
        detector, risk = stored.pop("detector"), stored.pop("risk") | stored.pop("session")
        (spike,) = today["sources"]
        given = {name: detector[name] for name in spike["parameters"] if name in detector}
        given |= {"cooldown_s": detector["cooldown_ms"] / 1000, "max_lag_s": detector["max_lag_ms"] / 1000}
        stored["sources"] = [spike | {"parameters": spike["parameters"] | given}]
        risk["skew"] *= 1_000_000
        stored["limits"] = {RENAMED.get(name, name): value for name, value in risk.items()}
    return today | {name: today[name] | value if isinstance(value, dict) and isinstance(today.get(name), dict) else value
                    for name, value in stored.items()}


def records(path: Path, models: dict[str, str]) -> Iterator[tuple[int, int, bytes]]:
    """(type, now, payload) as today's core takes them; `models`: name -> sha256 of the models built for this replay."""
    text, _, raw = lzma.decompress(path.read_bytes()).partition(b"\n\n")
    at = 0
    for line in text.splitlines():
        name, now, what = orjson.loads(line)
        kind = NUMBERS[name]
        if name == "start":
            payload = orjson.dumps(_configuration(what))
        elif name in JSON:
            payload = orjson.dumps(what)
        elif name in RAW:
            payload = raw[at:at + what]
            at += what
        elif name == "book":
            payload = book_record(what["ids"], what["began"])
        elif name == "model":
            payload = _built([row | {"sha256": models[row["sha256"]]} for row in what], PAYLOADS[kind])
        else:
            rows = [{"move": row["direction"], "side": row["direction"]} | row if "direction" in row else row for row in what or ()]
            payload = _built(rows, HOLDING if name == "holdings" else PAYLOADS[kind]) if what is not None else b""
        yield kind, now, payload
