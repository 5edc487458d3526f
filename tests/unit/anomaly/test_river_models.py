"""River's models by their name and parameters."""

import random
from collections.abc import Iterator

import pytest
import river.anomaly
import structlog.testing

from services.anomaly.model import river_models
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.river_models import river_detector
from services.common.errors import SettingsInvalid


@pytest.fixture(autouse=True)
def _nothing_said() -> Iterator[None]:
    """What was said once by another test may be said again."""
    river_models._say_cold.cache_clear()
    yield
    river_models._say_cold.cache_clear()


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("LocalOutlierFactor", "LocalOutlierFactor, "),
        ("river.anomaly.Nothing", "one of GaussianScorer"),
        ("river.anomaly.QuantileFilter", "one of GaussianScorer"),
        ("river.anomaly.LODA?n_bin=3", "'n_bin'; wanted some of n_bins"),
        ("river.anomaly.LODA?n_bins=many", "n_bins='many'; wanted a value like 10"),
        ("river.anomaly.LODA?n_bins=2.5", "n_bins=2.5; wanted a value like 10"),
        ("river.anomaly.LODA?n_bins=0", "n_bins=0; wanted a value like 10"),
        ("river.anomaly.OneClassSVM?nu=nan", "nu=nan; wanted a value like 0.1"),
        ("river.anomaly.LODA?n_bins", "wanted name=value"),
        ("river.anomaly.LocalOutlierFactor?engine=fast", "does not work"),
        ("river.anomaly.PredictiveAnomalyDetection", "does not work"),
    ],
)
def test_a_model_that_cannot_be_made_is_refused(text: str, word: str) -> None:
    """Naming the thing, what was seen, what was wanted and what to do."""
    with pytest.raises(SettingsInvalid, match="in the settings") as caught:
        river_detector(text)
    assert repr(text) in str(caught.value)
    assert word in str(caught.value)


def test_a_model_without_an_encoding_says_once_that_it_restarts_cold() -> None:
    """However many entities have one."""
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            river_detector("river.anomaly.LODA?n_random_cuts=5")
        river_detector("river.anomaly.OneClassSVM")
    assert [entry["event"] for entry in logs] == ["detector_restarts_cold"]
    assert logs[0]["detector"] == "river.anomaly.LODA?n_random_cuts=5"


def test_parameters_reach_the_model() -> None:
    """Under our names, with River's defaults for those that are not given."""
    trees = river_detector("river.anomaly.HalfSpaceTrees?n_trees=3&height=4")
    assert isinstance(trees, EntityTrees)
    for _ in range(40):
        trees.learn_one({"load": 1.0, "memory": 2.0})
    assert (len(trees._model.trees), trees._model.height, trees._model.window_size) == (3, 4, 250)


def test_the_plane_is_rivers() -> None:
    """The same weights as River's model fed with the same standardised vectors, save and load in between."""
    ours, draw = river_detector("river.anomaly.OneClassSVM?nu=0.3"), random.Random(1)
    again = river_detector("river.anomaly.OneClassSVM?nu=0.3")
    model = river.anomaly.OneClassSVM(nu=0.3)
    for number in range(120):
        x = {"load": draw.gauss(2, 1), "memory": draw.gauss(100, 9)}
        if number >= 24:
            model.learn_one(ours._vector(x))  # type: ignore[attr-defined]
        ours.learn_one(x)
        again.load(ours.save())
        ours, again = again, ours
    assert ours._model.weights == pytest.approx(model.weights)  # type: ignore[attr-defined]
    assert ours._model.intercept == pytest.approx(model.intercept)  # type: ignore[attr-defined]


def test_a_model_that_fails_on_a_vector_raises_nothing() -> None:
    """A division by nothing is as far out as can be; no number says nothing."""
    detector = river_detector("river.anomaly.LODA?n_random_cuts=5")
    for number in range(120):
        detector.learn_one({"load": float(number % 7)})
    for answer, score in ((ZeroDivisionError(), 1.0), (float("nan"), 0.0), (float("inf"), 1.0)):
        detector._model = Answers(answer)  # type: ignore[attr-defined]
        assert detector.score_one({"load": 3.0}) == score


class Answers:
    """A model that always says the same."""

    def __init__(self, answer: float | Exception) -> None:
        self._answer = answer

    def score_one(self, x: dict[str, float]) -> float:
        """Or raises it."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer
