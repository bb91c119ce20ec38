"""What the feed says in text, and the address it is to be found at."""
import asyncio

import aiohttp
import pytest
from aiohttp import WSMsgType, web
from picows import WSError, ws_connect

from _ext.core.sink import FrameSink
from _ext.feed.frame import FrameListener
from engine.broker.base import BrokerError
from engine.broker.upstox.client import RestClient
from engine.broker.upstox.feed import FeedClient

TEXTS = [b'{"status":"failed"}', b"\xff\xfe\xed\xa0\x80", b"[" * 300_000, b"", b"\x1b[2J<script>"]


def test_text_of_any_kind_ends_no_connection():
    taken: list[bytes] = []

    async def life() -> None:
        async def feed(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse(compress=False)
            await socket.prepare(request)
            for text in [*TEXTS, b"the last"]:
                await socket._writer.send_frame(text, WSMsgType.TEXT)
            await asyncio.sleep(0.2)
            return socket

        app = web.Application()
        app.router.add_get("/", feed)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listener = FrameListener(FrameSink(), taken.append, lambda: None)
        transport, _ = await ws_connect(lambda: listener, f"ws://127.0.0.1:{runner.addresses[0][1]}/")
        await transport.wait_disconnected()
        await runner.cleanup()

    asyncio.run(asyncio.wait_for(life(), 10))
    assert taken == [text[:1024] for text in TEXTS] + [b"the last"]


def test_a_flood_of_text_is_one_line_a_second():
    notes: list[str] = []

    async def life() -> None:
        client = FeedClient(RestClient("demo", "http://127.0.0.1:1", "http://127.0.0.1:1"), FrameSink(), None, lambda: 0, list,
                            lambda up, code: None, notes.append, lambda: None)
        for _ in range(1000):
            for text in TEXTS:
                client._on_text(text)
        assert client.texts == 5000

    asyncio.run(life())
    assert len(notes) == 1 and "failed" in notes[0] and notes[0].isprintable()


def test_no_socket_follows_a_redirect():
    """The address was checked to be the broker's; where it is sent on to was not."""
    reached: list[str] = []

    async def life() -> None:
        async def away(request: web.Request) -> web.Response:
            reached.append(request.path)
            raise web.HTTPFound("/else")

        app = web.Application()
        app.router.add_get("/{path:.*}", away)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        base = f"127.0.0.1:{runner.addresses[0][1]}"
        rest = RestClient("demo", f"http://{base}", f"http://{base}")
        await rest.open()

        async def url(path, params=None):
            return f"ws://{base}/feed"

        rest.socket_url = url
        client = FeedClient(rest, FrameSink(), None, lambda: 0, list, lambda up, code: None, lambda text: None, lambda: None)
        try:
            with pytest.raises(WSError):
                await client._connect(1)
            with pytest.raises(aiohttp.ClientError):
                await rest._session.ws_connect(f"ws://{base}/orders")
        finally:
            await rest.close()
            await runner.cleanup()

    asyncio.run(asyncio.wait_for(life(), 10))
    assert reached == ["/feed", "/orders"]


@pytest.mark.parametrize("data", [None, [], "x", {}, {"authorized_redirect_uri": 7}, {"authorized_redirect_uri": "ws://[::1"},
                                  {"authorized_redirect_uri": "ws://evil.example/"}])
def test_an_address_nobody_understands_is_a_plain_error(data, monkeypatch):
    rest = RestClient("demo", "http://127.0.0.1:1", "http://127.0.0.1:1")

    async def get(path, params=None):
        return {"status": "success", "data": data}

    monkeypatch.setattr(rest, "get", get)
    with pytest.raises(BrokerError):
        asyncio.run(rest.socket_url("/v3/feed/market-data-feed/authorize"))
