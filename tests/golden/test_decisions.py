"""Golden decisions and requests: the same inputs give the same text. A change is a decision, not a repair of this test."""
import difflib

import numpy as np
import pytest

from _ext.core.records import LINK, ORDER_UPDATE, RECORD_NAMES
from tests.golden import canonical, make, scenario, stored
from tests.golden.make import DECISIONS, INPUTS, REQUESTS

RENEW = ("if that is what the change is meant to do, renew them with `python -m tests.golden.make {}`, read the difference line by "
         "line, and give the changed decision a line in the changelog")


def compared(want: str, got: str, what: str) -> None:
    if want != got:
        lines = list(difflib.unified_diff(want.splitlines(), got.splitlines(), "pinned", "today", lineterm="", n=1))
        changed = sum(line[:1] in "+-" for line in lines) - 2
        pytest.fail(f"{changed} lines of the golden {what} changed; {RENEW.format(what)}:\n" + "\n".join(lines[:60]), pytrace=False)


def test_the_stored_inputs_give_the_pinned_decisions(tmp_path):
    compared(DECISIONS.read_text(), canonical.HEAD + "\n".join(make.decisions(tmp_path)) + "\n", "decisions")


def test_a_virtual_day_sends_the_pinned_requests(tmp_path):
    compared(REQUESTS.read_text(), "\n".join(scenario.requests_of_a_day(tmp_path / "day")) + "\n", "requests")


def test_the_goldens_see_much():
    """Every kind of input but those of a drill, and what the rules, the gate and the exits have to say."""
    assert INPUTS.stat().st_size < 2 << 20
    kinds = {RECORD_NAMES[kind] for kind, _, _ in stored.records(INPUTS, dict.fromkeys(("model a", "model b"), "x"))}
    assert kinds >= {"start", "instruments", "profile", "bars", "frame", "timer", "link", "reply", "order_update", "funds",
                     "operator", "model", "boot", "stop", "book", "holdings", "universe", "backfill", "bands"}
    text = DECISIONS.read_text()
    for words in ("weak;", "aligned;", "outside session;", "noise;", "operator;", "too many positions;", "already in this name;",
                  "not tradable;", "size below one lot;", "protect;", "target;", "time;", "trail;", "square-off;", "stale entry;",
                  "price not told;", "silence;", "stall;", "corrupt;", "doubt;", "disorder;", "filled;", "late;", "link;"):
        assert words in text, words
    assert text.count(" fill ") >= 20 and text.count(" candidate ") >= 80


def test_a_record_is_stored_by_the_names_of_its_fields(tmp_path):
    link, update = np.zeros(1, LINK), np.zeros(2, ORDER_UPDATE)
    link["up"], link["code"] = 1, 1006
    update["intent"], update["order_id"], update["value"] = (7, 8), (b"B7", b""), (-5, 1 << 60)
    inputs = [(7, 10, link.tobytes()), (6, 11, b""), (5, 12, b"\n\n\x00raw"), (9, 13, update.tobytes()), (5, 14, b"")]
    stored.store(tmp_path / "x", inputs, {})
    assert list(stored.records(tmp_path / "x", {})) == inputs
    grown = np.dtype([("new", "<i8"), ("up", "<i8"), ("which", "<i2")])      # another day's layout: one field more, one less
    rows = np.frombuffer(stored._built([{"up": 1, "code": 1006}], grown), grown)
    assert rows[0].tolist() == (0, 1, 0)
