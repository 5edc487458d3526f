"""Range novelty over many series: `RangeNovelty` as columns."""

from typing import Any

import numpy as np

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows, ratio_scores
from services.anomaly.model.compiled import compiled
from services.anomaly.model.range_novelty import ASPECTS, WINDOW

A = len(ASPECTS)


class RangeBank:
    """The scores and bands of `RangeNovelty`, a row a series (168 bytes).

    Args:
        margin: share of the learnt range by which a value must lie outside it.
        min_samples: values to learn before it says anything.
    """

    name = "range_novelty"
    #: `window` holds the last values, the newest last; `low` and `high` what was seen of each aspect.
    dtype: np.dtype[Any] = np.dtype(
        [("window", "f8", (WINDOW,)), ("low", "f8", (A,)), ("high", "f8", (A,)), ("num", "i8")]
    )

    def __init__(self, margin: float = 0.5, min_samples: int = 30) -> None:
        self.parts = {"recent": ("window", "num"), "bounds": ("low", "high")}
        self._margin = margin
        self._min_samples = min_samples

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        aspects, low, high = _aspects(_window(rows, values)), rows["low"].T, rows["high"].T  # (A, n)
        scores = ratio_scores(np.maximum(low - aspects, aspects - high), self._margin * (high - low))
        scores[1:, rows["num"] <= WINDOW] = 0.0
        worst: Floats = scores.max(axis=0)
        worst[~self._is_ready(rows)] = 0.0
        return worst

    def bands(self, rows: Rows, times: Micros) -> Bands:
        return self.bands_at(rows, np.arange(len(rows)), times)

    def bands_at(self, rows: Rows, at: Ints, times: Micros) -> Bands:
        bands = np.empty((3, len(at)))
        _bands(rows, at, self._margin, max(1, self._min_samples), bands)
        return Bands(bands[0], bands[1], bands[2])

    def seen(self, rows: Rows) -> tuple[Floats, Floats]:
        """The least and the most that was learnt of each; NaN where that is nothing."""
        return self.seen_at(rows, np.arange(len(rows)))

    def seen_at(self, rows: Rows, at: Ints) -> tuple[Floats, Floats]:
        """The same of the rows `at`."""
        seen = np.empty((2, len(at)))
        _seen(rows, at, seen)
        return seen[0], seen[1]

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        self.learn_at(rows, np.arange(len(rows)), values, times)

    def learn_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        _learn(rows, at, values)

    def _is_ready(self, rows: Rows) -> Bools:
        is_ready: Bools = rows["num"] >= max(1, self._min_samples)
        return is_ready


@compiled
def _bands(rows: Rows, at: Ints, margin: float, min_samples: int, bands: Floats) -> None:
    for place in range(len(at)):
        row = rows[at[place]]
        low, high = row.low[0], row.high[0]
        if row.num < min_samples:
            low = np.nan
        room = margin * (high - low)
        bands[0, place], bands[1, place], bands[2, place] = low - room, (low + high) / 2, high + room


@compiled
def _seen(rows: Rows, at: Ints, seen: Floats) -> None:
    for place in range(len(at)):
        row = rows[at[place]]
        seen[0, place] = row.low[0] if row.num > 0 else np.nan
        seen[1, place] = row.high[0] if row.num > 0 else np.nan


@compiled
def _learn(rows: Rows, at: Ints, values: Floats) -> None:
    """Each window moves on by one; each aspect that is known by now widens its bounds."""
    aspects = np.empty(4)
    for place in range(len(at)):
        row = rows[at[place]]
        window, num = row.window, row.num
        size = len(window)
        total = 0.0
        for step in range(size - 1):
            window[step] = window[step + 1]
            total += window[step]
        window[size - 1] = values[place]
        mean, squares = (total + values[place]) / size, 0.0
        for step in range(size):
            squares += (window[step] - mean) * (window[step] - mean)
        aspects[0], aspects[1] = values[place], values[place] - window[size - 2]
        aspects[2], aspects[3] = mean, np.sqrt(squares / size)
        for aspect in range(4):
            needed, seen = (0 if aspect == 0 else size), aspects[aspect]
            if num >= needed:
                if num == needed or not row.low[aspect] < seen:
                    row.low[aspect] = seen
                if num == needed or not row.high[aspect] > seen:
                    row.high[aspect] = seen
        row.num = num + 1


def _window(rows: Rows, values: Floats) -> Floats:
    """(WINDOW, n): the last values with the new one at the end."""
    window = np.empty((WINDOW, len(rows)))
    window[:-1] = rows["window"][:, 1:].T
    window[-1] = values
    return window


def _aspects(window: Floats) -> Floats:
    """(A, n): each aspect; all but the first mean nothing until the window is full."""
    aspects = np.empty((A, window.shape[1]))
    aspects[0] = window[-1]
    np.subtract(window[-1], window[-2], out=aspects[1])
    np.divide(_total(window), WINDOW, out=aspects[2])
    apart = window - aspects[2]
    np.sqrt(_total(apart * apart) / WINDOW, out=aspects[3])
    return aspects


def _total(columns: Floats) -> Floats:
    """(n,): added one after the other, as Python does, so that it hangs on no other series."""
    if columns.shape[1] > 1:
        return np.asarray(np.add.reduce(columns, axis=0))
    # Of a single column numpy adds eight numbers side by side.
    total: Floats = columns[0] + columns[1]
    for column in columns[2:]:
        total += column
    return total
