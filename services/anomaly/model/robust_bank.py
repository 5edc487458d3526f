"""Robust z over many series: `RobustZ` as columns."""

from typing import Any

import numpy as np

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows, ratio_scores
from services.anomaly.model.compiled import compiled
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
        return self.bands_at(rows, np.arange(len(rows)), times)

    def bands_at(self, rows: Rows, at: Ints, times: Micros) -> Bands:
        bands = np.empty((3, len(at)))
        _bands(rows, at, self._line, max(1, self._min_samples), bands)
        return Bands(bands[0], bands[1], bands[2])

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        self.learn_at(rows, np.arange(len(rows)), values, times)

    def learn_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        _learn(rows, at, values, MAD_TO_SIGMA)

    def _is_ready(self, rows: Rows) -> Bools:
        is_ready: Bools = rows["num"] >= max(1, self._min_samples)
        return is_ready


@compiled
def _bands(rows: Rows, at: Ints, line: float, min_samples: int, bands: Floats) -> None:
    for place in range(len(at)):
        row = rows[at[place]]
        center = row.center if row.num >= min_samples else np.nan
        room = line * row.scale
        bands[0, place], bands[1, place], bands[2, place] = center - room, center, center + room


@compiled
def _learn(rows: Rows, at: Ints, values: Floats, mad_to_sigma: float) -> None:
    """Rows whose turn it is keep their value, thin out what they keep when that is too much, and find their middle."""
    ordered = np.empty(len(rows[0].kept) if len(rows) else 0)
    for place in range(len(at)):
        row = rows[at[place]]
        is_due = row.num % max(row.stride, 1) == 0
        row.num += 1
        if not is_due:
            continue
        kept, num, stride = row.kept, row.num_kept, max(row.stride, 1)
        kept[num] = values[place]
        num += 1
        if num >= len(kept):
            num = len(kept) // 2
            for step in range(num):
                kept[step] = kept[2 * step]
            kept[num:] = 0.0
            stride *= 2
        row.num_kept, row.stride = num, stride
        for step in range(num):  # kept values in order, by insertion
            value, hole = kept[step], step
            while hole > 0 and ordered[hole - 1] > value:
                ordered[hole] = ordered[hole - 1]
                hole -= 1
            ordered[hole] = value
        center = (ordered[(num - 1) // 2] + ordered[num // 2]) / 2
        # Distances from the middle grow to both sides of it: the nearer end of the two goes first.
        above, apart, before = 0, 0.0, 0.0
        while above < num and ordered[above] < center:
            above += 1
        below = above - 1
        for _ in range(num // 2 + 1):
            before = apart
            if above >= num or (below >= 0 and center - ordered[below] <= ordered[above] - center):
                apart = abs(ordered[below] - center)
                below -= 1
            else:
                apart = abs(ordered[above] - center)
                above += 1
        if num % 2:
            before = apart
        row.center, row.scale = center, mad_to_sigma * ((before + apart) / 2)
