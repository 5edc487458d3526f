"""The service itself in the table: the real stage over each stream, its alerts, and the score that decides on them.

Every series is an unknown metric that may alert together with the others: nobody said what these mean. Advisers decide
nothing and are left out.
"""

import heapq
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from services.anomaly.model.bank import Micros
from services.anomaly.model.rounds import Rounds, Waiting
from services.anomaly.model.together import FEWEST, Outcome
from services.anomaly.pipeline import AnomalyStage, Decode
from services.anomaly.settings import AnomalySettings
from services.anomaly.train.contenders import Judged
from services.anomaly.train.labelled import SECOND, Stream, as_records, entity_of
from services.anomaly.train.online_contenders import again_when_worse
from services.anomaly.train.replay import Replay
from services.common.clock import Clock

BATCH = 500


class Service:
    """Today's service as set, but `whole=alert` and `unknown_metrics=alert`; the training part is the warm-up.

    The score of a step is the one that the service alerts by, of all signals together: 0.5 at the line that is drawn
    as it goes; of one or two signals 0 unless worse than in the day before, as that is what alerts. Alarms are its
    alerts, with all their conditions: of three signals or more a line farther out, persistence, and news only.

    Streams that begin together are judged by one service, a host each, which is faster and comes to the same.
    """

    def __init__(self, settings: AnomalySettings) -> None:
        self._settings = settings

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        group_of: list[tuple[int, float, int]] = []
        num_of: Counter[str] = Counter()
        for stream in streams:
            # Of one name there is one in a group.
            group_of.append((stream.times[0], stream.step_seconds, num_of[stream.path]))
            num_of[stream.path] += 1
        found: dict[int, Judged] = {}
        for place, group in enumerate(group_of):
            if place not in found:
                places = [other for other, its in enumerate(group_of) if its == group]
                found.update(zip(places, self._judged([streams[each] for each in places]), strict=True))
            yield found.pop(place)

    def _judged(self, streams: Sequence[Stream]) -> list[Judged]:
        starts = {entity_of(stream): stream.times[stream.num_train] for stream in streams}
        warmup = (min(starts.values()) - streams[0].times[0]) / SECOND
        changes = {"warmup_seconds": warmup, "unknown_metrics": "alert", "advisers": (), "whole": "alert"}
        scores: dict[str, dict[int, float]] = {name: {} for name in starts}
        replay = Replay(self._settings.model_copy(update=changes), make_stage=_noting(starts, scores))
        records = heapq.merge(*map(as_records, streams), key=lambda record: record["event_time"])
        alerts = replay.read(records, BATCH).finish().records
        return [_told(stream, scores[name], alerts, name) for stream, name in zip(streams, starts, strict=True)]


def _told(stream: Stream, scores: Mapping[int, float], alerts: Sequence[Mapping[str, Any]], name: str) -> Judged:
    """What the service said of one stream. What is only information, as drift is, alarms nobody."""
    judged = stream.times[stream.num_train :]
    fired = {
        alert["detected_at"] for alert in alerts
        if alert["entity_id"] == name and alert["status"] == "firing" and alert["severity"] != "info"
    }  # fmt: skip
    alarms = np.zeros(len(judged), dtype=bool)
    alarms[[min(bisect_left(judged, time), len(judged) - 1) for time in fired if time >= judged[0]]] = True
    score = np.array([scores.get(time, 0.0) for time in judged])
    return Judged(again_when_worse(stream, score) if stream.values.shape[1] < FEWEST else score, alarms, None)


def _noting(warm_at: Mapping[str, int], scores: Mapping[str, dict[int, float]]) -> type[AnomalyStage]:
    """A stage whose entities are warm from these times on, and that writes down how they score together."""

    class NotingRounds(Rounds):
        def take(self, waiting: Waiting) -> None:
            waiting.entity.warm_at = warm_at[waiting.entity.entity_id]
            super().take(waiting)

        def note_together(self, records: Sequence[Waiting], times: Micros, found: Mapping[int, Outcome]) -> None:
            for place, outcome in found.items():
                scores[records[place].entity.entity_id][int(times[place])] = outcome.score

    class NotingStage(AnomalyStage):
        def __init__(self, settings: AnomalySettings, decode: Decode, clock: Clock) -> None:
            super().__init__(settings, decode, clock, NotingRounds)

    return NotingStage
