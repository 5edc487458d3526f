"""The life of one partition's alerts: one for an entity at a time, which fires, is joined, and is resolved."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.anomaly.model.drift_alerts import Drifted, drifted, relearnt
from services.anomaly.model.entity import Entity
from services.anomaly.model.policy import Policy, kept
from services.anomaly.model.speech import flood
from services.anomaly.model.store import Store
from services.anomaly.settings import AnomalySettings
from services.common.alerts import (
    MAX_QUIET_SECONDS,
    Finding,
    OpenAlert,
    Status,
    alert_record,
    fire,
    is_quiet,
    join,
    resolve,
    still_bad,
    take_in,
)

SECOND = 1_000_000
#: Entities of a partition about which it is said at one time that they send too many series.
MAX_FLOODED = 20


class Said(NamedTuple):
    """A record of alerts.v1, and the input record that led to it: what is said is in their order."""

    number: int
    record: dict[str, Any]


class Verdict(NamedTuple):
    """What one entity's complete signals come to.

    Attributes:
        findings: one a rule, the worst first; empty when nothing is to be said.
        is_bad: whether an open alert lasts.
        accepted: slots of signals whose new level is taken as normal from now on.
    """

    findings: Sequence[Finding]
    is_bad: bool
    accepted: Sequence[int]


class Desk:
    """Decides what verdicts mean for alerts.

    Attributes:
        said: what was said since that was taken.
        number: of the input record that is being judged.
        published_at: the wall time to put on records, microseconds.
        open: entities with an open alert.
        flooded: entities with one about too many series.
        drifting: entities with one about signals that changed for good.
    """

    def __init__(self, store: Store, settings: AnomalySettings, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._resolve_quiet_seconds = settings.resolve_quiet_seconds
        self._max_signals, self._runbook_url = settings.max_signals, settings.runbook_url
        self.said: list[Said] = []
        self.number = 0
        self.published_at = 0
        self.open: dict[str, Entity] = {}
        self.flooded: dict[str, Entity] = {}
        self.drifting: dict[str, Entity] = {}

    def settle(self, number: int, entity: Entity, verdict: Verdict, watermark: int) -> None:
        """The whole of one scrape's news: whether it alerts or ends an alert, what is accepted as normal."""
        self.number, alerting = number, entity.alerting
        if verdict.findings:
            self.fire_or_join(entity, verdict.findings, watermark)
        elif verdict.is_bad and alerting.open is not None:
            still_bad(alerting.open, watermark)
            entity.is_alert_changed = True
        self.accept(entity, verdict.accepted)
        if alerting.open is not None and not verdict.is_bad and is_quiet(alerting.open, watermark):
            self.resolve(entity, "Everything is inside again, or accepted as the new normal.", watermark)

    def accept(self, entity: Entity, slots: Sequence[int]) -> None:
        """What was learnt of these signals is forgotten: what they are like now is normal."""
        if slots:
            self._store.forget(np.array(slots, np.int64))
            for slot in slots:
                entity.alerting.worst.pop(self._store.signal(slot).key, None)
            entity.is_alert_changed = True

    def fire_or_join(self, entity: Entity, findings: Sequence[Finding], watermark: int) -> None:
        """What several signals say of one scrape is one record; a later one joins."""
        entity.is_alert_changed = True
        alert = entity.alerting.open
        if alert is None:
            self._fire(entity, findings, watermark)
            return
        is_news = join(alert, findings, watermark)
        # What the labels say is what is so now, not what was when it began.
        labels = kept(alert.finding.labels, findings[0].labels)
        alert.finding = msgspec.structs.replace(alert.finding, labels=labels)
        if is_news:
            self._emit(alert, "updated")

    def _fire(self, entity: Entity, findings: Sequence[Finding], watermark: int) -> None:
        if not self._policy.admits(entity.subject, findings, watermark):
            return
        first, *others = findings
        first = self._policy.dressed(entity.subject, first, watermark)
        quiet, last = self._quiet_seconds(entity, first, watermark), entity.alerting.last
        alert = entity.alerting.open = fire(entity.subject, first, watermark, quiet, last)
        self.open[entity.entity_id] = entity
        for finding in others:
            take_in(alert, finding)
        self._emit(alert, "firing")

    def _quiet_seconds(self, entity: Entity, finding: Finding, watermark: int) -> float:
        """Twice as long as before when the same rule speaks again soon after its alert was resolved."""
        last = entity.alerting.last
        if last is None or watermark - last.resolved_at > MAX_QUIET_SECONDS * SECOND:
            return self._resolve_quiet_seconds
        is_same = finding.rule in last.signatures
        return min(2 * last.quiet_seconds, MAX_QUIET_SECONDS) if is_same else self._resolve_quiet_seconds

    def resolve(self, entity: Entity, why: str, watermark: int) -> None:
        """Ends the entity's alert."""
        alert = entity.alerting.open
        assert alert is not None
        # Metrics have no templates: the rules are what the same trouble is known by when it returns.
        last = resolve(alert, watermark)
        entity.alerting.last = msgspec.structs.replace(last, signatures=tuple(alert.rules))
        self._policy.ended(alert)
        self._emit(alert, "resolved", why)
        entity.alerting.open = None
        entity.is_alert_changed = True
        del self.open[entity.entity_id]

    def _emit(self, alert: OpenAlert, status: Status, why: str = "") -> None:
        self.said.append(Said(self.number, alert_record(alert, status, self.published_at, why)))

    def count_refused(self, number: int, entity: Entity, num_refused: int, watermark: int) -> None:
        """So many series of a record had no room: one alert until that has been over for a while."""
        self.number, alert = number, entity.alerting.flood
        if not num_refused:
            if alert is not None and is_quiet(alert, watermark):
                self.end_flood(entity, "Back under the limit.", watermark)
            return
        if alert is None and len(self.flooded) >= MAX_FLOODED:
            return
        entity.is_alert_changed = True
        if alert is not None:
            still_bad(alert, watermark)
            return
        finding = flood(entity, num_refused, self._max_signals, watermark, self._runbook_url)
        entity.alerting.flood = alert = fire(entity.subject, finding, watermark, MAX_QUIET_SECONDS)
        self.flooded[entity.entity_id] = entity
        self._emit(alert, "firing")

    def end_flood(self, entity: Entity, why: str, watermark: int) -> None:
        """No series of the entity is refused any more."""
        alert = entity.alerting.flood
        if alert is not None:
            resolve(alert, watermark)
            self._emit(alert, "resolved", why)
            entity.alerting.flood = None
            entity.is_alert_changed = True
            del self.flooded[entity.entity_id]

    def drift(self, number: int, entity: Entity, found: Sequence[Drifted], over: Sequence[str], watermark: int) -> None:
        """Signals changed for good, or those that did are learnt anew. The budget is not asked: it is only information.

        One alert an entity; a signal that is no longer there is learnt.
        """
        state = entity.alerting.drift
        if found:
            self.accept(entity, [entity.signals[each.signal] for each in found])
            records = drifted(state, entity.subject, found, watermark, self.published_at, self._runbook_url)
            self._tell_drift(number, entity, records)
        if over and state.open is not None:
            gone = [signal for signal in state.signals if signal not in entity.signals]
            self._tell_drift(number, entity, relearnt(state, [*over, *gone], watermark, self.published_at))

    def end_drift(self, entity: Entity, why: str, watermark: int) -> None:
        """Nobody knows any more whether signals that changed were learnt."""
        state = entity.alerting.drift
        if state.open is not None:
            records = relearnt(state, state.signals, watermark, self.published_at, why)
            self._tell_drift(self.number, entity, records)

    def _tell_drift(self, number: int, entity: Entity, records: Sequence[dict[str, Any]]) -> None:
        entity.is_alert_changed = True
        self.said += [Said(number, record) for record in records]
        if entity.alerting.drift.open is not None:
            self.drifting[entity.entity_id] = entity
        else:
            self.drifting.pop(entity.entity_id, None)

    def keep(self, entity: Entity) -> None:
        """An entity as it was saved, which may have open alerts."""
        if entity.alerting.open is not None:
            self.open[entity.entity_id] = entity
        if entity.alerting.flood is not None:
            self.flooded[entity.entity_id] = entity
        if entity.alerting.drift.open is not None:
            self.drifting[entity.entity_id] = entity

    def forget(self, entity: Entity) -> None:
        """The entity is gone."""
        self.end_flood(entity, "source_silent:", entity.watermark)
        self.end_drift(entity, "source_silent:", entity.watermark)
        self.open.pop(entity.entity_id, None)

    def take(self) -> Iterable[Said]:
        """What was said, once."""
        said, self.said = self.said, []
        return said
