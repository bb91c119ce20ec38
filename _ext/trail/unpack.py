"""Compressed segments, unpacked one ahead of the reader in a thread that ends with it: zstd does not hold the interpreter."""
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

MOST = 1 << 30
"""Bytes a segment may unpack to."""


def unpacked(path: Path) -> bytes:
    """The segment's bytes. OSError where it cannot be read, ValueError where it is no such file or too large."""
    import zstandard

    try:
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            data = stream.read(MOST + 1)
    except zstandard.ZstdError:
        raise ValueError("it is damaged") from None
    if len(data) > MOST:
        raise ValueError(f"it unpacks to more than {MOST >> 20} MiB")
    return data


class Ahead:
    """Unpacks the segment that is asked for, and begins with the one after it; `is_alone`: without a thread, as it must be in a
    process that forks."""

    def __init__(self, is_alone: bool = False) -> None:
        self.is_alone = is_alone
        self.path: Path | None = None
        self.future: Future[bytes] | None = None

    def take(self, path: Path, after: Path | None) -> bytes:
        """Bytes of `path`; `after` is unpacked meanwhile. Raises as `unpacked`."""
        future, self.future = (self.future if self.path == path else None), None
        data = future.result() if future is not None else unpacked(path)
        if after is not None and not self.is_alone:
            pool = ThreadPoolExecutor(1)
            self.path, self.future = after, pool.submit(unpacked, after)
            pool.shutdown(wait=False)
        return data
