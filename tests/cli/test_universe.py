"""`universe` on small files made here: what it counts, what it compares, what it refuses."""
import orjson
import pytest

from tests.market.test_universe import data_of, rows, small

__all__ = ["small"]


@pytest.fixture
def files(here):
    """Two days' files: overnight the lot of BBB's contracts changed."""
    for day, content in (("2026-09-01", rows()), ("2026-09-02", [r | {"lot_size": 600} if r.get("asset_symbol") == "BBB" else r
                                                               for r in rows()])):
        (here / f"NSE.{day}.json.gz").write_bytes(data_of(content))
    return "NSE.2026-09-01.json.gz", "NSE.2026-09-02.json.gz"


def test_a_file_is_counted_on_the_day_of_its_name(said, files):
    assert said("universe", "--file", files[0], "--json") == (0, "")
    document = orjson.loads(said.out)
    assert document["counts"].items() >= {"stocks": 4, "futures": 8, "options": 32, "ACTIVE": 4, "indices": 1}.items()
    assert said("universe", "--file", files[0]) == (0, "")
    assert said.out.startswith("2026-09-01: 4 F&O stocks, 8 futures, 32 options; left out: NIFTY")


def test_a_file_without_a_day_needs_one(said, here, files):
    (here / "today.gz").write_bytes((here / files[0]).read_bytes())
    code, text = said("universe", "--file", "today.gz")
    assert code == 2 and "no day in its name" in text
    assert said("universe", "--file", "today.gz", "--day", "2026-09-01") == (0, "")


def test_two_days_are_compared_and_what_blocks_is_marked(said, files):
    assert said("universe", "diff", *files) == (0, "")
    lines = said.out.splitlines()
    assert [line for line in lines if line.startswith("!")] == [line for line in lines if "BBB" in line] != []
    assert any("500" in line and "600" in line for line in lines)
    assert said("universe", "diff", files[0], files[0]) == (0, "") and said.out == "no option changed\n"
    assert said("universe", "diff", *files, "--json") == (0, "")
    document = orjson.loads(said.out)
    assert (document["old"], document["new"]) == ("2026-09-01", "2026-09-02")
    assert {c["symbol"] for c in document["changes"] if c["blocking"]} == {"BBB"}


def test_files_as_the_broker_names_them_are_compared_with_days_given(said, here, files):
    """Two files of one name, as they come: the message says what helps, and what it says works."""
    names = []
    for folder, file in zip(("a", "b"), files, strict=True):
        (here / folder).mkdir()
        (here / folder / "NSE.json.gz").write_bytes((here / file).read_bytes())
        names.append(f"{folder}/NSE.json.gz")
    code, text = said("universe", "diff", *names)
    assert code == 2 and "NSE.YYYY-MM-DD.json.gz" in text and "--days OLD NEW" in text
    assert said("universe", "diff", *names, "--days", "2026-09-01", "2026-09-02") == (0, "") and "BBB" in said.out
    for days, words in ((("2026-09-02", "2026-09-01"), "the earlier day comes first"), (("x", "2026-09-01"), "is no day")):
        code, text = said("universe", "diff", *names, "--days", *days)
        assert code == 2 and words in text
    code, text = said("universe", "--day", "soon")
    assert code == 2 and "'soon' is no day" in text


def test_a_file_that_is_not_there_is_named_with_those_that_are(said, files):
    code, text = said("universe", "diff", files[0], "2026-09-03")
    assert code == 1 and "no such instrument file; kept are none" in text


def test_what_was_acknowledged_is_written_in_capitals(said):
    assert said("universe", "acknowledge", "bbb") == (0, "") and said.out == "BBB: may trade from the next start on\n"
