"""The day as the page shows it, against the journal read by other means: `explain`, the store's rules, the records themselves."""
from pathlib import Path

import numpy as np
import pytest

from _ext.core.reasons import PASS, REASONS
from _ext.core.records import CANDIDATE, FILL, INTENT, INTENT_CANCEL, REC_CANDIDATE, REC_FILL, REC_INTENT, REC_VERDICT
from engine.config import Config
from engine.trail.checked import reader_of
from engine.watch import chains, panels, rows, rules
from engine.watch.day import Day
from engine.watch.explain import explain
from engine.watch.packed import BIT, NO_SCORE, Marks

MODELS = Path(Config().models)


@pytest.fixture
def day(followed_day):
    return followed_day.day


def records(run, *kinds):
    dtypes = {REC_CANDIDATE: CANDIDATE, REC_VERDICT: CANDIDATE, REC_FILL: FILL, REC_INTENT: INTENT}
    return [np.frombuffer(payload, dtypes[kind])[0] for kind, _, payload in reader_of(run).pick(kinds)]


def test_every_candidate_is_there_with_its_verdict(day, day_run):
    last = {int(c["id"]): c for c in records(day_run, REC_CANDIDATE, REC_VERDICT)}
    listed = rows.candidates(day, limit=10_000)
    assert listed["total"] == len(last) and [row["id"] for row in listed["rows"]] == sorted(last, reverse=True)
    for row in listed["rows"]:
        c = last[row["id"]]
        assert row["verdict"] == ("watched" if not c["level"] else "passed" if c["reason"] == PASS else "refused")
        assert not c["level"] or row["reason"] == REASONS[c["reason"]]
    kinds = {row["verdict"] for row in listed["rows"]}
    assert kinds == {"watched", "passed", "refused"}


def test_filters_of_the_list(day):
    every = rows.candidates(day, limit=10_000)["rows"]
    for name, argument in (("verdict", "outcome"), ("symbol", "symbol"), ("reason", "reason"), ("source", "source")):
        for value in {row[name] for row in every} - {""}:
            found = rows.candidates(day, limit=10_000, **{argument: value})
            wanted = [row for row in every if row[name] == value or (name == "reason" and row["gate"] == value)]
            assert found == {"total": len(wanted), "rows": wanted}, (name, value)
    page = rows.candidates(day, before=every[4]["id"], limit=3)
    assert page == {"total": len(every), "rows": every[5:8]}
    assert rows.candidates(day, symbol="NOBODY") == {"total": 0, "rows": []}


def test_what_opens_behind_a_candidate_is_what_explain_says(day, day_run):
    for number in list(day.candidates)[::7]:
        opened, said = chains.opened(day, number, MODELS), explain(day_run, number)
        assert opened["statistics"] == pytest.approx({n: said["statistics"][n] for n in opened["statistics"]}, nan_ok=True)
        refused = opened["refused_by"]
        if said["verdict"] not in ("pass", "pending"):
            assert refused["reason"] == said["verdict"] and refused["measured"] == pytest.approx(said["measured"])
            assert refused["limit"] == pytest.approx(said["limit"])
        values = said.get("features_next", said["features"])
        assert {row["feature"]: row["value"] for row in opened["filter"]} == pytest.approx(
            {row["feature"]: values[row["feature"]] for row in opened["filter"]})
        assert opened["filter"]
        words = [" ".join(line.split()[1:]) for line in said["chain"]]
        symbol = day.state.symbol(opened["row"]["inst"])
        steps = [step["text"] for step in opened["chain"] if step["kind"] in ("gate", "intent", "reply", "order_update", "fill")]
        assert steps == [word for word in words if not word.startswith((f"{symbol} up", f"{symbol} down"))]
    assert chains.opened(day, 10 ** 6, MODELS) is None


def test_a_refused_candidate_names_the_setting_behind_the_rule(day):
    """Each reason that a day gives has words, and its limit is the setting's value where it goes by one."""
    core = day.start["signals"] | {"opposing_s": day.start["signals"]["opposing_ms"] / 1000}
    seen = set()
    for number in day.candidates:
        refused = chains.opened(day, number, MODELS)["refused_by"]
        if refused is None:
            continue
        seen.add(refused["reason"])
        assert refused["words"]
        if refused["setting"] in ("signals.strength", "signals.volume", "signals.spread_bp"):
            assert refused["limit"] == pytest.approx(core[refused["setting"].partition(".")[2]])
            assert refused["measured"] is not None
    assert len(seen) >= 3


