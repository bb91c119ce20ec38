"""What a chat may ask of a run and what it is told: status, positions, pause, resume, flatten, help. Who sends and receives is
telegram.py; nothing here waits or knows of a network.
"""
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError
from engine.watch.alerts.conditions import rupees

VALID_S, OLD_S = 30.0, 120.0
"""How long the word for flatten counts; how old a message may be that is acted upon."""
PER_MINUTE = 20
"""Messages of one chat that are answered."""
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
SHOWN, TEXT_MAX = 20, 3500
HELP = ("status: states, the day's result, what is wrong\npositions: what is held\npause: no new entries\nresume: entries again\n"
        "flatten: closes every position, after a word that you send back within 30 s\nhelp: this")


@dataclass(frozen=True)
class Heard:
    """A message of a chat that may ask. `age_s`: since it was sent, by this machine's clock; None: nobody knows."""
    chat: int
    user: int
    name: str
    text: str
    age_s: float | None


class Answers:
    """`facts` gives what there is to say (serving.py), `operate(name, who)` does an operation and says how it went; both may raise
    EngineError, whose words are the answer. `clock`: seconds that only go on."""

    def __init__(self, facts: Callable[[], Mapping[str, Any]], operate: Callable[[str, str], str],
                 clock: Callable[[], float] = time.monotonic):
        self.facts, self.operate, self.clock = facts, operate, clock
        self.limited = 0
        self._recent: dict[int, deque[float]] = {}
        self._words: dict[tuple[int, int], tuple[str, float]] = {}

    def answer(self, heard: Heard) -> str:
        """What is said to it; empty: nothing."""
        words = heard.text.split()
        if not words or len(heard.text) > TEXT_MAX:
            return ""
        name = words[0].lower().removeprefix("/").partition("@")[0]
        is_for_us = words[0].startswith("/") or heard.chat > 0       # in a group, people also talk to each other
        given = words[0] if len(words) == 1 else words[1] if name == "flatten" and len(words) == 2 else ""
        is_word = len(words) == 1 and words[0].upper() == self._words.get((heard.chat, heard.user), ("", 0.0))[0]
        if not is_word and name not in DOING and not is_for_us:
            return ""
        if (refused := self._limit(heard.chat)) is not None:
            return refused
        if heard.age_s is None or heard.age_s > OLD_S:
            return f"{name[:20]} came {_ago(heard.age_s)} and nothing was done: send it again"
        try:
            if is_word or (name == "flatten" and len(words) == 2):
                text = self._flatten(heard, given)
            elif name in DOING and len(words) == 1:
                text = DOING[name](self, heard)
            else:
                text = f"there is no {heard.text[:40]!r} here.\n{HELP}"
        except EngineError as error:
            text = str(error)
        except Exception as error:                             # its words are not ours, and who asked must not think it was done
            text = f"{name[:20]}: no answer ({type(error).__name__}); the page and `python -m engine status` say what was done"
        return text[:TEXT_MAX]

    def _limit(self, chat: int) -> str | None:
        """What is said instead of an answer to one message too many: once words, then nothing; None: it is answered."""
        recent, now = self._recent.setdefault(chat, deque()), self.clock()
        while recent and now - recent[0] >= 60:
            recent.popleft()
        if len(recent) > PER_MINUTE:
            self.limited += 1
            return ""
        recent.append(now)
        if len(recent) > PER_MINUTE:
            self.limited += 1
            return f"more than {PER_MINUTE} messages within a minute: wait a minute"
        return None

    # ---- what is asked -------------------------------------------------------------------------------------------------
    def _help(self, heard: Heard) -> str:
        return HELP

    def _status(self, heard: Heard) -> str:
        facts = self.facts()
        state, counts = facts["state"], facts["counts"]
        is_up = {True: "up", False: "DOWN", None: "not known"}
        lines = [f"{facts['run']}, {facts['mode']}: " + (f"{state['trading']}, operator {state['operator']}" if facts["is_running"]
                                                       else "no engine runs"),
                 f"feed {is_up[state['feed_up']]}, order updates {is_up[state['orders_up']]}", result(facts["money"]),
                 f"{_count(len(facts['positions']), 'position')}, {counts['signals']} signals of {counts['candidates']} "
                 f"candidates, {counts['orders']} orders"]
        return "\n".join([*lines, *(f"TROUBLE: {text[:300]}" for text in facts["troubles"][:5])])

    def _positions(self, heard: Heard) -> str:
        facts = self.facts()
        held = facts["positions"]
        lines = [position(row) for row in held[:SHOWN]] or ["no positions"]
        more = [f"and {len(held) - SHOWN} more"] if len(held) > SHOWN else []
        return "\n".join([*lines, *more, result(facts["money"])])

    def _pause(self, heard: Heard) -> str:
        return self.operate("pause", heard.name)

    def _resume(self, heard: Heard) -> str:
        return self.operate("resume", heard.name)

    def _flatten(self, heard: Heard, given: str = "") -> str:
        """The first time a word; with that word, within its time and of the same sender, it is done."""
        key, now = (heard.chat, heard.user), self.clock()
        word, until = self._words.pop(key, ("", 0.0))
        if given and (not word or now > until or not secrets.compare_digest(given.upper().encode(), word.encode())):
            return "that is not the word, or it came too late: nothing was done. Send flatten again"
        if given:
            return self.operate("flatten", heard.name)
        count = len(self.facts()["positions"])
        self._words = {at: one for at, one in self._words.items() if one[1] >= now}
        self._words[key] = "".join(secrets.choice(LETTERS) for _ in range(6)), now + VALID_S
        return (f"This cancels every entry and closes {_count(count, 'position')} at once, at what the book gives. "
                f"Send back within {VALID_S:.0f} s:\n{self._words[key][0]}\n(in a group: /flatten {self._words[key][0]})")


DOING: dict[str, Callable[[Answers, Heard], str]] = {
    "status": Answers._status, "positions": Answers._positions, "pause": Answers._pause, "resume": Answers._resume,
    "flatten": Answers._flatten, "help": Answers._help, "start": Answers._help}
"""`start` is what the app sends when somebody opens the chat."""


def result(money: Mapping[str, int]) -> str:
    """The day's, paise: realised, after charges, and with what is open."""
    realised, charges, held = money["realised"], money["charges"], money["open"]
    return (f"the day: {rupees(realised)} realised, {rupees(charges)} charges, {rupees(realised - charges)} after charges; open "
            f"{rupees(held)}, with it {rupees(realised + held - charges)}")


def position(row: Mapping[str, Any]) -> str:
    """One that is held or being entered, of moment.positions."""
    side = "long" if row["quantity"] > 0 else "short" if row["quantity"] < 0 else "entering"
    return (f"{row['symbol']} {side} {abs(row['quantity'])} at {row['average'] / 100:,.2f}, now {row['ltp'] / 100:,.2f}, stop "
            f"{row['stop'] / 100:,.2f}, target {row['target'] / 100:,.2f} ({row['state']}): open {rupees(row['open'])}, realised "
            f"{rupees(row['realised'])}, after charges {rupees(row['realised'] - row['charges'])}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _ago(age_s: float | None) -> str:
    return "at a time nobody knows" if age_s is None else f"{age_s / 60:.0f} minutes late"
