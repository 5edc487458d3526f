"""The rolling backtest: what came, against what each forecaster had said, and who may speak.

Letters: n entities, T targets, F forecasters, A anchors.
"""

import numpy as np

from services.predictor.core.targets import Floats
from services.predictor.model.table import Slots, Table

#: An error counts as at most so many times the series' size, so that one burst does not choose the speaker.
WORST = 10.0
#: The mean error forgets over so many predictions: half an hour, at one a minute.
MEMORY = 30
#: A forecaster must have been measured so often before it may speak.
MIN_SCORED = 5
#: A miss makes the next interval of its distance so much wider, about 5 %; at most fourfold.
PACE, MAX_WIDENING = 0.05, 1.4
#: Of a 90 % interval.
ALLOWED_MISSES = 0.1
#: float16 ends at 65504.
MAX_RESIDUAL = 60_000.0
#: Bounds are kept as float32: a value on its bound is within it.
BOUND_TOLERANCE = 1e-6


class Backtest:
    """Keeps the table's errors, coverage and speakers. Its turns are numbered by the time of the predictions."""

    def __init__(self, table: Table, switch_margin: float) -> None:
        self._table = table
        self._margin = switch_margin
        self._lags = np.array(table.layout.lags)
        self._begins = np.cumsum(self._lags) - self._lags

    def places(self, turns: Slots) -> Slots:
        """(n, A) where in `awaited` a forecast for each anchor is kept: as many places an anchor as it has lags."""
        places: Slots = self._begins[None, :] + turns[:, None] % self._lags[None, :]
        return places

    def score(self, slots: Slots, turns: Slots, came: Floats) -> None:
        """Measures every forecast that was made for this turn.

        Args:
            came: (n, T) the values now, NaN where missing: then nothing is measured.
        """
        table, places = self._table, self.places(turns)
        was_said = table.awaited_turn[slots[:, None], places] == turns[:, None] - self._lags  # (n, A)
        said = table.awaited[slots[:, None], :, :, places].astype(np.float64)  # (n, A, T, F)
        scale = table.awaited_scale[slots[:, None], :, places].astype(np.float64)  # (n, A, T)
        residual = (came[:, None, :, None] - said) / scale[..., None]
        residual = np.where(was_said[:, :, None, None], np.clip(residual, -MAX_RESIDUAL, MAX_RESIDUAL), np.nan)
        self._remember(slots, turns, residual)
        self._measure(slots, residual)
        bounds = table.awaited_bounds[slots[:, None], :, :, places].astype(np.float64)  # (n, A, T, 2)
        self._cover(slots, came, np.where(was_said[:, :, None, None], bounds, np.nan))
        self._choose(slots)

    def _remember(self, slots: Slots, turns: Slots, residual: Floats) -> None:
        place = turns % self._table.layout.num_residuals
        newest = residual.transpose(0, 2, 3, 1)  # (n, T, F, A)
        held = self._table.residuals[slots, :, :, :, place]
        self._table.residuals[slots, :, :, :, place] = np.where(np.isfinite(newest), newest, held)

    def _measure(self, slots: Slots, residual: Floats) -> None:
        error, has = _mean(np.minimum(np.abs(residual), WORST))  # (n, T, F)
        self._table.error[slots] = _mixed(self._table.error[slots], error, has, self._table.num_scored[slots])
        self._table.num_scored[slots] += has

    def _cover(self, slots: Slots, came: Floats, bounds: Floats) -> None:
        value = came[:, None, :]
        slack = BOUND_TOLERANCE * np.abs(value)
        is_within = (value >= bounds[..., 0] - slack) & (value <= bounds[..., 1] + slack)
        known = np.isfinite(bounds[..., 0]) & np.isfinite(value)
        self._adapt(slots, known.transpose(0, 2, 1), is_within.transpose(0, 2, 1))
        share, has = _mean(np.where(known, is_within, np.nan))  # (n, T)
        num_scored = self._table.num_scored[slots][:, :, 0] - has
        self._table.coverage[slots] = _mixed(self._table.coverage[slots], share, has, np.maximum(num_scored, 0))

    def _adapt(self, slots: Slots, known: np.ndarray, is_within: np.ndarray) -> None:
        """Widens the intervals of a distance that missed, narrows those that held.

        Errors far ahead overlap, so the remembered ones are worth few. In the long run as many miss as are allowed to;
        an interval is never made narrower than past errors say.

        Source: Gibbs, Candes. Adaptive conformal inference under distribution shift. 2021; here on the width's log.
        """
        step = PACE * np.where(is_within, -ALLOWED_MISSES, 1 - ALLOWED_MISSES)
        moved = self._table.widening[slots] + np.where(known, step, 0.0)
        self._table.widening[slots] = np.clip(moved, 0.0, MAX_WIDENING)

    def _choose(self, slots: Slots) -> None:
        table = self._table
        ready = table.num_scored[slots] >= MIN_SCORED
        error = np.where(ready, table.error[slots], np.inf)
        speaker = table.speaker[slots]
        best = error.argmin(axis=2)
        least = np.take_along_axis(error, best[..., None], axis=2)[..., 0]
        held = np.take_along_axis(error, speaker[..., None], axis=2)[..., 0]
        table.speaker[slots] = np.where(least < held * (1 - self._margin), best, speaker)


def _mean(values: Floats) -> tuple[Floats, np.ndarray]:
    """Over the second axis, of what is known, and where anything is."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), count > 0


def _mixed(held: Floats, newest: Floats, has: np.ndarray, count: np.ndarray) -> Floats:
    """The running mean: of all at first, later of about MEMORY."""
    weight = np.maximum(1.0 / (count + 1), 1.0 / MEMORY)
    mixed = np.where(np.isfinite(held), held + weight * (newest - held), newest)
    return np.where(has, mixed, held)
