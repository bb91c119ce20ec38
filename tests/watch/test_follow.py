"""A run is followed as it grows: in any pieces, from nothing to its end, and without a status block."""
import shutil

import numpy as np

from _ext.core.records import REC_FRAME
from engine.trail.rundir import RunDir
from engine.watch.follow import Follow, followed
from engine.watch.moment import moment


def document(follow):
    return moment(follow.day, follow.shown(), follow.closes_before(), follow.figures(), follow.now())


def test_small_steps_give_what_large_ones_give(day_run, followed_day):
    small = Follow(RunDir.existing(day_run))
    while small.advance(0.001):
        pass
    assert document(small) == document(followed(day_run)) and small.points == followed_day.points


def test_a_run_that_has_not_begun_is_waited_for(day_run, tmp_path):
    folder = tmp_path / "run"
    (folder / "journal").mkdir(parents=True)
    follow = Follow(RunDir(folder))
    assert not follow.advance() and follow.market is None and len(follow.shown()) == 0 and not follow.is_live
    for path in (day_run / "journal").iterdir():
        shutil.copy(path, folder / "journal")
    while follow.advance(1.0):
        pass
    assert follow.market is not None and document(follow)["counts"]["candidates"] == len(followed(day_run).day.candidates)


def test_without_a_status_block_the_money_is_that_of_the_fills(followed_day):
    money = followed_day.figures()["money"]
    assert money["realised"] == sum(int(f["realised"]) for _, f in followed_day.day.fills)
    assert money["charges"] == sum(int(f["charges"]) for _, f in followed_day.day.fills)
    assert money["equity"] == followed_day.day.funds > 0 and followed_day.status is None


def test_the_closes_of_the_day_before_are_those_of_the_feed(followed_day):
    said, found = followed_day.shown()["before"], followed_day.closes_before()
    assert (found == said).all() and (said > 0).all()
    unsaid = followed_day.shown()
    unsaid["before"] = 0
    history = followed_day.day.closes(unsaid)
    assert (history > 0).all() and (np.abs(history / said - 1) < 0.05).all()


def test_the_last_frame_is_told_whatever_ends_a_step(day_run):
    """Silence of the feed is measured by it: a step that ends with a timer had frames all the same."""
    follow, told = Follow(RunDir.existing(day_run)), []
    follow.listeners.append(lambda kind, now, _: told.append(now) if kind == REC_FRAME else None)
    while follow.advance(0.001):
        pass
    frames = [now for kind, _, now, _ in follow.run.reader() if kind == REC_FRAME]
    assert told[-1] == frames[-1] and len(set(told)) > 50 and set(told) <= set(frames)
