"""How rare a score is among those before it: counts in logarithmic bins, fading, and the line drawn from them.

Source:
    conformal prediction, its quantile taken of a fading past. Steps that follow each other are no independent draws,
    so on metrics the level holds only roughly.
"""

import numpy as np

from services.anomaly.model.bank import Bools, Floats, Ints, Rows
from services.anomaly.model.compiled import compiled

#: Bins to a doubling, the first one's lower edge, and how many: scores from a quarter to 16,384, to 9 %.
TO_DOUBLE, LOWEST, NUM_BINS = 8, 0.25, 128
#: The fields of a row: scores in each bin.
TAIL = (("tail", "f4", (NUM_BINS,)),)
#: Upper edges.
EDGES = LOWEST * 2.0 ** (np.arange(1, NUM_BINS + 1) / TO_DOUBLE)


@compiled
def count(rows: Rows, at: Ints, scores: Floats, is_counted: Bools) -> None:
    """Counts these scores (n,) of the rows `at`, in place."""
    for place in range(len(at)):
        if is_counted[place]:
            found = np.floor(TO_DOUBLE * np.log2(max(scores[place], LOWEST) / LOWEST))
            rows[at[place]].tail[int(min(max(found, 0.0), NUM_BINS - 1.0))] += np.float32(1.0)


def beyond(rows: Rows, level: float, share: Floats) -> Floats:
    """(n,): the score that a `share` of new ones exceeds if those above the quantile `level` thin out as a power.

    Counts know nothing of shares below one in their number. The quantile where the share is larger than 1 - `level`, or
    nothing lies above it.

    Source:
        Hill. Annals of Statistics 3, 1975, of counts: a score counts as the middle of its bin.
    """
    counts = rows["tail"].astype(np.float64)
    total = np.maximum(counts.sum(axis=1), 1e-9)
    above = np.maximum(total[:, None] - np.cumsum(counts, axis=1), 0.0)
    first = np.argmax(above <= total[:, None] * (1.0 - level) + 1e-3, axis=1)
    num = above[np.arange(len(rows)), first]
    excess = (np.log(EDGES) - 0.5 * np.log(2.0) / TO_DOUBLE) - np.log(EDGES[first])[:, None]
    power = (counts * np.maximum(excess, 0.0)).sum(axis=1) / np.maximum(num, 1e-9)
    further: Floats = EDGES[first] * np.maximum(num / total / share, 1.0) ** np.where(num > 1e-3, power, 0.0)
    return further


def fade(rows: Rows, share: float) -> None:
    """All counts lose that share, in place."""
    rows["tail"] *= np.float32(1.0 - share)


def line(rows: Rows, level: float) -> Floats:
    """(n,): the least edge that a new score exceeds with a chance of at most 1 - `level`; the highest seen where they
    are too few to say; the top of all bins where there are none."""
    counts = rows["tail"].astype(np.float64)
    above = counts.sum(axis=1, keepdims=True) - np.cumsum(counts, axis=1)
    allowed = np.maximum((counts.sum(axis=1) + 1.0) * (1.0 - level) - 1.0, 0.0)
    is_seen = counts.sum(axis=1) > 0
    # Rounding of the sums must not count for a score above the highest.
    first = np.argmax(above <= allowed[:, None] + 1e-3, axis=1)
    lines: Floats = np.where(is_seen, EDGES[first], EDGES[-1])
    return lines
