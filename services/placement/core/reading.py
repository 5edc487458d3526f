"""What the topics say, brought into the world: inventory, alerts, features, forecasts, and everybody's decisions."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from services.common.broker.abstract import Record
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidMessage
from services.common.logging import get_logger
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS
from services.placement import metrics
from services.placement.core.decision import Fate, fate_of, from_record
from services.placement.core.ledger import Entry, new_entry
from services.placement.core.watch import Watchers
from services.placement.core.workload import PlaceRequest
from services.placement.core.world import World, content_hash
from services.placement.errors import InvalidRequest

#: What the views read. Everything but placements may be missing for a while: see MODE_FALLBACK.
TOPICS = (ENTITIES.name, FEATURES.name, PREDICTIONS.name, ALERTS.name, PLACEMENTS.name)


class Codec(Protocol):
    """Records to bytes and back."""

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes: ...

    def decode(self, data: bytes | None) -> dict[str, Any]: ...


class PodSettler(Protocol):
    """core/kube/book.py."""

    def settles(self, entry: Entry, node: str, mode: str, fate: Fate | None) -> bool: ...


class Reading:
    """Takes records into the world, one at a time.

    Args:
        cluster: whose records count; others are left out.
        read_request: a PlaceRequest of the bytes in a record's `request`.

    Attributes:
        lock: held while a record is taken in; whoever looks at the world holds it too.
        watchers: hear of every decision once, when it is read.
        pods: where an API server's pods are followed: what they say of a decision holds over its record.
    """

    def __init__(
        self,
        world: World,
        watchers: Watchers,
        cluster: str,
        clock: Clock,
        codec: Codec,
        read_request: Callable[[bytes], PlaceRequest],
    ) -> None:
        self.world = world
        self.watchers = watchers
        self.lock = threading.RLock()
        self.pods: PodSettler | None = None
        self._cluster = cluster
        self._clock = clock
        self._codec = codec
        self._read_request = read_request
        self._appliers = {
            ENTITIES.name: self._apply_entity,
            ALERTS.name: self._apply_alert,
            FEATURES.name: self._apply_features,
            PREDICTIONS.name: self._apply_prediction,
            PLACEMENTS.name: self._apply_placement,
        }

    def now(self) -> int:
        """Wall time, microseconds UTC."""
        return to_micros(self._clock.now())

    def apply(self, record: Record) -> None:
        """Takes one record of any of TOPICS; one that cannot be read is counted and left out."""
        try:
            with self.lock:
                self._appliers[record.topic](record)
        except (InvalidMessage, InvalidRequest, KeyError, TypeError, ValueError) as error:
            metrics.UNREADABLE.labels(record.topic).inc()
            where = f"{record.topic}[{record.partition}]@{record.offset}"
            get_logger().warning("record_unreadable", where=where, reason=str(error))

    def _apply_entity(self, record: Record) -> None:
        if record.value is None:
            self.world.remove_entity((record.key or b"").decode())
        elif (fields := self._own(record)) is not None:
            self.world.put_entity(fields)

    def _apply_alert(self, record: Record) -> None:
        if record.value is None:
            self.world.remove_alert((record.key or b"").decode())
        elif (fields := self._own(record)) is not None:
            self.world.put_alert(fields, record.timestamp_ms * 1000)

    def _apply_features(self, record: Record) -> None:
        if (fields := self._own(record)) is not None:
            self.world.put_features(fields, record.timestamp_ms * 1000, self.now())

    def _apply_prediction(self, record: Record) -> None:
        if (fields := self._own(record)) is not None:
            self.world.put_prediction(fields, record.timestamp_ms * 1000, self.now())

    def _own(self, record: Record) -> dict[str, Any] | None:
        """The fields of a record of our own cluster; None for others' and for tombstones."""
        if record.value is None:
            return None
        fields = self._codec.decode(record.value)
        return fields if fields["cluster"] == self._cluster else None

    def _apply_placement(self, record: Record) -> None:
        """A decision or its outcome, of any replica. Of two decisions for one request the first in the log holds."""
        raw = record.value
        if raw is None:
            return
        entry = self.world.ledger.get((record.key or b"").decode())
        if entry is not None and entry.unread and entry.unread[0] == raw:
            entry.unread.popleft()
            is_ours_newer = bool(entry.unread) and entry.record == entry.unread[-1]
            if entry.record == raw or is_ours_newer:
                self._seen(entry, raw)
                return
        fields = self._own(record)
        if fields is None:
            return
        fate = fate_of(fields)
        if entry is None:
            entry = self._remember(fields)
        elif fate is None and entry.was_read:
            return
        elif fate is None:
            metrics.CONFLICTS.inc()
            self._become(entry, fields)
        entry.record = raw
        self.follow(entry, fields, fate)
        self._seen(entry, raw)

    def _remember(self, fields: Mapping[str, Any]) -> Entry:
        """An entry of a decision that another process made."""
        request = self._read_request(fields["request"])
        entry = new_entry(request, content_hash(request), fields["decided_at"])
        entry.batch_size = fields["batch_size"]
        self.world.ledger.add(entry)
        return entry

    def _become(self, entry: Entry, fields: Mapping[str, Any]) -> None:
        """Our decision gives way to another replica's that stands before it in the log."""
        self.world.ledger.free(entry, "none")
        request = self._read_request(fields["request"])
        entry.workload, entry.request_hash = request.workload, content_hash(request)
        entry.decided_at, entry.batch_size = fields["decided_at"], fields["batch_size"]

    def follow(self, entry: Entry, fields: Mapping[str, Any], fate: Fate | None) -> None:
        """Makes the ledger as a record says."""
        now = self.now()
        if self.pods is not None and self.pods.settles(entry, fields["node"], fields["mode"], fate):
            self.world.ledger.free(entry)
        elif fate is not None:
            self.world.ledger.apply_fate(entry, fate, now)
        else:
            self.world.ledger.apply_reservation(entry, fields["node"], fields["reserved_until"] or 0, now)

    def _seen(self, entry: Entry, raw: bytes) -> None:
        if not entry.was_read:
            entry.was_read = True
            if len(self.watchers):
                self.watchers.offer(from_record(self._codec.decode(raw)))
