"""More than ever seen, with room for chance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.alerts import Evidence
from services.logbert.core.windows import MAX_EVIDENCE, MAX_WINDOWS, SECOND, Past, burst_score, limit

WIDTH = 10 * SECOND
HOUR = 3600


def piece(second: float) -> Evidence:
    """An event that is counted."""
    return Evidence(round(second * SECOND), "e", f"line {second}")


@pytest.mark.parametrize(("most", "highest_normal"), [(0, 0), (1, 3), (4, 8), (100, 120)])
def test_the_limit_grows_with_chance(most: int, highest_normal: int) -> None:
    """Nothing ever seen allows nothing; a hundred allow twenty more."""
    assert int(limit(most, 0)) == highest_normal


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 5))
def test_the_score_crosses_one_half_exactly_at_the_limit(count: int, most: int, allowance: int) -> None:
    """Above the limit means above the threshold, and never outside 0..1."""
    score = burst_score(count, most, allowance)
    assert 0 <= score <= 1
    assert (score > 0.5) == (count > limit(most, allowance))


def test_the_warm_up_learns_the_most() -> None:
    """Three in a window is what was seen."""
    past = Past()
    for second in (1, 2, 3, 11):
        past.take(piece(second), WIDTH, "warm_up")
    assert past.most == 3


def test_trouble_teaches_nothing() -> None:
    """Windows in which an alert was open are no past."""
    past = Past()
    for second in range(100):
        past.take(piece(second), WIDTH, "held")
    past.take(piece(2 * HOUR), WIDTH, "slow")
    assert past.most == 0


def test_slow_learning_rises_by_one_an_hour() -> None:
    """However fast a trouble creeps, the most ever seen follows slowly."""
    past = Past(raised_at=1)
    for window in range(400):
        for n in range(5):
            past.take(piece(HOUR + 10 * window + n), WIDTH, "slow")
    assert past.most == 2


def test_state_is_bounded() -> None:
    """Few windows, few lines, and lines only of the last two windows."""
    past = Past()
    for second in range(2000):
        past.take(piece(second / 4), WIDTH, "warm_up")
    assert len(past.windows) <= MAX_WINDOWS
    assert sum(len(window.first) for window in past.windows.values()) <= 2 * MAX_EVIDENCE


def test_a_late_event_joins_its_window() -> None:
    """Within the lateness its window is still there."""
    past = Past()
    for second in (5, 35, 6):
        past.take(piece(second), WIDTH, "warm_up")
    assert past.count(7 * SECOND, WIDTH) == 2
