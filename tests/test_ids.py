"""The list of tests: none goes away unseen, and every one is in it; what needs a recording has a twin that needs none."""
import re

from tests import ids
from tests.conftest import ROOT


def test_every_test_of_the_list_exists():
    gone = sorted(set(ids.listed()) - ids.present())
    assert not gone, "renamed or removed: if that is meant, take them from tests/ids.txt in the same commit"


def test_every_test_is_in_the_list_once_and_in_order():
    new = sorted(ids.present() - set(ids.listed()))
    assert not new, "add them with `python -m tests.ids --add`"
    assert ids.listed() == sorted(set(ids.listed()))


def test_the_list_is_read_from_the_text_of_the_files():
    here = {"tests/test_ids.py::test_every_test_of_the_list_exists", "tests/lab/test_sequence.py::test_nothing"}
    assert here & ids.present() == {"tests/test_ids.py::test_every_test_of_the_list_exists"}
    assert any(name.startswith("tests/lab/test_sequence.py::") for name in ids.present()), "also where torch is missing"


def test_what_needs_a_recording_has_a_twin_without():
    """Each mark names a test that looks at the same thing on what the generator or the test makes."""
    marks = {path: re.findall(r"mark\.recording\b(?!\s*\))(.*)", path.read_text()) for path in (ROOT / "tests").rglob("test_*.py")
             if path.name != "test_ids.py"}
    needing = {f"{path.relative_to(ROOT)}::{name}" for path in marks
               for name in re.findall(r"@pytest\.mark\.recording.*\n(?:@.*\n|    .*\n)*def (\w+)", path.read_text())}
    named = [(path, re.fullmatch(r'\(twin="([^"]+)"\)', mark)) for path, found in marks.items() for mark in found]
    assert len(named) > 15 and all(match for _, match in named), [str(path) for path, match in named if not match]
    for _, match in named:
        twin = match[1].partition("[")[0]
        assert twin in ids.present() and twin not in needing, twin
