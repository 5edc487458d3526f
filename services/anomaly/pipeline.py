"""metrics.samples.v1 in, alerts.v1 out: each record goes to its partition's model, what that decides goes to Kafka."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from services.anomaly.core.events import Samples
from services.anomaly.metrics import ALERT_RECORDS, ENTITIES, OPEN_ALERTS, SAMPLES, SIGNALS
from services.anomaly.model.abstract import MetricDetector
from services.anomaly.model.assembly import Assembly
from services.anomaly.model.entity import EntityModel, EntityState, Rules
from services.anomaly.model.gaussian import GaussianEach
from services.anomaly.model.half_space_trees import EntityTrees
from services.anomaly.model.partition import PartitionModel
from services.anomaly.model.range_novelty import RangeNovelty
from services.anomaly.model.robust_z import RobustZ
from services.anomaly.settings import AnomalySettings
from services.common.alerts import cloudevent_headers
from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import ALERTS
from services.common.watermarks import HostMark, Tolerances, Watermarks

Decode = Callable[[bytes | None], Mapping[str, Any]]


class AnomalyStage:
    """The pipeline. Everything that lives across records is in the partitions' states.

    Args:
        decode: a record's value to the fields of metrics.samples.v1; raises InvalidMessage.
        clock: for `published_at` and for noticing that nothing comes any more; it decides nothing else.
    """

    def __init__(self, settings: AnomalySettings, decode: Decode, clock: Clock) -> None:
        self._settings = settings
        self._decode = decode
        self._clock = clock
        self._partitions: dict[TopicPartition, PartitionModel] = {}
        self._heard_at: dict[TopicPartition, datetime] = {}
        self._has_news = True

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """Takes over a partition with all that was learnt of it."""
        settings = self._settings
        tolerances = Tolerances(
            settings.lateness_seconds, settings.skew_seconds, settings.jump_seconds, settings.lull_seconds
        )
        self._partitions[partition] = PartitionModel(settings, Watermarks(tolerances), self._make_entity, state)
        self._heard_at[partition] = self._clock.now()

    def revoke(self, partition: TopicPartition) -> None:
        """Forgets a partition; its next owner reads its state."""
        del self._partitions[partition]
        del self._heard_at[partition]

    def _make_entity(self, state: EntityState) -> EntityModel:
        settings = self._settings
        voters = [make_detector(name, settings) for name in settings.voters]
        advisers = [make_detector(name, settings) for name in settings.advisers if name not in settings.voters]
        rules = Rules(
            _micros(settings.warmup_seconds), _micros(settings.refractory_seconds), _micros(settings.relearn_seconds),
            settings.runbook_url,
        )  # fmt: skip
        assembly = Assembly(settings.unknown_metrics, settings.gap_seconds, settings.max_signals)
        return EntityModel(state, assembly, voters, advisers, rules)

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        """Judges a batch. A sample that sets off an alert has it in `outputs` when this returns."""
        now = self._clock.now()
        touched = dict.fromkeys(record.topic_partition for record in records)
        for partition in touched:
            self._heard_at[partition] = now
            self._partitions[partition].published_at = to_micros(now)
        self._has_news = self._has_news or bool(records)
        for record in records:
            self._take(record, outputs)
        hosts = self._hosts()
        for partition in touched:
            self._partitions[partition].look_elsewhere(_name(partition), hosts)
            self._partitions[partition].save()

    def _take(self, record: Record, outputs: Outputs) -> None:
        try:
            samples = _samples(self._decode(record.value))
        except InvalidMessage as error:
            outputs.dead_letter(record, error)
            return
        model = self._partitions[record.topic_partition]
        for fate, number in model.process(samples).items():
            SAMPLES.labels(fate).inc(number)
        if model.records:
            _write(model, outputs)

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        """Lets partitions without news learn what time it is from the others, and ends alerts when nothing comes."""
        hosts = self._hosts() if self._has_news else {}
        self._has_news = self._has_news and len(caught_up) < len(self._partitions)
        for partition in caught_up:
            model = self._partitions.get(partition)
            if model is None:
                continue
            model.published_at = to_micros(now)
            self._share_clocks(_name(partition), model, hosts)
            if (now - self._heard_at[partition]).total_seconds() >= self._settings.source_silent_seconds:
                model.resolve_all()
            _write(model, outputs)
            model.save()
        ENTITIES.set(sum(len(model.entities) for model in self._partitions.values()))
        SIGNALS.set(sum(model.num_signals for model in self._partitions.values()))
        OPEN_ALERTS.set(sum(model.num_open for model in self._partitions.values()))

    def _hosts(self) -> dict[str, dict[str, HostMark]]:
        """Each host as each partition of this replica has it."""
        hosts: dict[str, dict[str, HostMark]] = {}
        for partition, model in self._partitions.items():
            for host, mark in model.marks.hosts.items():
                hosts.setdefault(host, {})[_name(partition)] = mark
        return hosts

    def _share_clocks(self, name: str, model: PartitionModel, hosts: Mapping[str, Mapping[str, HostMark]]) -> None:
        """A partition of which everything was read knows that nothing more came up to its hosts' time elsewhere."""
        for host, marks in hosts.items():
            others = {other: mark for other, mark in marks.items() if other != name}
            if others and model.marks.adopt(host, others):
                model.look_for_stopped(host)

    def close(self) -> None:
        """Nothing was opened."""


def make_detector(name: str, settings: AnomalySettings) -> MetricDetector:
    """A detector by its name in the settings, with nothing learnt."""
    if name == "range_novelty":
        return RangeNovelty(settings.range_margin, settings.min_samples)
    if name == "robust_z":
        return RobustZ(settings.robust_z_line, settings.min_samples)
    if name == "gaussian":
        return GaussianEach(min_samples=settings.min_samples)
    assert name == "half_space_trees", f"settings let {name!r} through"
    return EntityTrees()


def _samples(fields: Mapping[str, Any]) -> Samples:
    """Raises InvalidMessage for a record that is readable Avro, but of another topic."""
    try:
        return Samples.from_record(fields)
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidMessage("not_samples", f"field {error} is missing or has another form") from error


def _micros(seconds: float) -> int:
    return int(seconds * 1_000_000)


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"


def _write(model: PartitionModel, outputs: Outputs) -> None:
    for record in model.records:
        outputs.add(ALERTS.name, record["fingerprint"], record, cloudevent_headers(record))
        ALERT_RECORDS.labels(record["status"], record["rule"]).inc()
    model.records.clear()
