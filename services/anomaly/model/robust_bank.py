"""Robust z over many series: `RobustZ` as columns."""

from typing import Any

import numpy as np

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows, ratio_scores
from services.anomaly.model.robust_z import CAPACITY, MAD_TO_SIGMA


class RobustBank:
    """The scores and bands of `RobustZ`, a row a series (544 bytes).

    Of the `num` values learnt each `stride`-th is kept, evenly over all of the past; median and deviation are worked
    out again only when the kept values have changed, which is ever more rarely.

    Args:
        line: how many deviations are news.
        min_samples: values to learn before it says anything.
    """

    name = "robust_z"
    dtype: np.dtype[Any] = np.dtype(
        [
            ("kept", "f8", (CAPACITY,)), ("center", "f8"), ("scale", "f8"), ("num", "i8"), ("num_kept", "i4"),
            ("stride", "i4"),
        ]
    )  # fmt: skip

    def __init__(self, line: float = 6.0, min_samples: int = 30) -> None:
        self.parts = {"recent": ("num",), "kept": ("kept", "center", "scale", "num_kept", "stride")}
        self._line = line
        self._min_samples = min_samples

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        scores = ratio_scores(np.abs(values - rows["center"]), self._line * rows["scale"])
        scores[~self._is_ready(rows)] = 0.0
        return scores

    def bands(self, rows: Rows, times: Micros) -> Bands:
        center = np.where(self._is_ready(rows), rows["center"], np.nan)
        room = self._line * rows["scale"]
        return Bands(center - room, center, center + room)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        due = np.flatnonzero(rows["num"] % np.maximum(rows["stride"], 1) == 0)
        rows["num"] += 1
        if len(due):
            _keep(rows, due, values[due])

    def _is_ready(self, rows: Rows) -> Bools:
        is_ready: Bools = rows["num"] >= max(1, self._min_samples)
        return is_ready


def _keep(rows: Rows, due: Ints, values: Floats) -> None:
    """These rows take their value in, thin out what they keep when that is too much, and find their middle."""
    kept, num_kept = rows["kept"][due], rows["num_kept"][due]
    kept[np.arange(len(due)), num_kept] = values
    num_kept += 1
    stride = np.maximum(rows["stride"][due], 1)
    full = num_kept >= CAPACITY
    if full.any():
        kept[full, : CAPACITY // 2] = kept[full, ::2]
        kept[full, CAPACITY // 2 :] = 0.0
        num_kept[full] = CAPACITY // 2
        stride[full] *= 2
    rows["kept"][due], rows["num_kept"][due], rows["stride"][due] = kept, num_kept, stride
    rows["center"][due], rows["scale"][due] = _middle(kept, num_kept)


def _middle(kept: Floats, num_kept: Ints) -> tuple[Floats, Floats]:
    """Median and robust standard deviation of the first `num_kept` of each row; sorts `kept`."""
    kept = kept[:, : num_kept.max()]
    kept[np.arange(kept.shape[1]) >= num_kept[:, None]] = np.inf
    center = _median(kept, num_kept)
    apart = np.abs(kept - center[:, None])
    return center, MAD_TO_SIGMA * _median(apart, num_kept)


def _median(values: Floats, num: Ints) -> Floats:
    """Of each row's first `num` in order; whatever lies beyond them is infinite."""
    values.sort(axis=1)
    each = np.arange(len(values))
    return np.asarray((values[each, (num - 1) // 2] + values[each, num // 2]) / 2)
