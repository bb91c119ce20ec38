"""Columns of rows of many names at once, where a loop over the names would take most of a minute's making."""
import numpy as np

from engine.feed import TICK_DTYPE

SPAN = 1 << 42
"""Above every price (paise) and time (ms) there is."""
WORDS = {name: slice(offset // 8, (offset + form.itemsize) // 8) for name, (form, offset, *_) in (TICK_DTYPE.fields or {}).items()
         if form.itemsize % 8 == 0 and offset % 8 == 0}
"""Where the fields of whole words lie in a row of `words_of`."""


def words_of(rows: np.ndarray) -> np.ndarray:
    """The memory of TICK_DTYPE rows as int64[rows, words]: structs numpy copies field by field."""
    return rows.view(np.int64).reshape(len(rows), -1)


def running_max(values: np.ndarray, group: np.ndarray) -> np.ndarray:
    """The largest value so far within each group; groups are numbered upwards, values lie between 0 and SPAN."""
    return np.asarray(np.maximum.accumulate(values + group * (SPAN + 1)) - group * (SPAN + 1))
