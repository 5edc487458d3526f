"""What is said of an entity's signals that lie outside: findings with their labels, values and sentences."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.core.events import Samples
from services.anomaly.core.semantics import ADVICE, Meaning
from services.anomaly.core.words import Said, Usual, place, reason, reason_together, summary, summary_together
from services.anomaly.model.assembly import GONE
from services.anomaly.model.entity import SERIES_A_SIGNAL, Entity
from services.anomaly.model.judgement import Outside, shares
from services.anomaly.model.panel import Panel, latest_of
from services.anomaly.model.store import Store
from services.anomaly.model.together import Outcome
from services.common.alerts import Evidence, Finding, Severity

SECOND = 1_000_000
FAMILY = "metric.anomaly"
MODEL_VERSION = "metrics-1"
#: The rule, and the name of the score, of signals that are unusual together.
TOGETHER = "unusual_together"
#: Signals named in the labels of an alert.
MAX_SHARES = 10


class Scene(NamedTuple):
    """Signals of one entity that are complete at one time, by name; microseconds.

    Attributes:
        series: the number of one series of each, 0 for one without a name, GONE.
        outside: those that lie outside.
        calibrated: how rare that is among the entity's own steps, 0.5 at a line; None for not known.
    """

    entity: Entity
    samples: Samples
    time: int
    values: Mapping[str, float]
    series: Mapping[str, int]
    outside: Sequence[Outside]
    calibrated: float | None = None


class Speaker:
    """Makes findings."""

    def __init__(self, store: Store, panel: Panel, runbook_url: str) -> None:
        self._store = store
        self._panel = panel
        self._runbook_url = runbook_url

    def findings(self, scene: Scene, speaking: Sequence[Outside]) -> list[Finding]:
        """One finding a rule, of the signal that is worst by it; the worst rule first."""
        entity = scene.entity
        alerting = entity.alerting
        if alerting.open is None:
            alerting.worst = {}
            self._store.is_worst[entity.signal_slots] = False
        labels = self._labels(scene)
        by_rule: dict[str, list[Outside]] = {}
        for each in sorted(speaking, key=lambda each: (-each.score, each.key)):
            by_rule.setdefault(self._meaning(entity, each.key).rule, []).append(each)
            alerting.worst[each.key] = max(each.score, alerting.worst.get(each.key, 0.0))
            self._store.is_worst[entity.signals[each.key]] = True
        return [self._finding(scene, rule, group, labels) for rule, group in by_rule.items()]

    def _meaning(self, entity: Entity, key: str) -> Meaning:
        return self._store.signal(entity.signals[key]).meaning

    def _labels(self, scene: Scene) -> dict[str, str]:
        parts = list(shares(scene.outside).items())[:MAX_SHARES]
        x = {**latest_of(scene.entity, self._store, {}), **scene.values}
        known = {} if scene.calibrated is None else {"calibrated": f"{scene.calibrated:.3f}"}
        return {
            **known,
            "shares": ";".join(f"{key}={share:.2f}" for key, share in parts),
            "scores": self._scores(scene.entity, x, scene.time),
        }

    def _scores(self, entity: Entity, x: Mapping[str, float], time: int) -> str:
        scores = self._panel.scores(entity, x, time)
        if entity.together is not None:
            scores[TOGETHER] = entity.together.course.score
        return ";".join(f"{name}={score:.3f}" for name, score in scores.items())

    def _finding(self, scene: Scene, rule: str, group: Sequence[Outside], labels: dict[str, str]) -> Finding:
        worst, entity = group[0], scene.entity
        signal = self._store.signal(entity.signals[worst.key])
        rows = self._store.signals.take(np.array([entity.signals[each.key] for each in group]))
        said = self._said(scene, worst)
        members = [self._store.signal(entity.signals[each.key]).member for each in group]
        severity: Severity = "critical" if _is_critical(signal.meaning, worst.value) else "warning"
        hits = int(rows["marks"][0]).bit_count()
        return Finding(
            FAMILY, rule, "anomaly", min(int(first) or scene.time for first in rows["first_out"]), severity,
            worst.score, 0.5, summary(said, entity.entity_id, signal.member),
            reason(said, self._panel.names, hits, {each.key: each.score for each in group[1:]}),
            entity.subject.program, tuple(_evidence(scene, each) for each in group), (),
            tuple(dict.fromkeys(member for member in members if member)), labels, MODEL_VERSION, self._runbook_url,
        )  # fmt: skip

    def together(self, entity: Entity, samples: Samples, time: int, whole: Outcome) -> Finding:
        """That the signals are unusual together. Beside an open alert it is never worse than that one: it adds."""
        alert, subject = entity.alerting.open, entity.subject
        score = whole.score if alert is None else min(whole.score, alert.finding.score)
        signals = [self._store.signal(entity.signals[part.key]) for part in whole.parts]
        values = [Usual(part.key, signal.meaning.unit, part.value, part.low, part.high, part.share)
                  for part, signal in zip(whole.parts, signals, strict=True)]  # fmt: skip
        labels = {
            "shares": ";".join(f"{part.key}={part.share:.2f}" for part in whole.parts),
            "scores": self._scores(entity, latest_of(entity, self._store, {}), time),
        }
        evidence = [
            Evidence(
                time, samples.entity_id, self._store.origins[entity.signals[part.key]], part.value, "",
                samples.source_topic, samples.source_partition, samples.source_offsets, samples.source_index,
            )
            for part in whole.parts
        ]  # fmt: skip
        members = dict.fromkeys(signal.member for signal in signals if signal.member)
        return Finding(
            FAMILY, TOGETHER, "anomaly", whole.first_out, "warning", score, whole.line,
            summary_together(values, entity.entity_id), reason_together(values, whole.hits, whole.of),
            subject.program, tuple(evidence), (), tuple(members), labels, MODEL_VERSION, self._runbook_url,
        )  # fmt: skip

    def _said(self, scene: Scene, outside: Outside) -> Said:
        entity = scene.entity
        seen = self._panel.seen(entity.signals[outside.key], scene.time)
        minutes = (scene.time - entity.began_at) / (60 * SECOND)
        meaning = self._meaning(entity, outside.key)
        return Said(meaning, outside.key, outside.value, outside.usual, outside.edge, seen, minutes)


def flood(entity: Entity, num_refused: int, max_signals: int, time: int, runbook_url: str) -> Finding:
    """Of an entity that sends more series than there is room for."""
    where = place(entity.entity_id)
    return Finding(
        FAMILY, "cardinality", "cardinality", time, "warning", 1.0, 0.5,
        f"{where} sends more series than anomaly takes in: {len(entity.signals)} signals are watched",
        f"{num_refused} series of one record of {where} were not taken in: it has {len(entity.signals)} signals of at "
        f"most {max_signals} and {len(entity.samples)} series of at most {SERIES_A_SIGNAL * max_signals}. What is "
        f"watched goes on. {ADVICE['cardinality']}",
        entity.subject.program, labels={"limit": str(max_signals)}, model_version=MODEL_VERSION,
        runbook_url=runbook_url,
    )  # fmt: skip


def _is_critical(meaning: Meaning, value: float) -> bool:
    return meaning.signal == "oom_kills" or (meaning.vanishing_is_zero and value <= 0)


def _evidence(scene: Scene, outside: Outside) -> Evidence:
    """The value that was judged, under the name of one of its series; the offsets lead to the samples."""
    samples, number = scene.samples, scene.series[outside.key]
    series = outside.key if number == GONE else list(scene.entity.samples)[number - 1] if number else ""
    return Evidence(
        scene.time, samples.entity_id, series, outside.value, "", samples.source_topic, samples.source_partition,
        samples.source_offsets, samples.source_index,
    )  # fmt: skip
