"""One input partition: its clocks, its entities, and what was heard of them. No network and no wall clock in here."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from services.anomaly.core.events import Samples
from services.anomaly.core.semantics import ADVICE
from services.anomaly.core.words import place
from services.anomaly.model.blocks import Blocks
from services.anomaly.model.budget import share_of
from services.anomaly.model.desk import Desk, Said
from services.anomaly.model.entity import Entity, Who
from services.anomaly.model.feedback import ALL, Feedback
from services.anomaly.model.journal import Journal
from services.anomaly.model.loading import Loading
from services.anomaly.model.notices import Notices
from services.anomaly.model.policy import Policy
from services.anomaly.model.rhythm import Rhythm
from services.anomaly.model.rounds import Waiting
from services.anomaly.model.saving import Saving
from services.anomaly.model.speech import FAMILY, MODEL_VERSION
from services.anomaly.model.store import NEVER
from services.anomaly.model.team import Team
from services.anomaly.settings import AnomalySettings
from services.common.alerts import Finding, Subject, still_bad
from services.common.entities import canonical_program, split_service
from services.common.state import PartitionState
from services.common.watermarks import Arrival, HostMark, Watermarks

SECOND = 1_000_000
DAY = 86_400 * SECOND

#: An alert about drift ends after so long without news: its signals may have stopped, and then are never learnt.
LONGEST_DRIFT = 7 * DAY
#: Kinds of entities that end every day without anything being wrong: nobody misses their scrapes.
COME_AND_GO = ("pod:", "instance:")


class PartitionModel:
    """Everything anomaly knows of one partition.

    Args:
        team: what judges the records, of all partitions together.
        state: the partition's saved state; read here, written by `save`.
        num_partitions: of the input, which share the budget.
        name: of the partition, for alerts about itself.
    """

    def __init__(
        self, settings: AnomalySettings, marks: Watermarks, team: Team, state: PartitionState, num_partitions: int = 1,
        name: str = "",
    ) -> None:  # fmt: skip
        self._settings = settings
        self._team = team
        self._journal, blocks = Journal(state), Blocks(team)
        self._saving = Saving(state, team, blocks, self._journal)
        self._by_host: dict[str, dict[str, Entity]] = {}
        self._changed_entities: dict[str, Entity] = {}
        self._changed_hosts: set[str] = set()
        #: Until which time of a host's clock none of its scrapes can be missed.
        self._calm_until: dict[str, int] = {}
        self.marks = marks
        self._state = state
        per_day = share_of(settings.alerts_per_day, num_partitions) if settings.alerts_per_day else None
        self.policy = Policy(per_day, settings.runbooks, settings.runbook_url)
        self.policy.load(state)
        self._notices = Notices(name, settings.runbooks, settings.runbook_url)
        self._notices.load(state)
        self.desk = Desk(team.store, settings, self.policy)
        self.entities: dict[str, Entity] = {}
        loading = Loading(state, team, blocks, self._journal)
        loading.load_hosts(marks)
        for entity in loading.load_entities(self.desk):
            self._keep(entity)

    def _keep(self, entity: Entity) -> Entity:
        self.entities[entity.entity_id] = entity
        for source_id in entity.rhythms:
            self._by_host.setdefault(entity.host, {})[source_id] = entity
        return entity

    def process(self, samples: Samples, number: int) -> None:
        """Takes one record in; it may be judged later, by `Rounds.flush`."""
        host, entity_id, source_id = samples.host, samples.entity_id, samples.source_id
        entity = self.entities.get(entity_id)
        # Asked before the record itself moves the host's clock.
        is_late_comer = entity is None and self._is_warm(host)
        seen = self.marks.observe(source_id, host, samples.event_time, samples.ingest_time)
        self._changed_hosts.add(host)
        if seen.arrival in (Arrival.LATE, Arrival.FUTURE):
            self._team.rounds.fates[seen.arrival.value] += len(samples.series)
            return
        if entity is None:
            entity = self._meet(samples, is_late_comer, number)
        self._changed_entities[entity_id] = entity
        if source_id not in entity.rhythms:
            entity.rhythms[source_id] = Rhythm()
            entity.is_disturbed = True
            self._by_host.setdefault(entity.host, {})[source_id] = entity
            self._calm_until[entity.host] = NEVER
        if seen.arrival is Arrival.SET_BACK:
            self._team.rounds.flush()
            self._set_back(entity, seen.watermark)
        entity.watermark = max(entity.watermark, seen.watermark)
        self._look_at_notices(number, samples.cluster, seen.watermark)
        if entity_id in self.desk.drifting:
            self._look_at_drift(entity, number)
        source = entity.source(source_id)
        entity.count += 1
        waiting = Waiting(
            2 * number, entity, samples, source_id, source, seen.pause, entity.watermark, entity.count
        )  # fmt: skip
        self._team.rounds.take(waiting)
        after = self.marks.hosts[host].clock
        if after // SECOND != seen.clock_before // SECOND:
            self.look_for_stopped(host, number)

    def _look_at_drift(self, entity: Entity, number: int) -> None:
        """Ends an alert about drift that nobody looks after any more."""
        alert = entity.alerting.drift.open
        assert alert is not None
        self.desk.number = 2 * number
        if self._team.store.watch is None:
            self.desk.end_drift(entity, "Drift is not looked at any more.", entity.watermark)
        elif entity.watermark - alert.last_bad > LONGEST_DRIFT:
            self.desk.end_drift(entity, "Nothing was heard of its signals for long.", entity.watermark)

    def _is_warm(self, host: str) -> bool:
        """Whether the host has, by its own clock, been listened to for the whole warm-up."""
        mark = self.marks.hosts.get(host)
        return mark is not None and mark.clock - mark.started_at >= self._settings.warmup_seconds * SECOND

    def _meet(self, samples: Samples, is_late_comer: bool, number: int) -> Entity:
        """A new entity. It warms up with its host, or by itself when its host is warm already."""
        began = samples.event_time if is_late_comer else self.marks.hosts[samples.host].started_at
        service = split_service(samples.entity_id)
        program = canonical_program(service[0]) if service else "host" if samples.entity_id.startswith("host:") else ""
        subject = Subject(samples.cluster, samples.entity_id, samples.parent_entity_ids, program)
        if len(self.entities) >= self._settings.max_entities:
            self._team.rounds.flush()
            num_forgotten, most = self._forget_quietest(), self._settings.max_entities
            if num_forgotten:
                at = self.desk.published_at
                news = self._notices.no_room(samples.cluster, num_forgotten, most, samples.event_time, at)
                self._notice(number, news)
        warm_at = began + int(self._settings.warmup_seconds * SECOND)
        entity = Entity(Who(subject, samples.host, samples.event_time, warm_at), self.desk)
        self._journal.meet(entity)
        return self._keep(entity)

    def _notice(self, number: int, records: Iterable[dict[str, Any]]) -> None:
        self.desk.said += [Said(2 * number, record) for record in records]

    def _look_at_notices(self, number: int, cluster: str, watermark: int) -> None:
        """Ends what is over, and says what nobody was told for a day."""
        published_at = self.desk.published_at
        if self._notices.state.open:
            self._notice(number, self._notices.look(watermark, published_at))
        told = self.policy.summary(watermark)
        if told:
            self._notice(number, self._notices.held_back(cluster, told, watermark, published_at))

    def _forget_quietest(self) -> int:
        """Makes room: a twentieth of the entities, those without an open alert that were quiet for longest."""
        busy = {*self.desk.open, *self.desk.flooded}
        idle = [entity for entity_id, entity in self.entities.items() if entity_id not in busy]
        idle.sort(key=lambda entity: entity.watermark)
        gone = idle[: max(1, len(self.entities) // 20)]
        for entity in gone:
            self._forget_entity(entity)
        return len(gone)

    def _forget_entity(self, entity: Entity) -> None:
        del self.entities[entity.entity_id]
        self._changed_entities.pop(entity.entity_id, None)
        self._saving.forget(entity)
        self.desk.forget(entity)
        for source_id in list(entity.rhythms):
            self._forget_source(entity, source_id)
        self._team.free(entity)

    def _forget_source(self, entity: Entity, source_id: str) -> None:
        self._by_host[entity.host].pop(source_id, None)
        self.marks.forget(source_id, entity.host)
        del entity.rhythms[source_id]
        entity.is_disturbed = True
        self._changed_hosts.add(entity.host)

    def _set_back(self, entity: Entity, watermark: int) -> None:
        """The source's clock was set back: samples begin anew from there, and what waits for a time waits as long."""
        self._calm_until.clear()
        delta = max(0, entity.watermark - watermark)
        entity.watermark = watermark
        entity.set_back(self._team.store, delta)
        alerting, entity.is_alert_changed = entity.alerting, True
        if alerting.open is not None:
            alerting.open.last_bad = min(alerting.open.last_bad, watermark)
        if alerting.drift.open is not None:
            alerting.drift.open.last_bad = min(alerting.drift.open.last_bad, watermark)
        if alerting.last is not None:
            alerting.last = msgspec.structs.replace(alerting.last, resolved_at=alerting.last.resolved_at - delta)

    def look_for_stopped(self, host: str, number: int) -> None:
        """Judges the host's scrapes by its clock as it stands; called when that has reached another second."""
        mark = self.marks.hosts[host]
        if mark.clock < self._calm_until.get(host, NEVER):
            return
        self.desk.number = 2 * number + 1
        calm_until = mark.clock + DAY
        floor = min(int(self._settings.stopped_floor_seconds * SECOND), DAY)
        for source_id, entity in list(self._by_host.get(host, {}).items()):
            source = mark.sources.get(source_id)
            is_heard = source is not None and not source.is_off
            quiet_since = source.quiet_since if source is not None and is_heard else mark.clock
            if mark.clock - quiet_since < floor and mark.clock - entity.watermark < self._unheard:
                near = min(quiet_since + floor, entity.watermark + self._unheard)
                calm_until = min(calm_until, near if is_heard else mark.clock)
                continue
            calm_until = mark.clock
            if entity.num_waiting:
                self._team.rounds.flush()
                self.desk.number = 2 * number + 1
            self._look_at(source_id, entity, max(0, mark.clock - quiet_since), mark)
        self._calm_until[host] = calm_until

    def _look_at(self, source_id: str, entity: Entity, quiet: int, mark: HostMark) -> None:
        if quiet > DAY:
            self._forget_stopped(entity, source_id)
        elif mark.clock >= entity.warm_at:
            self._judge_pause(entity, source_id, quiet, mark.clock)
        if entity.alerting.open is not None:
            self._resolve_if_unheard(entity, mark.clock)
        if entity.alerting.flood is not None and mark.clock - entity.watermark >= self._unheard:
            self._end_flood(entity)
        if entity.alerting.drift.open is not None and mark.clock - entity.watermark >= self._unheard:
            self._end_drift(entity)

    def _forget_stopped(self, entity: Entity, source_id: str) -> None:
        self._changed_entities[entity.entity_id] = entity
        if len(entity.rhythms) > 1 or entity.alerting.open is not None:
            self._forget_source(entity, source_id)
        else:
            self._forget_entity(entity)

    def _judge_pause(self, entity: Entity, source_id: str, quiet: int, clock: int) -> None:
        limit = entity.rhythms[source_id].limit(self._settings.stopped_floor_seconds)
        if limit is None or quiet <= limit * SECOND or entity.entity_id.startswith(COME_AND_GO):
            return
        alert, last = entity.alerting.open, entity.alerting.last
        if alert is not None and "scrape_stopped" in alert.rules:
            if clock - entity.watermark < self._unheard:
                self._changed_entities[entity.entity_id] = entity
                still_bad(alert, clock)
                entity.is_alert_changed = True
            return
        if last is not None and last.resolved_at > clock - quiet and "scrape_stopped" in last.signatures:
            return  # of this same silence everything was said
        self._changed_entities[entity.entity_id] = entity
        finding = self._stopped(entity, source_id, quiet / SECOND, limit, clock)
        self.desk.fire_or_join(entity, [finding], clock)

    def _stopped(self, entity: Entity, source_id: str, seconds: float, limit: float, clock: int) -> Finding:
        job = source_id.rpartition(" ")[2]
        rhythm = entity.rhythms[source_id]
        where = place(entity.entity_id)
        starts_at = clock - int((seconds - rhythm.longest) * SECOND)
        return Finding(
            FAMILY, "scrape_stopped", "silence", starts_at, "warning",
            seconds / (seconds + limit), 0.5, f"no {job} metrics of {where} for {seconds:.0f} s",
            f"The scrape {job} of {where} has not come for {seconds:.1f} s while others of its host go on; its longest "
            f"pause was {rhythm.longest:.1f} s, the limit is {limit:.1f} s. {ADVICE['scrape_stopped']}",
            entity.subject.program, labels={"job": job}, model_version=MODEL_VERSION,
            runbook_url=self._settings.runbook_url,
        )  # fmt: skip

    @property
    def _unheard(self) -> int:
        return int(self._settings.source_silent_seconds * SECOND)

    def _resolve_if_unheard(self, entity: Entity, clock: int) -> None:
        """Ends the alert of an entity of which nothing at all has come for long, by its host's clock."""
        alert = entity.alerting.open
        if alert and clock - max(alert.last_bad, entity.watermark) >= self._unheard:
            self._resolve_as_silent(entity)

    def _resolve_as_silent(self, entity: Entity) -> None:
        self.desk.resolve(entity, "source_silent:", entity.watermark)
        self._changed_entities[entity.entity_id] = entity

    def _end_flood(self, entity: Entity) -> None:
        self.desk.end_flood(entity, "source_silent:", entity.watermark)
        self._changed_entities[entity.entity_id] = entity

    def _end_drift(self, entity: Entity) -> None:
        self.desk.end_drift(entity, "source_silent:", entity.watermark)
        self._changed_entities[entity.entity_id] = entity

    def resolve_all(self) -> None:
        """Nothing has come for long, by wall time: no alert can be known to last."""
        self.desk.number = 0
        for entity in list(self.entities.values()) if self.desk.open else ():
            if entity.alerting.open is not None:
                self._resolve_as_silent(entity)
        for entity in list(self.desk.flooded.values()):
            self._end_flood(entity)
        for entity in list(self.desk.drifting.values()):
            self._end_drift(entity)
        self._notice(0, self._notices.end_all(self.desk.published_at))

    def look_elsewhere(self, name: str, hosts: Mapping[str, Mapping[str, HostMark]]) -> None:
        """Notes how far the hosts of this batch are in the other partitions, so that a restart knows it too."""
        for host in self._changed_hosts:
            self.marks.look(host, {other: mark for other, mark in hosts[host].items() if other != name})

    def heed(self, feedback: Feedback, entity_ids: Iterable[str], now: int) -> None:
        """Moves the lines of these entities to where people's words have them at `now`, microseconds."""
        self.policy.feedback = feedback
        for entity_id in entity_ids:
            entity = self.entities.get(entity_id)
            if entity is not None and entity.signals:
                factors = feedback.factors(entity_id, now)
                other = factors.get(ALL, 1.0)
                lines = np.array([factors.get(key, other) for key in entity.signals])
                if self._team.store.move_lines(entity.signal_slots, lines):
                    entity.is_disturbed = True
                    self._changed_entities[entity_id] = entity

    def save(self) -> None:
        """Puts the parts that changed since the last call into the partition's state."""
        self.policy.save(self._state)
        self._notices.save(self._state)
        self._saving.save_hosts(self.marks, self._changed_hosts)
        self._saving.save(list(self._changed_entities.values()), len(self.entities), self.desk)
        self._changed_hosts.clear()
        self._changed_entities.clear()

    def free(self) -> None:
        """The partition is somebody else's: its entities' rows are given back."""
        for entity in self.entities.values():
            self._team.free(entity)
