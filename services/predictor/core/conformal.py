"""Intervals from what a forecaster got wrong lately: rolling, asymmetric conformal prediction.

Letters: N series, A anchors (the horizons at which errors are kept), R remembered errors, V quantile levels.
"""

import numpy as np

from services.predictor.core.targets import Floats

#: With fewer errors than this a 90 % interval is not theirs to give: (n + 1) x .05 must reach 1.
MIN_RESIDUALS = 19
#: How much wider than the lookback's own range an interval without errors is.
UNPROVEN_WIDENING = 1.0


def residual_quantiles(residuals: np.ndarray, levels: Floats) -> tuple[Floats, np.ndarray]:
    """The quantiles of the errors at the finite-sample positions (n + 1) x level, interpolated; nan without any.

    Args:
        residuals: (..., R), NaN where there is none yet.
        levels: (V,) ascending.

    Returns:
        quantiles (..., V) and the number of errors (...).

    Source:
        Vovk, Gammerman, Shafer. Algorithmic Learning in a Random World, 2005: split conformal prediction; rolling over
        the latest errors as in reference measurements, where it kept its coverage and a static one did not.
    """
    ordered = np.sort(residuals.astype(np.float32), axis=-1)  # NaN last
    count = np.isfinite(ordered).sum(axis=-1)
    position = np.clip((count[..., None] + 1) * levels - 1, 0, np.maximum(count[..., None] - 1, 0))
    below = np.floor(position).astype(np.int64)
    above = np.minimum(below + 1, np.maximum(count[..., None] - 1, 0))
    low = np.take_along_axis(ordered, below, axis=-1)
    high = np.take_along_axis(ordered, above, axis=-1)
    return low + (high - low) * (position - below), count


def offsets(residuals: np.ndarray, levels: Floats, unproven: Floats) -> tuple[Floats, np.ndarray]:
    """How far each quantile lies from the forecast, in units of the scale: never on the wrong side of it.

    Args:
        residuals: (N, A, R).
        unproven: (N, 2) how far down (negative) and up the interval reaches at least while errors are few.

    Returns:
        (N, A, V) and how many errors there were (N, A).
    """
    quantiles, count = residual_quantiles(residuals, levels)
    found = np.nan_to_num(quantiles)
    wide = np.where(levels < 0.5, unproven[:, None, :1], np.where(levels > 0.5, unproven[:, None, 1:], 0.0))
    outer = np.where(levels < 0.5, np.minimum(found, wide), np.maximum(found, wide))
    chosen = np.where((count < MIN_RESIDUALS)[..., None], outer, found)
    down, up = np.minimum(chosen, 0.0), np.maximum(chosen, 0.0)
    return np.where(levels < 0.5, down, np.where(levels > 0.5, up, 0.0)), count


def unproven_reach(steps: Floats, forecast: Floats, scale: Floats, resolution: Floats) -> Floats:
    """(N, 2) the reach for a series without errors yet: all that the lookback held, and its range once more.

    Args:
        steps: (N, L) the lookback, NaN where unknown; at least one value each.
        forecast: (N,) what is said.
    """
    low = np.where(np.isfinite(steps), steps, np.inf).min(axis=1)
    high = np.where(np.isfinite(steps), steps, -np.inf).max(axis=1)
    more = UNPROVEN_WIDENING * (high - low) + resolution
    return (
        np.stack([np.minimum(low - forecast, 0) - more, np.maximum(high - forecast, 0) + more], axis=1) / scale[:, None]
    )


def share_above(residuals: np.ndarray, needed: Floats) -> Floats:
    """The share of errors that are at least `needed`: how likely it is to come out so much above the forecast.

    Args:
        residuals: (..., R), NaN where there is none.
        needed: (...).

    Returns:
        (...) in [0, 1]; 0.0 with fewer than MIN_RESIDUALS errors.
    """
    known = np.isfinite(residuals)
    count = known.sum(axis=-1)
    above = (known & (residuals >= needed[..., None])).sum(axis=-1)
    return np.where(count >= MIN_RESIDUALS, above / np.maximum(count, 1), 0.0)
