"""Drainer: copies a real-time run's segments from memory to disk, and frees memory once a segment is safe."""
import os
import struct
from pathlib import Path

from _ext.trail.journal import segment_names

HEAD = 64
_LENGTH = struct.Struct("<I")
_TYPE = struct.Struct("<H")
INTENT = 67


class Drainer:
    """`step` copies what is new; a segment left by its writer, copied and synced, is removed from memory."""

    def __init__(self, memory: Path, disk: Path):
        self.memory, self.disk = memory, disk
        disk.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.copied: dict[str, int] = {}
        self.files: dict[str, int] = {}

    def step(self, sync: bool) -> int:
        """Copies new records; with `sync`, or where an intent was among them, the files are synced. Bytes copied."""
        total, urgent = 0, sync
        names = segment_names(self.memory)
        for i, name in enumerate(names):
            try:
                data = (self.memory / name).open("rb")
            except FileNotFoundError:
                continue
            with data:
                begin = self.copied.get(name, 0)
                if begin == 0:
                    head = data.read(HEAD)
                    if len(head) < HEAD or head[32:40] == bytes(8):
                        continue                      # made ahead, not in use yet
                    begin = self._resume(name, head)
                data.seek(begin)
                block = data.read(4 << 20)
                end, has_intent = whole_records(block)
                if end:
                    os.pwrite(self.files[name], block[:end], begin)
                    self.copied[name] = begin + end
                    total += end
                    urgent |= has_intent
            is_left = i + 1 < len(names) and self._in_use(names[i + 1])
            if end == 0 and (is_left or self._is_closed(name)):
                os.fdatasync(self.files[name])
                os.close(self.files.pop(name))
                (self.memory / name).unlink(missing_ok=True)
        if not names and self.memory.is_dir():
            self.memory.rmdir()
        if urgent:
            for fd in self.files.values():
                os.fdatasync(fd)
        return total

    def _resume(self, name: str, head: bytes) -> int:
        """Opens the disk copy; what an earlier drainer had copied whole is kept."""
        self.files[name] = fd = os.open(self.disk / name, os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(fd, head, 0)
        size = os.fstat(fd).st_size
        whole, _ = whole_records(os.pread(fd, size, HEAD)) if size > HEAD else (0, False)
        os.ftruncate(fd, HEAD + whole)
        self.copied[name] = HEAD + whole
        return HEAD + whole

    def _is_closed(self, name: str) -> bool:
        """Whether its writer cut it to what was written: the run has ended."""
        return self.copied.get(name, 0) == (self.memory / name).stat().st_size

    def _in_use(self, name: str) -> bool:
        try:
            with (self.memory / name).open("rb") as file:
                return file.read(HEAD)[32:40] != bytes(8)
        except FileNotFoundError:
            return False


def whole_records(block: bytes) -> tuple[int, bool]:
    """(bytes of whole records at the start of `block`, whether an intent is among them)."""
    at, has_intent = 0, False
    while at + 32 <= len(block):
        length = _LENGTH.unpack_from(block, at)[0]
        if length < 32 or at + length > len(block):
            break
        has_intent |= _TYPE.unpack_from(block, at + 4)[0] == INTENT
        at += length
    return at, has_intent
