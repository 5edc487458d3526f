"""What every metric detector promises; tests/conformance/test_metric_detectors.py holds all of them to it."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple, Protocol

#: Beyond this a value counts as this, so that squares and differences stay finite.
LARGEST = 1e100

Features = Mapping[str, float]


class Band(NamedTuple):
    """What a detector expects of a feature: `center` is usual, outside low..high is news."""

    low: float
    center: float
    high: float


class MetricDetector(Protocol):
    """One detector's knowledge of one entity, with River's contract.

    An observation is a mapping from features to values; features may come and go, and values that are not finite are
    taken as missing. The promises: a score is finite and in [0, 1], high is anomalous; scoring learns nothing and
    leaves the observation as it is, so the same input scores the same; what `load` makes of `save` scores and learns
    as the original.
    """

    name: str
    #: The line a score must cross to mean something.
    threshold: float
    #: `each`: every feature by itself. `whole`: all features together, wanted complete even when only some are new.
    judges: Literal["each", "whole"]

    def learn_one(self, x: Features) -> None:
        """Takes an observation in as normal."""
        ...

    def score_one(self, x: Features) -> float:
        """How anomalous the observation is as a whole; 0.0 while too little was learnt."""
        ...

    def score_each(self, x: Features) -> dict[str, float]:
        """The same for each feature by itself; empty for a detector that only judges the whole."""
        ...

    def expected(self, feature: str) -> Band | None:
        """What is normal for a feature; None while too little was learnt, or for one that has no such band."""
        ...

    def forget(self, features: Iterable[str]) -> None:
        """These features are learnt anew."""
        ...

    def save(self) -> dict[str, bytes]:
        """All that was learnt, in parts, so that a part that did not change need not be written again."""
        ...

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Takes back what `save` gave. Raises ArtifactMismatch for something else."""
        ...


def clean(x: Features) -> dict[str, float]:
    """The finite values, held within +-LARGEST."""
    held = {name: value for name, value in x.items() if -LARGEST <= value <= LARGEST}
    if len(held) == len(x):
        return held
    return {name: max(-LARGEST, min(LARGEST, value)) for name, value in x.items() if math.isfinite(value)}


def ratio_score(distance: float, line: float) -> float:
    """0 where there is no distance, 0.5 at the line, towards 1 far beyond it."""
    if distance <= 0:
        return 0.0
    return distance / (distance + line)
