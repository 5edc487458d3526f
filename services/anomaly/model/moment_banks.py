"""River's detectors that need a mean and a variance, over many series."""

from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.special import erf

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows, ratio_scores
from services.anomaly.model.compiled import compiled

#: Number, mean and sum of squared deviations: 24 bytes a series.
MOMENTS: np.dtype[Any] = np.dtype([("num", "f8"), ("mean", "f8"), ("squares", "f8")])
#: What `river.anomaly.StandardAbsoluteDeviation` adds to the deviation, so that it is never 0.
TINY = 1e-10


class DeviationBank:
    """`river.anomaly.StandardAbsoluteDeviation`: the distance from the mean in standard deviations.

    Args:
        line: how many of them are news.
        min_samples: values to learn before it says anything; River's has no such limit.

    Source:
        Hochenbaum, Vallis, Kejariwal. Automatic anomaly detection in the cloud via statistical learning. 2017.
    """

    name = "absolute_deviation"
    dtype = MOMENTS

    def __init__(self, line: float = 6.0, min_samples: int = 30) -> None:
        self._line = line
        self._min_samples = min_samples

    def river_score(self, rows: Rows, values: Floats) -> Floats:
        """(n,) as River's `score_one`: 0 or more, without a bound."""
        return np.asarray(np.abs(values - rows["mean"]) / (_sigma(rows) + TINY))

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        apart = self.river_score(rows, values)
        return np.where(_is_ready(rows, self._min_samples), apart / (apart + self._line), 0.0)

    def bands(self, rows: Rows, times: Micros) -> Bands:
        return _bands(rows, self._line * (_sigma(rows) + TINY), self._min_samples)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        _learn(rows, np.arange(len(rows)), values)

    def learn_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        _learn(rows, at, values)


class GaussianBank:
    """`river.anomaly.GaussianScorer`: how much of a normal distribution lies nearer to its middle.

    `score` is 0.5 where River's crosses `threshold` and does not saturate beyond. A series that never changed has no
    deviation: River scores all of it 1, here only another value is news.

    Args:
        threshold: the share of the distribution that must lie nearer to its middle.
        min_samples: River's grace period.
    """

    name = "gaussian"
    dtype = MOMENTS

    def __init__(self, threshold: float = 0.999999, min_samples: int = 30) -> None:
        self._min_samples = min_samples
        self._line = NormalDist().inv_cdf((1 + threshold) / 2)

    def river_score(self, rows: Rows, values: Floats) -> Floats:
        """(n,) in [0, 1] as River's `score_one`."""
        sigma = _sigma(rows)
        apart = np.divide(values - rows["mean"], sigma, out=np.full(len(rows), -np.inf), where=sigma > 0)
        share = 2 * np.abs(0.5 * (1.0 + erf(apart / np.sqrt(2.0))) - 0.5)
        return np.where(rows["num"] < self._min_samples, 0.0, share)

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        scores = ratio_scores(np.abs(values - rows["mean"]), self._line * _sigma(rows))
        return np.where(_is_ready(rows, self._min_samples), scores, 0.0)

    def bands(self, rows: Rows, times: Micros) -> Bands:
        return _bands(rows, self._line * _sigma(rows), self._min_samples)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        _learn(rows, np.arange(len(rows)), values)

    def learn_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        _learn(rows, at, values)


@compiled
def _learn(rows: Rows, at: Ints, values: Floats) -> None:
    """Welford's step, in River's order of operations."""
    for place in range(len(at)):
        row, value = rows[at[place]], values[place]
        before = row.mean
        row.num += 1
        row.mean += (1.0 / row.num) * (value - before)
        row.squares += (value - before) * (value - row.mean)


def _sigma(rows: Rows) -> Floats:
    """The standard deviation, 0 for fewer than two values."""
    return np.asarray(np.sqrt(np.maximum(rows["squares"], 0.0) / np.maximum(rows["num"] - 1, 1)))


def _is_ready(rows: Rows, min_samples: int) -> Bools:
    return np.asarray(rows["num"] >= max(1, min_samples))


def _bands(rows: Rows, room: Floats, min_samples: int) -> Bands:
    center = np.where(_is_ready(rows, min_samples), rows["mean"], np.nan)
    return Bands(center - room, center, center + room)
