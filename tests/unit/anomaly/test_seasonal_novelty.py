"""Range novelty over five aspects, one of which remembers the day before."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.bank import Floats, Rows
from services.anomaly.model.seasonal_novelty import DAY, SeasonalNovelty

BANK = SeasonalNovelty()
STEP = 300_000_000
A_DAY = DAY // STEP
START = 1_800_000_000_000_000 // DAY * DAY


def times(begin: int, number: int) -> np.ndarray:
    """Every five minutes."""
    return START + np.arange(begin, begin + number) * STEP


def days(number: float, seed: int = 1) -> Floats:
    """Busy by day and idle by night, a little different each time."""
    steps = np.arange(int(number * A_DAY))
    return 50 + 40 * np.sin(2 * np.pi * steps / A_DAY) + np.random.default_rng(seed).normal(0, 1, len(steps))


def taught(values: Floats, begin: int = 0) -> Rows:
    """One series' row after these values."""
    rows = np.zeros(1, BANK.dtype)
    for value, time in zip(values, times(begin, len(values)), strict=True):
        BANK.learn(rows, np.array([value]), np.array([time]))
    return rows


def scores(rows: Rows, values: Floats, begin: int) -> list[float]:
    """Of one value after the other, each learnt when it was scored."""
    found = []
    for value, time in zip(values, times(begin, len(values)), strict=True):
        found.append(float(BANK.score(rows, np.array([value]), np.array([time]))[0]))
        BANK.learn(rows, np.array([value]), np.array([time]))
    return found


def test_a_value_beyond_a_quarter_of_the_range_crosses_the_line() -> None:
    """And one within the range, as usual after the one before, scores next to nothing."""
    rows = taught(np.tile(np.repeat([0.0, 8.0], 12), 5))
    found = [BANK.score(rows, np.array([value]), times(120, 1))[0] for value in (0.0, 10.0, 10.1, -2.1)]
    assert found[0] < 0.01
    assert np.isclose(found[1], 0.5)
    assert min(found[2:]) > 0.5


def test_a_night_as_busy_as_the_day_is_news() -> None:
    """Every value was seen often, at another time of day."""
    usual = days(4)
    rows = taught(usual)
    night = np.concatenate([days(5)[4 * A_DAY : 4 * A_DAY + 150], np.full(60, 80.0)])
    assert max(scores(rows, night, 4 * A_DAY)[150:]) > 0.5


def test_a_day_like_any_other_is_none() -> None:
    """Half an hour later or earlier in the day is no matter either."""
    rows = taught(days(4))
    again = days(6, seed=2)
    assert max(scores(rows, again[4 * A_DAY : 5 * A_DAY], 4 * A_DAY)) < 0.5


def test_departures_say_nothing_before_a_day_of_them_is_known() -> None:
    """On the second day only some times of day have been compared with the first."""
    values = np.concatenate([days(1), np.full(A_DAY - 20, 50.0)])
    rows = taught(values[:A_DAY])
    BANK.learn(rows, np.array([50.0]), times(A_DAY, 1))
    assert max(scores(rows, values[A_DAY + 1 :], A_DAY + 1)) < 0.5


def test_a_series_that_comes_once_a_day_has_departures() -> None:
    """The same half hour of the day before is known although nothing came between."""
    rows = np.zeros(1, BANK.dtype)
    for day in range(40):
        BANK.learn(rows, np.array([float(day % 3)]), np.array([START + day * DAY]))
    assert rows["num_departures"][0] == 39
    assert np.isfinite(BANK.score(rows, np.array([1.0]), np.array([START + 40 * DAY])))[0]


def test_a_series_is_judged_as_if_alone() -> None:
    """Beside any others, learnt and scored to the same bits."""
    draws = [days(3, seed) * size for seed, size in ((1, 1.0), (2, 1e9), (3, 1e-9))]
    together = np.zeros(3, BANK.dtype)
    for values, time in zip(zip(*draws, strict=True), times(0, 3 * A_DAY), strict=True):
        BANK.learn(together, np.array(values), np.full(3, time))
    alone = np.concatenate([taught(draw) for draw in draws])
    assert together.tobytes() == alone.tobytes()


def test_scoring_changes_nothing() -> None:
    """The row is the same bytes afterwards."""
    rows = taught(days(2))
    before = rows.tobytes()
    BANK.score(rows, np.array([1e9]), times(2 * A_DAY, 1))
    BANK.bands(rows, times(2 * A_DAY, 1))
    BANK.seen(rows)
    assert rows.tobytes() == before


WILD = st.one_of(st.floats(-1e100, 1e100), st.sampled_from([0.0, 1e100, -1e100, 5e-324]))
PAUSES = st.integers(1, 3 * DAY)


@settings(max_examples=40, deadline=None)
@given(seen=st.lists(st.tuples(WILD, PAUSES), min_size=1, max_size=80))
def test_scores_are_finite_whatever_comes(seen: list[tuple[float, int]]) -> None:
    """Between 0 and 1, at whatever times."""
    rows, time = np.zeros(1, BANK.dtype), START
    for value, pause in seen:
        time += pause
        score = BANK.score(rows, np.array([value]), np.array([time]))
        assert 0.0 <= score[0] <= 1.0
        BANK.learn(rows, np.array([value]), np.array([time]))


def test_a_value_outside_the_band_is_one_beyond_the_line() -> None:
    """By whichever aspect; only a lower scatter than ever has no place in a band."""
    usual = days(5)
    rows = taught(usual[: 4 * A_DAY])
    draw, num_outside = np.random.default_rng(3), 0
    for place in range(4 * A_DAY, 5 * A_DAY):
        time = times(place, 1)
        low, center, high = (edge[0] for edge in BANK.bands(rows, time))
        assert low <= center <= high
        for value in usual[place] + draw.normal(0, 40, 5):
            score = BANK.score(rows, np.array([value]), time)[0]
            assert (score > 0.5) == (not low <= value <= high)
            num_outside += score > 0.5
        BANK.learn(rows, usual[place : place + 1], time)
    assert 100 < num_outside < 1300


def test_a_jump_leaves_only_the_usual_value_inside() -> None:
    """When no value brings all aspects back at once, the band is still a band."""
    rows = taught(np.concatenate([np.tile([1.0, 2.0], 50), [1e6]]))
    low, center, high = (edge[0] for edge in BANK.bands(rows, times(101, 1)))
    assert low <= center <= high
    assert np.isfinite([low, center, high]).all()
