"""logs.parsed.v1 in, alerts.v1 out: each event goes to its partition's model, and what that decides goes to Kafka."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from services.common.alerts import cloudevent_headers
from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import ALERTS
from services.common.watermarks import HostMark, Tolerances, Watermarks
from services.logbert.core.events import LogEvent
from services.logbert.core.words import Word
from services.logbert.metrics import (
    ALERT_RECORDS,
    BERT_WINDOWS_ASKED,
    BERT_WINDOWS_RUN,
    ENTITIES,
    EVENTS,
    OPEN_ALERTS,
)
from services.logbert.model.abstract import Detector
from services.logbert.model.bert import Bert
from services.logbert.model.entity import EntityModel
from services.logbert.model.error_burst import ErrorBurst
from services.logbert.model.http_errors import HttpErrors
from services.logbert.model.partition import PartitionModel
from services.logbert.model.silence import Silence
from services.logbert.model.unseen_template import UnseenTemplate
from services.logbert.model.vocabulary import Wording
from services.logbert.settings import LogbertSettings

#: Template ids without a text that are remembered, so that each is sought once.
MAX_SOUGHT = 10_000

Decode = Callable[[bytes | None], Mapping[str, Any]]


class Aliases(Protocol):
    """Which templates have merged, and what each says."""

    def refresh(self) -> None: ...

    def resolve(self, template_id: str) -> str: ...

    def forms(self, template_id: str) -> Sequence[str]: ...

    def close(self) -> None: ...


class NoAliases:
    """For streams whose templates never merge, nor have a text."""

    def refresh(self) -> None:
        pass

    def resolve(self, template_id: str) -> str:
        return template_id

    def forms(self, template_id: str) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass


class Read(NamedTuple):
    """A record as an event."""

    event: LogEvent
    cluster: str


class LogbertStage:
    """The pipeline. Everything that lives across records is in the partitions' states.

    Args:
        decode: a record's value to the fields of logs.parsed.v1; raises InvalidMessage.
        clock: for `published_at` and for noticing that nothing comes any more; it decides nothing else.
        bert: what reads the order of lines; None for rules only.
    """

    def __init__(
        self,
        settings: LogbertSettings,
        decode: Decode,
        clock: Clock,
        aliases: Aliases | None = None,
        bert: Bert | None = None,
    ) -> None:
        self._settings = settings
        self._decode = decode
        self._clock = clock
        self._aliases = aliases or NoAliases()
        self._bert = bert
        self._wording = Wording(bert.vocabulary, self._aliases.forms) if bert else None
        self._sought: dict[str, None] = {}
        self._partitions: dict[TopicPartition, PartitionModel] = {}
        self._heard_at: dict[TopicPartition, datetime] = {}
        self._has_news = True

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """Takes over a partition with all that was learnt of it."""
        settings = self._settings
        tolerances = Tolerances(settings.lateness_seconds, settings.skew_seconds, settings.jump_seconds)
        marks = Watermarks(tolerances)
        self._partitions[partition] = PartitionModel(settings, marks, self._detectors, state, self._bert)
        self._heard_at[partition] = self._clock.now()

    def revoke(self, partition: TopicPartition) -> None:
        """Forgets a partition; its next owner reads its state."""
        del self._partitions[partition]
        del self._heard_at[partition]

    def _detectors(self, program: str, entity_id: str) -> list[Detector]:
        """The rules and models that watch an entity, in the order in which they are asked."""
        settings = self._settings

        def is_known_elsewhere(template_id: str) -> bool:
            return self._is_known(template_id, program, entity_id)

        return [
            ErrorBurst(settings.window_seconds),
            UnseenTemplate(is_known_elsewhere, self._aliases.resolve, settings.max_templates),
            HttpErrors(settings.window_seconds),
            Silence(settings.silence_longest_gap_seconds, settings.silence_floor_seconds, settings.silence_min_events),
        ]

    def _is_known(self, template_id: str, program: str, entity_id: str) -> bool:
        """Whether another entity of the program, as far as this replica has them, knows the template."""
        for model in self._partitions.values():
            for other_id, other in model.entities.items():
                if other_id != entity_id and other.state.program == program and _knows(other, template_id):
                    return True
        return False

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        """Judges a batch. An event that sets off an alert has it in `outputs` when this returns."""
        now = self._clock.now()
        touched = dict.fromkeys(record.topic_partition for record in records)
        for partition in touched:
            self._heard_at[partition] = now
            self._partitions[partition].published_at = to_micros(now)
        self._has_news = self._has_news or bool(records)
        events = [self._read(record) for record in records]
        self._seek_texts(events)
        words = self._words(events)
        self._prepare(records, events, words)
        for record, event, word in zip(records, events, words, strict=True):
            if isinstance(event, InvalidMessage):
                outputs.dead_letter(record, event)
            else:
                self._take(self._partitions[record.topic_partition], event, word, outputs)
        hosts = self._hosts()
        for partition in touched:
            self._partitions[partition].look_elsewhere(_name(partition), hosts)
            self._partitions[partition].save()

    def _read(self, record: Record) -> Read | InvalidMessage:
        try:
            fields = self._decode(record.value)
            return Read(_log_event(fields), str(fields.get("cluster", "")))
        except InvalidMessage as error:
            return error

    def _take(self, model: PartitionModel, read: Read, word: Word, outputs: Outputs) -> None:
        EVENTS.labels(model.process(read.event, read.cluster, word)).inc()
        if model.records:
            _write(model, outputs)

    def _seek_texts(self, events: Sequence[Read | InvalidMessage]) -> None:
        """Reads the templates' topic on when a batch names one without a text: it was written before the event.

        Each is sought once; one whose text comes later is known from the next tick on.
        """
        if self._wording is None:
            return
        ids = {read.event.template_id for read in events if isinstance(read, Read)} - self._sought.keys() - {""}
        missing = [template_id for template_id in ids if not self._aliases.forms(template_id)]
        if missing:
            self._aliases.refresh()
            self._sought.update(dict.fromkeys(missing))
        while len(self._sought) > MAX_SOUGHT:
            del self._sought[next(iter(self._sought))]

    def _words(self, events: Sequence[Read | InvalidMessage]) -> list[Word]:
        wording = self._wording
        if wording is None:
            return [""] * len(events)
        return [wording.word(read.event) if isinstance(read, Read) else "" for read in events]

    def _prepare(
        self, records: Sequence[Record], events: Sequence[Read | InvalidMessage], words: Sequence[Word]
    ) -> None:
        """Takes all windows that the batch will finish through the network at once; what is judged does not change."""
        if self._bert is None:
            return
        by_partition: dict[TopicPartition, list[tuple[LogEvent, Word]]] = {}
        for record, read, word in zip(records, events, words, strict=True):
            if isinstance(read, Read):
                by_partition.setdefault(record.topic_partition, []).append((read.event, word))
        windows = [self._partitions[name].preview(pairs) for name, pairs in by_partition.items()]
        self._bert.scorer.prepare(window for some in windows for window in some)

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        """Lets partitions without news learn what time it is from the others, and ends alerts when nothing comes."""
        self._aliases.refresh()
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
        if self._bert is not None:
            BERT_WINDOWS_ASKED.set(self._bert.scorer.num_asked)
            BERT_WINDOWS_RUN.set(self._bert.scorer.num_run)
        ENTITIES.set(sum(len(model.entities) for model in self._partitions.values()))
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
                model.look_for_silence(host)

    def close(self) -> None:
        """Stops reading the aliases."""
        self._aliases.close()


def _log_event(fields: Mapping[str, Any]) -> LogEvent:
    """Raises InvalidMessage for a record that is readable Avro, but of another topic."""
    try:
        return LogEvent.from_record(fields)
    except (KeyError, TypeError) as error:
        raise InvalidMessage("not_a_log_event", f"field {error} is missing or has another form") from error


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}[{partition.partition}]"


def _knows(entity: EntityModel, template_id: str) -> bool:
    return any(isinstance(rule, UnseenTemplate) and rule.knows(template_id) for rule in entity.for_events)


def _write(model: PartitionModel, outputs: Outputs) -> None:
    for record in model.records:
        outputs.add(ALERTS.name, record["fingerprint"], record, cloudevent_headers(record))
        ALERT_RECORDS.labels(record["status"], record["rule"]).inc()
    model.records.clear()
