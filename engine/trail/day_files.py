"""The day files a journal was made of: its DATA records stand for rows that only those files have."""
from pathlib import Path

import orjson

from _ext.core.records import FIRST_DECISION, REC_DATA, REC_FRAME, REC_TIMER
from _ext.feed.rows import RowFeed
from _ext.trail.reader import Reader
from engine.errors import DataError
from engine.feed.dayfile import DayFile
from engine.feed.rows import row_feed
from engine.trail.rundir import RunError


def day_files_of(reader: Reader) -> dict[str, RowFeed]:
    """Hash -> rows of each day file that the first records of a journal name, checked as a whole. RunError where one is gone or is
    not what was run."""
    found: dict[str, RowFeed] = {}
    while (record := reader.read()) is not None and record[0] < FIRST_DECISION and record[0] not in (REC_FRAME, REC_TIMER):
        if record[0] == REC_DATA:
            told = orjson.loads(record[3])
            found[told["sha256"]] = row_feed(_the_file(Path(told["name"]), told["sha256"]))
    return found


def _the_file(path: Path, sha256: str) -> DayFile:
    try:
        day = DayFile(path)
    except DataError as error:
        raise RunError(f"the run was made of {path}, which cannot be read ({error}): put the file back") from None
    if day.content != sha256 or not day.is_whole:
        raise RunError(f"{path} is not the day file the run was made of: put that one back, or run anew")
    return day
