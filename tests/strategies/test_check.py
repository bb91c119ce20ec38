"""`strategy check` finds what would make a backtest lie, and flags no honest strategy.

`engine/backtest/check.py`, `engine/backtest/play.py`, `engine/strategies/trial.py`, `engine/strategies/template.py`,
`engine/cli/strategy.py`.
"""
import random
import subprocess
import sys

import numpy as np
import orjson
import pytest

from engine.backtest.check import CheckError, Play, _cut, _first_difference, _instants, check
from engine.feed.dayfile import DayFile
from tests.kit.counts import count
from tests.kit.days import recorded_day

HEAD = """import engine
class Mine(engine.Strategy):
    timeframes = (1,)
    seen = 0
    def on_bar(self, instrument, minutes, bars):
        self.seen += 1
"""


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    return recorded_day(tmp_path_factory.mktemp("day"), minutes=40, names=4)


def checked(tmp_path, day, body, head=HEAD, cuts=1, hashes=1, seed=1):
    path = tmp_path / "mine.py"
    path.write_text(head + "\n".join(f"        {line}" for line in body.splitlines()) + "\n")
    return check(path, {}, day, seed=seed, cuts=cuts, hashes=hashes)


HONEST = "if len(bars) > 3 and bars.close[-1] > bars.close[-2]:\n    self.candidate(instrument, 1, strength=0.7)"


def test_an_honest_one_is_not_flagged(tmp_path, day):
    found = checked(tmp_path, day, HONEST, cuts=10, hashes=3)
    assert found["problems"] == [] and found["is_honest"] and found["plays"] == 16
    assert found["candidates"] > 10 and found["calls"] > 100 and found["us_a_call"] > 0


@pytest.mark.parametrize(("body", "words"), [
    # it reads the data ahead: the file that was named, not the copy it is played on
    ("from engine.feed.dayfile import DayFile\nfrom pathlib import Path\nDayFile(Path({day!r}))\n" + HONEST, "was stopped"),
    ("import polars\npolars.read_parquet({day!r})\n" + HONEST, "was stopped"),
    ("open({day!r}).close()\n" + HONEST, "opens a file"),
    ("import time\nif time.time() > {later}: self.candidate(instrument, 1)", "by the clock"),
    ("import datetime as dt\nif dt.datetime.now().year > {year}: self.candidate(instrument, 1)", "by the clock"),
    ("words = {{'alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta'}}\n"
     "self.candidate(instrument, 1 if list(words)[0] < 'd' else -1)", "order of a set"),
    ("import random\nself.candidate(instrument, random.choice((1, -1)))", "not twice the same"),
    ("import subprocess\nsubprocess.run(['true'])", "opens a program"),
    ("if self.seen == 30: 1 / 0", "was stopped: ZeroDivisionError")])
def test_a_dishonest_one_is_found(tmp_path, day, body, words):
    import datetime as dt
    import time

    found = checked(tmp_path, day, body.format(day=str(day), later=int(time.time()) + 86_400, year=dt.date.today().year),
                    hashes=3 if "set" in words else 1)
    assert any(words in problem for problem in found["problems"]), found


def test_the_rows_it_is_played_on_are_out_of_reach_past_the_present(tmp_path, day):
    """Its copy of the day lies where the check may read: opening it is noticed."""
    found = checked(tmp_path, day, """import glob, tempfile
from engine.feed.dayfile import DayFile
from pathlib import Path
for path in glob.glob(tempfile.gettempdir() + "/spike-check-*/whole/*.day"):
    self.later = DayFile(Path(path)).columns["ltp"]
""" + HONEST)
    assert any("opens a" in problem for problem in found["problems"])


def test_noise_begins_after_the_cut_and_not_before(tmp_path, day):
    whole = DayFile(day)
    for k, until in enumerate(_instants(whole, 5, 4)):
        cut = DayFile(_cut(whole, tmp_path / str(k), until, k))
        received = np.asarray(whole.columns["received"]) * 1_000_000
        before = received <= until
        assert 0.05 < before.mean() < 1 and list(cut.columns) == list(whole.columns)
        for name, values in whole.columns.items():
            assert (np.asarray(values)[before] == np.asarray(cut.columns[name])[before]).all(), name
        assert (np.asarray(whole.columns["ltp"])[~before] != np.asarray(cut.columns["ltp"])[~before]).mean() > 0.5
        assert (np.asarray(cut.columns["received"]) == np.asarray(whole.columns["received"])).all()


def _play(*decided, until=0):
    return Play("x", None, until=until, now=np.array([now for now, _ in decided], np.int64),
                decided=np.array([what for _, what in decided], np.uint64))


