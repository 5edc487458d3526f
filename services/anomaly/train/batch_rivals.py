"""Rivals that look at all steps at once: numpy and scikit-learn. Each says what it keeps on learning, if anything."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from services.anomaly.train.labelled import Floats

SEED = 1
#: Steps of a rolling mean or standard deviation, as in the service's range novelty.
WINDOW = 12
#: A series that never moved is measured by this.
LEAST = 1e-9
#: Standard deviations that are as far as can be: what stood still and moves is as many away as one likes. Of a residual
#: fewer, as their squares are added up and one series would drown all others.
FARTHEST, FARTHEST_RESIDUAL = 1000.0, 100.0


class Random:
    """Draws numbers; whoever ranks no better has found nothing."""

    is_online = False

    def fit(self, train: Floats) -> None:
        self._draw = np.random.default_rng(SEED)

    def score(self, steps: Floats) -> Floats:
        return self._draw.random(len(steps))


class StaticZ:
    """How many of the training part's standard deviations from its mean: the mean of the three farthest series."""

    is_online = False

    def fit(self, train: Floats) -> None:
        self._center, self._scale = train.mean(axis=0), _scale(train)

    def score(self, steps: Floats) -> Floats:
        return farthest(np.abs(steps - self._center) / self._scale)


class RobustZ:
    """Distance from the median of the day before in robust standard deviations: the mean of the three farthest series.

    The day is looked at anew each hour. A deviation below a twentieth of the training part's counts as that, so that a
    series that stood still for a day does not cry at its first step.
    """

    is_online = True

    def __init__(self, day: int, hour: int) -> None:
        self._day, self._hour = day, hour
        self._past: Floats | None = None

    def fit(self, train: Floats) -> None:
        self._floor = 0.05 * _scale(train)
        self._past = train[-self._day :]

    def score(self, steps: Floats) -> Floats:
        assert self._past is not None, "fit comes first"
        known = np.concatenate([self._past, steps])
        first = len(self._past)
        distances = np.empty_like(steps)
        for begin in range(0, len(steps), self._hour):
            past = known[max(0, first + begin - self._day) : first + begin]
            median = np.median(past, axis=0)
            scale = np.maximum(1.4826 * np.median(np.abs(past - median), axis=0), self._floor)
            now = slice(begin, begin + self._hour)
            distances[now] = np.abs(steps[now] - median) / scale
        self._past = known[-self._day :]
        return farthest(distances)


class RangeNovelty:
    """How far outside all that was seen before, in shares of that range: value, difference, rolling mean and deviation.

    The highest of all series and aspects. Everything scored is seen from then on.
    """

    is_online = True

    def __init__(self) -> None:
        self._known: Floats | None = None

    def fit(self, train: Floats) -> None:
        self._known = train if self._known is None else np.concatenate([self._known, train])

    def score(self, steps: Floats) -> Floats:
        assert self._known is not None, "fit comes first"
        before = len(self._known)
        self._known = np.concatenate([self._known, steps])
        novelty = [_novelty(aspect) for aspect in _aspects(self._known)]
        worst: Floats = np.max(novelty, axis=0).max(axis=1)[before:]
        return worst


def _aspects(values: Floats) -> list[Floats]:
    """Up to four times (N, F); not a number where the window is not yet full."""
    change = np.diff(values, axis=0, prepend=np.nan)
    if len(values) < WINDOW:
        return [values, change]
    empty = np.full((WINDOW - 1, values.shape[1]), np.nan)
    windows = sliding_window_view(values, WINDOW, axis=0)  # (N - WINDOW + 1, F, WINDOW)
    mean, scatter = windows.mean(axis=-1), windows.std(axis=-1)
    return [values, change, np.concatenate([empty, mean]), np.concatenate([empty, scatter])]


def _novelty(aspect: Floats) -> Floats:
    """(N, F): distance outside the least and most of all rows before, by their range; at most 1e6, 0 inside."""
    low = np.fmin.accumulate(aspect, axis=0)[:-1]
    high = np.fmax.accumulate(aspect, axis=0)[:-1]
    outside = np.maximum(low - aspect[1:], aspect[1:] - high)
    with np.errstate(invalid="ignore", over="ignore"):
        # A range of nothing is measured by the value's own size: the last digits of a rolling sum are no news.
        room = np.maximum(high - low, LEAST * np.maximum(np.abs(low), np.abs(high)) + LEAST)
        shares = np.nan_to_num(np.maximum(outside, 0.0) / room, nan=0.0, posinf=1e6)
    first = np.zeros((1, aspect.shape[1]))
    return np.concatenate([first, np.minimum(shares, 1e6)])