def test_orders_are_the_journals(day, day_run):
    placed: dict[int, np.void] = {}
    for row in records(day_run, REC_INTENT):
        if row["kind"] != INTENT_CANCEL:
            placed[int(row["id"])] = row
    filled: dict[int, int] = {}
    for row in records(day_run, REC_FILL):
        filled[int(row["intent"])] = filled.get(int(row["intent"]), 0) + int(row["quantity"])
    listed = rows.orders(day, limit=10_000)["rows"]
    assert {row["id"] for row in listed} == set(placed)
    for row in listed:
        assert (row["quantity"], row["price"], row["filled"]) == (
            int(placed[row["id"]]["quantity"]), int(placed[row["id"]]["price"]), filled.get(row["id"], 0))
        assert chains.order(day, row["id"])["chain"][0]["kind"] == "intent"
    assert any(row["status"] == "complete" for row in listed)


def test_trades_add_up_to_the_days_result(day, followed_day, day_run):
    fills = records(day_run, REC_FILL)
    listed = rows.trades(day)["rows"]
    assert sum(row["gross"] for row in listed) == sum(int(f["realised"]) for f in fills)
    assert sum(row["charges"] for row in listed) == sum(int(f["charges"]) for f in fills)
    curve = rows.equity(day, followed_day.points)
    assert curve["realised"][-1] == sum(int(f["realised"]) for f in fills)
    assert curve["net"] == [r + o - c for r, o, c in zip(curve["realised"], curve["open"], curve["charges"], strict=True)]
    assert min(curve["drawdown"]) >= 0 and (np.diff(curve["t_us"]) >= 0).all()


def test_candles_of_more_minutes_are_made_of_one(day, followed_day):
    for step in rows.TIMEFRAMES:
        now = followed_day.now()
        one, more = (rows.candles(day, 2, followed_day.minutes(2), n, now) for n in (1, step))
        assert more["closed"] == sum((t + 60 * step) * 10 ** 9 <= now for t in more["t"]) >= len(more["t"]) - 1
        for at, start in enumerate(more["t"]):
            mine = [k for k, t in enumerate(one["t"]) if start <= t < start + 60 * step]
            assert (start // 60 - 225) % step == 0                  # 225: 09:15 in India is 03:45 UTC
            assert more["o"][at] == one["o"][mine[0]] and more["c"][at] == one["c"][mine[-1]]
            assert more["h"][at] == max(one["h"][k] for k in mine) and more["l"][at] == min(one["l"][k] for k in mine)
            assert more["v"][at] == sum(one["v"][k] for k in mine)
        assert len(more["t"]) == len({(t // 60 - 225) // step for t in one["t"]})


def test_marks_of_a_name_that_traded(day):
    inst = next(int(f["inst"]) for _, f in day.fills)
    drawn = rows.marks(day, inst)
    assert drawn["fills"] and drawn["levels"][-1]["until_us"] is None
    assert all(a["until_us"] == b["t_us"] for a, b in zip(drawn["levels"], drawn["levels"][1:], strict=False))
    assert {row["inst"] for row in drawn["candidates"]} <= {inst}
    assert rows.marks(day, 10 ** 6) == {"candidates": [], "fills": [], "levels": []}


def test_marks_on_the_map(day):
    marks = Marks(len(day.instruments))
    passed = next(seen for seen in day.candidates.values() if seen.last["level"] and seen.last["reason"] == PASS)
    then = Day()
    marks.update(then, passed.now)
    assert not marks.marks.any() and (marks.scores == NO_SCORE).all()
    then.candidates = {1: passed}
    marks.update(then, passed.now + 1)
    inst = int(passed.last["inst"])
    assert marks.marks[inst] == BIT["candidate"] | BIT["passed"]
    assert marks.scores[inst] == round(200 * rows.score_of(passed.last))
    marks.update(then, passed.now + 6_000_000_000)
    assert marks.marks[inst] == 0 and marks.scores[inst] != NO_SCORE
    marks.update(then, passed.now + 61_000_000_000)
    assert marks.scores[inst] == NO_SCORE


def test_the_log_by_kind_and_words(day):
    every = rows.log(day, limit=20_000)["rows"]
    assert len(every) == len(day.log) and [row["seq"] for row in every] == sorted((row["seq"] for row in every), reverse=True)
    some = rows.log(day, limit=20_000, kind="trading", words="fill")["rows"]
    assert some == [row for row in every if row["kind"] == "trading" and "fill" in row["text"].lower()] and some


def test_each_panel_answers(followed_day):
    symbol = followed_day.day.state.symbols[0]
    for name, panel in panels.PANELS.items():
        answer = panel(followed_day, {"id": 1, "inst": 0, "symbol": symbol if name == "chain" else ""}, MODELS)
        assert isinstance(answer, dict) and answer, name
    with pytest.raises(panels.NothingThere, match="no such instrument"):
        panels.chain(followed_day, {"symbol": "NOBODY"}, MODELS)


def test_every_setting_that_is_named_is_one():
    for reason in range(len(REASONS)):
        assert rules.described(reason)["words"]
    with pytest.raises(KeyError):
        rules.SECTIONS["nowhere"]
