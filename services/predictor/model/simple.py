"""Forecasters that have learnt nothing: they are what a network has to beat."""

import numpy as np

from services.predictor.core.lookback import BIN_STEPS, NUM_BINS, Lookback, bins
from services.predictor.core.targets import STEP_SECONDS, Floats

VERSION = "simple-1"
#: Weight of the newest bin of thirty seconds; reference measurements had .5 as the best plain rival.
EWMA_WEIGHT = 0.5
#: A slope is the median over pairs of bins so far apart.
TREND_BINS = NUM_BINS // 2


class Persistence:
    """It stays as it is."""

    name = "persistence"
    version = VERSION

    def __init__(self, horizons_seconds: tuple[int, ...]) -> None:
        self._num_horizons = len(horizons_seconds)

    def forecast(self, look: Lookback, targets: list[str]) -> Floats:
        """The last value."""
        return np.repeat(look.last[:, None], self._num_horizons, axis=1)


class Ewma:
    """It stays near where it was lately."""

    name = "ewma"
    version = VERSION

    def __init__(self, horizons_seconds: tuple[int, ...]) -> None:
        self._num_horizons = len(horizons_seconds)

    def forecast(self, look: Lookback, targets: list[str]) -> Floats:
        """The exponentially weighted mean of the bins."""
        return np.repeat(ewma(look)[:, None], self._num_horizons, axis=1)


def ewma(look: Lookback) -> Floats:
    """(N,) the mean that weighs each bin half as much as the next one; NaN where nothing can be predicted."""
    binned = bins(look)
    level = np.full(len(look), np.nan)
    for column in range(binned.shape[1]):
        newest = binned[:, column]
        mixed = np.where(np.isfinite(level), level + EWMA_WEIGHT * (newest - level), newest)
        level = np.where(np.isfinite(newest), mixed, level)
    return np.where(np.isfinite(look.last), level, np.nan)


class Trend:
    """It goes on rising or falling: for leaks and for what fills up. Needs the whole lookback."""

    name = "trend"
    version = VERSION

    def __init__(self, horizons_seconds: tuple[int, ...]) -> None:
        self._bins_ahead = np.array(horizons_seconds) / (BIN_STEPS * STEP_SECONDS)

    def forecast(self, look: Lookback, targets: list[str]) -> Floats:
        """The EWMA and the median slope.

        Source: Theil. A rank-invariant method of linear and polynomial regression analysis. 1950; here with pairs at
        one distance.
        """
        binned = bins(look)
        slope = np.median(binned[:, TREND_BINS:] - binned[:, :-TREND_BINS], axis=1) / TREND_BINS
        # The EWMA is the level of some bins ago: at weight w a ramp runs (1 - w) / w bins ahead of it.
        level = ewma(look) + slope * (1 - EWMA_WEIGHT) / EWMA_WEIGHT
        return np.maximum(level[:, None] + slope[:, None] * self._bins_ahead, 0.0)
