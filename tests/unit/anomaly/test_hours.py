"""What comes every night is no news at night."""

import numpy as np
import pytest

from services.anomaly.model.columns import Columns
from services.anomaly.model.hours import DAYS, HOUR, HOURS, LARGEST_FLOAT, Remembering
from services.anomaly.model.robust_bank import RobustBank

MINUTE = 60_000_000
ONE = np.zeros(1, np.int64)


class Watch:
    """A series judged each ten minutes: what lies inside is learnt, everything is remembered."""

    def __init__(self) -> None:
        self.bank = Remembering(RobustBank())
        self.columns = Columns(self.bank)
        self.columns.add(1)
        self.draw = np.random.default_rng(5)

    def see(self, minute: int, value: float) -> float:
        """The score."""
        values, times = np.array([value]), np.array([minute * MINUTE])
        rows = self.columns.at(ONE, times)
        (score,) = self.bank.score(rows, values, times)
        if score <= 0.5:
            self.columns.learn(ONE, values, times)
        self.columns.remember(ONE, values, times)
        return float(score)

    def day(self, number: int, jobs: dict[int, float]) -> set[int]:
        """Hours of that day in which it spoke, when a job of 20 minutes runs in each of `jobs`, from minute 30 on."""
        spoke = set()
        for minute in range(0, 24 * 60, 10):
            is_job = 30 <= minute % 60 < 50 and minute // 60 in jobs
            usual = 10 + self.draw.normal(0, 0.2)
            if self.see(number * 24 * 60 + minute, jobs[minute // 60] + usual if is_job else usual) > 0.5:
                spoke.add(minute // 60)
        return spoke


def test_a_nightly_job_is_news_on_two_nights_only() -> None:
    """From the third night on it is silent, although it was never learnt as normal."""
    watch = Watch()
    spoke = [watch.day(number, {2: 50.0} if number else {}) for number in range(12)]
    assert spoke == [set(), {2}, {2}, *[set()] * 9]


def test_the_same_job_at_another_hour_is_news() -> None:
    """Memory is of hours: what is usual at two is not at fourteen."""
    watch = Watch()
    for number in range(6):
        watch.day(number, {2: 50.0})
    assert watch.day(6, {2: 50.0, 14: 50.0}) == {14}


def test_a_job_far_larger_than_ever_is_news() -> None:
    """The hour's memory reaches a quarter further than what it was like."""
    watch = Watch()
    for number in range(6):
        watch.day(number, {2: 50.0})
    assert watch.day(6, {2: 58.0}) == set()
    assert watch.day(7, {2: 90.0}) == {2}


def test_a_weekly_job_is_news_once() -> None:
    """A week later the same hour may be like this again, on no other day."""
    watch = Watch()
    spoke = [watch.day(number, {2: 50.0} if number in (2, 9, 16, 17) else {}) for number in range(18)]
    assert [number for number, hours in enumerate(spoke) if hours] == [2, 17]


def test_a_fault_of_one_day_hides_nothing_on_the_next() -> None:
    """One day is no habit."""
    watch = Watch()
    watch.day(0, {})
    assert watch.day(1, {14: 50.0}) == {14}
    assert watch.day(2, {14: 50.0}) == {14}


def test_a_job_that_begins_a_little_early_is_no_news() -> None:
    """Near its end an hour may be as the next one usually is."""
    watch = Watch()
    for number in range(4):
        watch.day(number, {2: 50.0})
    day = 4 * 24 * 60
    assert watch.see(day + 60 + 30, 60.0) > 0.5
    assert watch.see(day + 60 + 55, 60.0) < 0.5
    assert watch.see(day + 3 * 60 + 5, 60.0) < 0.5
    assert watch.see(day + 3 * 60 + 15, 60.0) > 0.5


def test_a_fault_that_lasts_over_the_hour_stays_news() -> None:
    """The hour before counts only as it was on other days."""
    watch = Watch()
    watch.day(0, {})
    watch.day(1, {})
    scores = [watch.see(2 * 24 * 60 + minute, 60.0) for minute in range(30, 240, 5)]
    assert min(scores) > 0.5


def test_what_no_longer_comes_is_forgotten_by_half_a_week() -> None:
    """Then the same value is news again, and a smaller one not yet."""
    watch = Watch()
    for number in range(8):
        watch.day(number, {2: 50.0})
    for number in range(8, 22):
        assert watch.day(number, {}) == set()
    assert watch.day(22, {2: 14.0}) == set()
    assert watch.day(23, {2: 50.0}) == {2}


def test_long_rows_change_only_when_an_hour_closes() -> None:
    """And then one day of them, so that little is written; within the hour only the running one changes."""
    watch = Watch()
    watch.see(0, 10.0)
    before = watch.columns.save(ONE)
    watch.see(59, 12.0)
    within = watch.columns.save(ONE)
    watch.see(61, 12.0)
    after = watch.columns.save(ONE)
    long = {part for part in after if part.startswith("day") or part == "seen"}
    assert len(long) == DAYS + 1
    assert {part for part in long if within[part] != before[part]} == set()
    assert {part for part in long if after[part] != within[part]} == {"day0", "seen"}
    assert within["hour"] != before["hour"]


def test_long_rows_cost_what_is_stated() -> None:
    """1,368 bytes a series, beside 584 of the row of robust z with its running hour."""
    bank = Remembering(RobustBank())
    assert (bank.long.itemsize, bank.dtype.itemsize) == (1368, 584)


@pytest.mark.parametrize("value", [1e100, -1e100, 5e-324, 0.0])
def test_memory_of_extreme_values_stays_finite(value: float) -> None:
    """What single precision cannot hold counts as the largest that it can."""
    watch = Watch()
    for hour in range(DAYS * HOURS):
        watch.see(hour * 60, value if hour % 2 else 1.0)
    rows = watch.columns.peek(ONE, np.array([DAYS * HOURS * HOUR]))
    assert np.abs(rows["usual"]).max() <= LARGEST_FLOAT * 1.0001
    assert np.isfinite(watch.bank.bands(rows, np.array([DAYS * HOURS * HOUR]))).all()


def test_a_clock_that_is_set_back_is_survived() -> None:
    """Hours that come again are noted again; nothing is raised."""
    watch = Watch()
    for minute in [0, 30, 90, 3000, 100, 40, 10_000_000, 20]:
        assert 0.0 <= watch.see(minute, 10.0) <= 1.0
