"""What a chat is told and what it may do: each word, the confirmation of flatten, and how often."""
import pytest

from engine.errors import UsageError
from engine.watch.alerts import answers as work
from engine.watch.alerts.answers import OLD_S, PER_MINUTE, VALID_S, Answers, Heard

FACTS = {"run": "day", "mode": "paper", "is_running": True, "troubles": ["the store lags"],
         "state": {"trading": "RUNNING", "operator": "RUN", "feed_up": True, "orders_up": None},
         "counts": {"signals": 3, "candidates": 40, "orders": 5}, "money": {"realised": 123_450, "charges": 9_020, "open": -5_000},
         "positions": [{"symbol": "SBIN", "quantity": -10, "average": 81_200, "ltp": 81_550, "stop": 82_000, "target": 79_000,
                        "state": "protected", "open": -3_500, "realised": 0, "charges": 1_010}]}


class Desk:
    """Takes what is asked for; time is given."""

    def __init__(self):
        self.done: list[tuple[str, str]] = []
        self.now = 1000.0
        self.facts = FACTS
        self.answers = Answers(lambda: self.facts, self.operate, lambda: self.now)

    def operate(self, name: str, who: str) -> str:
        self.done.append((name, who))
        return f"{name}: the engine has seen it"

    def says(self, text: str, chat: int = 5, user: int = 7, age_s: float | None = 1.0) -> str:
        return self.answers.answer(Heard(chat, user, "asha", text, age_s))

    def word(self, **who: int) -> str:
        return self.says("flatten", **who).splitlines()[1]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_status_has_the_result_realised_and_after_charges(desk):
    assert desk.says("/status@our_bot") == desk.says("Status") == (
        "day, paper: RUNNING, operator RUN\nfeed up, order updates not known\n"
        "the day: Rs 1,234.50 realised, Rs 90.20 charges, Rs 1,144.30 after charges; open Rs -50.00, with it Rs 1,094.30\n"
        "1 position, 3 signals of 40 candidates, 5 orders\nTROUBLE: the store lags")
    desk.facts = FACTS | {"is_running": False}
    assert "no engine runs" in desk.says("status")


def test_positions_each_with_realised_and_after_charges(desk):
    first, last = desk.says("positions").splitlines()
    assert first == ("SBIN short 10 at 812.00, now 815.50, stop 820.00, target 790.00 (protected): open Rs -35.00, realised "
                     "Rs 0.00, after charges Rs -10.10")
    assert "Rs 1,144.30 after charges" in last
    desk.facts = FACTS | {"positions": FACTS["positions"] * 25}
    assert len(desk.says("positions").splitlines()) == 22 and "and 5 more" in desk.says("positions")
    desk.facts = FACTS | {"positions": []}
    assert desk.says("positions").startswith("no positions")


def test_pause_and_resume_are_done_at_once_with_who(desk):
    assert desk.says("pause") == "pause: the engine has seen it" and desk.says("/resume") == "resume: the engine has seen it"
    assert desk.done == [("pause", "asha"), ("resume", "asha")]


@pytest.mark.parametrize("form", ["{}", "flatten {}", "/flatten {}", "/flatten@our_bot {}"])
def test_flatten_takes_a_second_message_with_its_word(desk, form):
    asked = desk.says("flatten")
    assert "closes 1 position at once" in asked and desk.done == []
    word = asked.splitlines()[1]
    assert desk.says(form.format(word.lower())) == "flatten: the engine has seen it" and desk.done == [("flatten", "asha")]
    desk.says(form.format(word))
    assert desk.done == [("flatten", "asha")]                                           # a word counts once


def test_the_word_is_of_its_time_its_chat_and_its_sender(desk):
    word = desk.word()
    desk.says(word, user=8)
    desk.says(f"flatten {word}", user=8)
    desk.says(f"flatten {word}", chat=-6)
    assert desk.done == []
    desk.now += VALID_S + 0.1
    assert "too late" in desk.says(word) and desk.done == []
    word = desk.word()
    desk.now += VALID_S - 0.1
    desk.says(word)
    assert desk.done == [("flatten", "asha")]


def test_a_wrong_word_takes_the_right_one_with_it(desk):
    word = desk.word()
    assert "not the word" in desk.says("flatten AAAAAA")
    desk.says(f"flatten {word}")
    assert desk.done == [] and len({desk.word() for _ in range(10)}) == 10              # nothing is given twice


def test_another_question_leaves_the_word_as_it_is(desk):
    word = desk.word()
    desk.says("positions")
    desk.says(word)
    assert desk.done == [("flatten", "asha")]


@pytest.mark.parametrize("age_s", [OLD_S + 1, 100_000.0, None])
def test_what_came_late_is_not_done(desk, age_s):
    word = desk.word()
    for text in ("pause", word, f"flatten {word}"):
        assert "nothing was done" in desk.says(text, age_s=age_s)
    assert desk.done == []


@pytest.mark.parametrize("text", ["buy SBIN", "kill", "/promote x", "pause now", "flatten now please", "x" * 300])
def test_what_there_is_not_is_answered_with_what_there_is(desk, text):
    assert "there is no" in desk.says(text) and "flatten: closes every position" in desk.says(text) and desk.done == []


def test_people_in_a_group_may_talk_to_each_other(desk):
    for text in ("good morning", "kill the lights", "", " ", "x" * 5000):
        assert desk.says(text, chat=-5) == ""
    assert desk.says("status", chat=-5) and "there is no" in desk.says("/kill", chat=-5)


def test_a_chat_is_answered_so_often_and_no_more(desk):
    for _ in range(PER_MINUTE):
        assert desk.says("help") == work.HELP
    assert "wait a minute" in desk.says("pause") and desk.says("pause") == desk.says("pause") == ""
    assert desk.done == [] and desk.answers.limited == 3 and desk.says("help", chat=6) == work.HELP
    desk.now += 60
    assert desk.says("pause") == "pause: the engine has seen it"


def test_what_is_refused_and_what_fails_is_told(desk):
    def refused(name, who):
        raise UsageError("no engine runs in day")

    def fails(name, who):
        raise TimeoutError("https://host/secret")

    desk.answers.operate = refused
    assert desk.says("pause") == "no engine runs in day"
    desk.answers.operate = fails
    assert desk.says("pause").startswith("pause: no answer (TimeoutError)") and "secret" not in desk.says("pause")
