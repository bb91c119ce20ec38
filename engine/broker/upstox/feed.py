"""The keeper's hands: authorizes, connects, sends what the keeper wants sent; frames go straight to the core.

A redirect URI works once, so every connection authorizes anew (docs/upstox.md 1.1). A refused token ends nothing: another is
waited for.
"""
import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from picows import WSHandshakeError, WSMsgType, WSTransport, ws_connect

from _ext.feed.frame import FrameListener
from engine.broker.base import BrokerError
from engine.broker.upstox.answers import clean
from engine.broker.upstox.client import RestClient
from engine.feed.subscriptions import SubscriptionManager

AUTHORIZE = "/v3/feed/market-data-feed/authorize"
TICK_S, TOKEN_S = 0.1, 5.0
PING_S = 10.0
"""Idle for so long, a ping; another such without a pong, and the link is half open."""


class FeedClient:
    """Runs `keeper` over real sockets into `sink`. `clock` is the journal's time (ns), `held` the keys with a position,
    `on_link(up, code)` is told when the last connection goes or the first comes, `new_token` is asked for another token after a
    401."""

    def __init__(self, rest: RestClient, sink: Any, keeper: SubscriptionManager, clock: Callable[[], int], held: Callable[[],
                                                                                                                          list[str]],
                 on_link: Callable[[bool, int], None], on_note: Callable[[str], None], on_attention: Callable[[], None],
                 new_token: Callable[[], str | None] = lambda: None):
        self.rest, self.sink, self.keeper, self.clock, self.held = rest, sink, keeper, clock, held
        self.on_link, self.on_note, self.on_attention, self.new_token = on_link, on_note, on_attention, new_token
        self.listeners: dict[int, FrameListener] = {}
        self.transports: dict[int, WSTransport] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.connects = self.texts = 0
        self.text_at = 0.0
        self.is_up = False

    async def run(self) -> None:
        """Until cancelled."""
        loop, token_at = asyncio.get_running_loop(), 0.0
        try:
            while True:
                if not self.keeper.token_ok and loop.time() >= token_at:
                    token_at = loop.time() + TOKEN_S
                    if (token := self.new_token()) is not None:
                        self.rest.renew(token)
                        self.keeper.on_token(self.clock())
                        self.on_note("another token is there: connecting")
                for action in self.keeper.due(self.clock(), self.held()):
                    if action.what == "connect":
                        task = asyncio.ensure_future(self._live(action.number))
                        self.tasks.add(task)
                        task.add_done_callback(self.tasks.discard)
                    elif (transport := self.transports.get(action.number)) is not None:
                        if action.what == "send":
                            transport.send(WSMsgType.BINARY, action.message)
                        else:
                            self.on_note(f"feed connection {action.number}: {action.why}")
                            transport.disconnect(False)        # a graceful end waits half a minute for a dead peer
                await asyncio.sleep(TICK_S)
        finally:
            for transport in self.transports.values():
                transport.disconnect(False)              # not one frame more reaches the core
            for task in list(self.tasks):
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _live(self, number: int) -> None:
        """One connection, from authorizing to its end."""
        status = 0
        try:
            transport = await self._connect(number)
            self.transports[number] = transport
            self.connects += 1
            self.keeper.on_up(number, self.clock())
            self._emit_link()
            await transport.wait_disconnected()
        except BrokerError as error:
            status = error.status
            self.on_note(f"feed connection {number}: {error}")
        except WSHandshakeError as error:
            status = int(error.response.status) if error.response is not None else 0
            self.on_note(f"feed connection {number}: the handshake was refused ({status})")
        except asyncio.CancelledError:
            raise
        except Exception as error:      # a cut line, a name that does not resolve: all tried again
            self.on_note(f"feed connection {number}: cut ({type(error).__name__}); it is tried again")
        finally:
            self.transports.pop(number, None)
            self.keeper.on_down(number, self.clock(), status)
            self._emit_link(status)

    def _emit_link(self, code: int = 0) -> None:
        if self.keeper.is_up != self.is_up:
            self.is_up = self.keeper.is_up
            self.on_link(self.is_up, code)

    async def _connect(self, number: int) -> WSTransport:
        url = await self.rest.socket_url(AUTHORIZE)
        context = ssl.create_default_context() if urlsplit(url).scheme == "wss" else None
        listener = self.listeners.setdefault(number, FrameListener(self.sink, self._on_text, self.on_attention))
        transport, _ = await ws_connect(lambda: listener, url, ssl_context=context, enable_auto_ping=True,
                                        auto_ping_idle_timeout=PING_S, auto_ping_reply_timeout=PING_S,
                                        max_redirects=0)         # the address was checked, another is not
        return transport

    def _on_text(self, text: bytes) -> None:
        """Text frames are errors of the broker; of a flood of them one a second is told, with their number."""
        self.texts += 1
        now = asyncio.get_running_loop().time()
        if now >= self.text_at:
            self.text_at = now + 1.0
            self.on_note(f"feed says ({self.texts} so far): {clean(text.decode(errors='replace'))[:200]}")

    def percentiles(self) -> tuple[int, int, int, int]:
        """ns inside the callback, p50, p99, p99.9 and max, of the busiest connection."""
        with contextlib.suppress(ValueError):
            worst: tuple[int, int, int, int] = max((each.percentiles() for each in self.listeners.values()), key=lambda p: p[3])
            return worst
        return 0, 0, 0, 0
