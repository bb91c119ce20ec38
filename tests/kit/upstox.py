"""A TLS server for every *.upstox.com name, which writes down each request; the sim stands behind it. Processes under test reach it
by `elsewhere.c`, which tells them where the names are and what time it is."""
import asyncio
import datetime as dt
import gzip
import ssl
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import orjson
from aiohttp import web

from engine.market.instruments import shipped
from engine.market.sessions import IST
from engine.sim.exchange import Exchange
from engine.sim.market import SyntheticMarket
from engine.sim.server import SimServer

TOKEN = "paper.token.0123456789abcdef"
FILE = "/market-quote/instruments/exchange/NSE.json.gz"
HERE = Path(__file__).parent


def instrument_file(day: dt.date) -> bytes:
    """The broker's file of the shipped stocks: each with three futures and sixty options, among shares nobody trades here."""
    rows, months = [], [day + dt.timedelta(days=28 * k + 20) for k in range(3)]
    for number, spec in enumerate(shipped()):
        share = {"segment": "NSE_EQ", "exchange": "NSE", "instrument_key": spec.key, "trading_symbol": spec.symbol,
                 "name": spec.symbol, "isin": spec.key.partition("|")[2], "instrument_type": "EQ", "lot_size": 1,
                 "tick_size": float(spec.tick),
                 "freeze_quantity": 100_000.0, "security_type": "NORMAL", "cas_eligible": True}
        rows.append(share)
        for k, expiry in enumerate(months):
            end = int(dt.datetime.combine(expiry, dt.time(23, 59, 59), IST).timestamp() * 1000)
            contract = {"segment": "NSE_FO", "exchange": "NSE", "underlying_key": spec.key, "underlying_symbol": spec.symbol,
                        "asset_key": spec.key, "underlying_type": "EQUITY", "asset_type": "EQUITY", "asset_symbol": spec.symbol,
                        "name": spec.symbol, "lot_size": 500, "tick_size": 5.0, "freeze_quantity": 50_000.0, "expiry": end}
            rows.append(contract | {"instrument_key": f"NSE_FO|{100_000 + number * 100 + k}", "instrument_type": "FUT",
                                    "strike_price": 0.0, "trading_symbol": f"{spec.symbol} FUT {expiry:%d %b %y}".upper()})
            for strike in range(10):
                for j, right in enumerate(("CE", "PE")):
                    price = round(spec.price / 100 * (0.9 + 0.02 * strike))
                    key = 100_000 + number * 100 + 10 + k * 30 + strike * 2 + j
                    rows.append(contract | {
                        "instrument_key": f"NSE_FO|{key}", "instrument_type": right,
                        "strike_price": float(price), "trading_symbol": f"{spec.symbol} {price} {right} {expiry:%d %b %y}".upper()})
    rows += [rows[0] | {"instrument_key": f"NSE_EQ|INE{k:09d}", "trading_symbol": f"OTHER{k}", "name": f"OTHER{k}",
                        "isin": f"INE{k:09d}", "cas_eligible": False} for k in range(9000)]
    return gzip.compress(orjson.dumps(rows), 1)


class Recording(SimServer):
    """The sim under the broker's names."""

    def __init__(self, day: dt.date, names: int):
        specs = [replace(spec, lower=0, upper=0) for spec in list(shipped())[:names]]
        market = SyntheticMarket(specs, day, 3, spikes=3.0)
        start = int(dt.datetime.combine(day, dt.time(10), IST).timestamp() * 1000)
        market.skip_to(45)
        super().__init__(market, Exchange(specs, 100_000_000), 1.0, TOKEN, start,
                         hosts=["api.upstox.com", "api-hft.upstox.com", "assets.upstox.com", "wsfeeder-api.upstox.com"])
        self.file, self.heard = instrument_file(day), list[tuple[str, str, str]]()

    def _admit(self, request: web.Request) -> None:
        self.heard.append((request.method, request.host, request.path))
        if request.path != FILE:
            super()._admit(request)

    async def _rest(self, request: web.Request) -> web.Response:
        if request.path == FILE:
            return web.Response(body=self.file, headers={"ETag": '"one"'})
        return await super()._rest(request)


class Elsewhere:
    """The server in a thread of its own, and the environment of the processes that shall find it."""

    def __init__(self, folder: Path, day: dt.date = dt.date(2026, 11, 30), names: int = 60):
        self.folder, self.day, self.names = folder, day, names
        self.library, self.certificate = folder / "elsewhere.so", folder / "ca.pem"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self.library, HERE / "elsewhere.c", "-ldl"], check=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-out",
                        self.certificate, "-days", "3650", "-subj", "/CN=upstox", "-addext",
                        "subjectAltName=DNS:*.upstox.com", "-addext", "basicConstraints=critical,CA:TRUE"],
                       check=True, capture_output=True)
        self.ready, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    async def _serve(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.folder / "key.pem")
        self.server = Recording(self.day, self.names)
        self.port = await self.server.start(ssl=context)
        self.server.begin()
        self.ahead = self.server.now() - time.time_ns()
        self.ready.set()
        while not self.over.is_set():
            await asyncio.sleep(0.05)
        await self.server.stop()

    def __enter__(self) -> "Elsewhere":
        self.thread.start()
        assert self.ready.wait(60)
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join(20)

    @property
    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "ELSEWHERE_PORT": str(self.port), "ELSEWHERE_NS": str(self.ahead),
                "SSL_CERT_FILE": str(self.certificate), "ENGINE_TOKEN": TOKEN, "ENGINE_OPTIONS": "0", "ENGINE_DEBUG": "1"}

    @property
    def heard(self) -> list[tuple[str, str, str]]:
        """Method, host and path of each request so far."""
        return list(self.server.heard)
