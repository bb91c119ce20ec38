"""The life of a model: who trades, who looks on, who came before; shadows change nothing, arms are always the same names."""
import datetime as dt
import os
import shutil
from pathlib import Path

import numpy as np
import onnx
import orjson
import pytest

from _ext.core.reasons import PASS
from _ext.core.records import (
    CANDIDATE,
    MODEL_B,
    MODEL_SHADOW,
    REC_BARS,
    REC_CANDIDATE,
    REC_FRAME,
    REC_INSTRUMENTS,
    REC_MODEL,
    REC_PROFILE,
    REC_SHADOW,
    REC_START,
    REC_VERDICT,
    SHADOW,
)
from _ext.core.sink import KeepingSink
from _ext.entrance import Core
from _ext.signals.scorer import ModelRefused, Scorer
from _ext.trail.journal import Journal
from _ext.trail.reader import Reader
from _ext.trail.verifier import Verifier
from engine import config
from engine.lab.dataset import generated_day
from engine.market import instruments, sessions
from engine.run import doctor
from engine.signals import models
from engine.sim.recorded import frames_of
from engine.watch import drift

SHIPPED = models.active(Path(config.Config().models))


def another(folder: Path, word: str) -> str:
    """A model that answers alike and is another file."""
    model = onnx.load(Path(config.Config().models) / f"{SHIPPED.sha256[:16]}.onnx")
    entry = model.metadata_props.add()
    entry.key, entry.value = "word", word
    path = folder / "new.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    sha = Scorer(path).sha256
    path.rename(folder / f"{sha[:16]}.onnx")
    return sha


@pytest.fixture
def folder(tmp_path):
    shutil.copy(Path(config.Config().models) / f"{SHIPPED.sha256[:16]}.onnx", tmp_path)
    models.promote(tmp_path, SHIPPED.sha256[:16])
    return tmp_path


def test_promote_and_rollback(folder):
    b, c = another(folder, "b"), another(folder, "c")
    assert models.active(folder).sha256 == SHIPPED.sha256
    models.promote(folder, b[:12])
    models.promote(folder, c[:12])
    models.promote(folder, c[:12])                          # already: nothing changes
    assert models.roles(folder)["before"] == [b, SHIPPED.sha256]
    assert models.rollback(folder).sha256 == b and models.rollback(folder).sha256 == SHIPPED.sha256
    with pytest.raises(ModelRefused, match="no model traded before"):
        models.rollback(folder)
    roles = {row["model"]: row["role"] for row in models.entries(folder)}
    assert roles == {SHIPPED.sha256[:16]: "active", b[:16]: "", c[:16]: ""}


def test_what_is_not_there_or_was_changed_is_not_promoted(folder):
    b = another(folder, "b")
    with pytest.raises(ModelRefused, match="0 models begin so"):
        models.promote(folder, "ffff")
    path = folder / f"{b[:16]}.onnx"
    path.write_bytes((folder / f"{SHIPPED.sha256[:16]}.onnx").read_bytes())
    with pytest.raises(ModelRefused, match="changed after it was written"):
        models.promote(folder, b[:12])
    path.unlink()
    (folder / "active.json").write_text("{")
    with pytest.raises(ModelRefused, match="not readable"):
        models.active(folder)


def test_only_what_differs_becomes_a_record(folder):
    b = another(folder, "b")
    was = models.roles(folder)
    assert models.records(folder, 0.3, was) == []
    models.assign(folder, MODEL_SHADOW, b[:12])
    models.assign(folder, MODEL_B, b[:12])
    changes = models.records(folder, 0.3, was)
    assert [list(needed) for needed, _ in changes] == [[b], [b]]
    now = models.roles(folder)
    models.assign(folder, MODEL_SHADOW, "")
    models.assign(folder, MODEL_B, "")
    assert len(models.records(folder, 0.3, now)) == 2
    for k in range(models.SHADOWS):
        models.assign(folder, MODEL_SHADOW, another(folder, f"s{k}")[:12])
    with pytest.raises(ModelRefused, match="shadows already"):
        models.assign(folder, MODEL_SHADOW, b[:12])


@pytest.fixture(scope="module")
def day():
    return generated_day(9, 4, 12, spikes=3.0, own=2.0, minutes=60)


