"""Noise scorer: one ONNX model on preallocated buffers, called synchronously at a candidate.

Interface of a model: `float32[1, n]` in, P(real) out as the last value of its second (or only) output. Its metadata must
name the features in order and carry their hash; anything else refuses to load.
"""
import hashlib
import json
import time
from pathlib import Path

import numpy as np

from libc.math cimport NAN, isnan
from _ext.core.types cimport N_FEATURES

from _ext.signals.features import FEATURES, FEATURES_HASH

MAX_BYTES = 32 << 20
MAX_US = 1000
"""Median of a call: what takes longer would hold up the ticks of a candidate's minute."""
EXTERNAL = b"\n\x08location"
"""How a tensor names a file beside the model (onnx.proto: StringStringEntryProto.key): such a model is more than its hash says."""


class ModelRefused(ValueError):
    """The file is not a model this engine may trade with; the active one stays."""


cdef class Scorer:
    """Loads `path` and checks it; raises ModelRefused with the reason.

    `threshold` is the smallest score that passes, from the model's metadata.
    """

    def __init__(self, path):
        import onnxruntime
        path = Path(path)
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ModelRefused(f"{path.name} has {len(data) >> 20} MiB, at most {MAX_BYTES >> 20} are allowed")
        if EXTERNAL in data:
            raise ModelRefused(f"{path.name} keeps its numbers in other files: export it as one")
        self.sha256 = hashlib.sha256(data).hexdigest()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3
        # nothing is left to optimise in our graphs, and while it looks the interpreter is held for milliseconds
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelRefused(f"{path.name} is not a loadable ONNX model: {str(error)[:200]}") from None
        meta = session.get_modelmeta().custom_metadata_map
        if meta.get("features_hash") != FEATURES_HASH:
            raise ModelRefused(f"{path.name} was trained on other features (hash {meta.get('features_hash')}, "
                               f"this engine computes {FEATURES_HASH}): train it again")
        self.columns = np.array([FEATURES.index(name) for name in json.loads(meta["features"])], np.int32)
        self.count = len(self.columns)
        self.threshold = float(meta["threshold"])
        self.meta = dict(meta)
        self.session = session
        self.input = np.zeros((1, self.count), np.float32)
        self.binding = session.io_binding()
        self.value = onnxruntime.OrtValue.ortvalue_from_numpy(self.input)
        self.out_value = onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros((1, 2), np.float32))
        self.binding.bind_ortvalue_input(session.get_inputs()[0].name, self.value)
        self.binding.bind_ortvalue_output(list(session.get_outputs()).pop().name, self.out_value)
        self.buffer = self.input
        self._check(path.name)

    def _check(self, name):
        """Scores a few rows, ordinary and absurd: each answer must be a probability, and soon."""
        cdef float row[N_FEATURES]
        cdef int k
        cdef float score
        rng, times = np.random.default_rng(7), []
        for scale in (0.0, *[3.0] * 40, 1e6, -1e6, 1e30):
            values = np.clip(rng.normal(0, 1, N_FEATURES) * scale, -1e30, 1e30).astype(np.float32)
            for k in range(N_FEATURES):
                row[k] = values[k]
            began = time.perf_counter()
            try:
                score = self.score(row)
            except Exception as error:
                raise ModelRefused(f"{name} cannot be asked: {str(error)[:200]}") from None
            times.append(time.perf_counter() - began)
            if not 0.0 <= score <= 1.0:
                raise ModelRefused(f"{name} answers {score} to features around {scale:g}, not a probability")
        if sorted(times)[len(times) // 2] > MAX_US * 1e-6:
            raise ModelRefused(f"{name} takes {sorted(times)[len(times) // 2] * 1e6:.0f} us a row, at most {MAX_US} are allowed")

    cdef float score(self, const float* features) except? -1:
        """P(real) of one feature row, NaN where a feature the model needs is unknown."""
        cdef int i
        cdef float value
        for i in range(self.count):
            value = features[self.columns[i]]
            if isnan(value):
                return NAN
            self.buffer[0, i] = value
        self.value.update_inplace(self.input)
        self.session.run_with_iobinding(self.binding)
        return self.out_value.numpy()[0, 1]

    def keep_warm(self):
        """Runs the model once: after 20 ms idle a call costs 90-160 us instead of 3-7."""
        self.session.run_with_iobinding(self.binding)

    def score_row(self, features) -> float:
        """Score of one row of all FEATURES, from Python."""
        cdef float[::1] row = np.ascontiguousarray(features, np.float32)
        if row.shape[0] != N_FEATURES:
            raise ValueError(f"{row.shape[0]} features given, {N_FEATURES} are needed")
        return self.score(&row[0])
