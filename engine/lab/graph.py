"""The hybrid as one ONNX graph: two TreeEnsembleRegressors, a few matrix products and a TopK.

skl2onnx writes an isolation forest of 100 trees as 2,710 nodes (1.3 ms a call); here its leaves hold path lengths, so that the
whole forest is one node. Members without a vote are left out.
"""
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.lab.members import LIMIT, Hybrid, logit

OPSET, ML_OPSET, IR = 17, 3, 8


def _threshold(value: float) -> float:
    """The float32 t for which `x <= t` is `x <= value` of every float32 x."""
    t = np.float32(value)
    return float(np.nextafter(t, np.float32(-np.inf)) if t > value else t)


class Builder:
    """Nodes and constants of a graph as it grows."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def double(self, name: str) -> str:
        return str(self("Cast", name, to=TensorProto.DOUBLE))

    def wide(self, values: Any) -> str:
        return self.constant(values, np.float64)

    def __call__(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"n{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def ensemble(self, trees: list[dict[str, np.ndarray]], features: str, base: float, aggregate: str) -> str:
        """TreeEnsembleRegressor of trees given by arrays: left, right, feature, threshold, value; as float32[1, 1]."""
        a: dict[str, list[Any]] = {name: [] for name in (
            "nodes_treeids", "nodes_nodeids", "nodes_featureids", "nodes_values", "nodes_modes", "nodes_truenodeids",
            "nodes_falsenodeids", "nodes_hitrates", "nodes_missing_value_tracks_true", "target_treeids", "target_nodeids",
            "target_ids", "target_weights")}
        for tree, t in enumerate(trees):
            for node in range(len(t["left"])):
                is_leaf = t["left"][node] < 0
                a["nodes_treeids"].append(tree)
                a["nodes_nodeids"].append(node)
                a["nodes_featureids"].append(0 if is_leaf else int(t["feature"][node]))
                a["nodes_values"].append(0.0 if is_leaf else _threshold(float(t["threshold"][node])))
                a["nodes_modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
                a["nodes_truenodeids"].append(0 if is_leaf else int(t["left"][node]))
                a["nodes_falsenodeids"].append(0 if is_leaf else int(t["right"][node]))
                a["nodes_hitrates"].append(1.0)
                a["nodes_missing_value_tracks_true"].append(0)
                if is_leaf:
                    for name, value in (("treeids", tree), ("nodeids", node), ("ids", 0), ("weights", float(t["value"][node]))):
                        a[f"target_{name}"].append(value)
        return str(self("TreeEnsembleRegressor", features, domain="ai.onnx.ml", n_targets=1, aggregate_function=aggregate,
                        base_values=[base], post_transform="NONE", **dict[str, Any](a)))


def _arrays(tree: Any, value: np.ndarray) -> dict[str, np.ndarray]:
    return {"left": tree.children_left, "right": tree.children_right, "feature": tree.feature, "threshold": tree.threshold,
            "value": value}


def _path_lengths(tree: Any) -> np.ndarray:
    """Depth of each node, plus what an unbuilt tree of its samples would add (Liu 2008, equation 1)."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        if tree.children_left[node] >= 0:
            depth[tree.children_left[node]] = depth[tree.children_right[node]] = depth[node] + 1
    return np.asarray(depth + _average(tree.n_node_samples))


def _average(n: np.ndarray) -> np.ndarray:
    n = np.asarray(n, float)
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma)
                                          - 2 * (n - 1) / np.maximum(n, 1)))


# Each member's calibration a x margin + c is written into its own numbers: into the leaves, so that what is summed stays small.

def _trees(b: Builder, model: Any, features: str, a: float, c: float) -> str:
    prior = model.init_.class_prior_[1]
    trees = [_arrays(t.tree_, a * t.tree_.value[:, 0, 0] * model.learning_rate) for t in model.estimators_[:, 0]]
    return b.double(b.ensemble(trees, features, a * float(np.log(prior / (1 - prior))) + c, "SUM"))


def _forest(b: Builder, model: Any, features: str, a: float, c: float) -> str:
    usual = float(_average(np.array([model.max_samples_]))[0])
    trees = [_arrays(t.tree_, a * _path_lengths(t.tree_) / usual + c) for t in model.estimators_]
    return b.double(b.ensemble(trees, features, 0.0, "AVERAGE"))


