from collections.abc import Iterable
from typing import Any

import numpy as np

from _ext.core.keys import KeyTable

TICK_DTYPE: np.dtype[np.void]

class Decoder:
    """Frames of the market data feed V3 into rows of TICK_DTYPE: prices in paise, times in ms since 1970."""

    def __init__(self, keys: KeyTable, capacity: int = 8192) -> None: ...
    def decode_frame(self, frame: bytes | bytearray | memoryview) -> np.ndarray: ...
    def decode_into(self, frames: Iterable[bytes], out: np.ndarray) -> int: ...
    def decode_packed(self, data: np.ndarray, offsets: np.ndarray) -> tuple[int, int, int, int]: ...
    def frame_head(self) -> tuple[int, int, dict[str, Any] | None]: ...
