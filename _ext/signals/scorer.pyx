"""Noise scorer: one ONNX model on preallocated buffers, called synchronously at a candidate.

Interface of a model: `float32[1, n]` in, P(real) out as the last value of its second (or only) output. Its metadata must
name the features in order and carry their hash; anything else refuses to load.
"""
import hashlib
import json
from pathlib import Path

import numpy as np

from libc.math cimport NAN, isnan
from _ext.core.records cimport N_FEATURES

from _ext.signals.features import FEATURES, FIRST_HASH, hash_of
from _ext.signals.onnx import RuntimeFailed

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
        path = Path(path)
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise ModelRefused(f"{path.name} has {len(data) >> 20} MiB, at most {MAX_BYTES >> 20} are allowed")
        if EXTERNAL in data:
            raise ModelRefused(f"{path.name} keeps its numbers in other files: export it as one")
        self.sha256 = hashlib.sha256(data).hexdigest()
        try:
            self.session = Session(data)
        except RuntimeFailed as error:
            raise ModelRefused(f"{path.name} is not a loadable ONNX model: {str(error)[:200]}") from None
        self.meta = meta = self.session.meta
        names = json.loads(meta.get("features", "[]"))
        unknown = [name for name in names if name not in FEATURES]
        if not names or unknown or meta.get("features_hash") not in (hash_of(names), FIRST_HASH):
            what = ", ".join(map(str, unknown[:3])) or "its hash differs"
            raise ModelRefused(f"{path.name} was trained on other features ({what}): train it again")
        self.columns = np.array([FEATURES.index(name) for name in names], np.int32)
        self.count = len(self.columns)
        self.threshold = float(meta["threshold"])
        self._check(path.name)

    def _check(self, name):
        """Fixes the buffers and asks for a few rows, ordinary and absurd: each answer must be a probability, and soon."""
        scales = np.array([0.0, *[3.0] * 40, 1e6, -1e6, 1e30])
        rows = (np.random.default_rng(7).normal(0, 1, (len(scales), self.count)) * scales[:, None]).clip(-1e30, 1e30)
        answers, seconds = np.empty(len(rows), np.float32), np.empty(len(rows))
        try:
            self.session.bind(self.count)
            self.session.try_rows(rows.astype(np.float32), answers, seconds)
        except RuntimeFailed as error:
            raise ModelRefused(f"{name} cannot be asked: {str(error)[:200]}") from None
        bad = np.flatnonzero(~((answers >= 0.0) & (answers <= 1.0)))
        if len(bad):
            raise ModelRefused(f"{name} answers {answers[bad[0]]} to features around {scales[bad[0]]:g}, not a probability")
        if np.median(seconds) > MAX_US * 1e-6:
            raise ModelRefused(f"{name} takes {np.median(seconds) * 1e6:.0f} us a row, at most {MAX_US} are allowed")

    cdef float score(self, const float* features) except? -1:
        """P(real) of one feature row, NaN where a feature the model needs is unknown."""
        cdef int i
        cdef float value
        for i in range(self.count):
            value = features[self.columns[i]]
            if isnan(value):
                return NAN
            self.session.row[i] = value
        self.session.run()
        return self.session.answer[1]

    def keep_warm(self):
        """Runs the model once: after 20 ms idle a call costs 90-160 us instead of 3-7."""
        self.session.run()

    def score_row(self, features) -> float:
        """Score of one row of all FEATURES, from Python."""
        cdef float[::1] row = np.ascontiguousarray(features, np.float32)
        if row.shape[0] != N_FEATURES:
            raise ValueError(f"{row.shape[0]} features given, {N_FEATURES} are needed")
        return self.score(&row[0])
