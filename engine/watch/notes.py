"""Notes and tags of people on candidates and the trades that came of them: `notes.jsonl` of the run's folder, a line a note.

Nothing is ever changed in it: who takes a note back adds a line that says so, and who wrote what stays.
"""
import contextlib
import fcntl
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.errors import UsageError

TEXT_MAX, TAG_MAX, TAGS_MAX, WHO_MAX = 1000, 32, 8, 40
"""Characters of a text, a tag and a name; tags of a note."""
NOTES_MAX, OF_ONE_MAX, FILE_MAX = 5000, 100, 8 << 20
"""Lines of a run, notes of one candidate, bytes of the file."""
LINE_MAX = 16 << 10
TAG = re.compile(r"(?<![\w#])#([^\W_][\w-]*)")
DROPPED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Kinds of characters that no reader sees, or that turn what they see: none is kept."""


class NoteRefused(UsageError):
    """Says why a note was not kept."""


@dataclass(frozen=True, slots=True)
class Note:
    """`at` in ns of this machine's clock."""
    number: int
    candidate: int
    at: int
    who: str
    text: str
    tags: tuple[str, ...] = ()

    def shown(self) -> dict[str, Any]:
        return {"n": self.number, "t_us": self.at // 1000, "who": self.who, "text": self.text, "tags": list(self.tags)}


class Notes:
    """Notes of the run whose folder `path` is. Read again when the file has changed."""

    def __init__(self, path: Path):
        self.path = path / "notes.jsonl"
        self._seen: tuple[int, int, int] | None = None
        self._notes: dict[int, Note] = {}

    def of(self, candidate: int) -> list[Note]:
        """Those of one candidate that stand, in order."""
        return [note for note in self._read().values() if note.candidate == candidate]

    def tags(self) -> dict[int, list[str]]:
        """Candidate -> its tags, each once, in the order they were given."""
        found: dict[int, dict[str, None]] = {}
        for note in self._read().values():
            found.setdefault(note.candidate, {}).update(dict.fromkeys(note.tags))
        return {candidate: list(tags) for candidate, tags in found.items() if tags}

    def add(self, candidate: int, text: str, tags: Iterable[str], who: str) -> Note:
        """Keeps a note; `#words` of `text` are tags besides `tags`. NoteRefused, also where the disk does not take it."""
        said, named = _text(text), _tags([*tags, *TAG.findall(text)])
        if not said and not named:
            raise NoteRefused("an empty note: write some words, or a tag")
        with self._writing() as (fd, lines):
            notes, last = _folded(lines)
            if sum(note.candidate == candidate for note in notes.values()) >= OF_ONE_MAX:
                raise NoteRefused(f"candidate {candidate} has {OF_ONE_MAX} notes: take one back first")
            note = Note(last + 1, candidate, time.time_ns(), _text(who)[:WHO_MAX], said, named)
            _append(fd, {"n": note.number, "candidate": candidate, "at": note.at, "who": note.who, "text": said, "tags": named})
        return note

    def remove(self, number: int, who: str) -> None:
        """Takes a note back by another line. NoteRefused where none of this number stands."""
        with self._writing() as (fd, lines):
            notes, last = _folded(lines)
            if number not in notes:
                raise NoteRefused(f"there is no note {number} in this run")
            _append(fd, {"n": last + 1, "removes": number, "at": time.time_ns(), "who": _text(who)[:WHO_MAX]})

    # ---- the file ------------------------------------------------------------------------------------------------------
    def _read(self) -> dict[int, Note]:
        try:
            about = os.stat(self.path, follow_symlinks=False)
            mark = about.st_ino, about.st_size, about.st_mtime_ns
            if mark != self._seen:
                fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
                try:
                    self._notes, self._seen = _folded(_lines(fd))[0], mark
                finally:
                    os.close(fd)
        except OSError:
            self._notes, self._seen = {}, None
        return self._notes

    @contextlib.contextmanager
    def _writing(self) -> Iterator[tuple[int, list[bytes]]]:
        """The file, for one writer at a time, and its lines."""
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        except OSError as error:
            words = (error.strerror or "it fails").lower()
            raise NoteRefused(f"the note cannot be kept in {self.path.parent.name}: {words}") from None
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)     # watch must not wait for whoever hangs with it
            lines = _lines(fd)
            if len(lines) >= NOTES_MAX or os.fstat(fd).st_size > FILE_MAX - LINE_MAX:
                raise NoteRefused(f"{self.path.name} of this run is full ({NOTES_MAX:,} lines): further notes need another place")
            yield fd, lines
        except OSError as error:
            raise NoteRefused(f"the note was not kept: {(error.strerror or 'it fails').lower()}") from None
        finally:
            os.close(fd)


def _append(fd: int, document: dict[str, Any]) -> None:
    """One line by one write; a line that was cut off by a full disk stays by itself."""
    size = os.fstat(fd).st_size
    is_cut = size > 0 and os.pread(fd, 1, size - 1) != b"\n"
    line = (b"\n" if is_cut else b"") + orjson.dumps(document) + b"\n"
    if os.write(fd, line) != len(line):
        raise OSError(28, "no space left on device")


def _lines(fd: int) -> list[bytes]:
    return [line for line in os.pread(fd, FILE_MAX, 0).split(b"\n") if line]


def _folded(lines: Iterable[bytes]) -> tuple[dict[int, Note], int]:
    """Notes that stand by number, and the last number given. A line that is none is left out: the file may be written by hand."""
    notes: dict[int, Note] = {}
    last = 0
    for line in lines:
        with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError, NoteRefused):
            row = orjson.loads(line) if len(line) <= LINE_MAX else {}
            number = int(row["n"])
            if not last < number < 1 << 53:
                continue
            if "removes" in row:
                notes.pop(int(row["removes"]), None)
            else:
                notes[number] = Note(number, int(row["candidate"]), int(row["at"]), _text(row["who"][:WHO_MAX]),
                                     _text(row["text"][:TEXT_MAX]), _tags(tag[:TAG_MAX] for tag in row["tags"][:TAGS_MAX]))
            last = number
    return notes, last


def _text(text: str) -> str:
    """One line of what can be seen. NoteRefused where it is too long."""
    if len(text) > TEXT_MAX:
        raise NoteRefused(f"a note has at most {TEXT_MAX:,} characters, this one {len(text):,}")
    plain = "".join(" " if c in "\n\r\t" else c for c in unicodedata.normalize("NFC", text))
    return " ".join("".join(c for c in plain if unicodedata.category(c) not in DROPPED).split())


def _tags(given: Iterable[str]) -> tuple[str, ...]:
    """Each once, without its #, in small letters."""
    found = dict.fromkeys(tag.removeprefix("#").casefold() for tag in map(_text, given))
    for tag in found:
        if not TAG.fullmatch(f"#{tag}") or len(tag) > TAG_MAX:
            raise NoteRefused(f"{tag[:40]!r} is no tag: a letter or digit, then at most {TAG_MAX - 1} of these, - and _")
    if len(found) > TAGS_MAX:
        raise NoteRefused(f"a note has at most {TAGS_MAX} tags, this one {len(found)}")
    return tuple(found)
