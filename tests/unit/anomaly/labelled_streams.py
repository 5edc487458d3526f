"""Small labelled streams for the tests of the measuring instruments."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.anomaly.train.labelled import SECOND, Stream

START = 1_800_000_000 * SECOND
MINUTE = 60 * SECOND


def make_stream(
    values: Sequence[float] | NDArray[np.float64], num_train: int, windows: Sequence[tuple[int, int]] = ()
) -> Stream:
    """One value a minute, or one row of values."""
    array = np.asarray(values, dtype=np.float64)
    table = array[:, None] if array.ndim == 1 else array
    return Stream("made", table, [START + place * MINUTE for place in range(len(table))], num_train, list(windows))


def jumping(num_series: int = 2, seed: int = 1) -> Stream:
    """Five hours to learn, half as long to judge, noise; the first series jumps for ten minutes."""
    values = np.random.default_rng(seed).normal(0, 1, (450, num_series))
    values[350:360, 0] += 40
    return make_stream(values, 300, [(50, 59)])


def marks(num_steps: int, *places: int) -> NDArray[np.bool_]:
    """True at these places."""
    found = np.zeros(num_steps, dtype=bool)
    found[list(places)] = True
    return found
