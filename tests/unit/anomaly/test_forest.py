"""Isolation Forest as a second opinion on an entity."""

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest

from services.anomaly.model.forest import BLOCK, MAX_FEATURES, EntityForest, fit

FAR = {"load": 30.0, "memory": -400.0}


def vectors(number: int, seed: int = 1) -> list[dict[str, float]]:
    """Two features that go about their business."""
    draw = np.random.default_rng(seed)
    return [{"load": load, "memory": memory} for load, memory in draw.normal((2, 100), (1, 9), (number, 2)).tolist()]


def make_forest(number: int) -> EntityForest:
    """A small one that has learnt so many vectors: fitted each 32, in use 8 later."""
    forest = EntityForest(window=64, refit_every=32, delay=8, num_trees=10)
    for x in vectors(number):
        forest.learn_one(x)
    return forest


@pytest.mark.parametrize("sample", [2, 50, 128])
def test_scores_are_scikit_learns(sample: int) -> None:
    """Of values in the window's span and beyond, however many samples a tree has."""
    draw = np.random.default_rng(2)
    kept = draw.normal(5, 2, (100, 4))
    forest = fit(kept, num_trees=20, sample=sample, seed=3)
    low, high = kept.min(axis=0), kept.max(axis=0)
    rival = IsolationForest(n_estimators=20, max_samples=min(sample, 100), random_state=3)
    rival.fit(((kept - low) / (high - low)).astype(np.float32))
    asked = np.vstack([kept, draw.normal(5, 9, (200, 4))])
    expected = -rival.score_samples(((asked - low) / (high - low)).astype(np.float32))
    assert forest.score(asked) == pytest.approx(expected, abs=1e-12)


def test_many_at_once_score_as_each_by_itself() -> None:
    """To the bit: micro-batches are for speed only. Without a known feature there is nothing to say."""
    forest = make_forest(50)
    many = [*vectors(40, seed=5), FAR, {}, {"load": 2.0}, {"other": 1.0}]
    scores = forest.score_many(many)
    assert scores == [forest.score_one(x) for x in many]
    assert (scores[41], scores[43]) == (0.0, 0.0)


def test_a_new_forest_comes_into_use_at_its_turn() -> None:
    """Eight vectors after the one it was begun with, neither earlier nor later, however fast it was fitted."""
    forest, scores = make_forest(0), []
    for x in vectors(120):
        forest.learn_one(x)
        scores.append(forest.score_one(FAR))
    changes = [number + 1 for number in range(1, 120) if scores[number] != scores[number - 1]]
    assert changes == [40, 72, 104]


@pytest.mark.parametrize("number", [31, 32, 39, 40, 41, 70, 200])
def test_a_restart_goes_on_with_the_same_forests(number: int) -> None:
    """Fitted again from the window: also one that was begun and not yet in use."""
    one, two = make_forest(number), make_forest(0)
    two.load(one.save())
    for x in vectors(50, seed=3):
        assert one.score_one(FAR) == two.score_one(FAR)
        one.learn_one(x)
        two.learn_one(x)


def test_one_block_is_written_with_each_vector() -> None:
    """The others stay as they are; all together they are what is stated."""
    forest = make_forest(150)
    before = forest.save()
    forest.learn_one(FAR)
    after = forest.save()
    assert {name for name in after if after[name] != before[name]} == {"num", "block02"}
    num_blocks = -(-(64 + 32 + 8) // BLOCK)
    assert sum(map(len, after.values())) < num_blocks * BLOCK * 2 * 8 + 300


def test_a_feature_that_comes_or_goes_is_survived() -> None:
    """A new one is in the next forest, one that is gone for a whole window in none; the rest judge on."""
    forest = make_forest(100)
    for x in vectors(100, seed=4):
        forest.learn_one({"load": x["load"], "new": 7.0})
    assert forest.score_one({"load": 2.0, "new": 99.0}) > 0.0
    assert forest.score_one({"memory": 100.0}) == 0.0


def test_more_features_than_it_looks_at_are_left_out() -> None:
    """Its window stays bounded."""
    forest = make_forest(0)
    for _ in range(50):
        forest.learn_one({f"metric_{number}": float(number) for number in range(3 * MAX_FEATURES)})
    assert forest.score_one({"metric_0": 5.0}) > 0.0
    assert len(forest.save()["block00"]) < BLOCK * MAX_FEATURES * 8 + 20
