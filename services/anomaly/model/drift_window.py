"""ADWIN's window for many series at once: an exponential histogram of blocks in fixed columns.

A block is BLOCK points in a row, known by sums. A bucket holds 2**level blocks; a level holds at most BUCKETS of them,
and where one more comes the two oldest become one of the level above. So a window of up to MAX_BLOCKS blocks takes a
fixed number of bytes, fine where it is young and coarse where it is old.

Source:
    Bifet, Gavalda. Learning from Time-Changing Data with Adaptive Windowing. SDM 2007.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.anomaly.model.bank import Bools, Floats, Ints, Rows

#: Points of a block: what is left of autocorrelation within it is in its mean, so that the scatter between blocks is
#: what the mean of many of them really has.
BLOCK = 16
LEVELS = 9
BUCKETS = 4
MAX_BLOCKS = BUCKETS * (2**LEVELS - 1)
#: Sums of a bucket: of the blocks' means of the residual, their squares; of its size, their squares; of the values
#: without their daily pattern; and the minutes since `began` at which its first block began.
SUMS = ("mean", "mean_squared", "size", "size_squared", "rest", "minutes")
#: A cut leaves at least so many blocks on both sides, and is looked for in a window of so many.
MIN_SIDE, MIN_WINDOW = 4, 32

FIELDS: list[Any] = [("buckets", "<f4", (LEVELS, BUCKETS, len(SUMS))), ("held", "u1", (LEVELS,))]

#: Blocks of each bucket in the order in which `_oldest_first` lays them.
_SIZES = np.repeat(2.0 ** np.arange(LEVELS - 1, -1, -1), BUCKETS)


class Cuts(NamedTuple):
    """The clearest cut of each window, each (n,).

    Attributes:
        is_clear: whether its two sides differ by more than ADWIN's bound.
        signal: 0 where the residual's mean differs most, 1 where its size does.
        is_up: whether that is greater on the newer side.
        older, newer: blocks on each side.
        left: (n, 5) means over the older side of the first five of SUMS.
        minutes: when the newer side began.
    """

    is_clear: Bools
    signal: Ints
    is_up: Bools
    older: Floats
    newer: Floats
    left: Floats
    minutes: Floats


def push(rows: Rows, which: Ints, blocks: Floats) -> None:
    """Adds one block's sums, (len(which), len(SUMS)), to the windows of these rows; the oldest go where it is full."""
    buckets, held = rows["buckets"], rows["held"]
    for level in range(LEVELS):
        is_full = held[which, level] >= BUCKETS
        full = which[is_full]
        merged = _make_room(buckets, held, full, level) if len(full) else blocks[is_full]
        buckets[which, level, held[which, level]] = blocks
        held[which, level] += 1
        which, blocks = full, merged
        if not len(which):
            return


def _make_room(buckets: Floats, held: NDArray[np.uint8], full: Ints, level: int) -> Floats:
    """Takes the two oldest buckets out of a level, to be one of the next; of the last level only the oldest."""
    num = 1 if level == LEVELS - 1 else 2
    row = buckets[full, level]  # (k, BUCKETS, SUMS)
    merged = row[:, 0] + row[:, 1]
    merged[:, -1] = row[:, 0, -1]
    buckets[full, level, : BUCKETS - num] = row[:, num:]
    buckets[full, level, BUCKETS - num :] = 0.0
    held[full, level] -= num
    return np.asarray(merged, dtype=np.float64)


def clear(rows: Rows, which: Ints) -> None:
    """Empties the windows of these rows."""
    rows["buckets"][which] = 0.0
    rows["held"][which] = 0


