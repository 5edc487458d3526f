"""What every metric detector promises: services/anomaly/model/abstract.py."""

import copy
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.each import Each
from services.anomaly.model.forest import EntityForest
from services.anomaly.model.gaussian import GaussianEach
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.hours import Remembering
from services.anomaly.model.moment_banks import DeviationBank, GaussianBank
from services.anomaly.model.range_bank import RangeBank
from services.anomaly.model.range_novelty import RangeNovelty
from services.anomaly.model.river_models import river_detector
from services.anomaly.model.robust_bank import RobustBank
from services.anomaly.model.robust_z import RobustZ
from services.anomaly.model.seasonal_novelty import SeasonalNovelty
from services.anomaly.model.tree_bank import TreeBank
from services.anomaly.model.whole import EntityReconstruction
from services.common.errors import ArtifactMismatch

Make = Callable[[], MetricDetector]
MAKES: dict[str, Make] = {
    "range_novelty": RangeNovelty,
    "robust_z": RobustZ,
    "gaussian": GaussianEach,
    "half_space_trees": lambda: EntityTrees(window=50, num_trees=4),
    "range_bank": lambda: Each(RangeBank()),
    "robust_bank": lambda: Each(RobustBank()),
    "robust_bank_with_memory": lambda: Each(Remembering(RobustBank())),
    "range_bank_with_memory": lambda: Each(Remembering(RangeBank())),
    "absolute_deviation_bank": lambda: Each(DeviationBank()),
    "gaussian_bank": lambda: Each(GaussianBank()),
    "tree_bank": lambda: Each(TreeBank(window=50)),
    "seasonal_novelty": lambda: Each(SeasonalNovelty()),
    "reconstruction": EntityReconstruction,
    "river_half_space_trees": lambda: river_detector("river.anomaly.HalfSpaceTrees?n_trees=4&window_size=50"),
    "river_gaussian": lambda: river_detector("river.anomaly.GaussianScorer?grace_period=30"),
    "river_gaussian_in_a_window": lambda: river_detector("river.anomaly.GaussianScorer?window_size=150"),
    "river_absolute_deviation": lambda: river_detector("river.anomaly.StandardAbsoluteDeviation"),
    "river_one_class_svm": lambda: river_detector("river.anomaly.OneClassSVM?nu=0.2"),
    "river_local_outlier_factor": lambda: river_detector("river.anomaly.LocalOutlierFactor?n_neighbors=3"),
    "isolation_forest": lambda: EntityForest(num_trees=30),
    "river_loda": lambda: river_detector("river.anomaly.LODA?n_random_cuts=20"),
}
WILD = st.one_of(st.floats(), st.sampled_from([math.nan, math.inf, -math.inf, 0.0, -0.0, 1e308, -1e308, 5e-324]))
OBSERVATIONS = st.dictionaries(st.sampled_from(["load", "memory", "disk", "latency"]), WILD, max_size=4)


#: Series that have brought detectors down elsewhere.
HOSTILE: dict[str, list[float]] = {
    "constant": [7.0] * 150,
    "largest": [1e308, -1e308, 1e100] * 50,
    "denormal": [5e-324, 0.0, -5e-324] * 50,
    "steps": [10.0 ** (place % 100 - 20) for place in range(150)],
    "not_finite": [math.nan, math.inf, -math.inf, 1.0, 2.0] * 50,
    "jump": [1.0] * 100 + [1e100] * 50,
}


@pytest.fixture(params=MAKES)
def make(request: pytest.FixtureRequest) -> Make:
    """Each detector in turn."""
    return MAKES[request.param]


def restarts_cold(detector: MetricDetector) -> bool:
    """Whether it declares that it saves nothing."""
    return getattr(detector, "restarts_cold", False)


def normal(number: int, seed: int = 1) -> list[dict[str, float]]:
    """Three features that go about their business."""
    draw = random.Random(seed)
    return [
        {"load": 2 + math.sin(n / 9) + draw.gauss(0, 0.1), "memory": draw.gauss(100, 2), "errors": 0.0}
        for n in range(number)
    ]


PLANTED = {"load": 9.0, "memory": 160.0, "errors": 7.0}


def taught(make: Make, number: int = 200) -> MetricDetector:
    """A detector that has learnt what is normal."""
    detector = make()
    for x in normal(number):
        detector.learn_one(x)
    return detector


def test_a_planted_anomaly_outranks_normal_traffic(make: Make) -> None:
    """It scores above whatever normal traffic of another draw scores."""
    detector = taught(make)
    assert detector.score_one(PLANTED) > max(detector.score_one(x) for x in normal(100, seed=2))


def test_a_planted_anomaly_crosses_the_threshold(make: Make) -> None:
    """And lies beyond the line that the detector itself draws."""
    detector = taught(make)
    assert detector.score_one(PLANTED) > detector.threshold