def played(day, records, share=0.0, loaded=(), trail=None):
    recording, _ = day
    trail = trail or KeepingSink((REC_CANDIDATE, REC_VERDICT, REC_SHADOW))
    core = Core(trail, len(recording.specs))
    begin = (sessions.epoch_ms(recording.day) - 60_000) * 1_000_000
    settings = config.Config(ab=config.Comparison(share=share, volume=99.0)).record()
    core.models.update({s.sha256: s for s in loaded})
    core.feed(REC_START, begin, orjson.dumps(settings))
    core.feed(REC_INSTRUMENTS, begin, instruments.table(recording.specs, recording.day).tobytes())
    core.feed(REC_PROFILE, begin, sessions.profile(recording.day).tobytes())
    core.feed(REC_BARS, begin, recording.bars.tobytes())
    for record in records:
        core.feed(REC_MODEL, begin, record)
    for at, _, frame in frames_of(recording.rows, recording.received):
        core.feed(REC_FRAME, at * 1_000_000, frame)
    if not isinstance(trail, KeepingSink):
        return core, [], []
    made = [(kind, np.frombuffer(p, CANDIDATE)[0]) for kind, _, p in trail.kept if kind != REC_SHADOW]
    return core, made, [np.frombuffer(p, SHADOW)[0] for kind, _, p in trail.kept if kind == REC_SHADOW]


def test_a_shadow_scores_every_candidate_and_decides_nothing(day, folder):
    other = models.find(folder, another(folder, "b")[:12])
    alone = models.model_record(SHIPPED.sha256, 0.3)
    plain, made, none = played(day, [alone], loaded=[SHIPPED, other])
    watched, same, scores = played(day, [alone, models.model_record(other.sha256, 0.3, MODEL_SHADOW)], loaded=[SHIPPED, other])
    assert len(made) >= 10 and not none and len(made) == len(same)
    for (_, a), (_, b) in zip(made, same, strict=True):
        assert all(np.array_equal(a[n], b[n], equal_nan=a[n].dtype.kind == "f") for n in CANDIDATE.names if n != "tick_seq")
    firsts = {int(c["id"]): c for kind, c in made if kind == REC_CANDIDATE}
    assert {int(s["candidate"]) for s in scores} == set(firsts)
    for s in scores:
        if s["updates"] == 0:
            want = other.score_row(firsts[int(s["candidate"])]["feature"].copy())
            assert s["score"] == pytest.approx(want, nan_ok=True) and s["model"].decode() == other.sha256[:16]
    assert plain.counts()["candidates"] == watched.counts()["candidates"]


def test_a_run_with_shadows_and_arms_is_replayed_to_the_bit(day, folder, tmp_path):
    other = models.find(folder, another(folder, "b")[:12])
    records = [models.model_record(SHIPPED.sha256, 0.3), models.model_record(other.sha256, 0.3, MODEL_B),
               models.model_record(other.sha256, 0.3, MODEL_SHADOW)]
    core, _, _ = played(day, records, 0.5, [SHIPPED, other], Journal(tmp_path / "j", 64 << 20, 1 << 40))
    reader = Reader(tmp_path / "j")
    verifier = Verifier(reader)
    again = Core(verifier, core.market.capacity)
    again.models.update({s.sha256: s for s in (SHIPPED, other)})
    again.replay(reader, verifier)
    assert verifier.mismatched == 0 and verifier.matched > 10 and again.digest == core.digest


def test_arms_are_shares_of_the_names_with_their_own_model_and_rules(day, folder):
    other = models.find(folder, another(folder, "b")[:12])
    records = [models.model_record(SHIPPED.sha256, 0.3), models.model_record(other.sha256, 0.3, MODEL_B)]
    _, made, _ = played(day, records, share=0.5, loaded=[SHIPPED, other])
    arms = {int(c["inst"]): int(c["arm"]) for _, c in made}
    assert set(arms.values()) == {0, 1}
    for kind, c in made:
        assert c["model"].decode() == (other if c["arm"] else SHIPPED).sha256[:16]
        if kind == REC_VERDICT and c["arm"]:
            assert c["reason"] != PASS                          # arm B asks for volume x99
    again = {int(c["inst"]): int(c["arm"]) for _, c in played(day, records, share=0.5, loaded=[SHIPPED, other])[1]}
    assert arms == again
    none = played(day, records, share=0.0, loaded=[SHIPPED, other])[1]
    assert not any(c["arm"] for _, c in none)


def test_population_stability_by_hand():
    even = np.full(10, 0.1)
    assert drift.psi(np.full(10, 50.0), even) == pytest.approx(0.0)
    assert drift.psi(np.array([100.0] + [0.0] * 9), even) > 5
    assert drift.psi(np.array([80, 20]), np.array([0.5, 0.5])) == pytest.approx(0.3 * np.log(1.6) - 0.3 * np.log(0.4))


def fifth(k, candidates, stayed, before=0, stayed_before=None):
    return {"from": k / 5, "candidates": candidates, "stayed": stayed, "before": before, "stayed_before": stayed_before}


