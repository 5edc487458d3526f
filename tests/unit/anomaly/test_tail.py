"""How rare a score is among those before it."""

import numpy as np

from services.anomaly.model import tail
from services.anomaly.model.bank import Floats, Rows


def counted(*scores: float) -> Rows:
    """One row that has counted these."""
    rows = np.zeros(1, np.dtype(list(tail.TAIL)))
    for score in scores:
        tail.count(rows, np.arange(1), np.array([score]), np.array([True]))
    return rows


def line(rows: Rows, level: float) -> float:
    """The one row's line."""
    found: Floats = tail.line(rows, level)
    return float(found[0])


def test_nothing_counted_lets_nothing_through() -> None:
    """No line is known, so none is crossed."""
    assert line(counted(), 0.9) == tail.EDGES[-1]


def test_too_few_scores_put_the_line_above_the_highest() -> None:
    """A thousandth of fifty is less than one: only what is higher than all is beyond the line."""
    found = line(counted(*[1.0] * 49, 7.0), 0.999)
    assert 7.0 <= found <= 7.0 * 2 ** (1 / tail.TO_DOUBLE)


def test_the_line_lies_above_its_share_of_scores() -> None:
    """Of 2,000 scores from 1 to 11 a twentieth lies above 10.5; the line is at most a bin higher."""
    found = line(counted(*np.linspace(1, 11, 2000)), 0.95)
    assert 10.5 <= found <= 10.5 * 2 ** (1 / tail.TO_DOUBLE)


def test_old_scores_fade() -> None:
    """What was high long ago no longer holds the line up."""
    rows = counted(*[50.0] * 10)
    tail.fade(rows, 0.9999)
    for _ in range(300):
        tail.count(rows, np.arange(1), np.array([2.0]), np.array([True]))
    assert line(rows, 0.99) < 3


def test_scores_beyond_the_bins_count_in_the_last_ones() -> None:
    """Neither nought nor a million is lost."""
    rows = counted(0.0, 1e6)
    assert rows["tail"][0, [0, -1]].tolist() == [1, 1]
