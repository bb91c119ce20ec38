"""`backtest`: a page for a person, one document with --json, and words of ours for what cannot be."""
import orjson
import pytest

from tests.kit.days import DAY, recorded_day


@pytest.fixture
def days(here):
    recorded_day(here / "days", minutes=10, names=3)


def test_a_page_and_a_document(said, days):
    assert said("backtest", "--data", "days", "--run-dir", "a")[0] == 0
    assert "1 days, 2026-09-01 to 2026-09-01" in said.out and "a run folder of each day" in said.out and "win rate" in said.out
    assert said("backtest", "--data", "days", "--run-dir", "b", "--json", "--no-journal", "--latency-ms", "40")[0] == 0
    document = orjson.loads(said.out)
    assert document["first"] == str(DAY) and document["is_whole"] and document["result"]["days"] == 1
    assert said("replay", f"a/{DAY}")[0] == 0 and "IDENTICAL" in said.out


@pytest.mark.parametrize(("words", "code", "answer"), [
    (("--data", "nowhere"), 2, "no such file or folder"), (("--data", "days", "--names", "NONE"), 2, "no NONE"),
    (("--data", "days", "--from", "2030-01-01"), 2, "there are 2026-09-01"), (("--data", "days", "--from", "soon"), 2, "a day as"),
    (("--data", "days", "--spread-bp", "-1"), 2, "at least 0"), (("--data", "days", "--run-dir", "days"), 1, "not empty"),
    (("--data", "days", "--latency-ms", "x"), 2, "a whole number")])
def test_what_cannot_be_is_said(said, days, words, code, answer):
    found, text = said("backtest", *words)
    assert found == code and answer in text and "Traceback" not in text


@pytest.mark.parametrize("book", [True, False])
def test_a_run_over_data_without_a_book_says_why_nothing_trades(said, here, book):
    recorded_day(here / "data", minutes=16, names=2, book=book)
    code, text = said("run", "--data", "data", "--speed", "max", "--no-store", "--run-dir", "r")
    assert code == 0 and ("`python -m engine backtest --data` models a book" in text) is not book
