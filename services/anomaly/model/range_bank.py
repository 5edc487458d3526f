"""Range novelty over many series: `RangeNovelty` as columns."""

from typing import Any

import numpy as np

from services.anomaly.model.bank import Bands, Bools, Floats, Micros, Rows, ratio_scores
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
        low, high = rows["low"][:, 0].copy(), rows["high"][:, 0].copy()
        low[~self._is_ready(rows)] = np.nan
        room = self._margin * (high - low)
        return Bands(low - room, (low + high) / 2, high + room)

    def seen(self, rows: Rows) -> tuple[Floats, Floats]:
        """The least and the most that was learnt of each; NaN where that is nothing."""
        is_known = rows["num"] > 0
        return np.where(is_known, rows["low"][:, 0], np.nan), np.where(is_known, rows["high"][:, 0], np.nan)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        window, num = _window(rows, values), rows["num"][:, None]
        aspects, needed = _aspects(window).T, np.array([0] + [WINDOW] * (A - 1))  # (n, A), (A,)
        is_known, is_first = num >= needed, num == needed
        for bound, wider in (("low", np.minimum), ("high", np.maximum)):
            held = rows[bound]
            np.copyto(held, np.where(is_first, aspects, wider(held, aspects)), where=is_known)
        rows["window"] = window.T
        rows["num"] += 1

    def _is_ready(self, rows: Rows) -> Bools:
        is_ready: Bools = rows["num"] >= max(1, self._min_samples)
        return is_ready


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
