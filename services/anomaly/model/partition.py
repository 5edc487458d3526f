"""One input partition: its clocks, its entities, and the life of their alerts. No network and no wall clock in here."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from services.anomaly.core.events import Samples
from services.anomaly.core.semantics import ADVICE
from services.anomaly.core.words import place
from services.anomaly.model.assembly import Batch
from services.anomaly.model.entity import (
    FAMILY,
    MODEL_VERSION,
    STATE_VERSION,
    EntityModel,
    EntityState,
    decode_state,
)
from services.anomaly.model.rhythm import Rhythm
from services.anomaly.settings import AnomalySettings
from services.common.alerts import (
    MAX_QUIET_SECONDS,
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
from services.common.entities import canonical_program, split_service
from services.common.state import PartitionState
from services.common.watermarks import STATE_VERSION as CLOCK_VERSION
from services.common.watermarks import Arrival, HostMark, Watermarks

SECOND = 1_000_000
DAY = 86_400 * SECOND

#: Kinds of entities that end every day without anything being wrong: nobody misses their scrapes.
COME_AND_GO = ("pod:", "instance:")

MakeEntity = Callable[[EntityState], EntityModel]


class PartitionModel:
    """Everything anomaly knows of one partition.

    Args:
        make_entity: a new entity's model, with nothing learnt.
        state: the partition's saved state; read here, written by `save`.
    """

    def __init__(
        self, settings: AnomalySettings, marks: Watermarks, make_entity: MakeEntity, state: PartitionState
    ) -> None:
        self._settings = settings
        self._make_entity = make_entity
        self._state = state
        self._changed_entities: set[str] = set()
        self._changed_hosts: set[str] = set()
        self._by_host: dict[str, dict[str, EntityModel]] = {}
        self.marks = marks
        self.entities: dict[str, EntityModel] = {}
        self.records: list[dict[str, Any]] = []
        self.published_at = 0
        self._load()

    def _load(self) -> None:
        parts: dict[str, dict[str, bytes]] = {}
        for key, saved in self._state.items():
            kind, _, name = key.partition("|")
            if kind == "host":
                self.marks.load_host(name, saved.payload, saved.version)
            else:
                parts.setdefault(name, {})[kind] = saved.payload
        for entity_id, held in parts.items():
            saved_state = self._state.get(f"entity|{entity_id}")
            if saved_state is None:
                # Of a detector that was switched off before its entity was forgotten.
                for kind in held:
                    self._state.delete(f"{kind}|{entity_id}")
                continue
            self._keep(decode_state(saved_state.payload, saved_state.version)).load(held)

    def _keep(self, state: EntityState) -> EntityModel:
        entity = self._make_entity(state)
        self.entities[state.subject.entity_id] = entity
        for source_id in state.rhythms:
            self._by_host.setdefault(state.host, {})[source_id] = entity
        return entity

    def process(self, samples: Samples) -> Counter[str]:
        """Takes one record in; whatever it sets off is in `records` afterwards. Returns its samples by their fate."""
        host = samples.host
        # Asked before the record itself moves the host's clock.
        is_late_comer = samples.entity_id not in self.entities and self._is_warm(host)
        seen = self.marks.observe(samples.source_id, host, samples.event_time, samples.ingest_time)
        self._changed_hosts.add(host)
        if seen.arrival in (Arrival.LATE, Arrival.FUTURE):
            return Counter({str(seen.arrival.value): len(samples.series)})
        entity = self.entities.get(samples.entity_id) or self._meet(samples, is_late_comer)
        self._changed_entities.add(samples.entity_id)
        self._hear(entity, samples.source_id, seen.pause)
        if seen.arrival is Arrival.SET_BACK:
            _set_back(entity, seen.watermark)
        entity.state.watermark = max(entity.state.watermark, seen.watermark)
        batches, fates = entity.assembly.take(samples)
        for batch in batches:
            self._judge(entity, batch, samples)
        after = self.marks.hosts[host].clock
        if after // SECOND != seen.clock_before // SECOND:
            self.look_for_stopped(host)
        return fates

    def _is_warm(self, host: str) -> bool:
        """Whether the host has, by its own clock, been listened to for the whole warm-up."""
        mark = self.marks.hosts.get(host)
        return mark is not None and mark.clock - mark.started_at >= self._settings.warmup_seconds * SECOND

    def _meet(self, samples: Samples, is_late_comer: bool) -> EntityModel:
        """A new entity. It warms up with its host, or by itself when its host is warm already."""
        began = samples.event_time if is_late_comer else self.marks.hosts[samples.host].started_at
        service = split_service(samples.entity_id)
        program = canonical_program(service[0]) if service else "host" if samples.entity_id.startswith("host:") else ""
        subject = Subject(samples.cluster, samples.entity_id, samples.parent_entity_ids, program)
        if len(self.entities) >= self._settings.max_entities:
            self._forget_quietest()
        warm_at = began + int(self._settings.warmup_seconds * SECOND)
        return self._keep(EntityState(subject, samples.host, samples.event_time, warm_at))

    def _forget_quietest(self) -> None:
        """Makes room: a twentieth of the entities, those without an open alert that were quiet for longest."""
        idle = [entity for entity in self.entities.values() if entity.state.open is None]
        idle.sort(key=lambda entity: entity.state.watermark)
        for entity in idle[: max(1, len(self.entities) // 20)]:
            self._forget_entity(entity)

    def _forget_entity(self, entity: EntityModel) -> None:
        entity_id = entity.state.subject.entity_id
        del self.entities[entity_id]
        self._changed_entities.discard(entity_id)
        for name in entity.save():
            self._state.delete(f"{name}|{entity_id}")
        for source_id in list(entity.state.rhythms):
            self._forget_source(entity, source_id)

    def _forget_source(self, entity: EntityModel, source_id: str) -> None:
        self._by_host[entity.state.host].pop(source_id, None)
        self.marks.forget(source_id, entity.state.host)
        del entity.state.rhythms[source_id]
        self._changed_hosts.add(entity.state.host)

    def _hear(self, entity: EntityModel, source_id: str, pause: int | None) -> None:
        rhythm = entity.state.rhythms.get(source_id)
        if rhythm is None:
            rhythm = entity.state.rhythms[source_id] = Rhythm()
            self._by_host.setdefault(entity.state.host, {})[source_id] = entity
        if pause is not None and entity.state.open is None:
            rhythm.learn(pause / SECOND)

    def _judge(self, entity: EntityModel, batch: Batch, samples: Samples) -> None:
        """The whole of one scrape's news: what is outside, whether it alerts or ends an alert, what is learnt."""
        state = entity.state
        verdict = entity.judge(batch, samples)
        if verdict.findings:
            self._fire_or_join(entity, verdict.findings, state.watermark)
        elif verdict.is_bad and state.open is not None:
            still_bad(state.open, state.watermark)
        entity.accept(verdict.accepted)
        if state.open is not None and not verdict.is_bad and is_quiet(state.open, state.watermark):
            self._resolve(entity, "Everything is inside again, or accepted as the new normal.")
        entity.learn(batch, verdict)

    def _fire_or_join(self, entity: EntityModel, findings: Sequence[Finding], watermark: int) -> None:
        """One alert per entity at a time: what several signals say of one scrape is one record, a later one joins."""
        state = entity.state
        if state.open is None:
            self._fire(entity, findings, watermark)
            return
        is_news = join(state.open, findings, watermark)
        # What the labels say is what is so now, not what was when it began.
        state.open.finding = msgspec.structs.replace(state.open.finding, labels=findings[0].labels)
        if is_news:
            self._emit(state.open, "updated")

    def _fire(self, entity: EntityModel, findings: Sequence[Finding], watermark: int) -> None:
        state = entity.state
        first, *others = findings
        state.open = fire(state.subject, first, watermark, self._quiet_seconds(entity, first, watermark), state.last)
        for finding in others:
            take_in(state.open, finding)
        self._emit(state.open, "firing")

    def _quiet_seconds(self, entity: EntityModel, finding: Finding, watermark: int) -> float:
        """Twice as long as before when the same rule speaks again soon after its alert was resolved."""
        last = entity.state.last
        if last is None or watermark - last.resolved_at > MAX_QUIET_SECONDS * SECOND:
            return self._settings.resolve_quiet_seconds
        is_same = finding.rule in last.signatures
        return min(2 * last.quiet_seconds, MAX_QUIET_SECONDS) if is_same else self._settings.resolve_quiet_seconds

    def look_for_stopped(self, host: str) -> None:
        """Judges the host's scrapes by its clock as it stands; called when that has reached another second."""
        mark = self.marks.hosts[host]
        for source_id, entity in list(self._by_host.get(host, {}).items()):
            quiet = self.marks.quiet(source_id, host)
            if quiet > DAY:
                self._forget_stopped(entity, source_id)
            elif mark.clock >= entity.state.warm_at:
                self._judge_pause(entity, source_id, quiet, mark.clock)
            if entity.state.open is not None:
                self._resolve_if_unheard(entity, mark.clock)

    def _forget_stopped(self, entity: EntityModel, source_id: str) -> None:
        self._changed_entities.add(entity.state.subject.entity_id)
        if len(entity.state.rhythms) > 1 or entity.state.open is not None:
            self._forget_source(entity, source_id)
        else:
            self._forget_entity(entity)

    def _judge_pause(self, entity: EntityModel, source_id: str, quiet: int, clock: int) -> None:
        rhythm = entity.state.rhythms[source_id]
        limit = rhythm.limit(self._settings.stopped_floor_seconds)
        state = entity.state
        if limit is None or quiet <= limit * SECOND or state.subject.entity_id.startswith(COME_AND_GO):
            return
        if state.open is not None and "scrape_stopped" in state.open.rules:
            if clock - state.watermark < self._unheard:
                self._changed_entities.add(state.subject.entity_id)
                still_bad(state.open, clock)
            return
        last = state.last
        if last is not None and last.resolved_at > clock - quiet and "scrape_stopped" in last.signatures:
            return  # of this same silence everything was said
        self._changed_entities.add(state.subject.entity_id)
        self._fire_or_join(entity, [self._stopped(entity, source_id, quiet / SECOND, limit, clock)], clock)

    def _stopped(self, entity: EntityModel, source_id: str, seconds: float, limit: float, clock: int) -> Finding:
        job = source_id.rpartition(" ")[2]
        rhythm = entity.state.rhythms[source_id]
        where = place(entity.state.subject.entity_id)
        starts_at = clock - int((seconds - rhythm.longest) * SECOND)
        return Finding(
            FAMILY, "scrape_stopped", "silence", starts_at, "warning",
            seconds / (seconds + limit), 0.5, f"no {job} metrics of {where} for {seconds:.0f} s",
            f"The scrape {job} of {where} has not come for {seconds:.1f} s while others of its host go on; its longest "
            f"pause was {rhythm.longest:.1f} s, the limit is {limit:.1f} s. {ADVICE['scrape_stopped']}",
            entity.state.subject.program, labels={"job": job}, model_version=MODEL_VERSION,
            runbook_url=self._settings.runbook_url,
        )  # fmt: skip

    @property
    def _unheard(self) -> int:
        return int(self._settings.source_silent_seconds * SECOND)

    def _resolve_if_unheard(self, entity: EntityModel, clock: int) -> None:
        """Ends the alert of an entity of which nothing at all has come for long, by its host's clock."""
        alert = entity.state.open
        if alert and clock - max(alert.last_bad, entity.state.watermark) >= self._unheard:
            self._resolve(entity, "source_silent:")

    def resolve_all(self) -> None:
        """Nothing has come for long, by wall time: no alert can be known to last."""
        for entity in self.entities.values():
            if entity.state.open is not None:
                self._resolve(entity, "source_silent:")

    def _resolve(self, entity: EntityModel, why: str) -> None:
        alert = entity.state.open
        assert alert is not None
        # Metrics have no templates: the rules are what the same trouble is known by when it returns.
        last = resolve(alert, entity.state.watermark)
        entity.state.last = msgspec.structs.replace(last, signatures=tuple(alert.rules))
        self._emit(alert, "resolved", why)
        entity.state.open = None
        self._changed_entities.add(entity.state.subject.entity_id)

    def _emit(self, alert: OpenAlert, status: Status, why: str = "") -> None:
        self.records.append(alert_record(alert, status, self.published_at, why))

    def look_elsewhere(self, name: str, hosts: Mapping[str, Mapping[str, HostMark]]) -> None:
        """Notes how far the hosts of this batch are in the other partitions, so that a restart knows it too."""
        for host in self._changed_hosts:
            self.marks.look(host, {other: mark for other, mark in hosts[host].items() if other != name})

    def save(self) -> None:
        """Puts the parts that changed since the last call into the partition's state."""
        for host in self._changed_hosts:
            self._state.put(f"host|{host}", self.marks.save_host(host), CLOCK_VERSION)
        for entity_id in self._changed_entities:
            for name, part in self.entities[entity_id].save().items():
                key = f"{name}|{entity_id}"
                held = self._state.get(key)
                if held is None or held.payload != part:
                    self._state.put(key, part, STATE_VERSION)
        self._changed_hosts.clear()
        self._changed_entities.clear()

    @property
    def num_open(self) -> int:
        return sum(entity.state.open is not None for entity in self.entities.values())

    @property
    def num_signals(self) -> int:
        return sum(len(entity.assembly.signals) for entity in self.entities.values())


def _set_back(entity: EntityModel, watermark: int) -> None:
    """The source's clock was set back: samples begin anew from there, and what waits for a time waits as long."""
    state = entity.state
    delta = max(0, state.watermark - watermark)
    state.watermark = watermark
    state.warm_at -= delta
    entity.assembly.forget_times()
    if state.open is not None:
        state.open.last_bad = min(state.open.last_bad, watermark)
    if state.last is not None:
        state.last = msgspec.structs.replace(state.last, resolved_at=state.last.resolved_at - delta)
    for track in state.tracks.values():
        track.warm_at -= delta
        track.raised_at -= delta
        track.out_since = track.out_since and max(1, track.out_since - delta)
