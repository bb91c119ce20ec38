"""Records as the rows of tables, and rows as ClickHouse's bytes (RowBinary): a pure function of the journal."""
import datetime as dt
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from _ext.core.reasons import PASS, REASONS
from _ext.core.records import (
    CANDIDATE,
    FILL,
    GAP,
    GAPS,
    GATE,
    INSTRUMENT,
    INTENT,
    KINDS,
    ORDER_STATES,
    ORDER_TYPES,
    ORDER_UPDATE,
    OUTCOMES,
    PAYLOADS,
    POSITION,
    POSITION_STATES,
    REC_ADOPTED,
    REC_BOOT,
    REC_FUNDS,
    REC_LINK,
    REC_MODEL,
    REC_OPERATOR,
    REC_STATE,
    RECORD_NAMES,
    REPLY,
    REQUESTS,
    ROLES,
    SHADOW,
    TIMING,
    WHYS,
)
from engine.market import sessions

EVENTS = (REC_LINK, REC_FUNDS, REC_OPERATOR, REC_MODEL, REC_BOOT, REC_ADOPTED, REC_STATE)
"""Record types of the table events: links, funds, operator, models, boots, adopted orders, states and alarms."""
Row = list[Any]


class RowWriter:
    """RowBinary of small tables: one function a column type."""
    _PACK = {"Date": "<H", "UInt8": "<B", "Int8": "<b", "Enum8": "<b", "UInt32": "<I", "Int32": "<i", "UInt64": "<Q", "Int64": "<q",
             "Float32": "<f", "Float64": "<d", "DateTime64": "<q", "DateTime": "<I"}

    def __init__(self, types: list[str]):
        self.pack: list[Callable[[Any], bytes]] = [self._packer(t) for t in types]

    def _packer(self, kind: str) -> Callable[[Any], bytes]:
        base = kind.split("(", maxsplit=1)[0]
        if base == "Nullable":
            known = self._packer(kind[9:-1])
            return lambda value: b"\x01" if value is None else b"\x00" + known(value)
        if base == "Map":
            return _map
        if base in self._PACK:
            return struct.Struct(self._PACK[base]).pack
        return _string

    def rows(self, rows: list[Row]) -> bytes:
        return b"".join(pack(value) for row in rows for pack, value in zip(self.pack, row, strict=True))


def _date(text: str) -> int:
    return sessions.number_of(dt.date.fromisoformat(text))


def _length(n: int) -> bytes:
    head = b""
    while n >= 0x80:
        head += bytes([n & 0x7F | 0x80])
        n >>= 7
    return head + bytes([n])


def _string(value: Any) -> bytes:
    data = value if isinstance(value, bytes) else str(value).encode()
    return _length(len(data)) + data


def _map(value: dict[str, float]) -> bytes:
    return _length(len(value)) + b"".join(_string(name) + struct.pack("<d", number) for name, number in value.items())


