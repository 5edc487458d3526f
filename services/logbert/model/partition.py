"""One input partition: its clocks, its entities, and the life of their alerts. No network and no wall clock in here."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from services.common.alerts import (
    Finding,
    OpenAlert,
    Status,
    Subject,
    alert_record,
    fire,
    is_quiet,
    join,
    resolve,
    still_bad,
    take_in,
)
from services.common.entities import canonical_program
from services.common.state import PartitionState
from services.common.watermarks import STATE_VERSION as CLOCK_VERSION
from services.common.watermarks import Arrival, HostMark, Watermarks
from services.logbert.core.events import LogEvent, Pause
from services.logbert.core.knowledge import mentions, suspect
from services.logbert.core.verdict import FAMILY as BERT_FAMILY
from services.logbert.core.verdict import RULE as BERT_RULE
from services.logbert.core.verdict import THRESHOLD, sentence, worse
from services.logbert.core.words import Word
from services.logbert.model.abstract import Detector
from services.logbert.model.bert import Bert
from services.logbert.model.entity import STATE_VERSION, EntityModel, EntityState, decode_state
from services.logbert.model.findings import Findings
from services.logbert.model.sequence_watch import Finished
from services.logbert.settings import LogbertSettings

SECOND = 1_000_000
DAY = 86_400 * SECOND

MakeDetectors = Callable[[str, str], Sequence[Detector]]


class PartitionModel:
    """Everything logbert knows of one partition.

    Args:
        make_detectors: (program, entity_id) to the list of detectors of a new entity.
        state: the partition's saved state; read here, written by `save`.
        bert: the artifact that reads the order of lines; None for rules only.
    """

    def __init__(
        self,
        settings: LogbertSettings,
        marks: Watermarks,
        make_detectors: MakeDetectors,
        state: PartitionState,
        bert: Bert | None = None,
    ) -> None:
        self._settings = settings
        self._make_detectors = make_detectors
        self._state = state
        self._bert = bert
        self._findings = Findings(bert.version if bert else "", settings.runbook_url)
        self._changed_entities: set[str] = set()
        self._changed_hosts: set[str] = set()
        self._by_host: dict[str, dict[str, EntityModel]] = {}
        self.marks = marks
        self.entities: dict[str, EntityModel] = {}
        self.records: list[dict[str, Any]] = []
        self.published_at = 0
        self._load()

    def _load(self) -> None:
        for key, saved in self._state.items():
            kind, _, name = key.partition("|")
            if kind == "host":
                self.marks.load_host(name, saved.payload, saved.version)
            else:
                entity = decode_state(saved.payload, saved.version)
                self._keep(entity)

    def _keep(self, state: EntityState) -> EntityModel:
        entity_id = state.subject.entity_id
        entity = EntityModel(state, self._make_detectors(state.program, entity_id), self._bert)
        self.entities[entity_id] = entity
        for source_id in state.sources:
            self._by_host.setdefault(state.host, {})[source_id] = entity
        return entity

    def preview(self, events: Iterable[tuple[LogEvent, Word]]) -> list[tuple[Word, ...]]:
        """The windows that a batch will finish, so that they are scored together. A guess that costs only time."""
        by_source: dict[tuple[str, str], list[tuple[int, Word]]] = {}
        for event, word in events:
            by_source.setdefault((event.entity_id, event.source_id), []).append((event.event_time, word))
        windows = []
        for (entity_id, source_id), words in by_source.items():
            entity = self.entities.get(entity_id)
            if entity is not None and entity.sequences is not None:
                windows += entity.sequences.preview(source_id, words)
        return windows

    def process(self, event: LogEvent, cluster: str, word: Word = "") -> str:
        """Takes one event in; whatever it sets off is in `records` afterwards. Returns how it arrived, for counting.

        Args:
            word: the event as BERT reads it.
        """
        # Asked before the event itself moves the host's clock.
        others_are_warm = self._is_anybody_warm() if event.entity_id not in self.entities else False
        seen = self.marks.observe(event.source_id, event.host, event.event_time, event.ingest_time)
        self._changed_hosts.add(event.host)
        if seen.arrival is Arrival.LATE:
            return str(seen.arrival.value)
        entity = self.entities.get(event.entity_id) or self._meet(event, cluster, others_are_warm)
        if event.is_counted and not entity.take(event):
            return "repeated"
        state = entity.state
        self._changed_entities.add(event.entity_id)
        self._hear(entity, event.source_id)
        state.watermark = seen.watermark if seen.arrival is Arrival.SET_BACK else max(state.watermark, seen.watermark)
        if seen.pause is not None:
            self._learn_pause(entity, event, seen.pause)
        if state.open is not None and is_quiet(state.open, state.watermark):
            self._resolve(entity, "Nothing bad since.")
        finished = self._read(entity, event, word)
        if event.is_counted:
            self._judge(entity, event)
        if finished is not None:
            self._hear_bert(entity, event, finished)
        after = self.marks.hosts[event.host].clock
        if after // SECOND != seen.clock_before // SECOND:
            self.look_for_silence(event.host)
        return str(seen.arrival.value)

    def _is_anybody_warm(self) -> bool:
        """Whether some host has, by its own clock, been listened to for the whole warm-up."""
        needed = self._settings.warmup_seconds * SECOND
        return any(mark.clock - mark.started_at >= needed for mark in self.marks.hosts.values())

    def _meet(self, event: LogEvent, cluster: str, others_are_warm: bool) -> EntityModel:
        """A new entity. With its host it warms up; when others are warm already, it gets a short warm-up of its own."""
        settings = self._settings
        began = event.event_time if others_are_warm else self.marks.hosts[event.host].started_at
        full = began + int(settings.warmup_seconds * SECOND)
        warm = began + int(settings.late_warmup_seconds * SECOND) if others_are_warm else full
        program = canonical_program(event.program)
        subject = Subject(cluster, event.entity_id, event.parent_entity_ids, program)
        if len(self.entities) >= settings.max_entities:
            self._forget_quietest()
        return self._keep(EntityState(subject, event.program, event.host, warm, full, others_are_warm))

    def _forget_quietest(self) -> None:
        """Makes room: a twentieth of the entities, those without an open alert that were quiet for longest."""
        idle = [entity for entity in self.entities.values() if entity.state.open is None]
        idle.sort(key=lambda entity: entity.state.watermark)
        for entity in idle[: max(1, len(self.entities) // 20)]:
            entity_id = entity.state.subject.entity_id
            del self.entities[entity_id]
            self._changed_entities.discard(entity_id)
            self._state.delete(f"entity|{entity_id}")
            for source_id in entity.state.sources:
                self._by_host[entity.state.host].pop(source_id, None)
                self.marks.forget(source_id, entity.state.host)

    def _hear(self, entity: EntityModel, source_id: str) -> None:
        of_host = self._by_host.setdefault(entity.state.host, {})
        if source_id not in of_host:
            of_host[source_id] = entity
            entity.state.sources.append(source_id)

    def _learn_pause(self, entity: EntityModel, event: LogEvent, pause: int) -> None:
        clock = self.marks.hosts[event.host].clock
        seen = Pause(event.source_id, clock - pause, clock)
        if entity.state.open is not None:
            return
        for detector in entity.for_pauses:
            detector.learn(seen, "warm_up" if event.event_time < entity.state.full_at else "slow")

    def _judge(self, entity: EntityModel, event: LogEvent) -> None:
        """Every rule says its word on the event, then takes it in."""
        learning = entity.learning(event)
        alarms = [
            (detector, score, detector.explain(event))
            for detector in entity.for_events
            if (score := detector.score(event)) > detector.threshold and entity.may_speak(detector.rule, event)
        ]
        if alarms:
            accused, named = suspect(event), mentions(event)
            findings = [
                self._findings.by_rule(detector, alarm, score, accused, named, event.source_id)
                for detector, score, alarm in alarms
            ]
            watermark = self.marks.hosts[event.host].sources[event.source_id].watermark
            self._fire_or_join(entity, findings, watermark, event.source_id)
        for detector in entity.for_events:
            detector.learn(event, "held" if entity.state.open is not None else learning)

    def _read(self, entity: EntityModel, event: LogEvent, word: Word) -> Finished | None:
        """Hands BERT an event, before the rules judge it, so that its verdict covers the line that set them off."""
        if entity.sequences is None:
            return None
        state = entity.state
        return entity.sequences.take(event, word, event.event_time < state.full_at, state.open is not None)

    def _hear_bert(self, entity: EntityModel, event: LogEvent, finished: Finished) -> None:
        """BERT alone fires only after several unlikely windows in a row, and holds only its own alert open.

        Where a rule has spoken it only adds its verdict: how long an alert lasts is then the rules' matter.
        """
        state, mark = entity.state, self.marks.hosts[event.host].sources[event.source_id].watermark
        is_anomalous = finished.score is not None and finished.score > THRESHOLD
        if state.open is not None:
            if is_anomalous and state.open.detectors == [BERT_FAMILY]:
                still_bad(state.open, mark)
            if is_anomalous:
                self._ask_bert(entity, state.open, event.source_id)
            return
        needed = self._settings.bert_alone_windows
        if needed and finished.num_unlikely >= needed and event.event_time >= state.full_at:
            self._fire_or_join(entity, [self._findings.alone(entity, event, finished)], mark, event.source_id)

    def _fire_or_join(self, entity: EntityModel, findings: Sequence[Finding], watermark: int, source_id: str) -> None:
        """One alert per entity at a time: what several rules say of one event is one record, a later rule joins."""
        state = entity.state
        status: Status = "updated" if state.open is not None else "firing"
        if state.open is None:
            first, *others = findings
            state.open = fire(state.subject, first, watermark, self._settings.resolve_quiet_seconds, state.last)
            for finding in others:
                take_in(state.open, finding)
        elif not join(state.open, findings, watermark):
            return
        self._ask_bert(entity, state.open, source_id)
        self._emit(state.open, status)

    def _ask_bert(self, entity: EntityModel, alert: OpenAlert, source_id: str) -> None:
        """Puts BERT's verdict beside the rules': in the labels, the worst one of the alert's life so far."""
        if entity.sequences is None:
            return
        labels = worse(alert.finding.labels, entity.sequences.verdict(source_id))
        alert.finding = msgspec.structs.replace(alert.finding, labels=labels)
        if labels["bert_verdict"] == "anomalous" and BERT_FAMILY not in alert.detectors:
            alert.detectors.append(BERT_FAMILY)
            alert.rules.append(BERT_RULE)

    def look_for_silence(self, host: str) -> None:
        """Judges the host's sources by its clock as it stands; called when that has reached another second."""
        mark = self.marks.hosts[host]
        for source_id, entity in list(self._by_host.get(host, {}).items()):
            quiet = self.marks.quiet(source_id, host)
            if quiet > DAY:
                self._forget_source(entity, source_id)
            elif mark.clock >= entity.state.full_at:
                self._judge_pause(entity, Pause(source_id, mark.clock - quiet, mark.clock))
            if entity.state.open is not None:
                self._resolve_if_unheard(entity, mark.clock)

    def _judge_pause(self, entity: EntityModel, pause: Pause) -> None:
        for detector in entity.for_pauses:
            score = detector.score(pause)
            if score <= detector.threshold:
                continue
            self._changed_entities.add(entity.state.subject.entity_id)
            if entity.state.open is not None and detector.rule in entity.state.open.rules:
                still_bad(entity.state.open, pause.clock)
                continue
            alarm, program = detector.explain(pause), entity.state.subject.program
            finding = self._findings.by_rule(detector, alarm, score, program, (), pause.source_id)
            self._fire_or_join(entity, [finding], pause.clock, pause.source_id)

    def _resolve_if_unheard(self, entity: EntityModel, clock: int) -> None:
        """Ends the alert of an entity of which nothing at all has come for long, by its host's clock."""
        alert = entity.state.open
        if alert and clock - max(alert.last_bad, entity.state.watermark) >= self._unheard:
            self._resolve(entity, "source_silent:")

    @property
    def _unheard(self) -> int:
        return int(self._settings.source_silent_seconds * SECOND)

    def _forget_source(self, entity: EntityModel, source_id: str) -> None:
        self._by_host[entity.state.host].pop(source_id, None)
        self.marks.forget(source_id, entity.state.host)
        entity.state.sources.remove(source_id)
        self._changed_entities.add(entity.state.subject.entity_id)
        self._changed_hosts.add(entity.state.host)

    def resolve_all(self) -> None:
        """Nothing has come for long, by wall time: no alert can be known to last."""
        for entity in self.entities.values():
            if entity.state.open is not None:
                self._resolve(entity, "source_silent:")

    def _resolve(self, entity: EntityModel, why: str) -> None:
        alert = entity.state.open
        assert alert is not None
        entity.state.last = resolve(alert, entity.state.watermark)
        self._emit(alert, "resolved", why)
        entity.state.open = None
        self._changed_entities.add(entity.state.subject.entity_id)

    def _emit(self, alert: OpenAlert, status: Status, why: str = "") -> None:
        record = alert_record(alert, status, self.published_at, why)
        about_bert = sentence(record["labels"])
        if about_bert:
            record["reason"] = f"{record['reason']} {about_bert}"
        self.records.append(record)

    def look_elsewhere(self, name: str, hosts: Mapping[str, Mapping[str, HostMark]]) -> None:
        """Notes how far the hosts of this batch are in the other partitions, so that a restart knows it too."""
        for host in self._changed_hosts:
            self.marks.look(host, {other: mark for other, mark in hosts[host].items() if other != name})

    def save(self) -> None:
        """Puts what changed since the last call into the partition's state."""
        for host in self._changed_hosts:
            self._state.put(f"host|{host}", self.marks.save_host(host), CLOCK_VERSION)
        for entity_id in self._changed_entities:
            self._state.put(f"entity|{entity_id}", self.entities[entity_id].save(), STATE_VERSION)
        self._changed_hosts.clear()
        self._changed_entities.clear()

    @property
    def num_open(self) -> int:
        return sum(entity.state.open is not None for entity in self.entities.values())
