"""The status block: whole or nothing for whoever reads it, whatever became of who wrote it."""
import os
import struct

import pytest

from _ext.trail.status import StatusBlock


def sequence(path) -> int:
    return struct.unpack("<I", path.read_bytes()[:4])[0]


def set_sequence(path, number: int) -> None:
    with path.open("r+b") as file:
        file.write(struct.pack("<I", number))


def test_what_is_published_is_read_by_others(tmp_path):
    path = tmp_path / "status"
    with pytest.raises(FileNotFoundError):
        StatusBlock(path)
    writer = StatusBlock(path, create=True)
    reader = StatusBlock(path)
    for number in range(1, 4):
        writer.values["positions"] = number
        assert reader.read()["positions"] == number - 1
        writer.publish()
        assert reader.read()["positions"] == number and sequence(path) == 2 * number
    assert os.stat(path).st_mode & 0o777 == 0o600


def test_what_is_being_written_is_not_read_and_a_writer_that_died_is_survived(tmp_path):
    path = tmp_path / "status"
    writer = StatusBlock(path, create=True)
    writer.publish()
    set_sequence(path, 3)                                   # in the middle of it
    assert StatusBlock(path).read() is None
    again = StatusBlock(path, create=True)                  # the next engine, on the same block
    again.values["pid"] = 7
    for want in (4, 6):
        again.publish()
        assert sequence(path) == want and StatusBlock(path).read()["pid"] == 7


def test_the_operators_word_is_not_the_writers(tmp_path):
    path = tmp_path / "status"
    engine, operator = StatusBlock(path, create=True), StatusBlock(path)
    operator.operator = 3
    engine.publish()
    assert engine.operator == operator.operator == 3
    operator.operator = -1
    assert engine.operator == -1 and operator.read()["pid"] == 0


def test_a_block_of_another_version_is_refused(tmp_path):
    (tmp_path / "status").write_bytes(bytes(100))
    with pytest.raises(ValueError, match="not a status block"):
        StatusBlock(tmp_path / "status")