class Pca:
    """What is left of a step rebuilt from the training part's strongest directions (nine tenths of its variance).

    A stream of one series is taken as its last twelve steps.

    Args:
        smooth: steps of the mean taken of the residual; 1 for none.
    """

    is_online = False

    def __init__(self, smooth: int = 1) -> None:
        self._smooth = smooth

    def fit(self, train: Floats) -> None:
        rows, self._before = _lagged(train), train[-WINDOW:]
        self._center, self._scale = rows.mean(axis=0), _scale(rows)
        _, sizes, directions = np.linalg.svd((rows - self._center) / self._scale, full_matrices=False)
        share = np.cumsum(sizes**2) / max(float(np.sum(sizes**2)), LEAST)
        self._directions = directions[: int(np.searchsorted(share, 0.9)) + 1]

    def score(self, steps: Floats) -> Floats:
        rows = np.clip(
            (_lagged(steps, self._before) - self._center) / self._scale, -FARTHEST_RESIDUAL, FARTHEST_RESIDUAL
        )
        rest = rows - rows @ self._directions.T @ self._directions
        return rolling_mean(np.mean(rest**2, axis=1), self._smooth)


class IsolationForest:
    """scikit-learn's, 100 trees, fitted on the training part."""

    is_online = False

    def fit(self, train: Floats) -> None:
        from sklearn.ensemble import IsolationForest as Forest

        self._before = train[-WINDOW:]
        self._forest: Any = Forest(random_state=SEED).fit(_lagged(train))

    def score(self, steps: Floats) -> Floats:
        return np.asarray(-self._forest.score_samples(_lagged(steps, self._before)), dtype=np.float64)


class Refractory:
    """Another detector's score, again only when worse: 0 unless above all of the last `hold` steps' scores."""

    def __init__(self, detector: Any, hold: int) -> None:
        self._detector, self._hold = detector, hold
        self.is_online: bool = detector.is_online
        self.fit: Callable[[Floats], None] = detector.fit

    def score(self, steps: Floats) -> Floats:
        score: Floats = self._detector.score(steps)
        padded = np.concatenate([np.zeros(self._hold), score])[:-1]
        before = sliding_window_view(padded, self._hold).max(axis=-1)
        return np.where(score > before, score, 0.0)


def farthest(distances: Floats) -> Floats:
    """(S,) of (S, F): the mean of the three largest of each row, none counted above `FARTHEST`."""
    most = min(3, distances.shape[1])
    largest: Floats = np.partition(distances, -most, axis=1)[:, -most:]
    mean: Floats = np.minimum(largest, FARTHEST).mean(axis=1)
    return mean


def rolling_mean(values: Floats, length: int) -> Floats:
    """(S,): of the last `length` values, of fewer at the beginning."""
    total = np.cumsum(np.concatenate([[0.0], values]))
    places = np.arange(1, len(values) + 1)
    begins = np.maximum(0, places - length)
    mean: Floats = (total[places] - total[begins]) / (places - begins)
    return mean


def _lagged(values: Floats, before: Floats | None = None) -> Floats:
    """(N, F) as it is; (N, 1) as (N, WINDOW): each with those before it, the first repeated where there are none."""
    if values.shape[1] > 1:
        return values
    known = values if before is None else np.concatenate([before, values])
    padded = np.concatenate([np.repeat(known[:1, 0], WINDOW - 1), known[:, 0]])
    return np.ascontiguousarray(sliding_window_view(padded, WINDOW)[-len(values) :])


def _scale(values: Floats) -> Floats:
    """(F,): the standard deviation; of a series that stood still a hundredth of its size, at least LEAST."""
    deviation = values.std(axis=0)
    small = np.maximum(0.01 * np.abs(values.mean(axis=0)), LEAST)
    moves = deviation > LEAST * np.maximum(1.0, np.abs(values.mean(axis=0)))
    scale: Floats = np.where(moves, deviation, small)
    return scale