@pytest.mark.parametrize(("ours", "theirs", "until", "at"), [
    (((1, 5), (2, 6)), ((1, 5), (2, 6)), 0, None), (((1, 5), (2, 6)), ((1, 5), (2, 7)), 0, 2),
    (((1, 5), (2, 6)), ((1, 5),), 0, 2), (((1, 5),), ((1, 5), (3, 6)), 0, 3), (((1, 5), (2, 6)), ((1, 5), (2, 7)), 1, None),
    (((1, 5), (2, 6)), ((1, 5), (2, 7)), 2, 2), (((1, 5),), ((1, 5), (3, 6)), 2, None)])
def test_the_first_difference_up_to_the_cut_counts(ours, theirs, until, at):
    assert _first_difference(_play(*ours), _play(*theirs, until=until)) == at


def test_a_strategy_that_cannot_be_played_says_why(tmp_path, day):
    with pytest.raises(CheckError, match="line 1: NameError"):
        checked(tmp_path, day, "pass", head="nonsense\n" + HEAD)


def _generated(draw: random.Random) -> str:
    """An honest strategy: some comparison of closes, volumes, a book or a dict, and a trade of either side."""
    a, b = draw.randint(1, 5), draw.randint(2, 9)
    condition = draw.choice([
        f"bars.close[-1] {draw.choice('<>')} bars.close[-{b}]",
        f"bars.volume[-1] > bars.volume[-{b}:].mean() * {draw.random() + 0.5:.2f}",
        f"bars.high[-{b}:].max() - bars.low[-{b}:].min() > {draw.random():.2f}", "self.book(instrument).ask_quantity % 2 == 0",
        f"self.state.setdefault(instrument.symbol, {a}) <= {b}",
        f"sorted({{bars.close[-1], bars.open[-{a}]}})[0] == bars.close[-1]",
        f"self.now.minute % {b} == 0", f"hash(minutes) % {b} < {a}"])
    wish = draw.choice([f"self.candidate(instrument, {draw.choice((1, -1))}, strength={draw.random() * 0.9 + 0.05:.2f})",
                        "self.exit(instrument)" if draw.random() < 0.3 else "self.candidate(instrument, 1, hold=60)",
                        "self.candidate(instrument, -1, stop=bars.close[-1] * 1.004, target=bars.close[-1] * 0.99)"])
    return f"if len(bars) > 9 and {condition}:\n    {wish}"


TEN = """import engine
class Mine(engine.Strategy):
    def on_start(self):
        self.states = [{} for _ in range(10)]
    def on_bar(self, instrument, minutes, bars):
"""


@pytest.mark.long
def test_generated_honest_ones_are_not_flagged(tmp_path, day):
    """Ten in a file, each with a state of its own: any that was flagged would have its file flagged."""
    draw, asked = random.Random(7), 0
    for seed in range(count(1, 2, 100)):
        body = "\n".join(f"self.state = self.states[{k}]\n{_generated(draw)}" for k in range(10))
        found = checked(tmp_path, day, body, head=TEN, cuts=count(1, 2, 10), hashes=count(1, 1, 2), seed=seed)
        assert found["problems"] == [], body
        asked += found["candidates"]
    assert asked > 100


# ---- the command ------------------------------------------------------------------------------------------------------------
def test_a_new_strategy_works_and_passes_its_test_and_the_check(said, here, day):
    assert said("strategy", "new", "my_first")[0] == 0 and "[strategies.my_first]" in said.out
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "strategies"], cwd=here, text=True,
                          capture_output=True, check=False, env={"PYTHONPATH": f"strategies:{_root()}", "PATH": ""})
    assert done.returncode == 0 and "2 passed" in done.stdout, done.stdout + done.stderr
    assert said("strategy", "check", "strategies/my_first.py", "--data", str(day), "--json")[0] == 0
    assert orjson.loads(said.out)["is_honest"]
    code, text = said("strategy", "new", "my_first")
    assert code == 2 and "is there already" in text
    assert said("strategy", "list")[0] == 0 and "moving_average_cross: Moving-average cross" in said.out


def _root():
    from tests.conftest import ROOT

    return ROOT


@pytest.mark.parametrize(("words", "answer"), [
    (("new", "My Cross"), "small letters"), (("check", "none.py"), "no such strategy file"),
    (("check", "moving_average_cross", "--parameters", "[1]"), "write them as")])
def test_what_cannot_be_is_said(said, words, answer):
    code, text = said("strategy", *words)
    assert code == 2 and answer in text


def test_the_command_lists_what_is_wrong(said, here, day):
    (here / "bad.py").write_text(HEAD + "        if self.seen == 5: 1 / 0\n")
    code, text = said("strategy", "check", "bad.py", "--data", str(day))
    assert code == 1 and "cannot be believed" in text and "- call 5 was stopped: ZeroDivisionError" in said.out
    (here / "idle.py").write_text(HEAD)
    assert said("strategy", "check", "idle.py", "--data", str(day))[0] == 0 and "it proposed nothing" in said.out
