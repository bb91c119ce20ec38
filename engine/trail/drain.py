"""Drainer: copies a real-time run's segments from memory to disk, and frees memory once a segment is safe."""
import os
import struct
from pathlib import Path

from _ext.core.records import REC_INTENT
from _ext.trail.segment import MAGIC, segment_names

HEAD = 64
_LENGTH = struct.Struct("<I")
_TYPE = struct.Struct("<H")
BLOCK = 4 << 20


class Drainer:
    """`step` copies what is new; a segment left by its writer, copied and synced, is removed from memory."""

    def __init__(self, memory: Path, disk: Path):
        self.memory, self.disk = memory, disk
        disk.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.copied: dict[str, int] = {}
        self.files: dict[str, int] = {}

    def step(self, sync: bool, is_over: bool = False) -> int:
        """Copies new records; with `sync`, or where an intent was among them, the files are synced. Bytes copied. `is_over`: no
        writer lives, and the caller sees to it that none begins: what one that was killed has left is done with.

        Raises OSError when the disk takes no more: nothing is given up in memory that is not on disk whole.
        """
        total, urgent = 0, sync
        names = segment_names(self.memory)
        in_use = [self._in_use(name) for name in names]      # before any read: what is read afterwards is then all there is
        for i, name in enumerate(names):
            is_left = is_over or any(in_use[i + 1:])
            if not in_use[i]:
                if is_left:
                    (self.memory / name).unlink(missing_ok=True)      # made ahead by a writer that died
                continue
            try:
                copied, has_intent, is_drained = self._copy(name)
            except FileNotFoundError:
                continue
            total += copied
            urgent |= has_intent
            if is_drained and (is_left or self._is_closed(name)):
                os.fdatasync(self.files[name])
                os.close(self.files.pop(name))
                (self.memory / name).unlink(missing_ok=True)
        if is_over:
            for unfinished in self.memory.glob("*.new"):
                unfinished.unlink(missing_ok=True)
        if urgent:
            for fd in self.files.values():
                os.fdatasync(fd)
        return total

    def _copy(self, name: str) -> tuple[int, bool, bool]:
        """Copies what is new of one segment: (bytes, whether an intent is among them, whether nothing is left)."""
        with (self.memory / name).open("rb") as data:
            begin = self.copied.get(name) or self._resume(name, data.read(HEAD))
            data.seek(begin)
            block = data.read(BLOCK)
            if len(block) >= 4 and (need := _LENGTH.unpack_from(block)[0]) > len(block):
                data.seek(begin)
                block = data.read(need)
        end, has_intent = whole_records(block)
        at = 0
        while at < end:
            at += os.pwrite(self.files[name], block[at:end], begin + at)
        self.copied[name] = begin + end
        return end, has_intent, end == 0 and not any(block[:4])

    def _resume(self, name: str, head: bytes) -> int:
        """Opens the disk copy; what an earlier drainer had copied whole is kept."""
        if name not in self.files:
            self.files[name] = os.open(self.disk / name, os.O_RDWR | os.O_CREAT, 0o600)
        fd = self.files[name]
        os.pwrite(fd, head, 0)
        size = os.fstat(fd).st_size
        whole, _ = whole_records(os.pread(fd, size, HEAD)) if size > HEAD else (0, False)
        os.ftruncate(fd, HEAD + whole)
        self.copied[name] = HEAD + whole
        return HEAD + whole

    def _is_closed(self, name: str) -> bool:
        """Whether its writer cut it to what was written: the run has ended."""
        return 0 <= (self.memory / name).stat().st_size - self.copied.get(name, 0) <= 8

    def _in_use(self, name: str) -> bool:
        """Whether its writer has begun it. One that is still being made has no whole head yet: it is nobody's business."""
        try:
            with (self.memory / name).open("rb") as file:
                head = file.read(HEAD)
        except FileNotFoundError:
            return False
        return len(head) == HEAD and head[:8] == MAGIC and head[32:40] != bytes(8)


def whole_records(block: bytes) -> tuple[int, bool]:
    """(bytes of whole records at the start of `block`, whether an intent is among them)."""
    at, has_intent = 0, False
    while at + 32 <= len(block):
        length = _LENGTH.unpack_from(block, at)[0]
        if length < 32 or at + length > len(block):
            break
        has_intent |= _TYPE.unpack_from(block, at + 4)[0] == REC_INTENT
        at += length
    return at, has_intent
