"""metrics.samples.v1 in, alerts.v1 out: each record goes to its partition's model, what that decides goes to Kafka."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from services.anomaly.core.events import Samples
from services.anomaly.metrics import (
    ALERT_RECORDS,
    ENTITIES,
    FEEDBACK_WORDS,
    HELD_BACK,
    OPEN_ALERTS,
    SAMPLES,
    SIGNALS,
    UNREADABLE_WORDS,
)
from services.anomaly.model.feedback import Feedback, Word
from services.anomaly.model.partition import PartitionModel
from services.anomaly.model.rounds import Rounds
from services.anomaly.model.speech import FAMILY
from services.anomaly.model.team import Team
from services.anomaly.settings import AnomalySettings
from services.common.alerts import cloudevent_headers
from services.common.broker.abstract import Record, TopicPartition, View
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import ALERTS
from services.common.watermarks import HostMark, Tolerances, Watermarks

Decode = Callable[[bytes | None], Mapping[str, Any]]
OpenWords = Callable[[Callable[[Record], None]], View]
#: How often words are asked for; how often all lines are set anew, since words weigh less with time and signals come.
LISTEN_SECONDS, HEED_SECONDS = 1.0, 60.0


class AnomalyStage:
    """The pipeline. Everything that lives across records is in the partitions' states.

    Args:
        decode: a record's value to the fields of metrics.samples.v1; raises InvalidMessage.
        clock: for `published_at` and for noticing that nothing comes any more; it decides nothing else.
        make_rounds: what judges, or what also notes what it sees.
        num_partitions: of the input, whoever reads them: each keeps its part of the budget.
        open_words: opens a view of feedback.v1 that hands every record to what it is given; None for no feedback.
    """

    def __init__(
        self,
        settings: AnomalySettings,
        decode: Decode,
        clock: Clock,
        make_rounds: type[Rounds] = Rounds,
        num_partitions: int = 1,
        open_words: OpenWords | None = None,
    ) -> None:
        self._num_partitions = num_partitions
        self._listener = Listener(decode, open_words)
        self._settings = settings
        self._decode = decode
        self._clock = clock
        self._team = Team(settings, make_rounds)
        self._partitions: dict[TopicPartition, PartitionModel] = {}
        self._heard_at: dict[TopicPartition, datetime] = {}
        self._has_news = True

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """Takes over a partition with all that was learnt of it."""
        settings = self._settings
        tolerances = Tolerances(
            settings.lateness_seconds, settings.skew_seconds, settings.jump_seconds, settings.lull_seconds,
            trusts_pauses=True,
        )  # fmt: skip
        self._partitions[partition] = PartitionModel(
            settings, Watermarks(tolerances), self._team, state, self._num_partitions, _name(partition)
        )
        self._heard_at[partition] = self._clock.now()

    def revoke(self, partition: TopicPartition) -> None:
        """Forgets a partition; its next owner reads its state."""
        self._partitions.pop(partition).free()
        del self._heard_at[partition]

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        """Judges a batch. A sample that sets off an alert has it in `outputs` when this returns."""
        now = self._clock.now()
        self._listen(now)
        partitions = {
            place: TopicPartition(*place) for place in {(record.topic, record.partition) for record in records}
        }
        touched = sorted(partitions.values())
        for partition in touched:
            self._heard_at[partition] = now
            self._partitions[partition].desk.published_at = to_micros(now)
        self._has_news = self._has_news or bool(records)
        models = {place: self._partitions[partition] for place, partition in partitions.items()}
        for number, record in enumerate(records):
            self._take(number, record, models[record.topic, record.partition], outputs)
        self._team.rounds.flush()
        self._count_fates()
        self._write(list(models.values()), outputs)
        hosts = self._hosts()
        for partition in touched:
            self._partitions[partition].look_elsewhere(_name(partition), hosts)
            self._partitions[partition].save()
        self._team.rounds.judged.clear()

    def _take(self, number: int, record: Record, model: PartitionModel, outputs: Outputs) -> None:
        try:
            samples = _samples(self._decode(record.value))
        except InvalidMessage as error:
            outputs.dead_letter(record, error)
            return
        model.process(samples, number)

    def _count_fates(self) -> None:
        fates = self._team.rounds.fates
        for fate, number in fates.items():
            if number:
                SAMPLES.labels(fate).inc(number)
        fates.clear()

    def _write(self, models: Sequence[PartitionModel], outputs: Outputs) -> None:
        """What was said, in the order of the records that led to it."""
        for model in models:
            for why, number in model.policy.held_back.items():
                HELD_BACK.labels(why).inc(number)
            model.policy.held_back.clear()
        said = [each for model in models for each in model.desk.take()]
        for _, record in sorted(said, key=itemgetter(0)):
            outputs.add(ALERTS.name, record["fingerprint"], record, cloudevent_headers(record))
            ALERT_RECORDS.labels(record["status"], record["rule"]).inc()

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        """Lets partitions without news learn what time it is from the others, and ends alerts when nothing comes."""
        self._listen(now)
        hosts = self._hosts() if self._has_news else {}
        self._has_news = self._has_news and len(caught_up) < len(self._partitions)
        for partition in caught_up:
            model = self._partitions.get(partition)
            if model is None:
                continue
            model.desk.published_at = to_micros(now)
            self._share_clocks(_name(partition), model, hosts)
            if (now - self._heard_at[partition]).total_seconds() >= self._settings.source_silent_seconds:
                model.resolve_all()
            self._write([model], outputs)
            model.save()
        ENTITIES.set(sum(len(model.entities) for model in self._partitions.values()))
        SIGNALS.set(self.num_signals)
        OPEN_ALERTS.set(sum(len(model.desk.open) for model in self._partitions.values()))

    def _listen(self, now: datetime) -> None:
        for entity_ids in self._listener.news(now):
            for model in self._partitions.values():
                model.heed(self._listener.feedback, entity_ids, to_micros(now))
        FEEDBACK_WORDS.set(len(self._listener.feedback))

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
                model.look_for_stopped(host, 0)

    @property
    def num_signals(self) -> int:
        """Signals whose past is held in memory."""
        return len(self._team.store.signals)

    def close(self) -> None:
        """Closes the view of what people say."""
        self._listener.close()


class Listener:
    """Reads what people say, on the stage's own thread.

    Every replica reads all of feedback.v1, without a group: 90 days of words are few, and what they come to depends
    neither on their order nor on how often one is read. A record that is none is passed over and counted.
    """

    def __init__(self, decode: Decode, open_words: OpenWords | None) -> None:
        self._decode = decode
        self._open = open_words
        self._view: View | None = None
        self._listened_at: datetime | None = None
        self._heeded_at: datetime | None = None
        self._heard: set[str] = set()
        self.feedback = Feedback()

    def news(self, now: datetime) -> Iterator[Sequence[str]]:
        """Entities whose lines are to be set: of whom something was said since the last call, now and then all."""
        if self._open is None or not _is_due(self._listened_at, now, LISTEN_SECONDS):
            return
        self._listened_at = now
        if self._view is None:
            self._view = self._open(self._hear)
        self._view.refresh()
        if _is_due(self._heeded_at, now, HEED_SECONDS):
            self._heeded_at = now
            self._heard.update(self.feedback.entities)
            self.feedback.forget(to_micros(now))
        if self._heard:
            heard, self._heard = sorted(self._heard), set()
            yield heard

    def _hear(self, record: Record) -> None:
        try:
            word = Word.from_record(self._decode(record.value), FAMILY)
        except InvalidMessage:
            UNREADABLE_WORDS.inc()
            return
        if word is not None:
            self.feedback.hear(word)
            self._heard.add(word.entity_id)

    def close(self) -> None:
        if self._view is not None:
            self._view.close()


def _is_due(before: datetime | None, now: datetime, seconds: float) -> bool:
    return before is None or (now - before).total_seconds() >= seconds


def _samples(fields: Mapping[str, Any]) -> Samples:
    """Raises InvalidMessage for a record that is readable Avro, but of another topic."""
    try:
        return Samples.from_record(fields)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InvalidMessage("not_samples", f"field {error} is missing or has another form") from error


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"
