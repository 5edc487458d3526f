"""The table: the service and its rivals on labelled streams that nobody described.

Learning and lines come from each stream's training part. `nab_<profile>` and the two precisions at a recall choose a
threshold by the labels, as their makers prescribe, and say so in their names here; every other figure knows no label.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from services.anomaly.settings import AnomalySettings
from services.anomaly.train import alarming, ranking
from services.anomaly.train.batch_rivals import (
    IsolationForest,
    Pca,
    Random,
    RangeNovelty,
    Refractory,
    RobustZ,
    StaticZ,
)
from services.anomaly.train.contenders import LEVEL, Contender, EachStream, Judged
from services.anomaly.train.labelled import HALVES, Floats, Stream, half_of
from services.anomaly.train.nab_scoring import Profile, nab_figures
from services.anomaly.train.online_contenders import OnlineReconstruction, Seasonal
from services.anomaly.train.river_rivals import absolute_deviation, gaussian, half_space_trees, one_class_svm
from services.anomaly.train.service_contender import Service

HOUR = 3600.0
DAY = 86_400.0
#: The longest buffer of VUS.
BUFFER_SECONDS = 3600.0

Figures = dict[str, Any]
#: Told the contender, how many of its streams are judged, and of how many.
Told = Callable[[str, int, int], None]


def contenders(settings: AnomalySettings) -> dict[str, Contender]:
    """Every row of the table by name. A new detector is a line more here."""
    return {
        "moselle": Service(settings),
        "pca_online": OnlineReconstruction(),
        "seasonal_novelty": Seasonal(),
        "random": EachStream(lambda stream: Random()),
        "static_z": EachStream(lambda stream: StaticZ()),
        "robust_z": EachStream(_robust_z),
        "range_novelty": EachStream(lambda stream: RangeNovelty()),
        "range_novelty_refractory": EachStream(lambda stream: Refractory(RangeNovelty(), stream.steps_of(DAY))),
        "pca": EachStream(lambda stream: Pca()),
        "pca_smoothed": EachStream(lambda stream: Pca(smooth=12)),
        "isolation_forest": EachStream(lambda stream: IsolationForest()),
        "river_half_space_trees": EachStream(lambda stream: half_space_trees()),
        "river_gaussian": EachStream(lambda stream: gaussian()),
        "river_absolute_deviation": EachStream(lambda stream: absolute_deviation()),
        "river_one_class_svm": EachStream(lambda stream: one_class_svm()),
    }


def _robust_z(stream: Stream) -> RobustZ:
    return RobustZ(stream.steps_of(DAY), stream.steps_of(HOUR))


def evaluate_streams(
    streams: Sequence[Stream],
    settings: AnomalySettings,
    profiles: Mapping[str, Profile] | None = None,
    only: Sequence[str] = (),
    told: Told = lambda name, num_done, num_all: None,
) -> Figures:
    """Every contender over all streams.

    Args:
        profiles: for folders like nab; no NAB score is given when None.
        only: names of rows; all when empty.
    """
    rows = contenders(settings)
    named = {name: rows[name] for name in only or rows}
    return {
        "detectors": {name: _row(name, row, streams, profiles, told) for name, row in named.items()},
        "series": sum(stream.values.shape[1] for stream in streams),
        "streams": len(streams),
        "steps_judged": sum(len(stream.test) for stream in streams),
        "events": sum(len(stream.events) for stream in streams),
        "days": round(sum(stream.days for stream in streams), 3),
        "thresholds": _rules(settings, streams, profiles),
    }


def _rules(settings: AnomalySettings, streams: Sequence[Stream], profiles: Mapping[str, Profile] | None) -> Figures:
    return {
        "rule": "rivals: conformal quantile of the scores of the training part's second half, no label seen; "
                "moselle: its alerts, settings as given",
        "level": LEVEL,
        "alarm_quiet_seconds": alarming.QUIET_SECONDS,
        "vus_buffer_seconds": BUFFER_SECONDS,
        "step_seconds": sorted({stream.step_seconds for stream in streams}),
        "nab_profiles": {name: profile._asdict() for name, profile in (profiles or {}).items()},
        "moselle": settings.model_dump(),
    }  # fmt: skip


def _row(
    name: str, contender: Contender, streams: Sequence[Stream], profiles: Mapping[str, Profile] | None, told: Told
) -> Figures:
    began = time.process_time()
    judged: list[Judged] = []
    told(name, 0, len(streams))
    for each in contender.judge(streams):
        judged.append(each)
        told(name, len(judged), len(streams))
    seconds = time.process_time() - began
    scores, alarms = [each.score for each in judged], [each.alarms for each in judged]
    lines = [each.line for each in judged if each.line is not None]
    return {
        **(nab_figures(streams, scores, alarms, profiles) if profiles is not None else {}),
        **ranking_figures(streams, scores),
        **event_figures(alarming.count(streams, alarms)),
        **{
            f"event_precision_at_recall_{percent}": _rounded(
                alarming.precision_at_recall(streams, scores, percent / 100)
            )
            for percent in (50, 70)
        },
        "halves": {half: _half_figures(streams, judged, profiles, half) for half in HALVES},
        "lines": [round(line, 6) for line in lines],
        "cpu_seconds": round(seconds, 2),
    }


def _half_figures(
    streams: Sequence[Stream], judged: Sequence[Judged], profiles: Mapping[str, Profile] | None, half: str
) -> Figures:
    """The figures that a detector is chosen by, of one half of the streams; NAB's threshold chosen on that half."""
    some = [(stream, each) for stream, each in zip(streams, judged, strict=True) if half_of(stream) == half]
    mine, scores, alarms = [stream for stream, _ in some], [each.score for _, each in some], [e.alarms for _, e in some]
    counts = alarming.count(mine, alarms)
    areas = [ranking.auc_pr(stream.label, score) for stream, score in zip(mine, scores, strict=True) if stream.events]
    standard = {name: profile for name, profile in (profiles or {}).items() if name == "standard"}
    return {
        "streams": len(mine),
        **(nab_figures(mine, scores, alarms, standard) if mine else {}),
        "auc_pr": _rounded(float(np.mean(areas)) if areas else None),
        "event_precision": _rounded(counts.precision),
        "event_recall": _rounded(counts.recall),
    }


def ranking_figures(streams: Sequence[Stream], scores: Sequence[Floats]) -> Figures:
    """Of each labelled stream by itself, then their mean; None when no stream is labelled."""
    found = [
        (
            ranking.auc_pr(stream.label, score),
            ranking.vus_pr(stream.label, score, stream.steps_of(BUFFER_SECONDS)),
            ranking.precision_at_recall(stream.label, score, 0.5),
            ranking.precision_at_recall(stream.label, score, 0.7),
        )
        for stream, score in zip(streams, scores, strict=True)
        if stream.events
    ]
    names = ("auc_pr", "vus_pr", "precision_at_recall_50", "precision_at_recall_70")
    means = np.mean(found, axis=0).tolist() if found else [None] * len(names)
    return {name: _rounded(mean) for name, mean in zip(names, means, strict=True)}


def event_figures(counts: alarming.Counts) -> Figures:
    """What people would have been told, with the lines of the training part."""
    false_alarms = counts.alarms - counts.right
    return {
        "event_precision": _rounded(counts.precision),
        "event_recall": _rounded(counts.recall),
        "false_alarms_per_day": _rounded(false_alarms / counts.stream_days if counts.stream_days else None),
        "false_alarms_per_series_and_day": _rounded(false_alarms / counts.series_days if counts.series_days else None),
        "events_found": counts.found,
        "alarms": counts.alarms,
        "false_alarms": false_alarms,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
