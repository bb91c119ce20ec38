"""A day on paper, made again from its own inputs: the same day; cut anywhere, it is taken up where it stood."""
import itertools
from pathlib import Path

import numpy as np
import pytest

from _ext.core.records import (
    CLOSING,
    FILL,
    FIRST_DECISION,
    INTENT,
    INTENT_PLACE,
    OP_KILL,
    OP_RUN,
    POSITION,
    REC_BOOT,
    REC_CLOSED,
    REC_DATA,
    REC_FILL,
    REC_FRAME,
    REC_FUNDS,
    REC_INTENT,
    REC_OPERATOR,
    REC_ORDER_UPDATE,
    REC_POSITION,
    REC_REPLY,
    REC_TIMER,
    RUNNING,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from engine.config import Config
from engine.errors import DataError
from engine.run import unwind
from engine.run.again import MADE, Again, taken_up, venue_of_start
from engine.run.fence import Report
from engine.run.opening import recalled
from engine.run.virtual import run_virtual
from engine.sim.markets import market_of
from engine.trail.checked import capacity_of, ring_depth_of
from engine.trail.rundir import Lock, RunDir, RunError
from tests.conftest import recording


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A lively hour of forty names on paper."""
    folder = RunDir.new(tmp_path_factory.mktemp("again") / "run")
    report = run_virtual(Config(), market_of(None, 3, None, 40, 75, "lively", -1), "synthetic", folder, 3, None, is_paper=True)
    assert report["trades"] > 10
    return folder


def again(run: RunDir, reader: Reader, sink) -> Core:
    core = Core(sink, capacity_of(run.path), ring_depth_of(Reader(run.journal)))
    recalled(core, [run.journal], Config(), run.path)
    Again(core, reader, venue_of_start).run()
    return core


def digest_of(run: RunDir) -> int:
    return next(int(np.frombuffer(r[3], CLOSING)[0]["digest"]) for r in run.reader() if r[0] == REC_CLOSED)


def test_a_paper_day_made_again_is_the_same_record_for_record(run, tmp_path):
    journal = Journal(tmp_path / "j", prefix=Reader(run.journal))
    core = again(run, Reader(run.journal), journal)
    assert not journal.diverged and core.digest == digest_of(run)


def test_what_the_venue_said_is_not_taken_from_the_journal(run, tmp_path):
    """Without any of its answers the day is the same."""
    bare = Journal(tmp_path / "bare")
    for kind, _, now, payload in run.reader():
        if kind < FIRST_DECISION and kind not in MADE:
            bare.append(kind, now, payload)
    kinds = (REC_REPLY, REC_ORDER_UPDATE, REC_INTENT, REC_FILL)
    bare.close()
    sink = KeepingSink(kinds)
    again(run, Reader(tmp_path / "bare"), sink)
    assert [r[1:] for r in sink.kept] == [(r[2], r[3]) for r in run.reader() if r[0] in kinds]


@pytest.mark.recording(twin="tests/run/test_again.py::test_a_paper_day_made_again_is_the_same_record_for_record")
def test_the_recorded_session_on_paper_is_the_same_made_again(tmp_path):
    run = RunDir.new(tmp_path / "run")
    loose = Config(signals={"noise": 1.0, "kinds": ["equity", "option"]}, source={"spike": {"sigma": 1.0, "volume": 1.0}})
    run_virtual(loose, market_of(recording("upstox_v3_2025-12-15"), 3, None, 1, 375, "normal", -1), "recorded", run, 3, None,
                is_paper=True)
    assert sum(r[0] == REC_FILL for r in run.reader()) > 0
    journal = Journal(tmp_path / "j", prefix=Reader(run.journal))
    assert again(run, Reader(run.journal), journal).digest == digest_of(run) and not journal.diverged


# ---- cut off -----------------------------------------------------------------------------------------------------------
def cut(run: RunDir, into: Path, at: int) -> Path:
    """The first `at` records of a run's journal."""
    journal = Journal(into)
    for kind, _, now, payload in itertools.islice(run.reader(), at):
        assert journal.append(kind, now, payload)
    journal.close()
    return into


def cuts(run: RunDir) -> list[int]:
    """Right after requests, their answers and their fills, and in quiet times."""
    kinds = [record[0] for record in run.reader()]
    wanted = (REC_INTENT, REC_REPLY, REC_ORDER_UPDATE, REC_FILL)
    found = [[i + 1 for i, kind in enumerate(kinds) if kind == one] for one in wanted]
    quiet = [i + 1 for i, kind in enumerate(kinds) if kind == REC_FRAME]
    return [places[k * len(places) // 5] for places in (*found, quiet) for k in range(5)]


def test_cut_anywhere_it_goes_on_with_every_order_and_position(run, tmp_path):
    """The venue and the core know of the same orders and positions, no order is there twice, and what is held has its stop."""
    for number, at in enumerate(cuts(run)):
        folder = cut(run, tmp_path / f"cut{number}", at)
        journals = []

        def journal_of(prefix, number=number, journals=journals):
            journals.append(Journal(tmp_path / f"on{number}", prefix=prefix))
            return journals[0]

        paper, _ = taken_up([folder], journal_of, capacity_of(run.path), Config(), "f00", run.path)
        assert not paper.venue.n_updates, "the book that was read says it"
        for _ in range(40):
            paper.shell.on_timer(paper.core.now + 50_000_000)
            paper.on_timer()
        core, orders = paper.core, paper.venue.orders_now()
        tags = [row.tag for row in paper.book()]
        sent = [np.frombuffer(r[3], INTENT)[0] for r in Reader(folder, tmp_path / f"on{number}") if r[0] == REC_INTENT]
        assert len(tags) == len(set(tags)) and len(orders) == sum(intent["kind"] == INTENT_PLACE for intent in sent)
        held = {int(s["inst"]): int(s["side"] * (s["bought"] - s["sold"])) for s in core.positions() if s["bought"] > s["sold"]}
        shown = {inst: 0 for inst in held}
        for _, order in orders:
            shown[order["inst"]] = shown.get(order["inst"], 0) + order["side"] * order["filled"]
        assert held == {inst: net for inst, net in shown.items() if net}, f"cut after {at}"
        for inst, net in held.items():
            working = sum((o["quantity"] - o["filled"]) * o["side"] for _, o in orders if o["inst"] == inst and o["status"] == 2)
            assert working == -net, f"cut after {at}: {net} held, exits for {working}"
        assert core.unclear == 0 and core.ghosts == 0 and not core.differs, "nothing is in doubt"
        assert core.states()[0] == RUNNING


def test_a_day_with_a_restart_in_it_is_the_same_made_again(run, tmp_path):
    """And words of the operator's after it: all is closed, then it goes on."""
    at = cuts(run)[6]
    folder = cut(run, tmp_path / "journal", at)
    journal = []
    paper, _ = taken_up([folder], lambda prefix: journal.append(Journal(tmp_path / "on", prefix=prefix)) or journal[0],
                        capacity_of(run.path), Config(), "f00", run.path)
    paper.shell.on_feed(True)
    frames = [r for r in itertools.islice(run.reader(), at, None) if r[0] in (REC_FRAME, REC_TIMER)]
    for place, (kind, _, now, payload) in enumerate(frames):
        if place in (2000, 6000):
            paper.shell.on_operator(OP_KILL if place == 2000 else OP_RUN)
            paper.act()
        if place == 6000:
            assert not len(paper.core.positions())
        if kind == REC_TIMER:
            paper.shell.on_timer(now)
            paper.on_timer()
        else:
            paper.core.feed(kind, now, payload)
            paper.act()
    journal[0].close()
    second = Journal(tmp_path / "second", prefix=Reader(folder, tmp_path / "on"))
    core = Core(second, capacity_of(run.path), 256)
    recalled(core, [folder], Config(), run.path)
    Again(core, Reader(folder, tmp_path / "on"), venue_of_start).run()
    assert not second.diverged and core.digest == paper.core.digest
    kinds = [r[0] for r in Reader(tmp_path / "on")]
    assert REC_BOOT in kinds and REC_FILL in kinds[len(kinds) - kinds[::-1].index(REC_OPERATOR):], "entries went on"


def test_a_journal_that_says_something_else_is_not_gone_on_with(run, tmp_path):
    """One answer of the venue changed: whoever wrote that, it was not this build."""
    journal, changed = Journal(tmp_path / "other"), False
    for kind, _, now, payload in run.reader():
        if kind == REC_FILL and not changed:
            row = np.frombuffer(payload, FILL).copy()
            row["price"] += 5
            payload, changed = row.tobytes(), True
        journal.append(kind, now, payload)
    journal.close()
    with pytest.raises(RunError, match="another build or configuration"):
        taken_up([tmp_path / "other"], lambda prefix: Journal(tmp_path / "on", prefix=prefix), capacity_of(run.path), Config(), "f",
                 run.path)
    early = cut(run, tmp_path / "early", next(i for i, r in enumerate(run.reader()) if r[0] == REC_FUNDS))
    with pytest.raises(RunError, match="cut before the day began"):
        taken_up([early], lambda prefix: Journal(tmp_path / "on2", prefix=prefix), 50, Config(), "f", run.path)


def test_a_journal_that_is_refused_stays_as_it_is(run, tmp_path):
    """One decision of it is missing, so that the day made again has more records than it: none of them is written behind it, where
    they would be read as inputs once more, and again, until the disk is full."""
    journal, missed = Journal(tmp_path / "j"), False
    for kind, _, now, payload in run.reader():
        if kind == REC_INTENT and not missed:
            missed = True
            continue
        journal.append(kind, now, payload)
    journal.close()
    last = [record[1] for record in Reader(tmp_path / "j")][-1]
    made = []
    with pytest.raises(RunError, match="another build or configuration"):
        taken_up([tmp_path / "j"], lambda prefix: made.append(Journal(tmp_path / "j", prefix=prefix)) or made[0],
                 capacity_of(run.path), Config(), "f", run.path)
    made[0].close()
    assert [record[1] for record in Reader(tmp_path / "j")][-1] == last


def test_the_journal_of_a_backtest_has_no_inputs_to_make_it_again_from(run, tmp_path):
    """Its rows stand in a day file; the backtest can be run again."""
    journal = Journal(tmp_path / "j")
    for kind, _, now, payload in itertools.takewhile(lambda record: record[0] != REC_FRAME, run.reader()):
        journal.append(kind, now, payload)
    journal.append(REC_DATA, 1, b"{}")
    with pytest.raises(DataError, match="run `python -m engine backtest` again"):
        again(run, Reader(tmp_path / "j"), KeepingSink(()))


# ---- ended from outside ------------------------------------------------------------------------------------------------
def ended(run: RunDir, path: Path) -> tuple[RunDir, dict[int, int]]:
    """The run cut where most is held long and short, as a folder of its own; what is held, by instrument."""
    held: dict[int, int] = {}
    places = []
    for at, (kind, _, _, payload) in enumerate(run.reader()):
        if kind == REC_POSITION:
            row = np.frombuffer(payload, POSITION)[0]
            held[int(row["inst"])] = int(row["quantity"])
            now = {inst: net for inst, net in held.items() if net}
            places.append((min(sum(net > 0 for net in now.values()), sum(net < 0 for net in now.values())), at + 1, now))
    _, at, now = max(places, key=lambda place: place[:2])
    folder = RunDir.new(path)
    cut(run, folder.journal, at)
    return folder, now


def test_the_book_of_an_engine_that_was_ended_is_closed_at_the_prices_last_shown(run, tmp_path, monkeypatch):
    """Long and short; its account is free again, and its journal is one that is whole."""
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    folder, held = ended(run, tmp_path / "run")
    assert min(held.values()) < 0 < max(held.values())
    document = unwind.unwind(Lock(folder.lock, "a"), folder, Config(), Report())
    assert (document["flat"], document["left"]) == (True, {})
    assert document["steps"][0]["outcome"] == f"{len(held)} positions"
    Lock(folder.lock, "a").release()
    sides = [int(np.frombuffer(r[3], FILL)[0]["side"]) for r in Reader(folder.memory) if r[0] == REC_FILL]
    assert {1, -1} <= set(sides)
    journal = Journal(tmp_path / "again", prefix=Reader(folder.memory, folder.journal))
    core = Core(journal, capacity_of(run.path), 256)
    recalled(core, [folder.memory, folder.journal], Config(), folder.path)
    Again(core, Reader(folder.memory, folder.journal), venue_of_start).run()
    assert not journal.diverged and core.digest == digest_of(RunDir(folder.path))


def test_what_could_not_be_closed_is_told_with_its_side(run, tmp_path, monkeypatch):
    monkeypatch.setenv("ENGINE_SHM", str(tmp_path))
    monkeypatch.setattr(unwind, "STEPS", 0)
    folder, held = ended(run, tmp_path / "run")
    document = unwind.unwind(Lock(folder.lock, "a"), folder, Config(), Report())
    assert not document["flat"] and sorted(document["left"].values()) == sorted(held.values())
