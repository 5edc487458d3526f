"""Trivial detectors for comparison: every series by itself or all at once, no knowledge of what a metric means.

Each learns during the warm-up, then alerts for an entity whose score lies above its line, and learns on while it does
not. An entity's alert ends when it was quiet for as long as the service's.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from services.anomaly.core.events import Samples
from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.gaussian import GaussianEach
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.range_novelty import RangeNovelty
from services.anomaly.model.robust_z import RobustZ
from services.anomaly.settings import AnomalySettings
from services.common.entities import canonical_program, split_service
from services.common.series import is_counter, parse_series, rate

SECOND = 1_000_000

#: The rivals by name; each judges as River's own users would, by its score alone.
RIVALS: dict[str, Callable[[], MetricDetector]] = {
    "three_sigma": lambda: GaussianEach(threshold=0.9973),
    "river_gaussian": lambda: GaussianEach(),
    "river_half_space_trees": lambda: EntityTrees(),
    "range_novelty_alone": lambda: RangeNovelty(margin=0.5),
    "robust_z_alone": lambda: RobustZ(),
}


class Rival:
    """One detector an entity, over its raw series. Half-space trees have no line of their own: theirs is the highest
    score of the warm-up's second half."""

    def __init__(self, make: Callable[[], MetricDetector], settings: AnomalySettings) -> None:
        self._make = make
        self._warmup = int(settings.warmup_seconds * SECOND)
        self._quiet = int(settings.resolve_quiet_seconds * SECOND)
        self._detectors: dict[str, MetricDetector] = {}
        self._lines: dict[str, float] = {}
        self._last: dict[tuple[str, str], tuple[int, float]] = {}
        self._bad_at: dict[str, int] = {}
        self._began: int | None = None
        self.records: list[dict[str, Any]] = []

    def read(self, records: Iterable[Mapping[str, Any]]) -> "Rival":
        """Reads on; its alerts are in `records`."""
        for record in records:
            self._take(Samples.from_record(record))
        return self

    def _take(self, samples: Samples) -> None:
        began = self._began = samples.event_time if self._began is None else self._began
        entity_id = samples.entity_id
        detector = self._detectors.get(entity_id) or self._detectors.setdefault(entity_id, self._make())
        x = self._observation(samples)
        age = samples.event_time - began
        if age < self._warmup:
            self._fit(entity_id, detector, x, age)
            return
        score = detector.score_one(x)
        if score > self._lines.get(entity_id, detector.threshold):
            self._alert(samples, score)
        elif samples.event_time - self._bad_at.get(entity_id, 0) >= self._quiet:
            detector.learn_one(x)

    def _fit(self, entity_id: str, detector: MetricDetector, x: dict[str, float], age: int) -> None:
        if detector.judges == "whole" and age > self._warmup / 2:
            self._lines[entity_id] = max(detector.score_one(x), self._lines.get(entity_id, 0.0))
        detector.learn_one(x)

    def _observation(self, samples: Samples) -> dict[str, float]:
        x = {}
        for series, value in zip(samples.series, samples.values, strict=True):
            key = (samples.entity_id, series)
            last = self._last.get(key)
            self._last[key] = (samples.event_time, value)
            if not is_counter(parse_series(series).metric):
                x[series] = value
            elif last is not None:
                x[series] = rate(last[1], last[0], value, samples.event_time)
        return x

    def _alert(self, samples: Samples, score: float) -> None:
        entity_id, time = samples.entity_id, samples.event_time
        is_new = time - self._bad_at.get(entity_id, 0) >= self._quiet
        self._bad_at[entity_id] = time
        if is_new:
            service = split_service(entity_id)
            self.records.append({
                "alert_id": f"{entity_id} {time}", "revision": 0, "starts_at": time, "detected_at": time,
                "entity_id": entity_id, "service": canonical_program(service[0]) if service else "host", "score": score,
            })  # fmt: skip
