"""Whether a value lies outside what is expected and matters, in which direction, by how much."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from services.anomaly.core.semantics import Meaning
from services.anomaly.model.abstract import Band, MetricDetector, ratio_score

#: While an alert is open a signal is bad until it has come back by a quarter of the way from its edge to its median.
HYSTERESIS = 0.75


class Outside(NamedTuple):
    """A signal beyond its edge. The score is 0.5 at the edge and grows with the distance from the usual value."""

    key: str
    value: float
    score: float
    edge: float
    usual: float


def judge(
    key: str, value: float, meaning: Meaning, voters: Sequence[MetricDetector], is_open: bool = False
) -> Outside | None:
    """None for a value that is inside by any of the voters, too small a change, good news, or not known well enough.

    Args:
        is_open: whether an alert of the entity is firing; then the way back is a little longer.
    """
    bands = [band for detector in voters if (band := detector.expected(key)) is not None]
    if len(bands) < len(voters):
        return None
    edge = _edge(value, meaning, _joined(bands))
    if edge is None:
        return None
    usual = _usual(bands)
    if is_open:
        edge = usual + HYSTERESIS * (edge - usual)
    if (value - edge) * (edge - usual) <= 0 or (value > edge) != (edge > usual):
        return None
    return Outside(key, value, ratio_score(abs(value - usual), abs(edge - usual)), edge, usual)


def _joined(bands: Sequence[Band]) -> Band:
    """All must agree: the widest of them."""
    return Band(min(band.low for band in bands), _usual(bands), max(band.high for band in bands))


def _usual(bands: Sequence[Band]) -> float:
    """The last voter's centre: the robust one's median in the default order."""
    return bands[-1].center


def _edge(value: float, meaning: Meaning, band: Band) -> float | None:
    """Where it begins to matter on the side of the value; None where that side is good news."""
    usual = band.center
    if value > usual and meaning.direction in ("high", "both"):
        factor = max(1.0, meaning.min_factor)
        return max(band.high, usual + meaning.min_change, usual * factor if usual > 0 else usual)
    if value < usual and meaning.direction in ("low", "both"):
        factor = min(1.0, meaning.min_factor)
        return min(band.low, usual - meaning.min_change, usual * factor if usual > 0 else usual)
    return None


def shares(outside: Sequence[Outside]) -> Mapping[str, float]:
    """Each signal's part in the trouble, most first; together 1."""
    total = sum(each.score for each in outside)
    ordered = sorted(outside, key=lambda each: (-each.score, each.key))
    return {each.key: each.score / total for each in ordered}
