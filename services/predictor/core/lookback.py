"""What a forecaster is shown of each series: its last quarter of an hour, cleaned, and the same free of scale.

Letters: N series, L steps of the lookback, B bins. The same code makes the inputs in the stream and for training.
"""

from dataclasses import dataclass

import numpy as np

from services.predictor.core.targets import Floats

#: Steps of ten seconds that are remembered: as long as the longest horizon.
LOOKBACK_STEPS = 90
#: The LSTM and the EWMA see means of three steps.
BIN_STEPS = 3
NUM_BINS = LOOKBACK_STEPS // BIN_STEPS
#: A gap of at most so many steps is filled by the value before it; after a longer one the lookback begins anew.
MAX_GAP_STEPS = 6
#: With fewer steps since the last long gap nothing is predicted.
MIN_STEPS = 6
#: The smallest spread that inputs are divided by, in log space: what differs by less is constant.
MIN_SPREAD = 1e-4
MAX_INPUT = 8.0
NUM_CHANNELS = 3


@dataclass(frozen=True, slots=True)
class Lookback:
    """The cleaned past of N series.

    Attributes:
        steps: (N, L) the values, oldest first; NaN before the first one that counts.
        last: (N,) the last value; NaN where nothing can be predicted.
        scale: (N,) the mean size of the values, at least the target's resolution.
        num_steps: (N,) how many steps count, filled ones included.
        num_filled: (N,) how many of the last MAX_GAP_STEPS were missing and are filled.
    """

    steps: Floats
    last: Floats
    scale: Floats
    num_steps: Floats
    num_filled: Floats

    def __len__(self) -> int:
        return len(self.last)


def clean(history: Floats, resolution: Floats) -> Lookback:
    """Fills short gaps, drops what lies before a long one.

    Args:
        history: (N, L) oldest first, NaN where a step is missing.
        resolution: (N,) of each series' target.
    """
    missing = ~np.isfinite(history)
    steps, begins = _fill(history, missing)
    counts = np.arange(history.shape[1])[None, :] >= begins[:, None]
    steps = np.where(counts, steps, np.nan)
    num_steps = counts.sum(axis=1)
    last = np.where(num_steps >= MIN_STEPS, steps[:, -1], np.nan)
    total = np.where(counts, np.abs(steps), 0.0).sum(axis=1)
    scale = np.maximum(total / np.maximum(num_steps, 1), resolution)
    num_filled = (missing & counts)[:, -MAX_GAP_STEPS:].sum(axis=1)
    return Lookback(steps, last, scale, num_steps.astype(float), num_filled.astype(float))


def _fill(history: Floats, missing: np.ndarray) -> tuple[Floats, np.ndarray]:
    """(values with each gap filled by what came before, (N,) the first step after the last long gap)."""
    steps = history.copy()
    num_series, num_steps = history.shape
    held, gap = np.full(num_series, np.nan), np.full(num_series, MAX_GAP_STEPS)
    begins = np.zeros(num_series, np.int64)
    for column in range(num_steps):
        lost = missing[:, column]
        gap = np.where(lost, gap + 1, 0)
        held = np.where(lost, held, history[:, column])
        begins[gap > MAX_GAP_STEPS] = column + 1
        steps[:, column] = held
    # A series whose first steps are missing begins at its first value.
    known = np.isfinite(steps)
    first = np.where(known.any(axis=1), known.argmax(axis=1), num_steps)
    return steps, np.maximum(begins, first)


def bins(look: Lookback) -> Floats:
    """(N, B) means of BIN_STEPS steps each, NaN for a bin without any."""
    parts = look.steps.reshape(len(look), NUM_BINS, BIN_STEPS)
    known = np.isfinite(parts)
    count = known.sum(axis=2)
    total = np.where(known, parts, 0.0).sum(axis=2)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def to_log(values: Floats, scale: Floats) -> Floats:
    """log(1 + value / scale): changes of this are relative for large values and absolute near zero."""
    return np.asarray(np.log1p(np.maximum(values, 0.0) / scale))


def from_log(logs: Floats, scale: Floats) -> Floats:
    """The inverse of `to_log`."""
    return np.asarray(np.expm1(logs) * scale)


def spread(binned: Floats, last_log: Floats) -> Floats:
    """(N,) mean distance of the bins from the last value in log space, at least MIN_SPREAD."""
    distance = np.abs(binned - last_log[:, None])
    known = np.isfinite(distance)
    mean = np.where(known, distance, 0.0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    return np.asarray(np.maximum(mean, MIN_SPREAD))


def network_inputs(look: Lookback) -> tuple[np.ndarray, Floats, Floats]:
    """What the LSTM sees: nothing in it depends on a series' unit or size.

    Channels: the bin's distance from the last value over the spread; whether the bin is known; how large the spread is.

    Returns:
        inputs (N, B, NUM_CHANNELS) float32, last_log (N,), spread (N,).
    """
    scale = look.scale[:, None]
    binned = to_log(bins(look), scale)
    last_log = to_log(look.last[:, None], scale)[:, 0]
    wide = spread(binned, last_log)
    distance = np.clip((binned - last_log[:, None]) / wide[:, None], -MAX_INPUT, MAX_INPUT)
    known = np.isfinite(distance)
    size = np.broadcast_to((np.log10(wide) + 2.0)[:, None] / 2.0, known.shape)
    stacked = np.stack([np.where(known, distance, 0.0), known.astype(float), size], axis=2)
    return np.nan_to_num(stacked).astype(np.float32), last_log, wide
