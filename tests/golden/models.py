"""Two small noise models for the goldens, made of single additions and multiplications: every machine computes the same bits."""
import hashlib
import json
from pathlib import Path

import onnx

from _ext.signals.features import FEATURES, hash_of
from _ext.signals.scorer import Scorer
from engine.lab.graph import IR, OPSET, Builder

WEIGHTS = {
    "model a": ({"strength": 0.6, "mid_over_ltp": 0.25, "spread_bp": -0.01, "still_there": 0.1}, 0.05),
    "model b": ({"strength": 0.3, "held_updates": 0.02, "imbalance": 0.1, "largest_step": -0.2}, 0.45),
}
"""Name -> (weight of each feature, what is added)."""


def build(name: str, folder: Path) -> Scorer:
    """Writes one model to `folder`, under the name a model folder wants, and loads it."""
    weights, base = WEIGHTS[name]
    graph = Builder()
    total = graph.constant([[base]])
    for k, weight in enumerate(weights.values()):
        one = graph("Gather", "features", graph.constant([k], "int64"), axis=1)
        total = graph("Add", total, graph("Mul", one, graph.constant([[weight]])))
    p = graph("Clip", total, graph.constant(0.0), graph.constant(1.0))
    graph.nodes.append(onnx.helper.make_node("Concat", [graph("Sub", graph.constant([[1.0]]), p), p], ["probabilities"], axis=1))
    number = onnx.TensorProto.FLOAT
    model = onnx.helper.make_model(
        onnx.helper.make_graph(graph.nodes, "golden", [onnx.helper.make_tensor_value_info("features", number, [1, len(weights)])],
                               [onnx.helper.make_tensor_value_info("probabilities", number, [1, 2])], graph.constants),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR)
    assert set(weights) <= set(FEATURES)
    onnx.helper.set_model_props(model, {"features": json.dumps(list(weights)), "features_hash": hash_of(weights),
                                        "threshold": "0.5", "name": name})
    data = model.SerializeToString(deterministic=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.onnx"
    path.write_bytes(data)
    return Scorer(path)
