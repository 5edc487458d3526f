"""The life of one partition's alerts: one for an entity at a time, which fires, is joined, and is resolved."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.anomaly.model.entity import Entity
from services.anomaly.model.policy import Policy, kept
from services.anomaly.model.store import Store
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
    """

    def __init__(self, store: Store, resolve_quiet_seconds: float, policy: Policy) -> None:
        self._store = store
        self._policy = policy
        self._resolve_quiet_seconds = resolve_quiet_seconds
        self.said: list[Said] = []
        self.number = 0
        self.published_at = 0
        self.open: dict[str, Entity] = {}

    def settle(self, number: int, entity: Entity, verdict: Verdict, watermark: int) -> None:
        """The whole of one scrape's news: whether it alerts or ends an alert, what is accepted as normal."""
        self.number, alerting = number, entity.alerting
        if verdict.findings:
            self.fire_or_join(entity, verdict.findings, watermark)
        elif verdict.is_bad and alerting.open is not None:
            still_bad(alerting.open, watermark)
            entity.is_alert_changed = True
        self._accept(entity, verdict.accepted)
        if alerting.open is not None and not verdict.is_bad and is_quiet(alerting.open, watermark):
            self.resolve(entity, "Everything is inside again, or accepted as the new normal.", watermark)

    def _accept(self, entity: Entity, slots: Sequence[int]) -> None:
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

    def forget(self, entity: Entity) -> None:
        """The entity is gone."""
        self.open.pop(entity.entity_id, None)

    def take(self) -> Iterable[Said]:
        """What was said, once."""
        said, self.said = self.said, []
        return said
