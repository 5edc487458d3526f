"""AUC-PR, precision at a recall and VUS-PR, by hand and beside scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from services.anomaly.train.ranking import auc_pr, precision_at_recall, vus_pr, windows_of
from tests.unit.anomaly.labelled_streams import marks

LABEL = marks(4, 0, 2)
FALLING = np.array([4.0, 3.0, 2.0, 1.0])


def test_average_precision_by_hand() -> None:
    """The first labelled step is found at precision 1, the second at 2/3."""
    assert auc_pr(LABEL, FALLING) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert auc_pr(LABEL, np.ones(4)) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), min_size=1, max_size=40))
def test_average_precision_is_scikit_learns(steps: list[tuple[bool, int]]) -> None:
    """Ties and all."""
    label = np.array([is_labelled for is_labelled, _ in steps])
    score = np.array([float(value) for _, value in steps])
    if label.any():
        assert auc_pr(label, score) == pytest.approx(average_precision_score(label, score))
    else:
        with pytest.raises(ZeroDivisionError):
            auc_pr(label, score)


def test_precision_at_a_recall() -> None:
    """Half of the labelled steps are found without error, all of them with one error in three."""
    assert precision_at_recall(LABEL, FALLING, 0.5) == 1.0
    assert precision_at_recall(LABEL, FALLING, 0.7) == pytest.approx(2 / 3)


def test_volume_without_buffer_is_average_precision_by_windows_met() -> None:
    """Two windows of one step: the first threshold has recall 1/2, halved again as only one window of two is met."""
    expected = 1 * 0.25 + (2 / 3) * 0.75
    assert vus_pr(LABEL, FALLING, 0) == pytest.approx(expected)


def test_a_neighbour_is_partly_right_with_a_buffer() -> None:
    """The step before the window scores highest, the window's second.

    Buffers 0 and 1 reach no neighbour: area 1/2. Buffer 2 reaches one on each side with weight s = sqrt(1/2): precision
    s at recall s / (1 + s/2), then (1 + s) / 2 at recall 1.
    """
    label, score = marks(5, 2), np.array([1.0, 5.0, 4.0, 3.0, 2.0])
    s = 0.5**0.5
    with_buffer = s * s / (1 + s / 2) + (1 + s) / 2 * (1 - s / (1 + s / 2))
    assert vus_pr(label, score, 2) == pytest.approx((0.5 + 0.5 + with_buffer) / 3)


def test_a_perfect_ranking_has_the_whole_volume() -> None:
    """Every labelled step above all others, at each buffer."""
    label = marks(50, 10, 11, 12)
    assert vus_pr(label, label.astype(float), 8) == pytest.approx(1.0)


def test_windows_at_the_ends_are_kept_within() -> None:
    """Buffers do not leave the stream, and windows that meet become one."""
    label = marks(6, 0, 1, 4, 5)
    assert windows_of(label) == [(0, 1), (4, 5)]
    assert 0 < vus_pr(label, np.arange(6.0), 6) <= 1
