"""Decisions about pods, their outcomes and what the watch saw, to Kafka, after the answer.

The scheduler waits for an extender at every pod, and it decides by itself: nobody waits for a record here, unlike in
gRPC. What waits longest is dropped when too much waits, and counted.
"""

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.common.broker.abstract import Output
from services.common.cloudevents import event_headers
from services.common.errors import MoselleError
from services.common.logging import get_logger
from services.common.topics import ENTITIES, PLACEMENTS
from services.placement import metrics
from services.placement.core.decision import Decision, Fate, to_record, with_fate
from services.placement.core.ledger import Entry
from services.placement.core.reading import Codec
from services.placement.core.workload import PlaceRequest

_MOST_AT_ONCE = 200
_MOST_WAITING = 20_000
_PAUSE_SECONDS = 0.5

Job = Callable[[], Output | None]


class Recorder:
    """A thread that writes what it is told, in order, several at once. Thread-safe.

    Args:
        publish: returns when Kafka has the records; raises Retryable.
        raw_of: a request as protobuf, for the other replicas.
        lock: held while an entry's record changes.
    """

    def __init__(
        self,
        cluster: str,
        codec: Codec,
        publish: Callable[[Sequence[Output]], None],
        raw_of: Callable[[PlaceRequest], bytes],
        lock: threading.RLock,
    ) -> None:
        self._cluster = cluster
        self._codec = codec
        self._publish = publish
        self._raw_of = raw_of
        self._lock = lock
        self._jobs: deque[Job] = deque()
        self._has_work = threading.Condition()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def decided(self, request: PlaceRequest, entry: Entry, tell: Callable[[], Decision]) -> None:
        """A decision was made; `tell` finds its reasons."""
        self._put(lambda: self._decision(request, entry, tell()))

    def became(self, entry: Entry, fate: Fate) -> None:
        """Its outcome is known."""
        self._put(lambda: self._fate(entry, fate))

    def seen(self, key: str, fields: Mapping[str, Any] | None) -> None:
        """What the watch knows of an entity; None for one that is gone."""
        value = None if fields is None else self._codec.encode(ENTITIES.name, fields)
        self._put(lambda: Output(ENTITIES.name, key.encode(), value))

    def _put(self, job: Job) -> None:
        with self._has_work:
            if len(self._jobs) >= _MOST_WAITING:
                self._jobs.popleft()
                metrics.EXTENDER_DROPPED.inc()
            self._jobs.append(job)
            self._has_work.notify()

    def _decision(self, request: PlaceRequest, entry: Entry, decision: Decision) -> Output | None:
        fields = to_record(decision, request, self._cluster) | {"request": self._raw_of(request)}
        raw = self._codec.encode(PLACEMENTS.name, fields)
        with self._lock:
            if entry.was_read:
                return None
            entry.record = raw
            entry.unread.append(raw)
        return self._output(entry.request_id, raw, "decided", decision.decided_at)

    def _fate(self, entry: Entry, fate: Fate) -> Output | None:
        if not entry.record:
            return None  # its decision was dropped
        raw = self._codec.encode(PLACEMENTS.name, with_fate(self._codec.decode(entry.record), fate))
        with self._lock:
            entry.record = raw
            entry.unread.append(raw)
        metrics.OUTCOMES.labels(fate.outcome).inc()
        return self._output(entry.request_id, raw, fate.outcome, fate.outcome_time)

    def _output(self, request_id: str, raw: bytes, what: str, at: int) -> Output:
        headers = event_headers(
            f"{request_id}:{what}:{at}", f"/moselle/{self._cluster}/placement", f"moselle.placement.{what}.v1", at
        )
        return Output(PLACEMENTS.name, request_id.encode(), raw, headers)

    def _run(self) -> None:
        while jobs := self._take():
            outputs = [output for job in jobs if (output := self._made(job)) is not None]
            while outputs and not self._sent(outputs):
                with self._has_work:
                    if self._has_work.wait_for(lambda: self._is_closing, _PAUSE_SECONDS):
                        return

    def _made(self, job: Job) -> Output | None:
        try:
            return job()
        except (MoselleError, KeyError, TypeError, ValueError) as error:
            metrics.EXTENDER_DROPPED.inc()
            get_logger().warning("record_not_made", reason=str(error))
            return None

    def _sent(self, outputs: Sequence[Output]) -> bool:
        """Records that were written twice change nothing: readers know them."""
        try:
            self._publish(outputs)
        except MoselleError as error:
            get_logger().warning("record_waits", reason=str(error), waiting=len(self._jobs))
            return False
        return True

    def _take(self) -> list[Job]:
        """Some that wait; waits for the first. Empty at the end."""
        with self._has_work:
            self._has_work.wait_for(lambda: self._jobs or self._is_closing)
            return [self._jobs.popleft() for _ in range(min(len(self._jobs), _MOST_AT_ONCE))]

    def close(self) -> None:
        """Writes what waits if Kafka takes it, then ends."""
        with self._has_work:
            self._is_closing = True
            self._has_work.notify()
        self._thread.join()
