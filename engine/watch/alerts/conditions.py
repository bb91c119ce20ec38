"""When something deserves a person: a table of conditions, each a pure function of what is watched. docs/alerts.md has them too.

A reading says what was measured and against what; the condition says which side is bad. Who has to remember is the book.
"""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from _ext.core.reasons import REASONS, Reason
from _ext.core.records import REDUCING, STREAM_FEED, STREAM_ORDERS
from engine.config.alerts import Alerts
from engine.trail.signs import without_filter
from engine.watch import figures
from engine.watch.drift import PSI_DRIFT
from engine.watch.watched import Watched

Severity = Literal["note", "warn", "page"]
SEVERITIES: tuple[Severity, ...] = ("note", "warn", "page")
TEN_MINUTES, FIVE_MINUTES, DAY = 600.0, 300.0, 86_400.0
WORDS = {reason: REASONS[reason] for reason in Reason}
BUDGETS = tuple(WORDS[r] for r in (Reason.MINUTE_BUDGET, Reason.HOUR_BUDGET, Reason.DAY_BUDGET, Reason.BROKER_BUDGET))
UNKNOWN = (WORDS[Reason.TAKEN_OVER],)
STRANGE = tuple(WORDS[r] for r in (Reason.UNRECONCILED, Reason.SECOND_EXIT, Reason.LATE_FILL, Reason.REVERSED, Reason.STRANGE_FILL,
                                   Reason.ILLEGAL_STEP, Reason.UNREADABLE_ANSWER, Reason.FILL_UNPRICED, Reason.FILL_PRESUMED,
                                   Reason.TABLE_FULL))


@dataclass(frozen=True)
class Reading:
    """What one condition sees now, of one subject (a symbol, a process, a channel; empty: of the run)."""
    value: float
    text: str
    subject: str = ""


@dataclass(frozen=True)
class Condition:
    """`side`: a value above, at least, or below the limit is bad; `rise`: each rise of a count is. `hold_s`: it must be bad for so
    long before it fires; `clear_s`: and well for so long before it is over, where well means beyond the limit by the share `slack`.
    `of` gives None for what is not known: everything stays as it is."""
    name: str
    severity: Severity
    words: str
    of: Callable[[Watched, Alerts], Iterable[Reading] | Reading | None]
    limit: Callable[[Alerts], float] = lambda _: 0.0
    side: Literal["above", "at least", "below", "rise"] = "above"
    in_session: bool = False
    hold_s: float = 0.0
    clear_s: float = 30.0
    slack: float = 0.0

    def readings(self, view: Watched, settings: Alerts) -> list[Reading] | None:
        found = self.of(view, settings)
        return None if found is None else [found] if isinstance(found, Reading) else list(found)

    def is_bad(self, value: float, settings: Alerts) -> bool:
        """Of a rise: whether there has been anything at all; the book compares with what it has seen."""
        limit = self.limit(settings)
        return value < limit if self.side == "below" else value >= limit if self.side == "at least" else value > limit

    def is_well(self, value: float, settings: Alerts) -> bool:
        """Not only not bad: far enough from it."""
        share = self.slack if self.side == "below" else -self.slack
        limit = self.limit(settings) * (1 + share)
        return value >= limit if self.side == "below" else value < limit if self.side == "at least" else value <= limit


# ---- money -------------------------------------------------------------------------------------------------------------
def _loss(w: Watched, _: Alerts) -> Reading | None:
    if w.equity is None:
        return None
    return Reading(-w.net / w.equity, f"the day stands at {rupees(w.net)} of an account of {rupees(w.equity)} "
                   f"(realised {rupees(w.realised)}, open {rupees(w.open)}, charges {rupees(w.charges)})")


def _streak(w: Watched, _: Alerts) -> Reading:
    streak = figures.losing_streak(w.trades)
    return Reading(streak, f"{streak} trades in a row have lost")


# ---- feed and broker ---------------------------------------------------------------------------------------------------
def _feed(w: Watched, _: Alerts) -> Reading | None:
    """The longer of: without a connection, without a frame."""
    down = w.tally.down_since.get(STREAM_FEED)
    if down is not None:
        seconds = (w.now_ns - down) / 1e9
        return Reading(seconds, f"the feed has had no connection for {seconds:.0f} s")
    if not w.tally.last_frame:
        return None
    seconds = (w.now_ns - w.tally.last_frame) / 1e9
    return Reading(seconds, f"the feed is connected and has said nothing for {seconds:.0f} s")


def _stream(w: Watched, _: Alerts) -> Reading | None:
    down = w.tally.down_since.get(STREAM_ORDERS)
    if down is None:
        return Reading(0.0, "the stream of order updates is connected")
    seconds = (w.now_ns - down) / 1e9
    return Reading(seconds, f"the stream of order updates has been down for {seconds:.0f} s: fills are found by reading the book")


