"""River's models behind our protocol: scores in [0, 1], whatever their own scale, and no exception for any value."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import msgspec

from services.anomaly.model.abstract import Band, Features, clean, ratio_score
from services.anomaly.model.half_space_trees import NUM_TO_DRAW
from services.anomaly.model.parts import decode_part, encode_part
from services.anomaly.model.robust_z import RobustZ
from services.common.errors import ArtifactMismatch

#: A standardised value counts as no more than this, so that sums and squares of it stay finite.
MOST = 100.0
#: To know what scores are usual, observations are scored before they are learnt: none of the first NUM_SILENT, when a
#: model still finds everything strange; then NUM_SCORED; then each STRIDE-th.
NUM_SILENT, NUM_SCORED, STRIDE = NUM_TO_DRAW + 32, 64, 8
#: Robust deviations of the usual scores that are news: few enough for models whose scores end somewhere, as LODA's.
LINE = 4.0
#: The model's score, as a feature of its own.
RAW = "raw"


class Scale(msgspec.Struct, array_like=True):
    """One feature, to be standardised: how many values, their mean, and their sum of squared deviations."""

    num: int = 0
    mean: float = 0.0
    squares: float = 0.0

    def learn(self, value: float) -> None:
        """Welford's step."""
        self.num += 1
        before = self.mean
        self.mean += (value - before) / self.num
        self.squares += (value - before) * (value - self.mean)

    def standard(self, value: float) -> float:
        """In deviations from the mean, within +-MOST; of a feature that stood still, any other value is far."""
        sigma = math.sqrt(self.squares / self.num) if self.squares > 0 else 0.0
        apart = value - self.mean
        far = apart / sigma if sigma else math.copysign(MOST, apart) if apart else 0.0
        return max(-MOST, min(MOST, far))


class RiverWhole:
    """A model over all features of an entity, standardised; it restarts cold.

    The first NUM_TO_DRAW observations tell which features there are; one that comes later is not looked at, one that
    is missing counts as usual. River's models score on scales of their own: 0.5 is LINE robust deviations above the
    middle of the scores that learnt observations had.

    Args:
        name: what its scores are shown under.
        make: River's model with nothing learnt.
    """

    threshold = 0.5
    judges: Literal["each", "whole"] = "whole"
    restarts_cold = True

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self._make = make
        self._begin()

    def _begin(self) -> None:
        self._model = self._make()
        self._scales: dict[str, Scale] = {}
        self._num = 0
        self._usual = RobustZ(LINE)

    def learn_one(self, x: Features) -> None:
        known = self._relevant(x)
        if not known:
            return
        if self._num >= NUM_TO_DRAW:
            vector = self._vector(known)
            if self._is_scored():
                self._usual.learn_one({RAW: self._raw(vector)})
            self._model.learn_one(vector)
        for name, value in known.items():
            self._scales.setdefault(name, Scale()).learn(value)
        self._num += 1

    def _is_scored(self) -> bool:
        if self._num < NUM_SILENT + NUM_SCORED:
            return self._num >= NUM_SILENT
        return self._num % STRIDE == 0

    def _relevant(self, x: Features) -> dict[str, float]:
        known = clean(x)
        if self._num < NUM_TO_DRAW:
            return known
        return {name: value for name, value in known.items() if name in self._scales}

    def _vector(self, known: Features) -> dict[str, float]:
        """All features, in one order, standardised."""
        return {
            name: self._scales[name].standard(known[name]) if name in known else 0.0 for name in sorted(self._scales)
        }

    def _raw(self, vector: dict[str, float]) -> float:
        """River's score; infinite where it divides by nothing, which is as far out as can be."""
        try:
            return float(self._model.score_one(vector))
        except ArithmeticError:
            return math.inf

    def score_one(self, x: Features) -> float:
        known = self._relevant(x)
        band = self._usual.expected(RAW)
        if band is None or not known:
            return 0.0
        raw = self._raw(self._vector(known))
        if math.isnan(raw):
            return 0.0
        return 1.0 if math.isinf(raw) else ratio_score(self._apart(raw, band), band.high - band.center)

    def _apart(self, raw: float, band: Band) -> float:
        return raw - band.center

    def score_each(self, x: Features) -> dict[str, float]:
        return {}

    def expected(self, feature: str) -> Band | None:
        return None

    def forget(self, features: Iterable[str]) -> None:
        """Nothing: its features are learnt together."""

    def save(self) -> dict[str, bytes]:
        return {}

    def load(self, parts: Mapping[str, bytes]) -> None:
        _refuse(self.name, parts)
        self._begin()


