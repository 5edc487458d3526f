"""One calibrated score: as rare as it says."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.conformal import CONFORMAL_DTYPE, KEPT, RAREST, Conformal, calibrated, nonconformity
from services.anomaly.model.slots import Slots


def p_values(scores: np.ndarray, conformal: Conformal | None = None) -> np.ndarray:
    """Each score's, (time, entity), by those before it."""
    conformal = conformal or Conformal()
    rows = np.zeros(scores.shape[1], CONFORMAL_DTYPE)
    found = []
    for row in scores:
        found.append(conformal.p_values(rows, row))
        conformal.learn(rows, row)
    return np.array(found)


def bounds(share: float, num: int) -> float:
    """What a share of so many may come to at most, by four standard deviations of a binomial."""
    return share + 4 * math.sqrt(share * (1 - share) / num)


DRAWS = {
    "gauss": lambda draw, size: np.abs(draw.standard_normal(size)),
    "cauchy": lambda draw, size: np.abs(draw.standard_cauchy(size)),
    "exponential": lambda draw, size: draw.exponential(size=size),
    "ties": lambda draw, size: draw.integers(0, 4, size).astype(float),
}


@pytest.mark.parametrize("name", DRAWS)
def test_exchangeable_scores_are_as_rare_as_they_say(name: str) -> None:
    """The share of p-values of a or less is at most a, for any distribution, down to what 256 scores know."""
    p = p_values(DRAWS[name](np.random.default_rng(1), (1500, 100)))[KEPT:]
    for share in (0.5, 0.1, 0.05, 0.02, 0.01, 1 / KEPT):
        assert np.mean(p <= share) <= bounds(share, p.size / 20)  # scores of one entity share their store


@pytest.mark.parametrize(("name", "factor"), [("gauss", 1.0), ("exponential", 1.0), ("cauchy", 2.5)])
def test_the_tail_goes_on_beyond_what_was_seen(name: str, factor: float) -> None:
    """One in a thousand and one in ten thousand are about that rare; of the wildest within a small factor."""
    p = p_values(DRAWS[name](np.random.default_rng(2), (3000, 100)))[KEPT:]
    for share in (1e-3, 1e-4):
        assert np.mean(p <= share) <= factor * bounds(share, p.size / 20)


def test_after_slow_growth_of_the_scores_it_recovers() -> None:
    """Scores grow tenfold over two thousand: while they do too many are rare, a store later no more than say so."""
    draw = np.abs(np.random.default_rng(3).standard_normal((4000, 60)))
    size = np.concatenate([np.ones(500), np.geomspace(1, 10, 2000), np.full(1500, 10.0)])
    p = p_values(draw * size[:, None])
    assert np.mean(p[600:2400] <= 0.01) < 0.04
    late = p[2500 + KEPT :]
    assert np.mean(late <= 0.01) <= bounds(0.01, late.size / 20)


def test_few_scores_make_nothing_rare() -> None:
    """Before 64 every p-value is 1, however far out."""
    conformal, rows = Conformal(), np.zeros(1, CONFORMAL_DTYPE)
    for _ in range(63):
        conformal.learn(rows, np.ones(1))
    assert conformal.p_values(rows, np.array([1e9]))[0] == 1.0
    conformal.learn(rows, np.ones(1))
    assert conformal.p_values(rows, np.array([1e9]))[0] < 1 / 64


def test_a_longer_memory_keeps_one_in_so_many() -> None:
    """The same store, four times as long."""
    conformal, rows = Conformal(every=4), np.zeros(1, CONFORMAL_DTYPE)
    for at in range(400):
        conformal.learn(rows, np.array([float(at)]))
    assert rows["num"][0] == 100
    assert rows["scores"][0, 99] == 396


def test_the_score_is_a_half_at_the_line() -> None:
    """0 for what is usual, towards 1 beyond, and never above."""
    scores = calibrated(np.array([1.0, 0.01, 1e-3, 1e-6, 0.0]), 1e-3)
    assert scores[0] == 0
    assert scores[2] == pytest.approx(0.5)
    assert np.all(np.diff(scores) > 0)
    assert scores[-1] < 1
    with pytest.raises(ValueError, match="between 0 and 1"):
        calibrated(np.ones(1), 1.0)


def test_an_entity_costs_about_a_kilobyte_and_is_saved_by_fields() -> None:
    """What is loaded judges as what was saved."""
    assert CONFORMAL_DTYPE.itemsize == 1032
    one, two = (Slots("conformal", CONFORMAL_DTYPE) for _ in range(2))
    slots = one.add(2)
    rows = one.take(slots)
    for score in np.random.default_rng(1).random((300, 2)):
        Conformal().learn(rows, score)
    one.put(slots, rows)
    two.load(two.add(2), one.save(slots))
    asked = np.array([0.2, 5.0])
    assert Conformal().p_values(two.take(slots), asked).tolist() == Conformal().p_values(rows, asked).tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=90), st.floats(0, 1))
def test_whatever_detectors_score_a_p_value_is_one(scores: list[float], asked: float) -> None:
    """In [RAREST, 1], and a larger score is never less rare."""
    conformal, rows = Conformal(), np.zeros(1, CONFORMAL_DTYPE)
    for score in scores:
        conformal.learn(rows, nonconformity(np.array([score])))
    low, high = sorted([asked, 0.7])
    p = [conformal.p_values(rows, nonconformity(np.array([score])))[0] for score in (low, high)]
    assert RAREST <= p[1] <= p[0] <= 1.0