def _answers(w: Watched, _: Alerts) -> Reading:
    n = w.tally.recent("answer", FIVE_MINUTES, w.now_ns, ("ambiguous",))
    return Reading(n, f"{n} requests of the last five minutes had no clear answer (time-out, 5xx): the broker's book decides")


def _halted(w: Watched, _: Alerts) -> Reading:
    n = w.tally.recent("answer", TEN_MINUTES, w.now_ns, ("halted",))
    return Reading(n, "the broker refuses orders for good (token, static IP or registration): the engine only reduces; "
                   "`python -m engine doctor` names the cause")


def _limit(w: Watched, _: Alerts) -> Reading:
    denied, slowed = (w.tally.recent("denied", FIVE_MINUTES, w.now_ns, BUDGETS),
                      w.tally.recent("answer", FIVE_MINUTES, w.now_ns, ("throttled",)))
    return Reading(denied + slowed, f"within five minutes {denied} entries were denied for a rate limit and {slowed} requests "
                   "were slowed down by the broker")


def _rejections(w: Watched, _: Alerts) -> Reading:
    n = w.tally.recent("rejected", TEN_MINUTES, w.now_ns)
    return Reading(n, f"{n} orders of the last ten minutes were turned down; `python -m engine logs` has the broker's words")


def _token(w: Watched, settings: Alerts) -> Reading | None:
    """Outside the session a token may die: tomorrow's is another."""
    ahead = -w.minute * 60.0
    if w.token_s is None or not (w.is_session or 0 < ahead <= settings.token_s):
        return None if w.token_s is None else Reading(float("inf"), "the market is closed")
    return Reading(w.token_s, f"the broker's token expires in {w.token_s / 60:.0f} minutes: `python -m engine login`")


# ---- positions ---------------------------------------------------------------------------------------------------------
def _naked(w: Watched, _: Alerts) -> list[Reading]:
    return [Reading((w.now_ns - since) / 1e9, f"{w.state.symbol(inst)} has been held for {(w.now_ns - since) / 1e9:.0f} s without "
                    "a stop or another exit at the broker", w.state.symbol(inst)) for inst, since in w.tally.naked.items()]


def _unknown(w: Watched, _: Alerts) -> list[Reading]:
    """What the engine took over because nobody could explain it, and each name that orders of others have bought or sold."""
    n = w.tally.recent("alarm", TEN_MINUTES, w.now_ns, UNKNOWN)
    return [Reading(n, "the account held a position nobody can explain: it was taken over and is closed"),
            *(Reading(1, f"{quantity:+d} {w.state.symbol(inst)} in the account are of orders that are not this engine's: another "
                      "program, a person, or the broker's own square-off", w.state.symbol(inst))
              for inst, quantity in w.tally.foreign.items())]


def _strange(w: Watched, _: Alerts) -> Reading:
    n, words = 0, ""
    for reason in STRANGE:
        if k := w.tally.recent("alarm", TEN_MINUTES, w.now_ns, (reason,)):
            n, words = n + k, f"{words}, {reason}" if words else reason
    return Reading(n, f"orders or positions were not what the engine expected: {words}")


def _reducing(w: Watched, _: Alerts) -> Reading | None:
    if not w.is_ready:
        return None
    why = w.state.reducing[-1] if w.state.reducing else ""
    return Reading(int(int(w.status["trading"]) == REDUCING), f"the engine only closes positions{f': {why}' if why else ''}")


# ---- processes ---------------------------------------------------------------------------------------------------------
def _engine(w: Watched, _: Alerts) -> Reading | None:
    """An engine that has ended in order, or never was ready, is not missed."""
    if w.status is None:
        return None
    seconds = w.heartbeat_s or 0.0
    return Reading(seconds, f"the engine has shown no sign of life for {seconds:.0f} s")


def _restarts(w: Watched, _: Alerts) -> list[Reading]:
    deaths: Mapping[str, Any] = w.launcher.get("deaths") or {}
    return [Reading(n, f"the {name} process has died {n} times{_last(deaths.get(name))} and was started again", name)
            for name, n in w.restarts.items()]


def _last(death: Any) -> str:
    return f" (last: {death[1]})" if isinstance(death, list) and len(death) == 2 else ""


def _failure(w: Watched, _: Alerts) -> Reading:
    words = str(w.launcher.get("failure") or w.launcher.get("damage") or w.store.get("damage") or "")
    return Reading(int(bool(words)), f"the run is in trouble: {words}")


def _filter(w: Watched, _: Alerts) -> Reading | None:
    return Reading(int(without_filter(w.status)), "no model is active, so every candidate is refused: `python -m engine model "
                   "promote` lets one trade") if w.is_ready else None


def _journal(w: Watched, _: Alerts) -> Reading | None:
    return Reading(int(w.status["journal_full"]), "the journal has no room: entries have stopped") if w.is_ready else None