class Plane(msgspec.Struct, array_like=True):
    """What `river.anomaly.OneClassSVM` has learnt, and on how many observations."""

    num: int
    scales: dict[str, Scale]
    weights: dict[str, float]
    intercept: float
    num_iterations: int


class PlaneDetector(RiverWhole):
    """`river.anomaly.OneClassSVM`, which saves what it learnt.

    Its plane goes through the middle of standardised values, so neither side of it is the usual one: a score far below
    the usual counts as one far above.
    """

    restarts_cold = False

    def _apart(self, raw: float, band: Band) -> float:
        return abs(raw - band.center)

    def save(self) -> dict[str, bytes]:
        model = self._model
        weights = {name: float(weight) for name, weight in model.weights.items()}
        plane = Plane(self._num, self._scales, weights, float(model.intercept), model.optimizer.n_iterations)
        return {"plane": encode_part(plane), **self._usual.save()}

    def load(self, parts: Mapping[str, bytes]) -> None:
        plane, usual = decode_part(parts, "plane", Plane), RobustZ(LINE)
        usual.load(parts)
        self._begin()
        self._num, self._scales, self._usual = plane.num, plane.scales, usual
        self._model.intercept, self._model.optimizer.n_iterations = plane.intercept, plane.num_iterations
        for name, weight in plane.weights.items():
            self._model._weights[name] = weight


class RollingGaussian:
    """`river.anomaly.GaussianScorer` in a window, one a feature; it restarts cold.

    Args:
        name: what its scores are shown under.
        make: River's model with nothing learnt.
    """

    threshold = 0.999999
    judges: Literal["each", "whole"] = "each"
    restarts_cold = True

    def __init__(self, name: str, make: Callable[[], Any]) -> None:
        self.name = name
        self._make = make
        self._models: dict[str, Any] = {}

    def learn_one(self, x: Features) -> None:
        for name, value in clean(x).items():
            if name not in self._models:
                self._models[name] = self._make()
            self._models[name].learn_one(None, value)

    def score_one(self, x: Features) -> float:
        return max(self.score_each(x).values(), default=0.0)

    def score_each(self, x: Features) -> dict[str, float]:
        return {name: self._score(name, value) for name, value in clean(x).items()}

    def _score(self, name: str, value: float) -> float:
        model = self._models.get(name)
        if model is None or model.gaussian.n_samples < model.grace_period:
            return 0.0
        sigma, mean = model.gaussian.sigma, model.gaussian.mu
        if isinstance(sigma, complex) or not sigma > 0:
            # River divides by it; a constant window has none, or a little below none by rounding.
            return float(not math.isclose(value, mean, rel_tol=1e-9, abs_tol=1e-12))
        return min(1.0, max(0.0, float(model.score_one(None, value))))

    def expected(self, feature: str) -> Band | None:
        return None

    def forget(self, features: Iterable[str]) -> None:
        for name in features:
            self._models.pop(name, None)

    def save(self) -> dict[str, bytes]:
        return {}

    def load(self, parts: Mapping[str, bytes]) -> None:
        _refuse(self.name, parts)
        self._models = {}


def _refuse(name: str, parts: Mapping[str, bytes]) -> None:
    if parts:
        raise ArtifactMismatch(
            f"The saved state of {name} holds {sorted(parts)}; wanted nothing, for it saves nothing: delete "
            "anomaly.state.v1 to learn anew."
        )
