"""One calibrated score for an entity: how rare its nonconformity is among its own last ones."""

import numpy as np
import numpy.typing as npt

from services.anomaly.model.bank import Bools, Floats, Ints, Rows
from services.anomaly.model.compiled import compiled

#: Scores that are remembered; at a scrape each five seconds 256 of them, one in `every`.
KEPT = 256
#: Of these the largest say how the tail goes on.
TAIL = 32
#: No score is rarer than this: the tail of 256 scores knows nothing of less.
RAREST = 1e-9
#: A score that is nothing: a tail cannot be drawn through it.
SMALLEST = 1e-12

CONFORMAL_DTYPE = np.dtype([("scores", "<f4", (KEPT,)), ("num", "<u2"), ("at", "<u2"), ("passed", "<u4")])


class Conformal:
    """The conformal tail of many entities at once; an entity is one row of `dtype`, a zeroed row has seen nothing.

    The p-value of a score is the share of scores as large among the last KEPT and itself: at most a share a of
    exchangeable scores has a p-value of a or less, whatever their distribution. Beyond the largest TAIL of them, where
    that share has few steps left, the tail goes on as a power of the score (Hill's estimate from those TAIL), never
    above the share. Rolling: after KEPT * every scores of another size those are normal.

    It is no promise where scores depend on each other: in a row of like scores either all are rare or none. While
    fewer than `least` scores are known every p-value is 1.

    Args:
        every: only one score in so many is kept, for a memory so many times as long.
        least: scores to know before anything is rare.

    Source:
        Vovk, Gammerman, Shafer. Algorithmic Learning in a Random World. 2005; Hill. Annals of Statistics 3, 1975.
    """

    name = "conformal"
    dtype = CONFORMAL_DTYPE
    version = 1

    def __init__(self, every: int = 1, least: int = 64) -> None:
        self._every = every
        self.least = least

    def p_values(self, rows: Rows, scores: Floats) -> Floats:
        """(n,) in [RAREST, 1] for scores of 0 or more; changes nothing."""
        num = rows["num"].astype(np.int64)
        kept = rows["scores"]
        scores32 = scores.astype(np.float32)
        larger = ((kept >= scores32[:, None]) & (np.arange(KEPT) < num[:, None])).sum(axis=1)
        p = (1.0 + larger) / (num + 1.0)
        far = np.flatnonzero((num >= self.least) & (larger < np.minimum(TAIL, num // 8)))
        if len(far):
            p[far] = _beyond(kept[far], num[far], scores[far], p[far])
        return np.where(num >= self.least, np.clip(p, RAREST, 1.0), 1.0)

    def learn(self, rows: Rows, scores: Floats, at: Ints | None = None) -> Ints:
        """Takes scores of 0 or more in, in place, the oldest going where there are KEPT.

        Args:
            at: the rows that they are for, each once; None for all.

        Returns:
            The rows that keep theirs.
        """
        at = np.arange(len(rows)) if at is None else at
        is_kept = np.empty(len(at), bool)
        _learn(rows, at, scores, self._every, is_kept)
        return at[is_kept]


@compiled
def _learn(rows: Rows, at: Ints, scores: Floats, every: int, is_kept: Bools) -> None:
    for place in range(len(at)):
        row = rows[at[place]]
        is_kept[place] = row.passed % every == 0
        row.passed = (np.int64(row.passed) + 1) % 2**32
        if is_kept[place]:
            row.scores[row.at] = min(scores[place], 1e30)
            row.at = (row.at + 1) % KEPT
            row.num = min(row.num + 1, KEPT)


def _beyond(kept: npt.NDArray[np.float32], num: Ints, scores: Floats, p: Floats) -> Floats:
    """P-values where few scores are as large: the share, or less where the tail says so."""
    held = np.where(np.arange(KEPT) < num[:, None], kept, np.float32(-1.0)).astype(np.float64)
    tail = np.minimum(TAIL, num // 8)  # (n,)
    largest = -np.sort(-held, axis=1)[:, : TAIL + 1]
    edge = np.maximum(largest[np.arange(len(num)), tail], SMALLEST)
    within = np.arange(TAIL + 1) < tail[:, None]
    excess = np.where(within, np.log(np.maximum(largest, edge[:, None]) / edge[:, None]), 0.0).sum(axis=1) / tail
    away = np.log(np.maximum(scores, edge) / edge)
    # One more excess as if the next score were as far out as this one's share says: few scores make a tail look thin.
    slope = np.maximum(excess * (tail + 1.0) / tail, 1e-3)
    power = (tail + 1.0) / (num + 1.0) * np.exp(-np.minimum(away / slope, 50.0))
    largest_kept = largest[:, 0]
    return np.where(scores > largest_kept, np.minimum(power, p), p)


def calibrated(p_values: Floats, line: float) -> Floats:
    """Scores in [0, 1): 0 for a p-value of 1, 0.5 where it is `line`, towards 1 far beyond.

    Raises:
        ValueError: a line that is not between 0 and 1.
    """
    if not 0.0 < line < 1.0:
        raise ValueError(f"a line for p-values lies between 0 and 1, not at {line}")
    rarity = np.log(np.clip(p_values, RAREST, 1.0)) / np.log(line)
    return np.asarray(rarity / (1.0 + rarity), dtype=np.float64)


def nonconformity(scores: Floats) -> Floats:
    """A detector's scores in [0, 1], 0.5 at its line, as distances of 0 or more in lines: what `Conformal` wants."""
    held = np.clip(scores, 0.0, 1.0 - 1e-12)
    return np.asarray(held / (1.0 - held), dtype=np.float64)
