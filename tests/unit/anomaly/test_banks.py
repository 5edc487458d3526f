"""Banks score as the detectors of single series that they stand for."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.bank import Bank, clean
from services.anomaly.model.hours import Remembering
from services.anomaly.model.range_bank import RangeBank
from services.anomaly.model.range_novelty import RangeNovelty
from services.anomaly.model.robust_bank import RobustBank
from services.anomaly.model.robust_z import RobustZ

WILD = st.one_of(
    st.floats(), st.integers(-3, 3).map(float), st.sampled_from([0.0, -0.0, 1e308, -1e308, 1e100, 5e-324, 1.0])
)
PAIRS: dict[str, tuple[Callable[[], MetricDetector], Callable[[], Bank]]] = {
    "range_novelty": (lambda: RangeNovelty(min_samples=5), lambda: RangeBank(min_samples=5)),
    "range_novelty_without_margin": (lambda: RangeNovelty(0.0, 1), lambda: RangeBank(0.0, 1)),
    "robust_z": (lambda: RobustZ(min_samples=5), lambda: RobustBank(min_samples=5)),
    "robust_z_at_once": (lambda: RobustZ(3.0, 1), lambda: RobustBank(3.0, 1)),
    "robust_z_with_memory": (lambda: RobustZ(min_samples=5), lambda: Remembering(RobustBank(min_samples=5))),
}


def near(one: float, other: float) -> bool:
    """Equal but for the last bits."""
    return one == other or math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-12)


def follow(detector: MetricDetector, bank: Bank, values: list[float]) -> None:
    """Both judge and learn each value, and say the same of it."""
    row = np.zeros(1, bank.dtype)
    time = np.zeros(1, np.int64)
    for value in values:
        (held,) = clean(np.array([value]))
        if np.isnan(held):
            continue
        (score,) = bank.score(row, np.array([held]), time)
        assert near(score, detector.score_one({"x": value}))
        band, expected = bank.bands(row, time), detector.expected("x")
        assert (
            np.isnan(band.center[0]) if expected is None else all(map(near, [edge.item() for edge in band], expected))
        )
        bank.learn(row, np.array([held]), time)
        detector.learn_one({"x": value})


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=60, deadline=None)
@given(st.lists(WILD, max_size=150))
def test_a_bank_judges_as_the_detector_of_one_series(pair: str, values: list[float]) -> None:
    """The same scores and bands, whatever comes."""
    detector, bank = (make() for make in PAIRS[pair])
    follow(detector, bank, values)


@pytest.mark.parametrize("pair", PAIRS)
def test_a_bank_judges_a_long_series_as_its_detector_does(pair: str) -> None:
    """Past the point where kept values were thinned out three times."""
    draw = np.random.default_rng(1)
    detector, bank = (make() for make in PAIRS[pair])
    follow(detector, bank, draw.standard_t(2, 600).tolist())


@pytest.mark.parametrize("pair", PAIRS)
@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.integers(1, 90), st.integers(0, 2**32))
def test_a_series_is_judged_as_if_it_were_alone(pair: str, series: int, steps: int, seed: int) -> None:
    """To the bit, whichever others stand in the same call, of whatever age."""
    draw = np.random.default_rng(seed)
    bank = PAIRS[pair][1]()
    together, alone = np.zeros(series, bank.dtype), np.zeros(series, bank.dtype)
    for step in range(steps):
        some = np.flatnonzero(draw.random(series) < 0.7)
        values, times = draw.standard_cauchy(len(some)), np.full(len(some), step)
        rows = together[some]
        bank.learn(rows, values, times)
        together[some] = rows
        for slot, value, time in zip(some, values, times, strict=True):
            bank.learn(alone[slot : slot + 1], np.array([value]), np.array([time]))
    values, times = draw.standard_cauchy(series), np.zeros(series, np.int64)
    assert together.tobytes() == alone.tobytes()
    scores = [bank.score(alone[n : n + 1], values[n : n + 1], times[n : n + 1])[0] for n in range(series)]
    assert bank.score(together, values, times).tolist() == scores


def test_range_novelty_tells_what_it_has_seen() -> None:
    """The least and the most, NaN where that is nothing."""
    bank = RangeBank()
    rows = np.zeros(2, bank.dtype)
    for value in (3.0, -1.0, 2.0):
        bank.learn(rows[:1], np.array([value]), np.zeros(1, np.int64))
    low, high = bank.seen(rows)
    assert (low[0], high[0]) == (-1.0, 3.0)
    assert np.isnan([low[1], high[1]]).all()
