"""Alerts as an impact on nodes: full while an alert fires, halved every half-life once it is over.

Ages are counted from when Kafka got an alert's last record, so that neither a host's wrong clock nor the speed of a
replay makes an old alert young.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

#: Share of a whole alarm by severity; an unknown one counts as a warning.
SEVERITY_WEIGHTS = {"info": 0.2, "warning": 0.6, "critical": 1.0}
#: Below this an alert that is over says nothing any more.
NEGLIGIBLE = 0.01

#: (entity_id, parents, members) to node -> weight: NodeNames.concerned.
Concerned = Callable[[str, tuple[str, ...], tuple[str, ...]], dict[str, float]]


class Alert(msgspec.Struct, frozen=True):
    """What placement needs of an alert's last record; `heard_at` is Kafka's time of it, microseconds UTC."""

    fingerprint: str
    alert_id: str
    revision: int
    is_over: bool
    entity_id: str
    parents: tuple[str, ...]
    members: tuple[str, ...]
    severity: str
    score: float
    rule: str
    heard_at: int

    @classmethod
    def from_record(cls, fields: Mapping[str, Any], heard_at: int) -> "Alert":
        """Of a record of alerts.v1. A score that is no number counts as 1: somebody did raise an alert."""
        score = float(fields["score"])
        members = fields["labels"].get("members", "")
        return cls(
            fields["fingerprint"],
            fields["alert_id"],
            int(fields["revision"]),
            fields["status"] == "resolved",
            fields["entity_id"],
            tuple(fields["parent_entity_ids"]),
            tuple(part.strip() for part in members.split(",") if part.strip()),
            fields["severity"],
            min(max(score, 0.0), 1.0) if math.isfinite(score) else 1.0,
            fields["rule"],
            heard_at,
        )

    @property
    def words(self) -> str:
        """As a person calls it: `critical error_burst on service:nova-compute@controller-1 (alert 8f2c01ab)`."""
        return f"{self.severity} {self.rule} on {self.entity_id} (alert {self.alert_id[:8]})"


class Decay(msgspec.Struct, frozen=True):
    """How an alert loses weight, seconds: over ones at once, firing ones after they were silent for `hold_seconds`."""

    half_life_seconds: float = 300.0
    hold_seconds: float = 3600.0

    def share(self, alert: Alert, now: int) -> float:
        """0..1 of the alert's first weight at a time, microseconds."""
        age = max(0.0, (now - alert.heard_at) / 1e6)
        waited = age if alert.is_over else max(0.0, age - self.hold_seconds)
        return float(0.5 ** (waited / self.half_life_seconds))


def impact(alert: Alert, decay: Decay, now: int) -> float:
    """0..1: how bad it is now. Half by severity alone, the rest by the detector's score."""
    severity = SEVERITY_WEIGHTS.get(alert.severity, SEVERITY_WEIGHTS["warning"])
    return severity * (0.5 + 0.5 * alert.score) * decay.share(alert, now)


class AlertBook:
    """The newest word of every alert that still counts, and what it does to which node."""

    def __init__(self, decay: Decay, concerned: Concerned) -> None:
        self._decay = decay
        self._concerned = concerned
        self._alerts: dict[str, Alert] = {}
        self._on_node: dict[str, dict[str, float]] = {}

    def put(self, alert: Alert) -> None:
        """Takes a record; an older revision of the same alert changes nothing."""
        held = self._alerts.get(alert.fingerprint)
        if held is not None and held.alert_id == alert.alert_id and held.revision > alert.revision:
            return
        self.remove(alert.fingerprint)
        self._alerts[alert.fingerprint] = alert
        for node_id, weight in self._concerned(alert.entity_id, alert.parents, alert.members).items():
            self._on_node.setdefault(node_id, {})[alert.fingerprint] = weight

    def remove(self, fingerprint: str) -> None:
        """Forgets an alert; one that is not there is fine."""
        if self._alerts.pop(fingerprint, None) is None:
            return
        for node_id in [node for node, alerts in self._on_node.items() if fingerprint in alerts]:
            del self._on_node[node_id][fingerprint]
            if not self._on_node[node_id]:
                del self._on_node[node_id]

    def rebuild(self) -> None:
        """The inventory changed: names may mean other nodes now."""
        alerts, self._alerts, self._on_node = list(self._alerts.values()), {}, {}
        for alert in alerts:
            self.put(alert)

    def forget_over(self, now: int) -> None:
        """Drops what has no weight any more."""
        for alert in list(self._alerts.values()):
            if self._decay.share(alert, now) < NEGLIGIBLE:
                self.remove(alert.fingerprint)

    @property
    def troubled(self) -> set[str]:
        """The nodes that some alert concerns."""
        return set(self._on_node)

    def on_node(self, node_id: str, now: int) -> list[tuple[float, Alert]]:
        """The alerts that concern a node with their impacts there, worst first."""
        found = [
            (weight * impact(self._alerts[fingerprint], self._decay, now), self._alerts[fingerprint])
            for fingerprint, weight in self._on_node.get(node_id, {}).items()
        ]
        return sorted(found, key=lambda pair: (-pair[0], pair[1].fingerprint))

    def health(self, node_id: str, now: int) -> float:
        """0..1; 1 when nothing concerns it. Each alert takes its share of what the others left."""
        return math.prod(1.0 - share for share, _ in self.on_node(node_id, now))
