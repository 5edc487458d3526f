"""features.v1 in, predictions.v1 and alerts.v1 out: steps go to their entities; all who are due are asked together."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np

from services.common.alerts import OpenAlert, Status, alert_record, cloudevent_headers
from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidMessage
from services.common.logging import get_logger
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import ALERTS, PREDICTIONS
from services.predictor.core.steps import SECOND, read_step
from services.predictor.core.targets import FEATURE_SET, STEP_SECONDS
from services.predictor.core.wording import prediction_headers, reasons
from services.predictor.metrics import ALERT_RECORDS, ENTITIES, OPEN_ALERTS, PREDICT_SECONDS, STEPS
from services.predictor.metrics import PREDICTIONS as PREDICTIONS_MADE
from services.predictor.model.abstract import Forecaster
from services.predictor.model.engine import LEVELS, Due, Engine, Made
from services.predictor.model.entity import Entity
from services.predictor.model.partition import PartitionModel
from services.predictor.model.watch import Outlook, Rule, close, outlook, watch
from services.predictor.settings import PredictorSettings

Decode = Callable[[bytes | None], Mapping[str, Any]]
#: Called with what was asked for and what came of it, for evaluations.
Listen = Callable[[Sequence["Asked"], Made], None]


class Asked(NamedTuple):
    """An entity that waits for its prediction."""

    entity: Entity
    model: PartitionModel
    due: Due
    event_time: int


class PredictorStage:
    """The pipeline. Everything that lives across records is in the partitions' states.

    Args:
        decode: a record's value to the fields of features.v1; raises InvalidMessage.
        clock: for `published_at` and for noticing that nothing comes any more; it decides nothing else.
        forecasters: who may speak; the first one does until another is measured to be better.
    """

    def __init__(
        self, settings: PredictorSettings, decode: Decode, clock: Clock, forecasters: Sequence[Forecaster],
        listen: Listen | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._decode = decode
        self._clock = clock
        self._listen = listen
        self._engine = Engine(
            forecasters, settings.targets, settings.horizons_seconds, settings.every_seconds, settings.num_residuals,
            settings.switch_margin,
        )  # fmt: skip
        self._rule = Rule(
            settings.alert_probability, settings.alert_predictions, settings.resolve_quiet_seconds, settings.runbook_url
        )
        self._targets = frozenset(settings.targets)
        self._partitions: dict[TopicPartition, PartitionModel] = {}
        self._asked: dict[tuple[TopicPartition, str], Asked] = {}
        self._refused: set[str] = set()

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """Takes over a partition with all that was learnt of it."""
        settings = self._settings
        model = PartitionModel(state, self._engine.table, settings.every_seconds, settings.max_entities)
        now = to_micros(self._clock.now())
        for entity in model.entities.values():
            entity.heard_at = now
        self._partitions[partition] = model

    def revoke(self, partition: TopicPartition) -> None:
        """Forgets a partition; its next owner reads its state."""
        self._partitions.pop(partition).leave()

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        """Takes a batch in. Every prediction that came due has its record in `outputs` when this returns."""
        now = to_micros(self._clock.now())
        arrivals = Counter(self._take(record, now, outputs) for record in records)
        self._predict(outputs)
        for arrival, count in arrivals.items():
            STEPS.labels(arrival).inc(count)
        for partition in {record.topic_partition for record in records}:
            self._partitions[partition].save()

    def _take(self, record: Record, now: int, outputs: Outputs) -> str:
        """Takes a record in; returns how it arrived."""
        try:
            fields = self._decode(record.value)
            if fields.get("feature_set") != FEATURE_SET:
                return "other_set"
            step = read_step(fields, self._targets)
        except InvalidMessage as error:
            self._refuse(record, error, outputs)
            return "refused"
        model, key = self._partitions[record.topic_partition], (record.topic_partition, step.entity_id)
        if self._asked and model.must_wait(step, key in self._asked):
            self._predict(outputs)
        arrival, due = model.take(step)
        if due is not None:
            self._asked[key] = Asked(due, model, model.due(due), step.event_time)
        model.entities[step.entity_id].heard_at = now
        return arrival

    def _refuse(self, record: Record, error: InvalidMessage, outputs: Outputs) -> None:
        """A dead letter each, a sentence in the log once for each reason."""
        outputs.dead_letter(record, error)
        if error.reason not in self._refused:
            self._refused.add(error.reason)
            get_logger().warning("features_refused", reason=error.reason, detail=error.detail,
                                 remedy="run a predictor and a features service of one release")  # fmt: skip

    def _predict(self, outputs: Outputs) -> None:
        """Predicts everybody who is due, in one call of each forecaster."""
        asked, self._asked = list(self._asked.values()), {}
        if not asked:
            return
        with PREDICT_SECONDS.time():
            made = self._engine.make([one.due for one in asked])
        if self._listen is not None:
            self._listen(asked, made)
        for record in self._records(asked, made):
            key = f"{record['entity_id']}|{record['target']}"
            outputs.add(PREDICTIONS.name, key, record, prediction_headers(record))
        for number, count in enumerate(np.bincount(made.speaker).tolist()):
            PREDICTIONS_MADE.labels(self._engine.forecasters[number].name).inc(count)
        self._watch_limits(asked, made, outputs)

    def _records(self, asked: Sequence[Asked], made: Made) -> list[dict[str, Any]]:
        """The records of predictions.v1, in the order of `made`."""
        lists = (
            made.of.tolist(), made.row.tolist(), made.values.tolist(), made.quantiles.tolist(), made.speaker.tolist(),
            made.confidence.tolist(), self._reasons(made),
        )  # fmt: skip
        horizons, every = list(self._settings.horizons_seconds), self._settings.every_seconds * SECOND
        records = []
        for of, row, values, quantiles, speaks, confidence, why in zip(*lists, strict=True):
            subject, at = asked[of].entity.subject, asked[of].event_time
            speaker = self._engine.forecasters[speaks]
            records.append({
                "event_time": at, "cluster": subject.cluster, "entity_id": subject.entity_id,
                "parent_entity_ids": list(subject.parent_entity_ids), "target": self._settings.targets[row],
                "step_seconds": STEP_SECONDS, "horizons_seconds": horizons, "values": values,
                "quantile_levels": list(LEVELS), "quantiles": quantiles, "confidence": confidence,
                "spoken_by": speaker.name, "model_version": speaker.version, "valid_until": at + 2 * every,
                "reasons": why,
            })  # fmt: skip
        return records

    def _reasons(self, made: Made) -> list[list[str]]:
        names = [forecaster.name for forecaster in self._engine.forecasters]
        lists = (
            made.speaker.tolist(), made.error.tolist(), made.num_residuals.min(axis=1).tolist(),
            made.coverage.tolist(), made.look.num_filled.astype(int).tolist(), made.is_stand_in.tolist(),
        )  # fmt: skip
        return [
            reasons(names[speaks], list(zip(names, errors, strict=True)), *rest)
            for speaks, errors, *rest in zip(*lists, strict=True)
        ]

    def _watch_limits(self, asked: Sequence[Asked], made: Made, outputs: Outputs) -> None:
        limits = {self._settings.targets.index(t): v for t, v in self._settings.limits.items() if t in self._targets}
        outlooks: dict[int, list[tuple[Outlook, str]]] = {}
        for index in np.flatnonzero(np.isin(made.row, list(limits))).tolist():
            row = int(made.row[index])
            seen = outlook(
                self._settings.targets[row], limits[row], made.look.steps[index], made.values[index],
                made.quantiles[index], made.residuals[index], float(made.look.scale[index]),
                self._engine.horizons_seconds, self._engine.anchors,
            )  # fmt: skip
            version = self._engine.forecasters[made.speaker[index]].version
            outlooks.setdefault(int(made.of[index]), []).append((seen, version))
        for number, one in enumerate(asked):
            if number in outlooks or one.entity.watched.open is not None:
                self._watch(one, outlooks.get(number, []), outputs)

    def _watch(self, one: Asked, seen: Sequence[tuple[Outlook, str]], outputs: Outputs) -> None:
        watched = one.entity.watched
        versions = {outlook.target: version for outlook, version in seen}
        status = watch(watched, one.entity.subject, [o for o, _ in seen], one.event_time, versions, self._rule)
        if status == "resolved":
            self._emit(close(watched, one.event_time), "resolved", outputs, "Nothing said it any more.")
        elif status and watched.open is not None:
            self._emit(watched.open, "firing" if status == "firing" else "updated", outputs)

    def _emit(self, alert: OpenAlert, status: Status, outputs: Outputs, why: str = "") -> None:
        record = alert_record(alert, status, to_micros(self._clock.now()), why)
        outputs.add(ALERTS.name, record["fingerprint"], record, cloudevent_headers(record))
        ALERT_RECORDS.labels(status, record["rule"]).inc()

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        """Ends alerts of entities of which nothing comes any more, by wall time."""
        silent = to_micros(now) - int(self._settings.source_silent_seconds * SECOND)
        for partition in caught_up:
            model = self._partitions.get(partition)
            if model is None or not model.num_open:
                continue
            for entity in model.entities.values():
                if entity.watched.open is not None and entity.heard_at <= silent:
                    alert = close(entity.watched, entity.course.last * STEP_SECONDS * SECOND)
                    self._emit(alert, "resolved", outputs, "source_silent:")
                    model.changed(entity)
            model.save()
        ENTITIES.set(sum(len(model.entities) for model in self._partitions.values()))
        OPEN_ALERTS.set(sum(model.num_open for model in self._partitions.values()))

    def close(self) -> None:
        """Nothing is open."""