def test_nothing_learnt_scores_zero(make: Make) -> None:
    """Who knows nothing says nothing, and expects nothing."""
    detector = make()
    assert detector.score_one(PLANTED) == 0.0
    assert detector.expected("load") is None


def test_scoring_learns_nothing(make: Make) -> None:
    """Scored a hundred times, the saved state is the same, and so is the score."""
    detector = taught(make)
    before = detector.save()
    scores = {detector.score_one(PLANTED) for _ in range(100)}
    assert detector.save() == before
    assert len(scores) == 1


def test_input_is_not_changed(make: Make) -> None:
    """Scoring and learning leave the observation as it is."""
    x = {**PLANTED, "gone": math.nan}
    before = copy.deepcopy(x)
    detector = taught(make)
    detector.score_one(x)
    detector.learn_one(x)
    assert list(x.items())[:3] == list(before.items())[:3]
    assert math.isnan(x["gone"])


def test_same_seed_gives_same_scores(make: Make) -> None:
    """Two detectors taught alike answer alike."""
    one, two = taught(make), taught(make)
    both = [*normal(50, seed=3), PLANTED]
    assert [one.score_one(x) for x in both] == [two.score_one(x) for x in both]


@pytest.mark.parametrize("number", [0, 5, 40, 77, 130])
def test_save_and_load_change_nothing(make: Make, number: int) -> None:
    """What is loaded from what was saved scores, learns and saves as the original, from whichever moment on.

    One that declares to restart cold does so: it is as new.
    """
    one, two = taught(make, number), make()
    two.load(one.save())
    one = make() if restarts_cold(one) else one
    for x in [*normal(120, seed=4), PLANTED]:
        assert one.score_one(x) == two.score_one(x)
        assert one.score_each(x) == two.score_each(x)
        one.learn_one(x)
        two.learn_one(x)
    assert one.save() == two.save()


def test_new_and_missing_features_survive(make: Make) -> None:
    """A feature that comes or goes is neither an error nor by itself an anomaly."""
    detector = taught(make)
    calm = detector.score_one({"load": 2.0})
    assert calm <= detector.threshold
    assert detector.score_one({}) == 0.0
    detector.learn_one({"quite": 1.0, "new": 2.0})
    assert detector.score_one({"quite": 1.0}) <= detector.threshold


def test_a_forgotten_feature_is_learnt_anew(make: Make) -> None:
    """By detectors of single features: nothing is expected of it until enough came again."""
    detector = taught(make)
    detector.forget(["load"])
    assert detector.expected("load") is None
    assert "load" not in {name for name, score in detector.score_each(PLANTED).items() if score > 0}


def test_values_that_are_not_finite_are_as_good_as_missing(make: Make) -> None:
    """They teach nothing and raise nothing."""
    one, two = taught(make), taught(make)
    one.learn_one({"load": math.nan, "memory": math.inf, "errors": -math.inf})
    two.learn_one({})
    assert one.save() == two.save()
    assert one.score_one({"load": math.nan}) == 0.0


def test_state_of_something_else_is_refused(make: Make) -> None:
    """Missing parts, another version and other bytes each say what to do."""
    saved = taught(make).save()
    parts = saved or {"other": b""}
    for broken in ({}, dict.fromkeys(parts, b"\xc1"), dict.fromkeys(parts, b"\x92\x63\x90")):
        if broken == saved:
            continue  # of one that saves nothing
        with pytest.raises(ArtifactMismatch):
            make().load(broken)


def test_who_saves_nothing_says_so(make: Make) -> None:
    """And nobody else does."""
    detector = taught(make)
    assert restarts_cold(detector) == (not detector.save())


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_series_are_survived(make: Make, kind: str) -> None:
    """Beside a calm one, scored and learnt: finite, in [0, 1], and nothing is raised."""
    detector, draw = make(), random.Random(1)
    for value in HOSTILE[kind]:
        x = {"load": value, "memory": draw.gauss(100, 2)}
        scores = [detector.score_one(x), *detector.score_each(x).values()]
        assert all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in scores)
        detector.learn_one(x)


@pytest.mark.parametrize("name", MAKES)
@settings(max_examples=25, deadline=None)
@given(seen=st.lists(OBSERVATIONS, max_size=60))
def test_scores_are_finite_and_between_zero_and_one(name: str, seen: list[dict[str, float]]) -> None:
    """Whatever comes, before and after saving."""
    detector, again = MAKES[name](), MAKES[name]()
    for x in seen * 2:
        scores = [detector.score_one(x), *detector.score_each(x).values()]
        assert all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in scores)
        detector.learn_one(x)
    again.load(detector.save())
    detector = MAKES[name]() if restarts_cold(detector) else detector
    assert [again.score_one(x) for x in seen] == [detector.score_one(x) for x in seen]
