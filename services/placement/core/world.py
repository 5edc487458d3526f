"""Everything that placement knows: inventory, alerts, signals, who holds what. One object behind one lock."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from services.placement.core import decide as deciding
from services.placement.core import factors as f
from services.placement.core.constraints import Mask, evaluate
from services.placement.core.decision import Decision
from services.placement.core.figures import FigureBook
from services.placement.core.groups import Members
from services.placement.core.health import Alert, AlertBook, Decay
from services.placement.core.inventory import Inventory, NodeNames
from services.placement.core.ledger import Entry, Ledger
from services.placement.core.matrix import SIGNALS, NodeMatrix
from services.placement.core.scores import ScoreBook
from services.placement.core.signals import SignalBook
from services.placement.core.tell import Teller
from services.placement.core.vectors import OF_NODE, OF_WORKLOADS, VectorBook
from services.placement.core.workload import PlaceRequest, Profile, Workload

#: Words that nobody may use any more are dropped this often: looking for them costs milliseconds.
_FORGET_MICROS = 10_000_000


class Rules(msgspec.Struct, frozen=True):
    """How knowledge ages and room is held; the settings say what each does."""

    decay: Decay = Decay()
    parent_weight: float = 0.5
    features_valid_seconds: float = 120.0
    reservation_seconds: float = 300.0
    ramp_seconds: float = 60.0
    max_decisions: int = 20_000
    max_utilisation: float = 0.9


class World:
    """What the streams say, and the decisions that rest on it. Not thread-safe.

    Times are microseconds UTC: `heard_at` is Kafka's time of a record, `now` the wall time.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.matrix = NodeMatrix(rules.max_utilisation)
        self.members = Members()
        self.scores = ScoreBook(self.matrix)
        self.ledger = Ledger(self.matrix, self.members, rules.ramp_seconds, rules.max_decisions)
        self.inventory = Inventory()
        self.names = NodeNames(rules.parent_weight)
        self.alerts = AlertBook(rules.decay, self.names.concerned)
        self.signals = SignalBook(rules.features_valid_seconds)
        self.figures = FigureBook(rules.features_valid_seconds)
        self._teller = Teller(self.matrix, self.alerts, self.signals)
        self._are_alerts_old = False
        self._is_health_old = True
        self.vectors = VectorBook(rules.features_valid_seconds)
        self._changed_nodes: set[str] = set()
        #: Nodes of which exporters said something that is not in the matrix yet.
        self._retold_nodes: set[str] = set()
        self._troubled: set[str] = set()
        self._forgot_at = 0

    def put_entity(self, fields: Mapping[str, Any]) -> None:
        """A record of entities.v1."""
        self._follow_inventory(self.inventory.put(fields))

    def remove_entity(self, key: str) -> None:
        """A tombstone of entities.v1."""
        self._follow_inventory(self.inventory.remove(key))

    def _follow_inventory(self, node_id: str) -> None:
        info = self.inventory.nodes.get(node_id)
        if info is None:
            self.matrix.remove(node_id)
            self.names.remove(node_id)
        else:
            is_new = node_id not in self.matrix.row_of
            self.matrix.put(info)
            self.names.put(info)
            if is_new:
                self.ledger.node_came(node_id)
        self._changed_nodes.add(node_id)
        self._are_alerts_old = True

    def put_alert(self, fields: Mapping[str, Any], heard_at: int) -> None:
        """A record of alerts.v1."""
        self.alerts.put(Alert.from_record(fields, heard_at))
        self._is_health_old = True

    def remove_alert(self, fingerprint: str) -> None:
        """A tombstone of alerts.v1."""
        self.alerts.remove(fingerprint)
        self._is_health_old = True

    def put_features(self, fields: Mapping[str, Any], heard_at: int, now: int) -> None:
        """A record of features.v1."""
        if fields["feature_set"] in (OF_NODE, OF_WORKLOADS):
            changed = self.vectors.put(fields, heard_at)
            if changed:
                self._retold_nodes.update(self.names.own(changed), self.names.children(changed))
            return
        self.figures.put_features(fields, heard_at)
        self._spread(fields["entity_id"], self.signals.put_features(fields, heard_at), now)

    def put_prediction(self, fields: Mapping[str, Any], heard_at: int, now: int) -> None:
        """A record of predictions.v1."""
        self.figures.put_prediction(fields, heard_at)
        self._spread(fields["entity_id"], self.signals.put_prediction(fields, heard_at), now)

    def _spread(self, entity_id: str, signals: Iterable[str], now: int) -> None:
        """Brings changed signals of an entity to the nodes that it speaks for."""
        for signal in signals:
            for node_id in self.names.own(entity_id) | self.names.children(entity_id):
                self._update_signal(node_id, signal, now)

    def _update_signal(self, node_id: str, signal: str, now: int) -> None:
        row = self.matrix.row_of.get(node_id)
        if row is None:
            return
        said = self.signals.of(self.matrix.infos[row], signal, now)
        if said is None:
            self.matrix.set_signal(node_id, signal, float("nan"))
        else:
            self.matrix.set_signal(node_id, signal, said[1].value, said[1].event_time, said[1].until)
            if signal == "cpu_load":
                self.matrix.set_owned(node_id, said[0] not in self.matrix.infos[row].parents)

    def refresh(self, now: int) -> int:
        """Lets time pass: reservations run out, alerts fade, old words fall silent; returns how many ran out."""
        self.alerts.forget_over(now)
        if is_forgetting := now - self._forgot_at > _FORGET_MICROS:
            self._forgot_at = now
            self.signals.forget_old(now)
            self.vectors.forget_old(now)
        self.figures.forget_old(now)
        new = [(node_id, signal) for node_id in self._changed_nodes for signal in SIGNALS[1:]]
        self._retold_nodes |= self._changed_nodes
        self._changed_nodes.clear()
        for node_id, signal in [*new, *self.matrix.expired(now)]:
            self._update_signal(node_id, signal, now)
        self._retold_nodes.update(self.matrix.node_expired(now))
        self._retell(now)
        if is_forgetting:
            self.matrix.review_known()
        self._is_health_old = True
        self.update_health(now)
        return self.ledger.expire(now)

    def _retell(self, now: int) -> None:
        """Brings what exporters said into the matrix."""
        for node_id in self._retold_nodes:
            row = self.matrix.row_of.get(node_id)
            if row is not None:
                column = self.vectors.of(self.matrix.infos[row], now)
                self.matrix.set_node(node_id, column.values, column.event_time, column.until)
        self._retold_nodes.clear()

    def update_health(self, now: int) -> None:
        """Brings what the alerts say into the matrix."""
        if self._are_alerts_old:
            self._are_alerts_old, self._is_health_old = False, True
            self.alerts.rebuild()
        if not self._is_health_old:
            return
        self._is_health_old = False
        self._teller.forget_health()
        troubled = self.alerts.troubled
        for node_id in troubled | self._troubled:
            self.matrix.set_health(node_id, self.alerts.health(node_id, now))
        self._troubled = troubled

    def decide(self, request: PlaceRequest, now: int, are_alerts_fresh: bool) -> tuple[Decision, Mask]:
        """The decision for a request. Changes nothing; see `take`."""
        self.prepare(now)
        until = now + int(self.rules.reservation_seconds * 1e6)
        return deciding.decide(
            self.matrix, self.members, self.scores, request, now, until, are_alerts_fresh, self._teller.tell
        )

    def prepare(self, now: int) -> None:
        """Before a question: what has run out is free, and alerts that just came count."""
        self.ledger.expire(now)
        self._retell(now)
        self.update_health(now)
        self._teller.now = now

    def take(self, entry: Entry, decision: Decision) -> None:
        """Remembers a decision and reserves its room."""
        self.ledger.add(entry)
        if decision.node and decision.mode != "shadow":
            self.ledger.reserve(entry, decision.node, decision.reserved_until)

    def mask(self, workload: Workload) -> Mask:
        """What the constraints say of every node now."""
        return evaluate(self.matrix, workload, self.members)

    @contextmanager
    def without(self, *entries: Entry) -> Iterator[None]:
        """The world as if these workloads held nothing: for asking about one's own constraints."""
        holding = [entry for entry in entries if entry.node]
        for entry in holding:
            self.ledger.effect(entry, -1)
        try:
            yield
        finally:
            for entry in holding:
                self.ledger.effect(entry, +1)

    def staleness(self, profile: Profile, now: int) -> float:
        """Of the oldest signal that counts for any node, seconds."""
        return deciding.staleness(self.matrix, f.weighing(profile), slice(None), now)

    @property
    def tell(self) -> deciding.Tell:
        """Factors in words, as of the last `prepare`."""
        return self._teller.tell


def content_hash(request: PlaceRequest) -> bytes:
    """16 bytes: what makes a repeated request_id the same request."""
    return hashlib.blake2b(request.raw, digest_size=16).digest()