def _outliers(b: Builder, model: Any, scaled: str, origin: np.ndarray, a: float, c: float) -> str:
    """Local outlier factor of one point: minus its neighbours' mean density over its own, 1 / (mean reachability distance).
    `origin` [columns]: the scaled features' mean, which `scaled` still has and scikit-learn's points have not."""
    points, k = np.asarray(model._fit_X, float) + origin, model.n_neighbors_
    # |x - p|^2 = |x|^2 + (|p|^2 - 2 x p): the first is the same for all, so it waits until the nearest are chosen
    nearness = b("Gemm", scaled, b.wide(-2.0 * points.T), b.wide((points ** 2).sum(axis=1)))
    near, at = b("TopK", nearness, b.constant([k], np.int64), outputs=2, axis=1, largest=0, sorted=0)
    squares = b("Add", near, b("ReduceSumSquare", scaled, axes=[1], keepdims=1))
    reach = b("Sqrt", b("Max", squares, b("Gather", b.wide(model._distances_fit_X_[:, k - 1] ** 2), at)))
    others = b("ReduceMean", b("Gather", b.wide(-a * model._lrd), at), axes=[1], keepdims=1)
    return str(b("Add", b("Mul", others, b("ReduceMean", reach, axes=[1], keepdims=1)), b.wide([[c]])))


def _logistic(b: Builder, model: Any, scaled: str, origin: np.ndarray, a: float, c: float) -> str:
    return str(b("Gemm", scaled, b.wide(a * model.coef_.T), b.wide(a * (model.intercept_ - model.coef_ @ origin) + c)))


def _votes(b: Builder, hybrid: Hybrid, features: str) -> list[str]:
    """Log-odds, float64[1, 1] a member with a vote, in their order. Those that measure distances share the scaled features."""
    members, scale, scaled = hybrid.members, hybrid.members.scale, ""
    if (hybrid.weights[2:] > 0).any():
        # float64: with less, two neighbours at almost the same distance change places
        clipped = b("Min", b("Max", b.double(features), b.wide([scale.low])), b.wide([scale.high]))
        scaled = b("Mul", clipped, b.wide([1.0 / scale.sd]))
    origin = scale.mean / scale.sd
    made: tuple[tuple[Callable[..., str], tuple[Any, ...]], ...] = (
        (_trees, (members.trees, features)), (_forest, (members.forest, features)),
        (_outliers, (members.outliers, scaled, origin)), (_logistic, (members.logistic, scaled, origin)))
    return [write(b, *given, *map(float, calibration)) for (write, given), calibration, weight in zip(
        made, hybrid.platt, hybrid.weights, strict=True) if weight > 0]


def build(hybrid: Hybrid, waited: int, columns: int, metadata: Mapping[str, Any]) -> bytes:
    """The model file. `waited`: which of the `columns` counts the trade updates since the tick. Input `features`
    float32[1, columns]; output float32[1, 2]: P(noise), P(genuine).

    Few nodes, for each costs a quarter of a microsecond: the votes are one row, a single vote needs no probability of its own, and
    the phase's shift is a tree of one split. Sums are float64: ONNX Runtime's sigmoid of float32 has four digits at 0.0003.
    """
    b, features = Builder(), "features"
    votes = _votes(b, hybrid, features)
    odds = votes[0]
    if len(votes) > 1:
        vote = b("MatMul", b("Sigmoid", b("Concat", *votes, axis=1)), b.wide(hybrid.weights[hybrid.weights > 0, None]))
        odds = b("Log", b("Div", vote, b("Sub", b.wide([[1.0]]), vote)))
    odds = b("Clip", odds, b.wide(logit(LIMIT)), b.wide(logit(1 - LIMIT)))
    phase = {"left": np.array([1, -1, -1]), "right": np.array([2, -1, -1]), "feature": np.array([waited, 0, 0]),
             "threshold": np.array([0.5, 0, 0]), "value": np.array([0.0, *hybrid.shift])}
    genuine = b("Add", b("Mul", odds, b.wide([[hybrid.slope]])), b.double(b.ensemble([phase], features, 0.0, "SUM")))
    both = b("Sigmoid", b("Mul", genuine, b.wide([[-1.0, 1.0]])))
    b.nodes.append(helper.make_node("Cast", [both], ["probabilities"], to=TensorProto.FLOAT))
    graph = helper.make_graph(b.nodes, "noise", [helper.make_tensor_value_info(features, TensorProto.FLOAT, [1, columns])],
                              [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 2])], b.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
                              producer_name="spike-engine")
    model.ir_version = IR
    for key in sorted(metadata):
        entry = model.metadata_props.add()
        entry.key, entry.value = key, metadata[key] if isinstance(metadata[key], str) else json.dumps(metadata[key], sort_keys=True)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
