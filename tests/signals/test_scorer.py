"""The scorer: what it refuses to load, what it answers, and that a swap happens at its record.

It asks ONNX Runtime by `_ext/signals/onnx.pyx`.
"""
import json
from pathlib import Path

import numpy as np
import pytest

from _ext.core.records import REC_MODEL
from _ext.signals.features import FEATURES
from _ext.signals.scorer import ModelRefused, Scorer
from engine.config import Config
from engine.signals import models
from tests.trade.conftest import Desk

FOLDER = Path(Config().models)


@pytest.fixture(scope="module")
def scorer():
    return models.active(FOLDER)


def test_equals_onnxruntime_called_plainly(scorer):
    import onnxruntime

    path = next(FOLDER.glob("*.onnx"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    columns = [FEATURES.index(name) for name in json.loads(session.get_modelmeta().custom_metadata_map["features"])]
    rows = np.random.default_rng(3).normal(0, 3, (200, len(FEATURES))).astype(np.float32)
    for row in rows:
        want = session.run(None, {"features": row[None, columns]})[-1][0, 1]
        assert scorer.score_row(row) == want


def test_an_unknown_feature_gives_no_score(scorer):
    row = np.zeros(len(FEATURES), np.float32)
    row[FEATURES.index(json.loads(scorer.meta["features"])[3])] = np.nan
    assert np.isnan(scorer.score_row(row))


def test_bad_files_are_refused(tmp_path):
    import onnx

    good = next(FOLDER.glob("*.onnx"))
    (tmp_path / "garbage.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelRefused, match="not a loadable"):
        Scorer(tmp_path / "garbage.onnx")
    (tmp_path / "large.onnx").write_bytes(bytes(33 << 20))
    with pytest.raises(ModelRefused, match="at most 32"):
        Scorer(tmp_path / "large.onnx")
    other = onnx.load(good)
    for entry in other.metadata_props:
        if entry.key == "features_hash":
            entry.value = "0" * 16
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ModelRefused, match="other features"):
        Scorer(tmp_path / "other.onnx")
    outside = onnx.load(good)
    for constant in outside.graph.initializer:
        onnx.external_data_helper.set_external_data(constant, "/etc/passwd")
    (tmp_path / "outside.onnx").write_bytes(outside.SerializeToString())
    with pytest.raises(ModelRefused, match="other files"):
        Scorer(tmp_path / "outside.onnx")
    for name, word in (("nan", "not a probability"), ("shape", "cannot be asked")):
        bad = onnx.load(good)
        if name == "shape":
            bad.graph.node[-1].input[0] = bad.graph.input[0].name
        else:
            for constant in bad.graph.initializer:
                if constant.data_type == onnx.TensorProto.DOUBLE:
                    constant.CopyFrom(onnx.numpy_helper.from_array(np.full(tuple(constant.dims), np.nan), constant.name))
        (tmp_path / f"{name}.onnx").write_bytes(bad.SerializeToString())
        with pytest.raises(ModelRefused, match=word):
            Scorer(tmp_path / f"{name}.onnx")
    sha = models.active(FOLDER).sha256
    (tmp_path / "active.json").write_text(json.dumps({"sha256": sha[:16] + "0" * 48, "file": good.name}))
    (tmp_path / f"{sha[:16]}.onnx").write_bytes((FOLDER / f"{sha[:16]}.onnx").read_bytes())
    with pytest.raises(ModelRefused, match=r"active\.json says"):
        models.active(tmp_path)
    assert len(models.load_models(tmp_path)) == 1          # the good one alone


def test_a_slow_model_is_refused(tmp_path):
    """Eight million exponentials a row."""
    import onnx
    from onnx import helper

    good = onnx.load(next(FOLDER.glob("*.onnx")))
    slow = [helper.make_node("Expand", [good.graph.node[0].input[0], "wide"], ["w0"]), helper.make_node("Exp", ["w0"], ["w1"]),
            helper.make_node("ReduceMax", ["w1"], ["w2"], axes=[0, 1, 2], keepdims=0), helper.make_node("Sigmoid", ["w2"], ["w3"]),
            helper.make_node("Expand", ["w3", "pair"], ["probabilities"])]
    del good.graph.node[:]
    good.graph.node.extend(slow)
    columns = good.graph.input[0].type.tensor_type.shape.dim[1].dim_value
    for name, shape in (("wide", [8_000_000 // columns, 1, columns]), ("pair", [1, 2])):
        good.graph.initializer.append(onnx.numpy_helper.from_array(np.array(shape, np.int64), name))
    onnx.save(good, tmp_path / "slow.onnx")
    with pytest.raises(ModelRefused, match="us a row"):
        Scorer(tmp_path / "slow.onnx")


def test_a_swap_takes_effect_at_its_record(tmp_path, scorer):
    desk = Desk(tmp_path)
    assert desk.core.scorer is None
    desk.core.models.update(models.load_models(FOLDER))
    desk.core.feed(REC_MODEL, desk.now, models.model_record(scorer.sha256, 0.3))
    assert desk.core.scorer.sha256 == scorer.sha256
    with pytest.raises(LookupError, match="not among the models"):
        record = models.model_record(scorer.sha256, 0.3).replace(scorer.sha256[:8].encode(), b"deadbeef")
        desk.core.feed(REC_MODEL, desk.now, record)
