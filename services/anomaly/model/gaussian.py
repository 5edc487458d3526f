"""River's GaussianScorer for each feature: how far out a value lies in a normal distribution of what was learnt."""

from collections.abc import Iterable, Mapping
from statistics import NormalDist
from typing import Any, Literal

import river.anomaly

from services.anomaly.model.abstract import Band, Features, clean
from services.anomaly.model.parts import decode_part, encode_part

# River's class has types, its functions have none.
_GaussianScorer: Any = river.anomaly.GaussianScorer


class GaussianEach:
    """One `river.anomaly.GaussianScorer` a feature.

    Latencies and counts are not normal: alone it cries at each long tail (docs/benchmarks/anomaly.md).

    Args:
        threshold: the share of the distribution that must lie nearer to its middle.
        min_samples: River's grace period.
    """

    name = "gaussian"
    judges: Literal["each", "whole"] = "each"

    def __init__(self, threshold: float = 0.999999, min_samples: int = 30) -> None:
        self.threshold = threshold
        self._min_samples = min_samples
        self._deviations = NormalDist().inv_cdf((1 + threshold) / 2)
        self._scorers: dict[str, Any] = {}

    def learn_one(self, x: Features) -> None:
        for name, value in clean(x).items():
            scorer = self._scorers.get(name)
            if scorer is None:
                scorer = self._scorers[name] = _GaussianScorer(grace_period=self._min_samples)
            scorer.learn_one(None, value)

    def score_one(self, x: Features) -> float:
        return max(self.score_each(x).values(), default=0.0)

    def score_each(self, x: Features) -> dict[str, float]:
        return {name: self._score(name, value) for name, value in clean(x).items()}

    def _score(self, name: str, value: float) -> float:
        scorer = self._scorers.get(name)
        if scorer is None or scorer.gaussian.n_samples < self._min_samples:
            return 0.0
        if scorer.gaussian.sigma <= 0:
            # River divides by the deviation; a constant series has none.
            return float(value != scorer.gaussian.mu)
        return min(1.0, max(0.0, float(scorer.score_one(None, value))))

    def expected(self, feature: str) -> Band | None:
        scorer = self._scorers.get(feature)
        if scorer is None or scorer.gaussian.n_samples < self._min_samples:
            return None
        center, room = scorer.gaussian.mu, self._deviations * scorer.gaussian.sigma
        return Band(center - room, center, center + room)

    def forget(self, features: Iterable[str]) -> None:
        for name in features:
            self._scorers.pop(name, None)

    def save(self) -> dict[str, bytes]:
        moments = [_moments(scorer.gaussian) for scorer in self._scorers.values()]
        return {"names": encode_part(list(self._scorers)), "moments": encode_part(moments)}

    def load(self, parts: Mapping[str, bytes]) -> None:
        names = decode_part(parts, "names", list[str])
        moments = decode_part(parts, "moments", list[tuple[float, float, float]])
        self._scorers = {}
        for name, held in zip(names, moments, strict=True):
            self._scorers[name] = scorer = _GaussianScorer(grace_period=self._min_samples)
            _set_moments(scorer.gaussian, held)


def _moments(gaussian: Any) -> tuple[float, float, float]:
    """Weight, mean and sum of squares: all that River's running variance holds."""
    variance = gaussian._var
    return float(variance.mean.n), float(variance.mean._mean), float(variance._S)


def _set_moments(gaussian: Any, held: tuple[float, float, float]) -> None:
    variance = gaussian._var
    variance.mean.n, variance.mean._mean, variance._S = held
