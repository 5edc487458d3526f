"""The service itself in the table: the real stage over each stream, its alerts, and what its layer would score.

Every series is an unknown metric that may alert, by itself and together with the others: nobody said what these mean.
Advisers decide nothing and are left out.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from services.anomaly.model.assembly import Complete
from services.anomaly.model.bank import Bands, Floats, Micros, ratio_scores
from services.anomaly.model.rounds import Rounds, Waiting
from services.anomaly.model.together import FEWEST, Outcome
from services.anomaly.pipeline import AnomalyStage, Decode
from services.anomaly.settings import AnomalySettings
from services.anomaly.train.contenders import Judged
from services.anomaly.train.labelled import SECOND, Stream, as_records
from services.anomaly.train.online_contenders import again_when_worse
from services.anomaly.train.replay import Replay
from services.common.clock import Clock

BATCH = 500


class Service:
    """Today's service as set, but `whole=alert`, each stream by itself.

    The score of a step is the worse of two. Of its signals each by itself: 0 at what all voters together find usual,
    0.5 at the edge beyond which the service takes it for outside, towards 1 far beyond; the farthest one counts, among
    three or more the second farthest, as some is always somewhere new. And of all together, 0.5 at the line that is
    drawn as it goes; of one or two signals again only when worse than in the day before. So it is a graded form of the
    service's own questions; persistence, refractory time, warm-up of late signals, and that one signal of many is
    enough, are in the alerts only.
    """

    def __init__(self, settings: AnomalySettings) -> None:
        self._settings = settings

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        for stream in streams:
            yield self._judged(stream)

    def _judged(self, stream: Stream) -> Judged:
        first = stream.times[stream.num_train]
        warmup = (first - stream.times[0]) / SECOND
        changes = {"warmup_seconds": warmup, "unknown_metrics": "alert", "advisers": (), "whole": "alert"}
        num_series = stream.values.shape[1]
        counting = 1 if num_series < FEWEST else 2
        scores: dict[int, float] = {}
        wholes: dict[int, float] = {}
        replay = Replay(self._settings.model_copy(update=changes), make_stage=_noting(scores, wholes, counting))
        alerts = replay.read(as_records(stream), BATCH).finish().records
        # What is only information, as drift is, alarms nobody.
        alarming = [alert for alert in alerts if alert["severity"] != "info"]
        fired = {alert["detected_at"] for alert in alarming if alert["status"] == "firing"}
        judged = stream.times[stream.num_train :]
        alarms = np.zeros(len(judged), dtype=bool)
        alarms[[min(bisect_left(judged, time), len(judged) - 1) for time in fired if time >= first]] = True
        whole = np.array([wholes.get(time, 0.0) for time in judged])
        if num_series < FEWEST:
            whole = again_when_worse(stream, whole)
        return Judged(np.maximum(whole, [scores.get(time, 0.0) for time in judged]), alarms, None)


def _noting(scores: dict[int, float], wholes: dict[int, float], counting: int) -> type[AnomalyStage]:
    """A stage that writes down, under its time, the score of its `counting` farthest signal and that of all together.

    It reads one entity, whose every scrape is one record.
    """

    class NotingRounds(Rounds):
        def note(self, records: Sequence[Waiting], complete: Complete, times: Micros, bands: Sequence[Bands]) -> None:
            each = layer_scores(complete.values, bands)
            for place, time in enumerate(times.tolist()):
                reached = np.sort(each[complete.record_of == place])
                if len(reached) >= counting:
                    scores[time] = max(scores.get(time, 0.0), float(reached[-counting]))

        def note_together(self, times: Micros, found: Mapping[int, Outcome]) -> None:
            for place, outcome in found.items():
                wholes[int(times[place])] = outcome.score

    class NotingStage(AnomalyStage):
        def __init__(self, settings: AnomalySettings, decode: Decode, clock: Clock) -> None:
            super().__init__(settings, decode, clock, NotingRounds)

    return NotingStage


def layer_scores(values: Floats, bands: Sequence[Bands]) -> Floats:
    """(n,): how far each value lies on its way to the edge that all voters agree on, and beyond it.

    0.0 for signals of which some voter knows too little. As model/judgement.py for metrics that nobody described: both
    directions are bad, no change is too small.
    """
    usual = bands[-1].center
    high = np.maximum.reduce([band.high for band in bands])
    low = np.minimum.reduce([band.low for band in bands])
    is_known = ~np.isnan(high) & ~np.isnan(low)
    edge = np.where(values > usual, high, low)
    return np.where(is_known, ratio_scores(np.abs(values - usual), np.abs(edge - usual)), 0.0)
