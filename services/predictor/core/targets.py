"""What is predicted, and within which bounds each target lives."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: The feature set that is read, its version, and the length of its steps.
FEATURE_SET = "metrics.core"
FEATURE_SET_VERSION = 1
STEP_SECONDS = 10

Floats = NDArray[np.float64]


class Target(NamedTuple):
    """A predicted feature. None is ever negative.

    Attributes:
        resolution: the smallest difference that means anything, in the target's unit; errors of a series that is
            nearly zero are measured against it.
        upper: the highest possible value.
    """

    resolution: float
    upper: float = math.inf


_UNITS = (
    ("_ratio", Target(0.01, 1.0)),
    ("_cores", Target(0.01)),
    ("_bytes_per_second", Target(1024.0)),
    ("_bytes", Target(float(2**20))),
    ("_per_second", Target(0.1)),
    ("_seconds", Target(0.001)),
)


def target_of(name: str) -> Target:
    """Resolution and bounds by the unit in the name; 0.001 and no upper bound for a unit that is not known."""
    return next((target for unit, target in _UNITS if name.endswith(unit)), Target(0.001))


def bounds(names: Sequence[str]) -> tuple[Floats, Floats]:
    """(resolutions, upper bounds), each (T,)."""
    targets = [target_of(name) for name in names]
    return np.array([t.resolution for t in targets]), np.array([t.upper for t in targets])
