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


def beyond(rows: Rows, level: float, share: float) -> float:
    """The one row's."""
    return float(tail.beyond(rows, level, np.array([share]))[0])


def test_beyond_the_counts_the_tail_goes_on_as_it_did() -> None:
    """Scores that halve in number with each doubling: a tenth of the share lies ten times as far out."""
    rows = counted(*(1.0 / (np.arange(5000) + 0.5) * 5000 / 10))
    near, far = beyond(rows, 0.9, 1e-4), beyond(rows, 0.9, 1e-5)
    assert 8.0 < far / near < 12.0
    assert beyond(rows, 0.9, 1e-12) > far


def test_within_the_counts_nothing_is_drawn_out() -> None:
    """A share larger than what lies above the quantile gives the quantile, and so does a tail of nothing."""
    rows = counted(*np.linspace(1, 11, 2000))
    assert beyond(rows, 0.95, 0.5) == beyond(rows, 0.95, 0.9) >= 10.5
    assert np.isfinite(beyond(counted(), 0.99, 1e-9))
    assert beyond(counted(*[1.0] * 50), 0.99, 1e-9) < 1.1
