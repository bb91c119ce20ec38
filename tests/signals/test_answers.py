"""Which of a model's two numbers is its answer, and which answers are no probability."""
import hashlib
import json

import numpy as np
import onnx
import pytest

from _ext.signals.features import FEATURES, hash_of
from _ext.signals.scorer import ModelRefused, Scorer
from engine.lab.graph import IR, OPSET, Builder

NAMES = ("rz", "strength")


def model(folder, other: float, answer: float, slope: float = 0.0):
    """Answers (`other`, `answer` + `slope` x strength); its features are not in the engine's order."""
    graph = Builder()
    picked = graph("Gather", "features", graph.constant([1], "int64"), axis=1)
    moved = graph("Add", graph.constant([[answer]]), graph("Mul", picked, graph.constant([[slope]])))
    both = onnx.helper.make_node("Concat", [graph.constant([[other]]), moved], ["probabilities"], axis=1)
    number, value = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    made = onnx.helper.make_model(
        onnx.helper.make_graph([*graph.nodes, both], "g", [value("features", number, [1, 2])],
                               [value("probabilities", number, [1, 2])], graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    onnx.helper.set_model_props(made, {"features": json.dumps(NAMES), "features_hash": hash_of(NAMES), "threshold": "0.25"})
    data = made.SerializeToString(deterministic=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("other", "answer", "good"), [
    (0.5, 0.0, True), (0.5, 1.0, True), (9.0, 0.5, True), (-1.0, 0.5, True), (0.5, 1.0001, False), (0.5, -0.0001, False),
    (float("nan"), 0.5, True), (0.5, float("nan"), False), (0.5, float("inf"), False)])
def test_the_second_number_must_be_a_probability(tmp_path, other, answer, good):
    path = model(tmp_path, other, answer)
    if good:
        scorer = Scorer(path)
        assert scorer.score_row(np.zeros(len(FEATURES))) == pytest.approx(answer) and scorer.threshold == 0.25 and scorer.count == 2
    else:
        with pytest.raises(ModelRefused, match="not a probability"):
            Scorer(path)


@pytest.mark.parametrize(("slope", "where"), [(1.0, "3"), (1e-4, "1e\\+06"), (1e-29, "1e\\+30")])
def test_absurd_features_are_tried_before_a_model_is_taken(tmp_path, slope, where):
    """Each answers 0.5 to zeros; the steeper, the less absurd what it answers nonsense to."""
    with pytest.raises(ModelRefused, match=f"features around {where}, not a probability"):
        Scorer(model(tmp_path, 0.5, 0.5, slope))


def test_features_are_given_by_name_and_one_unknown_is_no_score(tmp_path):
    # answers to a few absurd rows are asked for too, and those must be probabilities: the slope is next to nothing
    scorer = Scorer(model(tmp_path, 0.5, 0.5, 1e-31))
    row = np.full(len(FEATURES), np.nan, np.float32)
    assert np.isnan(scorer.score_row(row))
    row[[FEATURES.index(n) for n in NAMES]] = 0.0, 4e30
    assert scorer.score_row(row) == pytest.approx(0.9)
    row[FEATURES.index("rz")] = np.nan
    assert np.isnan(scorer.score_row(row))
    with pytest.raises(ValueError, match="features given"):
        scorer.score_row(row[:-1])


def test_a_model_of_two_inputs_is_refused(tmp_path):
    path = model(tmp_path, 0.5, 0.5)
    made = onnx.load(path)
    made.graph.input.append(onnx.helper.make_tensor_value_info("more", onnx.TensorProto.FLOAT, [1, 2]))
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ModelRefused, match="2 inputs"):
        Scorer(path)