def _store(w: Watched, _: Alerts) -> Reading | None:
    if not w.store:
        return None
    words = str(w.store.get("drain") or w.store.get("trouble") or "")
    return Reading(int(bool(words)), f"the store is in trouble: {words}")


def _lag(w: Watched, _: Alerts) -> Reading | None:
    return None if w.store_lag_s is None else Reading(w.store_lag_s, f"ClickHouse is {w.store_lag_s:.0f} s behind the journal")


# ---- model, machine, alerts --------------------------------------------------------------------------------------------
def _drift(w: Watched, _: Alerts) -> Reading | None:
    if not w.drift or not w.drift.get("enough"):
        return None
    psi = w.drift["psi"]
    name = max(psi, key=psi.get, default="")
    return Reading(psi.get(name, 0.0), f"candidates no longer look like those the model learned from: {len(w.drift['drifted'])} "
                   f"features have drifted, {name} most (PSI {psi.get(name, 0.0):.2f})")


def _age(w: Watched, _: Alerts) -> Reading | None:
    days = None if w.model_age_s is None else w.model_age_s / DAY
    return None if days is None else Reading(days, f"the model was trained {days:.0f} days ago")


def _free(w: Watched, _: Alerts) -> Reading | None:
    return None if w.disk_free is None else Reading(w.disk_free, f"{w.disk_free / 1e9:.1f} GB are free on the disk of the run")


def _filling(w: Watched, _: Alerts) -> Reading | None:
    if w.disk_free is None or w.disk_rate is None:
        return None
    seconds = w.disk_free / w.disk_rate if w.disk_rate > 0 else float("inf")
    return Reading(seconds, f"the disk of the run is full in {seconds / 3600:.1f} hours at this pace")


def _channels(w: Watched, _: Alerts) -> list[Reading]:
    return [Reading((w.wall_ns - c.dead_since) / 1e9 if c.dead_since else 0.0, f"alerts by {c.name} do not arrive: {c.why}", c.name)
            for c in w.channels]


CONDITIONS = (
    Condition("daily_loss", "page", "the day has lost more than a share of the account", _loss, lambda s: s.loss, slack=0.25),
    Condition("losing_streak", "warn", "so many trades in a row have lost", _streak, lambda s: s.losing_streak, "at least",
              clear_s=0),
    Condition("feed", "page", "no connection or no frames of the feed", _feed, lambda s: s.feed_s, in_session=True, hold_s=3,
              clear_s=5),
    Condition("order_stream", "warn", "no stream of order updates", _stream, lambda s: s.stream_s, in_session=True, clear_s=5),
    Condition("broker_answers", "warn", "requests without a clear answer", _answers, lambda s: s.answers, "at least"),
    Condition("broker_halt", "page", "the broker refuses orders for good", _halted),
    Condition("rate_limit", "warn", "a rate limit is reached", _limit),
    Condition("rejections", "warn", "unusually many orders are turned down", _rejections, lambda s: s.rejections, "at least"),
    Condition("without_stop", "page", "a position without its stop", _naked, lambda s: s.unprotected_s, clear_s=0),
    Condition("unknown_position", "page", "a position nobody can explain", _unknown),
    Condition("strange_order", "warn", "orders or positions are not what was expected", _strange),
    Condition("reducing", "page", "the engine only closes positions", _reducing, in_session=True, hold_s=2),
    Condition("engine_silent", "page", "no sign of life of the engine", _engine, lambda s: s.silent_s, clear_s=0),
    Condition("restarted", "warn", "a process died and was started again", _restarts, side="rise", clear_s=TEN_MINUTES),
    Condition("run_failed", "page", "the run or its journal is damaged", _failure),
    Condition("filter_off", "page", "no model is active", _filter, in_session=True, hold_s=10),
    Condition("journal_full", "page", "the journal has no room", _journal),
    Condition("store_trouble", "warn", "the store does not take what it is given", _store, hold_s=10),
    Condition("store_lag", "warn", "ClickHouse is behind", _lag, lambda s: s.store_lag_s, slack=0.5),
    Condition("model_drift", "warn", "candidates no longer look like the model's training", _drift, lambda _: PSI_DRIFT, slack=0.1),
    Condition("model_age", "note", "the model is old", _age, lambda s: s.model_days),
    Condition("token", "page", "the broker's token expires soon", _token, lambda s: s.token_s, "below"),
    Condition("disk_free", "page", "little room on the disk", _free, lambda s: s.disk_free, "below", slack=0.1),
    Condition("disk_filling", "warn", "the disk will be full soon", _filling, lambda s: s.disk_full_s, "below", hold_s=120,
              clear_s=120),
    Condition("channel", "warn", "alerts do not arrive", _channels, lambda _: 0.0, clear_s=0),
)


def rupees(paise: int) -> str:
    return f"Rs {paise / 100:,.2f}"