def test_a_score_that_means_nothing_is_said():
    good = [fifth(0, 80, 0.3), fifth(1, 40, 0.4), fifth(3, 0, None), fifth(4, 300, 0.7)]
    assert drift.judged(good, 0.3) == []
    assert "no more often" in drift.judged([fifth(0, 80, 0.70), fifth(4, 300, 0.72)], 0.3)[0]
    assert drift.judged([fifth(0, 30, 0.9), fifth(4, 30, 0.1)], 0.3) == []                   # too few to say
    assert drift.judged([*good[:3], fifth(4, 300, 0.7, 900, 0.72)], 0.3) == []
    assert drift.judged([*good[:3], fifth(4, 300, 0.7, 900, 0.9)], 0.3) == ["scores from 0.8 stayed 90% before, 70% now"]


def test_the_difference_of_shares_in_standard_errors():
    """Two proportions, 60 of 100 and 45 of 100: pooled 0.525, z = 0.15 / sqrt(0.525 x 0.475 x 0.02)."""
    assert drift.z_of((0.60, 100), (0.45, 100)) == pytest.approx(0.15 / (0.525 * 0.475 * 0.02) ** 0.5)
    assert np.isnan(drift.z_of((0.6, 49), (0.4, 1000)))


@pytest.mark.parametrize(("text", "words"), [
    ("[]", "no object of roles"), ("null", "no object of roles"), ('"d251"', "no object of roles"), ("{}", "names no model"),
    ('{"b": ""}', "names no model"), ('{"sha256": "d251"}', "hash that is none"), ('{"sha256": 7}', "hash that is none"),
    ('{"sha256": null}', "hash that is none"), ('{"sha256": "", "shadows": ["x"]}', "hash that is none"),
    ('{"sha256": "", "shadows": "x"}', "another kind"), ('{"sha256": "", "before": {}}', "another kind"),
    ('{"sha256": "", "modell": "x"}', "unknown entries"), ("[" * 100_000, "not readable"), ("\udcff", "not readable"),
    ("", "not readable"),
])
def test_a_note_that_does_not_say_who_trades_is_refused(folder, text, words):
    (folder / "active.json").write_text(text, errors="surrogateescape")
    for ask in (models.roles, models.active, models.entries, lambda f: models.records(f, 0.3)):
        with pytest.raises(ModelRefused, match=words):
            ask(folder)


def test_a_note_that_cannot_be_read_is_refused(folder):
    (folder / "active.json").unlink()
    (folder / "active.json").symlink_to("nowhere")
    with pytest.raises(ModelRefused, match="not readable"):
        models.active(folder)
    (folder / "active.json").unlink()
    (folder / "active.json").mkdir()
    with pytest.raises(ModelRefused, match="not readable"):
        models.active(folder)


def test_a_note_that_names_a_model_that_is_not_there_is_refused(folder):
    (folder / "active.json").write_text('{"sha256": "%s"}' % ("a" * 64))
    with pytest.raises(ModelRefused, match="is missing"):
        models.active(folder)


def test_without_a_note_nobody_trades(tmp_path):
    assert models.active(tmp_path) is None and models.records(tmp_path, 0.3) == []


def test_a_models_age_is_its_own_and_not_its_files(folder):
    card = folder / f"{SHIPPED.sha256[:16]}.json"
    assert models.trained(folder, SHIPPED) is None                     # no card came along
    mine = {"sha256": SHIPPED.sha256}
    for said, day in ((mine | {"trained": "2026-01-02"}, dt.date(2026, 1, 2)), (mine, None), (mine | {"trained": "soon"}, None),
                      ({"sha256": "another", "trained": "2026-01-02"}, None), (mine | {"trained": 7}, None), ([], None)):
        card.write_bytes(orjson.dumps(said))
        os.utime(card)
        assert models.trained(folder, SHIPPED) == day, said
    card.write_text("{")
    assert models.trained(folder, SHIPPED) is None
    assert models.trained(Path(config.Config().models), SHIPPED) == dt.date(2026, 11, 27), "the shipped one says so"


def test_doctor_warns_of_an_old_model_and_of_one_without_an_age(folder, monkeypatch):
    monkeypatch.setattr(doctor.Doctor, "_drift", lambda self: None)
    card = folder / f"{SHIPPED.sha256[:16]}.json"
    now = dt.datetime(2026, 11, 26, 9, tzinfo=sessions.IST)
    for day, state, words in (("2026-11-20", "ok", "6 days old"), ("2026-01-02", "warn", "328 days old"),
                              ("2027-01-01", "warn", "a day to come"), ("", "warn", "not known")):
        card.write_text(orjson.dumps({"sha256": SHIPPED.sha256, "trained": day}).decode())
        about = doctor.Doctor(config.Config(models=str(folder)), None, None, "sim", now)
        about._model()
        assert about.checks[0].state == state and words in about.checks[0].said
