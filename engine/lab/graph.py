"""The hybrid as one ONNX graph: two TreeEnsembleRegressors, a few matrix products and a TopK.

skl2onnx writes an isolation forest of 100 trees as 2,710 nodes (1.3 ms a call); here its leaves hold path lengths, so that the
whole forest is one node. Members without a vote are left out.
"""
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from engine.lab.members import MEMBERS, Hybrid

OPSET, ML_OPSET, IR = 17, 3, 8
LIMIT = 1e-6
"""Votes are kept this far from 0 and 1 (members.logit)."""


def _threshold(value: float) -> float:
    """The float32 t for which `x <= t` is `x <= value` of every float32 x."""
    t = np.float32(value)
    return float(np.nextafter(t, np.float32(-np.inf)) if t > value else t)


class Builder:
    """Nodes and constants of a graph as it grows."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, values: Any, dtype: Any = np.float64) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def __call__(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        names = [f"n{len(self.nodes)}_{k}" for k in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def prune(self, output: str) -> None:
        """Leaves out what `output` does not need: members without a vote."""
        needed, kept = {output}, []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.constants = [c for c in self.constants if c.name in needed]

    def ensemble(self, trees: list[dict[str, np.ndarray]], features: str, base: float, aggregate: str) -> str:
        """TreeEnsembleRegressor of trees given by arrays: left, right, feature, threshold, value; as float64[1, 1]."""
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
        out = self("TreeEnsembleRegressor", features, domain="ai.onnx.ml", n_targets=1, aggregate_function=aggregate,
                   base_values=[base], post_transform="NONE", **dict[str, Any](a))
        return str(self("Cast", out, to=TensorProto.DOUBLE))


def _arrays(tree: Any, value: np.ndarray) -> dict[str, np.ndarray]:
    return {"left": tree.children_left, "right": tree.children_right, "feature": tree.feature, "threshold": tree.threshold,
            "value": value}


def _path_lengths(tree: Any) -> np.ndarray:
    """Depth of each node, plus what an unbuilt tree of its samples would add (Liu 2008, equation 1)."""
    depth = np.zeros(tree.node_count)
    for node in range(tree.node_count):
        if tree.children_left[node] >= 0:
            depth[tree.children_left[node]] = depth[tree.children_right[node]] = depth[node] + 1
    return depth + _average(tree.n_node_samples)


def _average(n: np.ndarray) -> np.ndarray:
    n = np.asarray(n, float)
    return np.where(n <= 1, 0.0, np.where(n == 2, 1.0, 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma)
                                          - 2 * (n - 1) / np.maximum(n, 1)))


def _margin(b: Builder, name: str, hybrid: Hybrid, features: str, scaled: str) -> str:
    members = hybrid.members
    if name == "trees":
        model = members.trees
        prior = model.init_.class_prior_[1]
        trees = [_arrays(t.tree_, t.tree_.value[:, 0, 0] * model.learning_rate) for t in model.estimators_[:, 0]]
        return b.ensemble(trees, features, float(np.log(prior / (1 - prior))), "SUM")
    if name == "forest":
        forest = members.forest
        mean = b.ensemble([_arrays(t.tree_, _path_lengths(t.tree_)) for t in forest.estimators_], features, 0.0, "AVERAGE")
        scale = -np.log(2.0) / float(_average(np.array([forest.max_samples_]))[0])
        return str(b("Neg", b("Exp", b("Mul", mean, b.constant([[scale]])))))
    if name == "logistic":
        product = b("MatMul", scaled, b.constant(members.logistic.coef_.T))
        return str(b("Add", product, b.constant([members.logistic.intercept_])))
    lof = members.outliers
    points, k = np.asarray(lof._fit_X, float), lof.n_neighbors_
    squares = b("ReduceSum", b("Mul", scaled, scaled), b.constant([1], np.int64), keepdims=1)
    crossed = b("Mul", b("MatMul", scaled, b.constant(points.T)), b.constant([[-2.0]]))
    distance = b("Sqrt", b("Max", b("Add", b("Add", crossed, b.constant([(points ** 2).sum(axis=1)])), squares),
                           b.constant([[0.0]])))
    near, at = b("TopK", distance, b.constant([k], np.int64), outputs=2, axis=1, largest=0, sorted=1)
    reach = b("Max", near, b("Gather", b.constant(lof._distances_fit_X_[:, k - 1]), at))
    axis = b.constant([1], np.int64)
    density = b("Reciprocal", b("Add", b("ReduceMean", reach, axes=[1], keepdims=1), b.constant([[1e-10]])))
    others = b("Div", b("ReduceSum", b("Gather", b.constant(lof._lrd), at), axis, keepdims=1), b.constant([[float(k)]]))
    return str(b("Neg", b("Div", others, density)))


def build(hybrid: Hybrid, waited: int, columns: int, metadata: Mapping[str, Any]) -> bytes:
    """The model file. `waited`: which of the `columns` counts the trade updates since the tick. Input `features`
    float32[1, columns]; output float32[1, 2]: P(noise), P(genuine)."""
    b, members = Builder(), hybrid.members
    features = "features"
    wide = b("Cast", features, to=TensorProto.DOUBLE)
    clipped = b("Min", b("Max", wide, b.constant([members.scale.low])), b.constant([members.scale.high]))
    scaled = b("Div", b("Sub", clipped, b.constant([members.scale.mean])), b.constant([members.scale.sd]))
    vote = ""
    for m, name in enumerate(MEMBERS):
        if hybrid.weights[m] <= 0:
            continue
        margin = _margin(b, name, hybrid, features, scaled)
        a, shift = hybrid.platt[m]
        said = b("Sigmoid", b("Add", b("Mul", margin, b.constant([[a]])), b.constant([[shift]])))
        said = b("Mul", said, b.constant([[float(hybrid.weights[m])]]))
        vote = said if not vote else b("Add", vote, said)
    vote = b("Min", b("Max", vote, b.constant([[LIMIT]])), b.constant([[1 - LIMIT]]))
    odds = b("Log", b("Div", vote, b("Sub", b.constant([[1.0]]), vote)))
    count = b("Gather", wide, b.constant([waited], np.int64), axis=1)
    is_later = b("Min", b("Max", count, b.constant([[0.0]])), b.constant([[1.0]]))
    shift = b("Add", b("Mul", is_later, b.constant([[float(hybrid.shift[1] - hybrid.shift[0])]])), b.constant([[float(
        hybrid.shift[0])]]))
    genuine = b("Sigmoid", b("Add", b("Mul", odds, b.constant([[hybrid.slope]])), shift))
    both = b("Concat", b("Sub", b.constant([[1.0]]), genuine), genuine, axis=1)
    b.nodes.append(helper.make_node("Cast", [both], ["probabilities"], to=TensorProto.FLOAT))
    b.prune("probabilities")
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
