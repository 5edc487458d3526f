"""The factors that rest on signals of nodes (services/common/node_signals.py): how good, and how much each counts.

A signal's utility falls or rises evenly from its best value to its worst; what is not known of a node counts NEUTRAL.
A group's share of the score is fixed; its signals divide it by their weights, so that one more signal takes nothing
from other groups. A signal that no node has takes no part, and its weight stays with the factors of factors.py.

Utilities are whole 2^-20ths and weights whole 2^-32nds: their products, and sums of those up to 1, are exact in float64
whatever the order, so that a matrix product gives every replica the same score.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from services.common.node_signals import NODE_SIGNALS
from services.common.signal_forms import NodeSignal
from services.placement.core.workload import Profile

Floats = NDArray[np.float64]

NEUTRAL: Final = 0.5
PROFILES: Final[tuple[Profile, ...]] = ("balanced", "performance", "efficiency", "consolidation", "power", "cost")
#: Percent of the score that a group has when all of its signals are there, by profile in the order of PROFILES. By
#: judgement: trouble and contention count where work shall run well, packing and power where they are asked for; the
#: factors of factors.py, health first, keep two thirds of every profile.
GROUP_SHARES: Final[dict[str, tuple[float, float, float, float, float, float]]] = {
    "B": (10, 12, 5, 4, 5, 4),
    "C": (5, 4, 8, 7, 3, 3),
    "D": (1, 0, 1, 1, 12, 2),
    "E": (4, 5, 2, 2, 2, 2),
    "F": (10, 11, 8, 8, 8, 8),
}
GROUP_NAMES: Final = {
    "A": "hard constraints", "B": "compute and contention", "C": "resource efficiency", "D": "power and energy",
    "E": "network and topology", "F": "reliability and operations",
}  # fmt: skip

#: Signals in the order of the matrix's rows, and where each stands.
SIGNALS: Final[tuple[NodeSignal, ...]] = NODE_SIGNALS
NUMBER_OF: Final = {signal.name: number for number, signal in enumerate(SIGNALS)}
_UTILITY_STEP = 2.0**-20
_WEIGHT_STEP = 2.0**-32
_WORST: Final = np.array([[signal.worst] for signal in SIGNALS])
_PER_UNIT: Final = np.array([[1.0 / (signal.best - signal.worst)] for signal in SIGNALS])


def _weights() -> Floats:
    """(P, K) shares of the score."""
    whole = {group: sum(one.weight for one in SIGNALS if one.group == group) for group in GROUP_SHARES}
    shares = [
        [GROUP_SHARES[one.group][p] / 100 * one.weight / whole[one.group] if one.weight else 0.0 for one in SIGNALS]
        for p in range(len(PROFILES))
    ]
    found: Floats = np.floor(np.array(shares) / _WEIGHT_STEP) * _WEIGHT_STEP
    return found


WEIGHTS: Final = _weights()
#: (K,) whether a signal is a factor in any profile.
IS_FACTOR: Final = np.array([bool(signal.weight) for signal in SIGNALS])


def utilities(values: Floats) -> Floats:
    """How good values are.

    Args:
        values: (K, n) in each signal's unit; NaN where nothing is known.

    Returns:
        (K, n) in 0..1, NEUTRAL where nothing is known.
    """
    found = (values - _WORST) * _PER_UNIT
    np.minimum(found, 1.0, out=found)
    np.maximum(found, 0.0, out=found)
    found[np.isnan(found)] = NEUTRAL
    exact: Floats = np.rint(found / _UTILITY_STEP) * _UTILITY_STEP
    return exact
