"""Many entities' half-space trees at once against River's own, entity by entity."""

import math
import random

import numpy as np
import pytest

from services.anomaly.model.half_space_forest import HalfSpaceForest, Trees
from services.anomaly.model.half_space_trees import EntityTrees
from services.common.errors import ArtifactMismatch

NAMES = ("disk", "load", "memory")


def observation(draw: random.Random, missing: float = 0.0) -> dict[str, float]:
    """Some features of an entity."""
    return {name: draw.gauss(place, 1.0) for place, name in enumerate(NAMES) if draw.random() >= missing}


def teach(forest: HalfSpaceForest, trees: Trees, observations: list[dict[str, float]], together: int) -> None:
    """Lets trees learn, so many observations in one call once they are drawn."""
    while observations and trees.place < 0:
        forest.look(trees, observations.pop(0))
    for begin in range(0, len(observations), together):
        part = observations[begin : begin + together]
        x = np.array([[each.get(name, math.nan) for name in trees.limits] for each in part])
        forest.learn([trees] * len(part), (x - trees.low) / (trees.high - trees.low))


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("together", [1, 37, 1000])
def test_scores_are_rivers_own(missing: float, together: int) -> None:
    """However many observations are learnt together, and with features missing, which follow the common branch."""
    draw = random.Random(together)
    seen = [observation(draw) for _ in range(24)] + [observation(draw, missing) for _ in range(306)]
    forest, trees, river = HalfSpaceForest(), Trees(), EntityTrees()
    for x in seen:
        river.learn_one(x)
    teach(forest, trees, list(seen), together)
    asked = [observation(draw, missing) for _ in range(20)] + [{"load": 99.0}, {}]
    assert [forest.score(trees, x) for x in asked] == [river.score_one(x) for x in asked]


def test_entities_learn_side_by_side_as_each_by_itself() -> None:
    """With different features and windows that end at different times."""
    draw = random.Random(1)
    forest, together, alone = HalfSpaceForest(), [Trees(), Trees()], [Trees(), Trees()]
    seen = [[observation(draw) for _ in range(24 + 90 * n)] for n in (1, 3)]
    for trees, again, own in zip(together, alone, seen, strict=True):
        teach(forest, trees, own[:24], 1)
        teach(forest, again, list(own), 50)
    for n in range(90 * 3):
        turn = [(trees, own[24 + n]) for trees, own in zip(together, seen, strict=True) if 24 + n < len(own)]
        x = np.array([[(x[k] - low) / (high - low) for k, (low, high) in trees.limits.items()] for trees, x in turn])
        forest.learn([trees for trees, _ in turn], x)
    x = observation(draw)
    assert [forest.score(trees, x) for trees in together] == [forest.score(trees, x) for trees in alone]


@pytest.mark.parametrize("number", [5, 24, 60, 200])
def test_what_is_saved_goes_on_as_if_it_had_never_stopped(number: int) -> None:
    """From whichever moment on."""
    draw = random.Random(number)
    seen, later = [observation(draw) for _ in range(number)], [observation(draw) for _ in range(150)]
    forest, trees, after = HalfSpaceForest(), Trees(), HalfSpaceForest()
    teach(forest, trees, list(seen), 10)
    again = after.load(forest.save([trees])[0])
    teach(forest, trees, list(later), 10)
    teach(after, again, list(later), 10)
    assert after.score(again, seen[0]) == forest.score(trees, seen[0])
    last, first = after.save([again])[0], forest.save([trees])[0]
    assert {part: last[part] for part in ("drawn", "window")} == {part: first[part] for part in ("drawn", "window")}


def test_trees_of_another_river_are_refused() -> None:
    """They are drawn anew from the seed, and must be the same ones."""
    draw = random.Random(3)
    forest, trees = HalfSpaceForest(), Trees()
    teach(forest, trees, [observation(draw) for _ in range(30)], 10)
    parts = forest.save([trees])[0]
    with pytest.raises(ArtifactMismatch, match="other half-space trees"):
        HalfSpaceForest().load({**parts, "drawn": parts["drawn"][:-3] + b"abc"})
