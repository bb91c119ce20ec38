"""Feed: decoding and encoding of Upstox V3 frames, and the client that listens to them.

`decode(frame)` -> one row per update, `decode_into(frames, out)`, `encode(rows, current_ts)`; rows have TICK_DTYPE, names
as on the wire, prices in paise.
"""
from collections.abc import Sequence

import numpy as np

from _ext.core.keys import KeyTable
from _ext.feed.encode import encode, encode_market_info
from _ext.feed.wire import TICK_DTYPE, Decoder

__all__ = ["HAS_DEPTH", "HAS_FIRST", "HAS_FULL", "HAS_GREEKS", "HAS_I1", "HAS_LTPC", "HAS_OHLC",
           "TICK_DTYPE", "decode", "decode_into", "encode", "encode_market_info"]

HAS_LTPC, HAS_DEPTH, HAS_GREEKS, HAS_OHLC, HAS_I1, HAS_FULL, HAS_FIRST = 1, 2, 4, 8, 16, 64, 128
"""Bits of a row's `has`: which sub-messages it carried (core/tick.pxd::TickHas)."""
UNKNOWN_KEY = 1024
"""Bit of a row that was decoded without a table of instruments, as `decode` does."""

_decoder = Decoder(KeyTable(1), 8192)


def decode(frame: bytes) -> np.ndarray:
    """Updates of one frame as a structured array of TICK_DTYPE; ValueError where it is no FeedResponse."""
    return _decoder.decode_frame(frame)


def decode_into(frames: Sequence[bytes], out: np.ndarray) -> int:
    """Decodes a list of frames into `out` (TICK_DTYPE); rows written. ValueError when it is too short or a frame bad."""
    return int(_decoder.decode_into(frames, out))
