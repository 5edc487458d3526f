"""Banks give River's own scores."""

import random

import numpy as np
import pytest
import river.anomaly
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.columns import Columns
from services.anomaly.model.half_space_trees import NUM_TO_DRAW
from services.anomaly.model.moment_banks import DeviationBank, GaussianBank
from services.anomaly.model.tree_bank import TreeBank
from services.common.errors import ArtifactMismatch

VALUES = st.lists(st.floats(-1e100, 1e100) | st.sampled_from([0.0, 1e100, -1e100, 5e-324, 7.0]), max_size=80)
ONE = np.zeros(1, np.int64)


def close(score: float, other: float) -> bool:
    """To a billionth, or for very large ones to a billionth of them."""
    return abs(score - other) <= 1e-9 * max(1.0, abs(other))


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_absolute_deviation_is_rivers(values: list[float]) -> None:
    """Of any values, from the first on."""
    bank, model = DeviationBank(), river.anomaly.StandardAbsoluteDeviation()
    row = np.zeros(1, bank.dtype)
    for value in values:
        assert close(bank.river_score(row, np.array([value]))[0], model.score_one(None, value))
        bank.learn(row, np.array([value]), ONE)
        model.learn_one(None, value)


@settings(max_examples=100, deadline=None)
@given(VALUES)
def test_the_gaussian_score_is_rivers(values: list[float]) -> None:
    """Of any values, before and after the grace period."""
    bank, model = GaussianBank(min_samples=5), river.anomaly.GaussianScorer(grace_period=5)
    row = np.zeros(1, bank.dtype)
    for value in values:
        assert close(bank.river_score(row, np.array([value]))[0], model.score_one(None, value))
        bank.learn(row, np.array([value]), ONE)
        model.learn_one(None, value)


@pytest.mark.parametrize(("bank", "edge"), [(DeviationBank(3.0), 3.0), (GaussianBank(0.9973), 0.9973)])
def test_a_score_is_half_at_the_edge_of_its_band(bank: DeviationBank | GaussianBank, edge: float) -> None:
    """Which is where River's score is at the line."""
    rows = np.zeros(2, bank.dtype)
    draw = np.random.default_rng(1)
    for _ in range(100):
        bank.learn(rows, draw.normal(5, 2, 2), np.zeros(2, np.int64))
    for edges in (bank.bands(rows, ONE).low, bank.bands(rows, ONE).high):
        assert bank.score(rows, edges, ONE) == pytest.approx(0.5)
        assert bank.river_score(rows, edges) == pytest.approx(edge)


def test_a_constant_series_is_no_news_by_itself() -> None:
    """River's scorer calls it an anomaly; any other value is one here."""
    bank = GaussianBank()
    rows = np.zeros(1, bank.dtype)
    for _ in range(40):
        bank.learn(rows, np.array([3.0]), ONE)
    assert bank.score(rows, np.array([3.0]), ONE) == 0.0
    assert bank.score(rows, np.array([3.1]), ONE) == 1.0


def trees_scores(bank: TreeBank, seed: int, series: list[list[float]], window: int) -> None:
    """Every series beside a model of River's of its own: the same scores, to the bit."""
    models = [river.anomaly.HalfSpaceTrees(n_trees=10, height=8, window_size=window, seed=seed) for _ in series]
    rows = np.zeros(len(series), bank.dtype)
    times = np.zeros(len(series), np.int64)
    for values in zip(*series, strict=True):
        column = np.array(values)
        expected = [model.score_one({"x": value}) for model, value in zip(models, values, strict=True)]
        assert bank.river_score(rows, column).tolist() == expected
        bank.learn(rows, column, times)
        for model, value in zip(models, values, strict=True):
            model.learn_one({"x": value})


@pytest.mark.parametrize(("seed", "window"), [(1, 250), (7, 40), (3, 300)])
def test_half_space_trees_are_rivers(seed: int, window: int) -> None:
    """Ten trees of height eight, over two and a half windows; series of four kinds, one of splits."""
    draw = random.Random(seed)
    bank = TreeBank(window=window, seed=seed, limits=(0.0, 1.0))
    steps = window * 5 // 2
    series = [
        [draw.random() for _ in range(steps)],
        [draw.gauss(0.5, 0.01) for _ in range(steps)],
        [draw.choice([0.25, 0.75, -3.0, 1e100]) for _ in range(steps)],
        [float(draw.choice(bank._edges)) for _ in range(steps)],
    ]
    trees_scores(bank, seed, series, window)


def test_the_first_values_of_a_series_are_its_limits() -> None:
    """With half their span to spare on each side; then it scores what River does between those limits."""
    draw = random.Random(4)
    values = [draw.gauss(1000, 30) for _ in range(200)]
    first, rest = values[:NUM_TO_DRAW], values[NUM_TO_DRAW:]
    room = 0.5 * (max(first) - min(first))
    low, high = min(first) - room, max(first) + room
    bank, model = TreeBank(window=50), river.anomaly.HalfSpaceTrees(window_size=50, seed=1)
    row = np.zeros(1, bank.dtype)
    for value in first:
        bank.learn(row, np.array([value]), ONE)
    for value in rest:
        assert bank.river_score(row, np.array([value]))[0] == model.score_one({"x": (value - low) / (high - low)})
        bank.learn(row, np.array([value]), ONE)
        model.learn_one({"x": (value - low) / (high - low)})


def test_rows_of_other_trees_are_refused() -> None:
    """What they hold means nothing with other splits."""
    one, other = Columns(TreeBank(seed=1)), Columns(TreeBank(seed=2))
    with pytest.raises(ArtifactMismatch, match="version"):
        other.load(other.add(1), one.save(one.add(1)))


def test_rows_of_trees_cost_what_is_stated() -> None:
    """3,080 bytes with River's defaults."""
    assert TreeBank().dtype.itemsize == 3080
