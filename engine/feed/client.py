"""Market data client: authorize, connect, subscribe, resubscribe, reconnect; frames go straight to the core.

A redirect URI works once, so every connection authorizes anew (UPSTOX 1.1). Subscriptions are binary JSON in batches.
"""
import asyncio
import random
import ssl
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
from picows import WSMsgType, WSTransport, ws_connect

from _ext.feed.frame import FrameListener
from engine.trade.broker import BrokerError, RestClient

BATCH = 500
"""Keys in one subscribe message."""
BACK_OFF = (0.2, 30.0)
AUTHORIZE = "/v3/feed/market-data-feed/authorize"


class FeedClient:
    """Keeps `keys` subscribed in `mode`. `on_link(up, code)` is told of every change of the connection.

    A token that is refused (401) ends it with BrokerError; everything else is tried again, 0.2 to 30 s apart with jitter.
    """

    def __init__(self, rest: RestClient, sink: Any, keys: Sequence[str], mode: str,
                 on_link: Callable[[bool, int], None], on_note: Callable[[str], None], on_attention: Callable[[], None]):
        self.on_attention = on_attention
        self.rest, self.sink, self.keys, self.mode = rest, sink, list(keys), mode
        self.on_link, self.on_note = on_link, on_note
        self.listener: FrameListener | None = None
        self.transport: WSTransport | None = None
        self.connects = 0

    async def run(self) -> None:
        """Until cancelled."""
        pause = BACK_OFF[0]
        while True:
            code = 0
            try:
                began = asyncio.get_running_loop().time()
                await self._connect()
                assert self.transport is not None
                await self.transport.wait_disconnected()
                if asyncio.get_running_loop().time() - began > 10:
                    pause = BACK_OFF[0]
            except asyncio.CancelledError:
                if self.transport is not None:
                    self.transport.disconnect()      # not one frame more reaches the core
                raise
            except BrokerError as error:
                code = error.status
                self.on_link(False, code)
                if error.status == 401:
                    raise
                self.on_note(f"feed: {error}")
            except Exception as error:      # a handshake refused, a cut line, a name that does not resolve: all tried again
                self.on_note(f"feed: {type(error).__name__}: {error}")
            self.on_link(False, code)
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))
            pause = min(pause * 2, BACK_OFF[1])

    async def _connect(self) -> None:
        answer = await self.rest.get(AUTHORIZE)
        data = answer.get("data") or {}
        url = self.rest.check_socket_url(data.get("authorized_redirect_uri") or data.get("authorizedRedirectUri"))
        context = ssl.create_default_context() if urlsplit(url).scheme == "wss" else None
        if self.listener is None:
            self.listener = FrameListener(self.sink, self._on_text, self._on_up, self._on_down,
                                          self.on_attention)
        listener = self.listener
        self.transport, _ = await ws_connect(lambda: listener, url, ssl_context=context, enable_auto_ping=True,
                                             auto_ping_idle_timeout=10, auto_ping_reply_timeout=10)
        self.connects += 1

    def _on_up(self, transport: WSTransport) -> None:
        self.on_link(True, 0)
        for part in range(0, len(self.keys), BATCH):
            request = {"guid": f"{random.getrandbits(64):016x}", "method": "sub",
                       "data": {"mode": self.mode, "instrumentKeys": self.keys[part:part + BATCH]}}
            transport.send(WSMsgType.BINARY, orjson.dumps(request))

    def _on_down(self, transport: WSTransport) -> None:
        self.on_note("feed: disconnected")

    def _on_text(self, text: str) -> None:
        self.on_note(f"feed says: {text[:200]!r}")
