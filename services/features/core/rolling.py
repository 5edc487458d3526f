"""Statistics of a feature's recent steps. Sums are exact (`math.fsum`), so that no order of adding changes a bit."""

import math
from collections.abc import Iterable, Sequence

SECOND = 1_000_000
#: What a rolling feature looks back on, this step included, seconds.
WINDOW_SECONDS = 300
_MIN_FOR_SLOPE = 3

#: (start of the step in microseconds, value) of recent steps, ascending.
Recent = Sequence[tuple[int, float]]


def added(values: Iterable[float]) -> float:
    """The exact sum; NaN when it is beyond what a number can hold.

    >>> added([1.0, 2.0]), added([1e308, 1e308])
    (3.0, nan)
    """
    try:
        return math.fsum(values)
    except (OverflowError, ValueError):
        return math.nan


def total(values: Iterable[float]) -> float:
    """The exact sum of the finite values; NaN when there is none.

    >>> total([1.0, math.nan, 2.0]), total([])
    (3.0, nan)
    """
    finite = [value for value in values if math.isfinite(value)]
    return added(finite) if finite else math.nan


def ratio(part: float, whole: float) -> float:
    """`part / whole`; NaN where the whole is zero or one of them is missing."""
    return part / whole if whole and math.isfinite(part) and math.isfinite(whole) else math.nan


def known(recent: Recent) -> list[float]:
    """The values that could be computed."""
    return [value for _, value in recent if not math.isnan(value)]


def mean(recent: Recent) -> float:
    """Mean of the known values; NaN without one."""
    values = known(recent)
    return added(values) / len(values) if values else math.nan


def standard_deviation(recent: Recent) -> float:
    """Population standard deviation of the known values; NaN with fewer than two."""
    values = known(recent)
    if len(values) < 2:
        return math.nan
    centre = added(values) / len(values)
    try:
        return math.sqrt(math.fsum((value - centre) ** 2 for value in values) / len(values))
    except OverflowError:
        return math.nan


def maximum(recent: Recent) -> float:
    """The largest known value; NaN without one."""
    return max(known(recent), default=math.nan)


def slope(recent: Recent) -> float:
    """Least-squares change per second of the known values; NaN with fewer than three."""
    points = [((start - recent[0][0]) / SECOND, value) for start, value in recent if not math.isnan(value)]
    if len(points) < _MIN_FOR_SLOPE:
        return math.nan
    centre = added(seconds for seconds, _ in points) / len(points)
    level = added(value for _, value in points) / len(points)
    spread = math.fsum((seconds - centre) ** 2 for seconds, _ in points)
    return added((seconds - centre) * (value - level) for seconds, value in points) / spread
