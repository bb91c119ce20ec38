"""A small server with the API of `watch`, for the page's tests and for looking at the page: python -m tests.watch.page_server.

It serves the built page with the headers that the product sends and data of page_market: frames ten times a second, pulses twice.
"""

import argparse
import asyncio
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from tests.watch import page_documents as documents
from tests.watch import page_results as results
from tests.watch.page_market import OPEN_US, ROOT, SECOND, Market

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
CSRF = "a-token-of-the-test"
WORDS = {
    "pause": "No new entry is sent; 2 positions keep their stops.",
    "resume": "Entries are allowed again.",
    "flatten": "2 positions are closed at the market, then nothing is held.",
    "kill": "The engine ends, every order is cancelled, 2 positions are closed.",
    "promote": "The model decides from the next candidate on.",
    "rollback": "The model before decides from the next candidate on.",
    "acknowledge": "The alert is marked as seen by you.",
}


class PageServer:
    """`frames_hz` 0 sends no frames; `share` of the instruments move in each. `operations` has what was confirmed."""

    def __init__(self, market: Market, page: Path = ROOT / "engine/watch/page", frames_hz: float = 10, share: float = 0.5):
        self.market, self.page, self.hz, self.share = market, page, frames_hz, share
        self.operations: list[tuple[str, str]] = []
        self.notes: dict[int, list[dict[str, Any]]] = {}
        self.operator, self.is_silent = "RUN", False
        self.sequence = 0
        self.asked: list[str] = []
        self.log = results.log(market)
        self.alerts = results.alerts()
        self.waiting: dict[str, tuple[str, str]] = {}
        self.sockets: set[web.WebSocketResponse] = set()
        self.app = web.Application(middlewares=[self._guard])
        self.app.router.add_get("/ws", self._socket)
        self.app.router.add_get("/api/{name:.+}", self._get)
        self.app.router.add_post("/api/{name:.+}", self._post)
        self.app.router.add_get("/{name:.*}", self._file)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        response: web.StreamResponse = await handler(request)
        if not response.prepared:
            response.headers["Content-Security-Policy"] = CSP
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    async def _file(self, request: web.Request) -> web.FileResponse:
        name = request.match_info["name"] or "index.html"
        if name not in {path.name for path in self.page.iterdir()}:
            raise web.HTTPNotFound
        return web.FileResponse(self.page / name)

    async def _get(self, request: web.Request) -> web.Response:
        m, query = self.market, request.query
        at = int(query["at"]) if "at" in query else None
        now, name = at or m.now_us, request.match_info["name"]
        head, _, rest = name.partition("/")
        plain: dict[str, Callable[[], Any]] = {
            "session": lambda: {
                "csrf": CSRF,
                "run": "run-28",
                "live": True,
                "may_operate": True,
                "source": "sim",
                "mode": "paper",
                "version": "0.1.0",
                "began_us": OPEN_US,
                "latest_us": m.now_us,
                "day": "2026-11-28",
                "speed": 10.0,
                "frame": {},
                "timeframes": [1, 3, 5, 15, 30, 60],
            },
            "instruments": lambda: documents.instruments(m),
            "moment": lambda: documents.moment(m, at, self.operator),
            "candles": lambda: m.candles(int(query["inst"]), int(query["tf"]), now),
            "marks": lambda: documents.marks(m, int(query["inst"]), now),
            "candidates": lambda: self._candidates(query, now),
            "trades": lambda: {"rows": [t for t in m.trades if t["entered_us"] <= now]},
            "orders": lambda: {"rows": [row for row in m.orders if row["t_us"] <= now][::-1]},
            "equity": lambda: documents.equity(m, now),
            "broker": lambda: {
                "rows": [
                    {"what": "Realised", "ours": 412_300, "broker": 412_300, "difference": 0, "explained": ""},
                    {
                        "what": "Charges",
                        "ours": 98_100,
                        "broker": 91_740,
                        "difference": -6_360,
                        "explained": "the broker books stamp duty at the end of the day",
                    },
                ],
                "read_us": now - 42 * SECOND,
            },
            "latency": documents.latency,
            "feed": lambda: {
                "is_up": True,
                "reconnects": 1,
                "updates_per_s": 1904,
                "lag_ms": 412.0,
                "skew_ms": 3.1,
                "rejected": 0,
                "unknown": 3,
                "links": [
                    {"t_us": OPEN_US, "which": "feed", "up": True, "code": 0},
                    {"t_us": OPEN_US + 600 * SECOND, "which": "feed", "up": False, "code": 1006},
                    {"t_us": OPEN_US + 604 * SECOND, "which": "feed", "up": True, "code": 0},
                ],
            },
            "gaps": lambda: {
                "total": 41,
                "by_kind": {"silence": 30, "jump": 9, "pause": 2},
                "rows": [
                    {
                        "begin_us": OPEN_US + k * 170 * SECOND,
                        "end_us": OPEN_US + (k * 170 + 8 + k) * SECOND,
                        "symbol": m.symbols[k * 5],
                        "kind": ("silence", "jump", "pause")[k % 3],
                        "seconds": 8.0 + k,
                        "volume": 120 * k,
                        "measured": 8.0 + k,
                        "limit": 5.0,
                    }
                    for k in range(41)
                ],
            },
            "chain": lambda: (
                documents.option_chain(m, query["symbol"])
                if any(m.symbols[u] == query["symbol"] for u in m.under if u >= 0)
                else {"spot": m.price[m.symbols.index(query["symbol"])], "expiries": [], "rows": []}
            ),
            "models": results.models,
            "alerts": lambda: {"rows": self.alerts},
            "log": lambda: self._log(query, now),
            "runs": lambda: {"rows": results.runs(m)},
            "compare": results.compare,
        }
        if head == "candidate" and 1 <= int(rest) <= len(m.candidates):
            return web.json_response(documents.candidate(m, int(rest), self.notes.get(int(rest), [])))
        if head == "order" and 1 <= int(rest) <= len(m.orders):
            row = m.orders[int(rest) - 1]
            return web.json_response(
                {
                    "row": row,
                    "chain": [
                        {"t_us": row["t_us"], "kind": "intent", "text": "place"},
                        {"t_us": row["t_us"] + 31_000, "kind": "reply", "text": "accepted in 31 ms"},
                    ],
                }
            )
        if head == "backtest":
            return web.json_response(results.whatif() if rest.startswith("whatif") else results.backtest(m))
        if name not in plain:
            return web.json_response({"error": f"there is no {name}: look at the list of the page"}, status=404)
        return web.json_response(plain[name]())

    def _candidates(self, query: Any, now: int) -> dict[str, Any]:
        rows = [
            row
            for row in reversed(self.market.candidates)
            if row["t_us"] <= now
            and all(not query.get(name) or row[name] == query[name] for name in ("symbol", "verdict", "reason", "source"))
        ]
        before = int(query.get("before", 0))
        return {
            "total": len(rows),
            "rows": [row for row in rows if not before or row["id"] < before][: int(query.get("limit", 200))],
        }

    def _log(self, query: Any, now: int) -> dict[str, Any]:
        before = int(query.get("before", 0))
        rows = [
            row
            for row in reversed(self.log)
            if row["t_us"] <= now
            and query.get("text", "").lower() in row["text"].lower()
            and query.get("kind", row["kind"]) == row["kind"]
            and (not before or row["seq"] < before)
        ]
        return {"rows": rows[: int(query.get("limit", 200))]}

    async def _post(self, request: web.Request) -> web.Response:
        if request.headers.get("X-Spike") != CSRF:
            return web.json_response({"error": "this request is not of the page: load the page again"}, status=403)
        body = await request.json()
        if request.match_info["name"] == "notes":
            kept = self.notes.setdefault(body["candidate"], []) if "candidate" in body else []
            if "removes" in body:
                self.notes = {at: [one for one in of if one["n"] != body["removes"]] for at, of in self.notes.items()}
                return web.json_response({"removed": body["removes"]})
            tags = [w[1:] for w in body["text"].split() if w[0] == "#"]
            number = sum(map(len, self.notes.values())) + 1
            kept.append({"n": number, "t_us": self.market.now_us, "who": "page: asha", "text": body["text"], "tags": tags})
            return web.json_response(kept[-1])
        if request.match_info["name"] == "operations":
            nonce = f"nonce-{len(self.waiting)}"
            self.waiting[nonce] = (body["operation"], body["argument"])
            return web.json_response({"confirm": nonce, "words": WORDS[body["operation"]]})
        operation, argument = self.waiting.pop(body["confirm"])
        self.operations.append((operation, argument))
        if operation in ("pause", "resume"):
            self.operator = "PAUSE" if operation == "pause" else "RUN"
        if operation == "acknowledge":
            next(row for row in self.alerts if row["id"] == int(argument))["acknowledged_by"] = "you"
        return web.json_response({"done": True, "words": f"Done: {operation}."})

    def frame(self, rows: list[int], is_key: bool) -> bytes:
        """One packed frame of those rows."""
        m = self.market
        self.sequence += 1
        out = [struct.pack("<4sBBHIIIIqq", b"SPK1", is_key, 0, len(rows), 7, 1, self.sequence, 0, m.now_us, m.now_us)]
        for i in rows:
            move = max(-32768, min(32767, round((m.price[i] / m.previous[i] - 1) * 1e4)))
            out.append(
                struct.pack(
                    "<HBBihH", i, m.flags[i], m.score[i], m.price[i], move, min(65535, m.minute_volume[i] * 100 // m.expected[i])
                )
            )
        return b"".join(out)

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sockets.add(socket)
        watched: dict[str, Any] = {}
        task = asyncio.create_task(self._send(socket, watched))
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                watched.update(json.loads(message.data).get("watch", {}))
        task.cancel()
        self.sockets.discard(socket)
        return socket

    async def _send(self, socket: web.WebSocketResponse, watched: dict[str, Any]) -> None:
        m, beat = self.market, 0
        await socket.send_bytes(self.frame(list(range(m.count)), True))
        while not socket.closed:
            await asyncio.sleep(1 / (self.hz or 10))
            if self.is_silent:
                continue
            if self.hz:
                await socket.send_bytes(self.frame(m.tick(self.share, 1 / self.hz), False))
            beat += 1
            if beat % 5 == 0:
                message: dict[str, Any] = {"pulse": documents.pulse(m, self.operator), "events": [], "candidates": [], "orders": []}
                if beat % 10 == 0:
                    row = m.next_candidate()
                    message["candidates"] = [row]
                    self.log.append(
                        {
                            "seq": len(self.log) + 1,
                            "t_us": m.now_us,
                            "kind": "signals",
                            "name": "candidate",
                            "text": f"{row['symbol']:<12} {row['verdict']}",
                        }
                    )
                    message["events"] = [self.log[-1]]
                if watched:
                    bars = m.candles(watched["inst"], watched["tf"], m.now_us)
                    message["candle"] = {name: bars[name][-2:] for name in ("t", "o", "h", "l", "c", "v")} | watched
                    message["candle"]["c"][-1] = m.price[watched["inst"]]
                await socket.send_str(json.dumps(message))


async def serve(server: PageServer, port: int = 0) -> tuple[web.AppRunner, str]:
    """Starts it on loopback; the runner to clean up, and the address."""
    runner = web.AppRunner(server.app, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}/"


async def _main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--port", type=int, default=8123)
    asked.add_argument("--count", type=int, default=208)
    asked.add_argument("--candidates", type=int, default=640)
    given = asked.parse_args()
    _, address = await serve(PageServer(Market(given.count, given.candidates)), given.port)
    print(address, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())