class RowBuilder:
    """Records to rows of the small tables."""

    def __init__(self, name: str = "") -> None:
        self.run, self.name = 0, name
        self.sources: list[tuple[str, list[str]]] = []       # of the run: name, its statistics

    def rows(self, kind: int, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        """(table, row) of one record."""
        name = RECORD_NAMES.get(kind, "")
        method = getattr(self, f"_{name}", None)
        if method is None:
            return [("events", [self.run, seq, now, name, self._detail(kind, payload)])] if kind in EVENTS else []
        rows: list[tuple[str, Row]] = method(seq, now, payload)
        return rows

    def _detail(self, kind: int, payload: bytes) -> str:
        dtype = PAYLOADS.get(kind)
        if dtype is None:
            return payload.decode(errors="replace")
        row = np.frombuffer(payload, dtype)[0]
        return " ".join(f"{n}={row[n].decode() if isinstance(row[n], bytes) else row[n]}" for n in dtype.names or ())

    def _start(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        document = orjson.loads(payload)
        return [("runs", [self.run, self.name, now, _date(document["day"]), document["source"]])] if "day" in document else []

    def _instruments(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        return [("instruments", [self.run, i, r["key"], r["symbol"], KINDS[r["kind"]], r["tick"], r["lot"], r["freeze"],
                             r["tradable"], r["close_minute"], r["cas"], r["under"], r["strike"], r["right"], r["expiry"]])
                for i, r in enumerate(np.frombuffer(payload, INSTRUMENT))]

    def _universe(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        document = orjson.loads(payload)
        rows: list[tuple[str, Row]] = []
        for r in document["rows"]:
            near = r["futures"][0] if r["futures"] else {"key": "", "expiry": ""}
            rows.append(("symbols", [
                r["symbol"], _date(r["valid_from"]), _date(r["valid_to"]), r["key"], r["isin"], r["name"], r["sector"], r["status"],
                r["reason"], r["lot"], r["tick"], r["freeze"], r["is_cas"], r["banned"],
                math.nan if r["liquidity"] is None else r["liquidity"], near["key"], near["expiry"], len(r["futures"]),
                sum(r["options"].values()), now // 1_000_000_000]))
        return rows + [("symbol_update_log", [_date(document["day"]), *(c[n] for n in (
            "symbol", "what", "key", "kind", "field", "was", "now", "blocking"))]) for c in document["changes"]]

    def _candidate(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        row = np.frombuffer(payload, CANDIDATE)[0]
        return [("signals", self._signal(row))] if row["level"] == 0 else []

    def _verdict(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        return [("signals", self._signal(np.frombuffer(payload, CANDIDATE)[0]))]

    def _signal(self, c: np.void) -> Row:
        verdict = 0 if c["level"] == 0 else 2 if c["reason"] == PASS else 1
        source, statistics = self.sources[c["source"]] if c["source"] < len(self.sources) else ("", ())
        return [self.run, c["id"], c["inst"], c["now"], c["ltt"], c["move"], c["level"], c["price"], c["last_close"],
                c["bid"], c["ask"], c["strength"], c["z20"], c["z50"], c["rz"], c["volume_ratio"], c["s1m"], c["expected"],
                c["score"], c["score_next"], verdict, REASONS[c["reason"]], c["measured"], c["limit"], c["decided"],
                c["tick_seq"], c["model"], c["quality"], c["arm"], c["side"], source,
                dict(zip(statistics, c["own"], strict=False)), *c["feature"]]

    def _shadow(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        s = np.frombuffer(payload, SHADOW)[0]
        return [("shadow_scores", [self.run, s["candidate"], now, s["model"], s["score"], s["updates"]])]

    def _intent(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        i = np.frombuffer(payload, INTENT)[0]
        return [("orders", [self.run, seq, now, i["id"], i["serial"], i["candidate"], i["inst"],
                            REQUESTS[i["kind"]], ROLES[i["role"]], i["side"],
                            ORDER_TYPES[i["order_type"]], WHYS[i["why"]], i["quantity"], i["price"], i["trigger"],
                            i["order_id"], "", 0, 0, ""])]

    def _reply(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        r = np.frombuffer(payload, REPLY)[0]
        return [("orders", [self.run, seq, now, r["intent"], 0, 0, 0, "reply", "", 0, "", "", 0, 0, 0, r["order_id"],
                            OUTCOMES[r["outcome"]], 0, r["latency"], r["error"]])]

    def _order_update(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        u = np.frombuffer(payload, ORDER_UPDATE)[0]
        price = int(u["value"]) // int(u["filled"]) if u["filled"] else 0
        return [("orders", [self.run, seq, now, u["intent"], 0, 0, 0, "look-up" if u["is_look_up"] else "update", "", 0, "", "",
                            u["quantity"], price, 0, u["order_id"], ORDER_STATES[u["status"]], u["filled"], 0, ""])]

    def _fill(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        f = np.frombuffer(payload, FILL)[0]
        return [("trades", [self.run, seq, now, f["intent"], f["candidate"], f["inst"], f["side"],
                            ROLES[f["role"]], f["quantity"], f["price"], f["charges"], f["realised"]])]

    def _position(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        p = np.frombuffer(payload, POSITION)[0]
        return [("positions", [self.run, seq, now, p["inst"], POSITION_STATES[p["state"]], p["quantity"], p["average"],
                               p["realised"], p["charges"], p["stop"], p["target"]])]

    def _gate(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        g = np.frombuffer(payload, GATE)[0]
        return [("rate_limit_log", [self.run, seq, now, g["candidate"], g["inst"], g["is_exit"], REASONS[g["reason"]],
                                    g["measured"], g["limit"], g["quantity"], g["price"], g["used_second"], g["used_minute"],
                                    g["used_half_hour"], g["used_hour"], g["used_day"]])]

    def _gap(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        g = np.frombuffer(payload, GAP)[0]
        return [("gaps", [self.run, seq, now, g["inst"], GAPS[g["kind"]], g["begin"], g["end"],
                          *(60 * int(g[name]) or None for name in ("first_minute", "last_minute")), g["volume"], g["measured"],
                          g["limit"]])]

    _feed_note = _gap

    def _timing(self, seq: int, now: int, payload: bytes) -> list[tuple[str, Row]]:
        t = np.frombuffer(payload, TIMING)[0]
        return [("latency", [self.run, seq, now, t["frame_seq"], t["candidate"], t["decoded"], t["scored"], t["decided"],
                             t["done"]])]


def plain(kind: str) -> str:
    return kind[15:-1] if kind.startswith("LowCardinality(") else kind
