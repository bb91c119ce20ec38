"""The socket's side of the feed over a loopback server: whole messages, fragments, text, what is too long, and the core's wish to
be asked."""
import asyncio

import numpy as np
import pytest
from picows import WSListener, WSMsgType, ws_connect, ws_create_server

from _ext.core.records import REC_FRAME
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.feed.frame import FrameListener
from engine.feed import TICK_DTYPE, encode, encode_market_info
from tests.market.conftest import OPEN_MS

FRAME = encode_market_info({"NSE_EQ": 2}, OPEN_MS)
BINARY, CONTINUATION, TEXT = WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.TEXT


class Sender(WSListener):
    """Sends what it is given as soon as a client is there."""

    def __init__(self, messages):
        self.messages = messages

    def on_ws_connected(self, transport):
        for kind, data, fin in self.messages:
            transport.send(kind, data, fin)


def heard(*connections, seconds: float = 5.0):
    """(frames journaled, texts, listener) after the messages of each connection in turn; each must be cut or go quiet."""
    trail, texts, asked = KeepingSink((REC_FRAME,)), [], []
    core = Core(trail, 4)
    listener = FrameListener(core, texts.append, lambda: asked.append(1))

    async def run():
        for messages, ends in connections:
            server = await ws_create_server(lambda _, messages=messages: Sender(messages), "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            want = len(trail.kept) + len(texts) + ends
            transport, _ = await ws_connect(lambda: listener, f"ws://127.0.0.1:{port}/")
            for _ in range(int(seconds / 0.01)):
                if len(trail.kept) + len(texts) >= want and not (ends == 0 and not listener.oversized):
                    break
                await asyncio.sleep(0.01)
            transport.disconnect(False)
            await transport.wait_disconnected()
            server.close()
            await server.wait_closed()

    asyncio.run(run())
    return [payload for _, _, payload in trail.kept], texts, listener, asked, core


def test_whole_messages_and_fragments_arrive_as_they_were():
    frames, texts, listener, asked, core = heard((
        [(BINARY, FRAME, True), (BINARY, FRAME[:3], False), (CONTINUATION, FRAME[3:9], False), (CONTINUATION, FRAME[9:], True),
         (TEXT, b"an error", True), (BINARY, FRAME[:5], True)], 4))
    assert frames == [FRAME, FRAME, FRAME[:5]] and texts == [b"an error"]
    assert listener.frames == 3 and not asked and core.counts()["rejected"] == 1
    p50, p99, p999, most = listener.percentiles()
    assert 0 < p50 <= p99 <= p999 and most > 0


def test_a_message_cut_off_does_not_begin_the_next_connections():
    frames, _, _, _, _ = heard(([(TEXT, b"x", True), (BINARY, FRAME[:7], False)], 1), ([(BINARY, FRAME, True),
                               (BINARY, FRAME[:3], False), (CONTINUATION, FRAME[3:], True)], 2))
    assert frames == [FRAME, FRAME]


@pytest.mark.parametrize(("more", "is_taken"), [(0, True), (1, False)])
def test_sixteen_mebibytes_are_the_longest_message(more, is_taken):
    half = bytes(8 << 20)
    messages = [(BINARY, half, False), (CONTINUATION, half, not more), *([(CONTINUATION, b"x", True)] if more else [])]
    frames, _, listener, _, _ = heard((messages, 1 if is_taken else 0))
    assert listener.oversized == (not is_taken) and [len(f) for f in frames] == [16 << 20] * is_taken


def test_frames_that_tell_of_a_trade_reach_the_market():
    row = np.zeros(1, TICK_DTYPE)
    row["key"], row["key_len"], row["has"], row["ltp"] = b"NSE_EQ|A", 8, 1, 100
    frames, _, _, _, core = heard(([(BINARY, encode(row, OPEN_MS), True)], 1))
    assert len(frames) == 1 and core.counts()["unknown"] == 1


def test_the_time_of_one_frame_is_every_percentile_of_it():
    """The upper edge of its bucket, at most an eighth high."""
    _, _, listener, _, _ = heard(([(BINARY, FRAME, True)], 1))
    p50, p99, p999, most = listener.percentiles()
    assert p50 == p99 == p999 and most <= p50 <= most * 1.13
