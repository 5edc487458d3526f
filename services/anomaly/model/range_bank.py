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
        low, high = rows["low"], rows["high"]
        worst = np.zeros(len(rows))
        has_aspects = rows["num"] > WINDOW
        for place, aspect in enumerate(_aspects(_window(rows, values))):
            least, most = low[:, place], high[:, place]
            scores = ratio_scores(np.maximum(least - aspect, aspect - most), self._margin * (most - least))
            np.maximum(worst, scores, out=worst, where=has_aspects if place else True)
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
        window, num = _window(rows, values), rows["num"]
        is_full, is_first = num >= WINDOW, num == WINDOW
        low, high = rows["low"], rows["high"]
        for place, aspect in enumerate(_aspects(window)):
            known, first = (is_full, is_first) if place else (True, num == 0)
            np.minimum(low[:, place], aspect, out=low[:, place], where=known)
            np.maximum(high[:, place], aspect, out=high[:, place], where=known)
            low[first, place] = high[first, place] = aspect[first]
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


def _aspects(window: Floats) -> tuple[Floats, ...]:
    """Each aspect, (n,); all but the first mean nothing until the window is full."""
    mean = _total(window) / WINDOW
    apart = window - mean
    scatter = np.sqrt(_total(apart * apart) / WINDOW)
    return window[-1], window[-1] - window[-2], mean, scatter


def _total(columns: Floats) -> Floats:
    # One after the other: numpy's own sum adds in an order that hangs on how many series there are.
    total: Floats = columns[0] + columns[1]
    for column in columns[2:]:
        total += column
    return total
