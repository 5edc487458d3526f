"""The service itself in the table: the real stage over each stream, its alerts, and what its layer would score.

Every series is an unknown metric that may alert: nobody said what these mean. Advisers decide nothing and are left out.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import numpy as np

from services.anomaly.core.events import Samples
from services.anomaly.model.abstract import MetricDetector, ratio_score
from services.anomaly.model.assembly import Batch
from services.anomaly.model.entity import EntityModel, EntityState, Verdict
from services.anomaly.pipeline import AnomalyStage
from services.anomaly.settings import AnomalySettings
from services.anomaly.train.contenders import Judged
from services.anomaly.train.labelled import SECOND, Stream, as_records
from services.anomaly.train.replay import Replay

BATCH = 500


class Service:
    """Today's service as set, each stream by itself.

    The score of a step is that of its farthest signal: 0 at what all voters together find usual, 0.5 at the edge beyond
    which the service takes it for outside, towards 1 far beyond. So it is a graded form of the layer's own question;
    persistence, refractory time and warm-up of late signals are in the alerts only.
    """

    def __init__(self, settings: AnomalySettings) -> None:
        self._settings = settings

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        for stream in streams:
            yield self._judged(stream)

    def _judged(self, stream: Stream) -> Judged:
        first = stream.times[stream.num_train]
        warmup = (first - stream.times[0]) / SECOND
        changes = {"warmup_seconds": warmup, "unknown_metrics": "alert", "advisers": ()}
        scores: dict[int, float] = {}
        replay = Replay(self._settings.model_copy(update=changes), make_stage=_noting(scores))
        alerts = replay.read(as_records(stream), BATCH).finish().records
        fired = {alert["detected_at"] for alert in alerts if alert["status"] == "firing"}
        judged = stream.times[stream.num_train :]
        alarms = np.zeros(len(judged), dtype=bool)
        alarms[[min(bisect_left(judged, time), len(judged) - 1) for time in fired if time >= first]] = True
        return Judged(np.array([scores.get(time, 0.0) for time in judged]), alarms, None)


def _noting(scores: dict[int, float]) -> type[AnomalyStage]:
    """A stage whose entities write each batch's score down, under its time."""

    class NotingEntity(EntityModel):
        def judge(self, batch: Batch, samples: Samples) -> Verdict:
            scores[batch.time] = max(scores.get(batch.time, 0.0), layer_score(batch.values, self.voters))
            return super().judge(batch, samples)

    class NotingStage(AnomalyStage):
        def _make_entity(self, state: EntityState) -> EntityModel:
            held = super()._make_entity(state)
            return NotingEntity(state, held.assembly, held.voters, held.advisers, held._rules)

    return NotingStage


def layer_score(values: dict[str, float], voters: Sequence[MetricDetector]) -> float:
    """The highest over signals of how far a value lies on its way to the edge that all voters agree on, and beyond it.

    0.0 for signals of which some voter knows too little. As model/judgement.py for metrics that nobody described: both
    directions are bad, no change is too small.
    """
    worst = 0.0
    for key, value in values.items():
        bands = [band for detector in voters if (band := detector.expected(key)) is not None]
        if len(bands) == len(voters):
            usual = bands[-1].center
            edge = max(band.high for band in bands) if value > usual else min(band.low for band in bands)
            worst = max(worst, ratio_score(abs(value - usual), abs(edge - usual)))
    return worst
