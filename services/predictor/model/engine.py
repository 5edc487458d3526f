"""Makes the predictions of many entities at once: score what came, ask every forecaster, let the preferred one speak.

Letters: n entities, T targets, K series that can be predicted, F forecasters, H horizons, A anchors, V levels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from services.predictor.core.conformal import MIN_RESIDUALS, offsets, unproven_reach
from services.predictor.core.lookback import MAX_GAP_STEPS, Lookback, clean
from services.predictor.core.targets import Floats, bounds
from services.predictor.model.abstract import Forecaster
from services.predictor.model.backtest import Backtest
from services.predictor.model.table import Layout, Slots, Table

#: A 90 % interval with its middle, which is the value itself.
LEVELS = (0.05, 0.5, 0.95)
#: Errors are kept at these parts of the longest horizon, and between them intervals are interpolated.
ANCHOR_SHARES = (1 / 15, 3 / 15, 6 / 15, 10 / 15, 1.0)
#: With twice what an interval needs its errors count as proof.
FULL_PROOF = 2 * MIN_RESIDUALS
LEAST_PROOF = 0.1
#: No interval reaches higher than so many times what was seen in hours: the error of a burst out of nothing, in units
#: of that nothing, would else stand for terabytes once the burst itself is what errors are measured by.
PEAK_REACH, PEAK_FADES = 2.0, 1 - 1 / 240
#: Until any of its intervals could be measured, a series' calibration is taken for so much.
UNMEASURED = 0.5


class Due(NamedTuple):
    """An entity that is to be predicted.

    Attributes:
        slot: in the table.
        turn: the number of the prediction: event time over every_seconds.
        lookback: (T, L) its steps at that time.
    """

    slot: int
    turn: int
    lookback: Floats


@dataclass(frozen=True, slots=True)
class Made:
    """The predictions of K series.

    Attributes:
        of: (K,) which of the entities that were asked for; row: (K,) which target.
        values: (K, H); quantiles: (K, H, V), ascending, around the value.
        speaker: (K,) which forecaster; is_stand_in: (K,) because the preferred one had no word.
        forecasts: (K, F, H) what each said, NaN where it had no word.
        confidence: (K,) 0 to 1.
        num_residuals: (K, A) how many errors an anchor's interval rests on.
        coverage: (K,) share of what came that lay in the interval, lately; NaN before any came.
        error: (K, F) mean error over the series' size, lately.
        residuals: (K, A, R) the speaker's remembered errors.
        look: what they were made from.
    """

    of: Slots
    row: Slots
    values: Floats
    quantiles: Floats
    speaker: Slots
    is_stand_in: np.ndarray
    forecasts: Floats
    confidence: Floats
    num_residuals: Slots
    coverage: Floats
    error: Floats
    residuals: np.ndarray
    look: Lookback


class Engine:
    """The forecasters over one table.

    Args:
        forecasters: the first one speaks until another is measured to be better, and wherever that has no word.
    """

    def __init__(
        self, forecasters: Sequence[Forecaster], targets: Sequence[str], horizons_seconds: Sequence[int],
        every_seconds: int, num_residuals: int, switch_margin: float,
    ) -> None:  # fmt: skip
        self.forecasters = list(forecasters)
        self.horizons_seconds = tuple(horizons_seconds)
        self.anchors = anchors(len(horizons_seconds))
        lags = tuple(horizons_seconds[anchor] // every_seconds for anchor in self.anchors)
        named = tuple((f.name, f.version) for f in forecasters)
        self.table = Table(Layout(tuple(targets), named, lags, num_residuals, every_seconds))
        self._targets = np.array(targets)
        self._resolution, self._upper = bounds(targets)
        self._backtest = Backtest(self.table, switch_margin)
        self._between = _interpolation(self.horizons_seconds, self.anchors)
        self._levels = np.array(LEVELS)

    def make(self, due: Sequence[Due]) -> Made:
        """Scores, forecasts, and keeps what was said until it is known what came. No entity may be due twice."""
        slots, turns = np.array([d.slot for d in due]), np.array([d.turn for d in due])
        history = np.stack([d.lookback for d in due])  # (n, T, L)
        self._backtest.score(slots, turns, history[:, :, -1])
        highest = np.where(np.isfinite(history), history, 0.0).max(axis=2)
        self.table.peak[slots] = np.maximum(self.table.peak[slots] * PEAK_FADES, highest)
        of, row = np.nonzero(np.isfinite(history).any(axis=2))
        look = clean(history[of, row], self._resolution[row])
        known = np.isfinite(look.last)
        of, row = of[known], row[known]
        look = Lookback(*(getattr(look, name)[known] for name in look.__slots__))
        made = self._speak(slots, of, row, look)
        self._await(slots, turns, made)
        return made

    def _speak(self, slots: Slots, of: Slots, row: Slots, look: Lookback) -> Made:
        table, upper = self.table, self._upper[row]
        names = self._targets[row].tolist()
        said = [np.clip(f.forecast(look, names), 0.0, upper[:, None]) for f in self.forecasters]
        forecasts = np.stack(said, axis=1) if len(row) else np.empty((0, len(said), len(self.horizons_seconds)))
        series = np.arange(len(row))
        chosen = table.speaker[slots[of], row]
        speaker = np.where(np.isfinite(forecasts[series, chosen, 0]), chosen, 0)
        values = forecasts[series, speaker]
        residuals = table.residuals[slots[of], row, speaker]  # (K, A, R)
        highest = np.minimum(upper, PEAK_REACH * table.peak[slots[of], row])
        wider = np.exp(table.widening[slots[of], row]) * (1.0 + look.num_filled / MAX_GAP_STEPS)[:, None]
        quantiles, count = self._intervals(look, values, residuals, self._resolution[row], highest, wider)
        coverage = table.coverage[slots[of], row]
        confidence = _confidence(quantiles, look.scale, count, coverage)
        error = table.error[slots[of], row]
        return Made(
            of, row, values, quantiles, speaker, speaker != chosen, forecasts, confidence, count, coverage, error,
            residuals, look,
        )  # fmt: skip

    def _intervals(
        self,
        look: Lookback,
        values: Floats,
        residuals: np.ndarray,
        resolution: Floats,
        highest: Floats,
        wider: Floats,
    ) -> tuple[Floats, Slots]:
        """(K, H, V) and how many errors each anchor has (K, A). None reaches above `highest` (K,).

        Args:
            wider: (K, A) times what past errors say.
        """
        reach = unproven_reach(look.steps, values[:, -1], look.scale, resolution)
        apart, count = offsets(residuals, self._levels, reach)  # (K, A, V)
        apart = apart * wider[:, :, None] * look.scale[:, None, None]
        apart = np.einsum("ha,kav->khv", self._between, apart)
        reached = np.clip(values[:, :, None] + apart, 0.0, highest[:, None, None])
        at_least = np.where(self._levels >= 0.5, values[:, :, None], 0.0)
        return np.maximum(reached, at_least), count

    def _await(self, slots: Slots, turns: Slots, made: Made) -> None:
        table, places = self.table, self._backtest.places(turns)  # (n, A)
        every = slots[:, None]
        table.awaited_turn[every, places] = turns[:, None]
        table.awaited[every, :, :, places] = np.nan
        table.awaited_bounds[every, :, :, places] = np.nan
        at, anchor = places[made.of], list(self.anchors)  # (K, A)
        slot, row = slots[made.of][:, None], made.row[:, None]
        table.awaited[slot, row, :, at] = made.forecasts[:, :, anchor].transpose(0, 2, 1)
        table.awaited_scale[slot, row, at] = made.look.scale[:, None]
        table.awaited_bounds[slot, row, :, at] = made.quantiles[:, anchor][:, :, [0, -1]]


def anchors(num_horizons: int) -> tuple[int, ...]:
    """Which horizons are measured: indices, ascending, the last one among them."""
    return tuple(sorted({max(1, round(share * num_horizons)) - 1 for share in ANCHOR_SHARES}))


def _interpolation(horizons: Sequence[int], anchor: Sequence[int]) -> Floats:
    """(H, A) the weights by which each horizon takes from the anchors around it."""
    at = np.array(horizons, dtype=float)
    columns = [np.interp(at, at[list(anchor)], np.eye(len(anchor))[index]) for index in range(len(anchor))]
    return np.stack(columns, axis=1)


def _confidence(quantiles: Floats, scale: Floats, count: Slots, coverage: Floats) -> Floats:
    """How far an interval may be relied on and how much it says: proof x calibration x sharpness.

    Proof is 1 when each anchor rests on FULL_PROOF errors, and never below LEAST_PROOF; calibration 1 when as many
    values fell into it lately as promised; sharpness 1 for an interval without width, 1/2 for one as wide as the series
    is large.
    """
    proof = np.maximum(np.minimum(count / FULL_PROOF, 1.0).mean(axis=1), LEAST_PROOF)
    promised = LEVELS[-1] - LEVELS[0]
    calibration = np.where(np.isfinite(coverage), np.minimum(coverage / promised, 1.0), UNMEASURED)
    width = (quantiles[:, :, -1] - quantiles[:, :, 0]).mean(axis=1) / scale
    return np.asarray(proof * calibration / (1.0 + width))
