"""A note can be written on a full disk, and reading one never fails, hangs or makes anything."""
import os
import subprocess

import orjson
import pytest

from engine.trail.note import SIZE, Note, read_note


def test_written_and_read(tmp_path):
    note = Note(tmp_path / "n")
    note.write({"a": 1, "words": "x" * 10_000, "deaths": {"store": [3, "y" * 10_000]}})
    document = read_note(tmp_path / "n")
    assert document["a"] == 1 and document["words"].endswith(" ...") and document["deaths"]["store"][0] == 3
    note.write({"b": 2})
    assert read_note(tmp_path / "n") == {"b": 2} and (tmp_path / "n").stat().st_size == SIZE
    note.close()


def test_the_first_length_that_fits_is_taken(tmp_path):
    note = Note(tmp_path / "n")
    note.write({str(k): "z" * 500 for k in range(20)})
    document = read_note(tmp_path / "n")
    assert len(document) == 20 and {len(text) for text in document.values()} == {150}
    note.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"a": 1'])
def test_what_is_no_note_is_empty(tmp_path, content):
    (tmp_path / "n").write_bytes(content)
    assert read_note(tmp_path / "n") == {}


def test_nothing_a_folder_or_a_pipe_is_empty(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name in ("none", ".", "pipe"):
        assert read_note(tmp_path / name) == {}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pipe"]


@pytest.mark.machine
def test_it_is_written_when_the_disk_is_full(tmp_path):
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=False,
                      capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        note = Note(tmp_path / "n")
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "filler").write_bytes(bytes(1 << 20))
        with pytest.raises(OSError, match="No space"):
            Note(tmp_path / "another")
        note.write({"trouble": "no room"})
        assert orjson.loads((tmp_path / "n").read_bytes()) == {"trouble": "no room"}
        note.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