def cuts(rows: Rows, which: Ints, delta: float, inflation: Floats, least_older: Floats) -> Cuts:
    """Where each window is cut best, and whether the cut is clear.

    The bound is ADWIN's with the scatter between blocks of each side, in its normal approximation:
    sqrt(2 v ln(2 ln(n) / delta) / m) for n blocks of variance v with m the harmonic mean of both sides. Its term for
    few, bounded values is left to a second look at fresh blocks.

    Args:
        inflation: (n, 2) by which the variance of a mean of blocks of either signal is larger than of independent ones.
        least_older: (n,) blocks that the older side must have.
    """
    held, sums, sizes = _oldest_first(rows, which)
    older = np.cumsum(sizes, axis=1)  # (n, K)
    total = older[:, -1:]
    before = np.cumsum(sums, axis=1)  # (n, K, SUMS)
    newer = total - older
    is_cut = held & (older >= np.maximum(least_older, MIN_SIDE)[:, None]) & (newer >= MIN_SIDE) & (total >= MIN_WINDOW)
    ratios = np.stack(
        [
            _ratios(before[:, :, 2 * signal : 2 * signal + 2], older, newer, is_cut, delta)
            / inflation[:, [signal]] ** 0.5
            for signal in (0, 1)
        ]
    )
    best = ratios.max(axis=0).argmax(axis=1)  # (n,)
    at = np.arange(len(which))
    signal = ratios[:, at, best].argmax(axis=0)
    count = older[at, best]
    left = before[at, best, : len(SUMS) - 1] / np.maximum(count, 1.0)[:, None]
    # Against the whole window's mean: its newer side lies on the other side of that.
    is_up = before[at, -1, 2 * signal] / np.maximum(total[:, 0], 1.0) > left[at, 2 * signal]
    return Cuts(
        ratios[signal, at, best] > 1.0, signal, is_up, count, newer[at, best], left, _next_minutes(sums, held, best)
    )  # fmt: skip


def _ratios(before: Floats, older: Floats, newer: Floats, is_cut: Bools, delta: float) -> Floats:
    """How far the sides' means lie apart, in ADWIN's bounds; 0 where no cut is."""
    total = older[:, -1:]
    whole = before[:, -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.maximum(whole[..., 1] / total - (whole[..., 0] / total) ** 2, 0.0)
        away = before[..., 0] / older - (whole[..., 0] - before[..., 0]) / newer
        # Of both sides by themselves: what lies between them is what is asked for.
        variance = np.maximum(variance - older * newer / total**2 * away**2, 1e-9)
        bound = np.sqrt(2.0 * variance * np.log(2.0 * np.log(total) / delta) * (1.0 / older + 1.0 / newer))
        ratios = np.abs(away) / bound
    return np.where(is_cut & (bound > 0), ratios, 0.0)


def _oldest_first(rows: Rows, which: Ints) -> tuple[Bools, Floats, Floats]:
    """Which places hold a bucket (n, K), their sums (n, K, SUMS), their sizes in blocks (n, K)."""
    num = rows["held"][which][:, ::-1]  # (n, LEVELS)
    held = (np.arange(BUCKETS) < num[:, :, None]).reshape(len(which), -1)
    sums = rows["buckets"][which][:, ::-1].reshape(len(which), -1, len(SUMS)).astype(np.float64)
    return held, sums, np.where(held, _SIZES, 0.0)


def _next_minutes(sums: Floats, held: Bools, best: Ints) -> Floats:
    """The minutes of the first held bucket behind `best`."""
    behind = held & (np.arange(held.shape[1]) > best[:, None])
    return np.asarray(sums[np.arange(len(best)), behind.argmax(axis=1), -1], dtype=np.float64)


def drop_oldest(rows: Rows, which: Ints, blocks: Floats) -> None:
    """Takes the oldest buckets away that lie wholly within the first `blocks`, (len(which),), of each window."""
    if not len(which):
        return
    held, _, sizes = _oldest_first(rows, which)
    stays = held & (np.cumsum(sizes, axis=1) > blocks[:, None])
    stays = stays.reshape(len(which), LEVELS, BUCKETS)[:, ::-1]
    order = np.argsort(~stays, axis=2, kind="stable")
    kept = np.where(stays[..., None], rows["buckets"][which], np.float32(0.0))
    rows["buckets"][which] = np.take_along_axis(kept, order[..., None], axis=2)
    rows["held"][which] = stays.sum(axis=2)
