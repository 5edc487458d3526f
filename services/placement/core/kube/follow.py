"""What the API server says of nodes and pods, brought into the world as it is said."""

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from services.common.clock import Clock
from services.common.logging import get_logger
from services.placement import metrics
from services.placement.core.kube.book import PodBook
from services.placement.core.kube.nodes import SOURCE, entity_of, has_changed
from services.placement.core.kube.objects import Pod, read_node, read_pod
from services.placement.core.kube.pods import node_id
from services.placement.core.reading import Reading
from services.placement.errors import NotReady

DELETED = "DELETED"


class Follower(Protocol):
    """Takes one kind of object in. Called from one thread; takes the world's lock for each object alone."""

    def listed(self, objects: Iterable[msgspec.Raw]) -> None:
        """All that there are."""
        ...

    def changed(self, event: str, raw: msgspec.Raw) -> None:
        """One of them came, changed or went (DELETED)."""
        ...


class NodeFollower:
    """Nodes into the inventory, and to entities.v1 where they say something new.

    Args:
        publish: (key, fields), None for a node that is gone.
    """

    def __init__(
        self, reading: Reading, cluster: str, publish: Callable[[str, Mapping[str, Any] | None], None]
    ) -> None:
        self._reading = reading
        self._cluster = cluster
        self._publish = publish

    def listed(self, objects: Iterable[msgspec.Raw]) -> None:
        found = {self._put(raw) for raw in objects}
        with self._reading.lock:
            gone = set(self._reading.world.inventory.named_by(SOURCE)) - found
        for entity_id in gone:
            self._remove(entity_id)

    def changed(self, event: str, raw: msgspec.Raw) -> None:
        if event == DELETED:
            self._remove(node_id(read_node(raw).metadata.name))
        else:
            self._put(raw)

    def _put(self, raw: msgspec.Raw) -> str:
        """Returns its entity_id. One that cannot be read stays as it was known."""
        node = read_node(raw)
        entity_id = node_id(node.metadata.name)
        try:
            fields = entity_of(node, self._cluster, self._reading.now())
        except ValueError as error:
            _unreadable("node", entity_id, error)
            return entity_id
        with self._reading.lock:
            inventory = self._reading.world.inventory
            if not has_changed(inventory.said(entity_id, SOURCE), fields):
                return entity_id
            self._reading.world.put_entity(fields)
        self._publish(f"{entity_id}|{SOURCE}", fields)
        return entity_id

    def _remove(self, entity_id: str) -> None:
        key = f"{entity_id}|{SOURCE}"
        with self._reading.lock:
            if self._reading.world.inventory.said(entity_id, SOURCE) is None:
                return
            self._reading.world.remove_entity(key)
        self._publish(key, None)


class PodFollower:
    """Bound pods into the ledger."""

    def __init__(self, reading: Reading, book: PodBook) -> None:
        self._reading = reading
        self._book = book

    def listed(self, objects: Iterable[msgspec.Raw]) -> None:
        pods = [pod for raw in objects if (pod := _pod(raw)) is not None]
        with self._reading.lock:
            for pod, error in self._book.listed(pods, self._reading.now()):
                _unreadable("pod", pod.key, error)
            metrics.PODS.set(len(self._book))

    def changed(self, event: str, raw: msgspec.Raw) -> None:
        pod = _pod(raw)
        if pod is None:
            return
        with self._reading.lock:
            now = self._reading.now()
            if event == DELETED:
                self._book.remove(pod.metadata.uid, "completed", "deleted", now)
                return
            try:
                self._book.put(pod, now)
            except ValueError as error:
                _unreadable("pod", pod.key, error)
            metrics.PODS.set(len(self._book))


def _pod(raw: msgspec.Raw) -> Pod | None:
    try:
        return read_pod(raw)
    except ValueError as error:
        _unreadable("pod", "", error)
        return None


def _unreadable(kind: str, name: str, error: ValueError) -> None:
    metrics.UNREADABLE.labels(f"kubernetes {kind}s").inc()
    get_logger().warning("object_unreadable", kind=kind, name=name, reason=str(error))


class Freshness:
    """Whether the API server is heard. Thread-safe: written by one watcher, read by many threads.

    Args:
        what: in words.
        max_silent_seconds: how long a broken watch may last.
    """

    def __init__(self, what: str, clock: Clock, max_silent_seconds: float) -> None:
        self._what = what
        self._clock = clock
        self._max_silent = max_silent_seconds
        self._silent_since: float | None = None
        self._was_listed = threading.Event()

    def listed(self) -> None:
        """All of them were read."""
        self._was_listed.set()
        self.heard()

    def heard(self) -> None:
        """A watch is open."""
        self._silent_since = None

    def broken(self) -> None:
        """A list or a watch failed."""
        if self._silent_since is None:
            self._silent_since = self._clock.monotonic()

    def wait(self, seconds: float) -> bool:
        """Whether all were read once, waiting so long for it."""
        return self._was_listed.wait(seconds)

    def check(self) -> None:
        """Raises NotReady when what is known may be wrong."""
        if not self._was_listed.is_set():
            raise NotReady(f"{self._what} of the API server are not read yet: wait until /readyz says yes")
        since = self._silent_since
        silent = 0.0 if since is None else self._clock.monotonic() - since
        if silent > self._max_silent:
            raise NotReady(
                f"{self._what} of the API server could not be read for {silent:.0f} s, at most {self._max_silent:g} s "
                "are allowed: see whether it answers"
            )
