"""Examples for the LSTM from series: what was seen, and what came, split by time.

Letters: S series, M steps of a series, N examples, B bins, C channels, H horizons.
"""

from typing import NamedTuple

import numpy as np

from services.predictor.core.lookback import LOOKBACK_STEPS, MAX_INPUT, Lookback, clean, network_inputs, to_log
from services.predictor.core.targets import Floats

#: The part of each series' time that is trained on; what comes after it is for checking.
TRAIN_SHARE = 0.7


class Examples(NamedTuple):
    """Attributes: inputs (N, B, C) float32; came (N, H) float32 in units of the spread, NaN where missing;
    look: the N lookbacks; actual (N, H): what came, in the series' own unit."""

    inputs: np.ndarray
    came: np.ndarray
    look: Lookback
    actual: Floats
    last_log: Floats
    spread: Floats


def make_examples(
    series: Floats, resolution: Floats, horizon_steps: np.ndarray, first: int, last: int, num: int, seed: int
) -> Examples:
    """`num` examples a series whose steps, seen and to come, all lie in [first, last).

    Args:
        series: (S, M), NaN where missing.
        resolution: (S,) of each series' target.
        horizon_steps: (H,) how many steps ahead.
    """
    dice = np.random.default_rng(seed)
    origins = dice.integers(first + LOOKBACK_STEPS - 1, last - int(horizon_steps.max()), (len(series), num))
    row = np.repeat(np.arange(len(series)), num)
    at = origins.ravel()
    history = series[row[:, None], at[:, None] + np.arange(-LOOKBACK_STEPS + 1, 1)[None, :]]
    history = _shorten(dice, history)
    look = clean(history, resolution[row])
    known = np.isfinite(look.last)
    actual = series[row[:, None], at[:, None] + horizon_steps[None, :]][known]
    look = select(look, known)
    inputs, last_log, spread = network_inputs(look)
    came = (to_log(actual, look.scale[:, None]) - last_log[:, None]) / spread[:, None]
    return Examples(inputs, np.clip(came, -MAX_INPUT, MAX_INPUT).astype(np.float32), look, actual, last_log, spread)


def select(look: Lookback, rows: np.ndarray) -> Lookback:
    """Only these rows."""
    return Lookback(look.steps[rows], look.last[rows], look.scale[rows], look.num_steps[rows], look.num_filled[rows])


def _shorten(dice: np.random.Generator, history: Floats) -> Floats:
    """One in six has only just begun, as after a start or a long gap."""
    begins = np.where(dice.random(len(history)) < 1 / 6, dice.integers(0, 80, len(history)), 0)
    return np.where(np.arange(history.shape[1])[None, :] >= begins[:, None], history, np.nan)
