"""Scores 0..1 as the whole numbers 0..10 that an extender may give."""

import numpy as np
from numpy.typing import NDArray

from services.placement.core.matrix import Bools, Floats

LOWEST, HIGHEST = 0, 10
#: What everybody gets when we have no say, and a node that we do not know beside others that we do.
NEUTRAL = 5
#: Scores this close are equal: one step of a mark is at least so much.
_SMALLEST_STEP = 0.005
_STEPS = HIGHEST - 1


def marks_of(scores: Floats, feasible: Bools, best: int) -> NDArray[np.int64]:
    """(k,) marks of candidates, by how far each lies below the best of them.

    The weight that a scheduler gives an extender makes a step of one outdo most of its own opinions, so a mark must
    fall as soon as a node is worse than others: scores of equal nodes differ by what was just placed there.

    Args:
        scores: (k,) 0..1.
        feasible: (k,); those that are not get 0.
        best: the position of the one that was chosen; it alone gets 10.
    """
    gaps = scores[best] - scores
    step = max(float(gaps[feasible].max()) / _STEPS, _SMALLEST_STEP)
    steps = np.minimum(np.maximum(gaps / step + 1e-9, 0.0), _STEPS - 1).astype(np.int64)
    marks: NDArray[np.int64] = np.where(feasible, _STEPS - steps, LOWEST)
    marks[best] = HIGHEST
    return marks
