"""A static member of a consumer group with its transactional producer, on Apache Kafka."""

import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException

from services.common.broker.abstract import Batch, Output, TopicPartition
from services.common.broker.alignment import Aligner
from services.common.broker.client import PRODUCER, READER, error_text, now_ms, produce, produce_all, to_records
from services.common.broker.deadline import DeadlineCaller
from services.common.errors import Retryable
from services.common.logging import get_logger

_TRANSACTION_SECONDS = 10.0
#: When a call of the client is given up; longer than the time-out that the client itself is told.
_STUCK_SECONDS = 12.0
_CLOSE_SECONDS = 5.0
_OFFSETS_SECONDS = 5.0
_HELD_WAIT_SECONDS = 0.02


def _instance_id(name: str, topics: Sequence[str]) -> str:
    """The static member's name; another one when it reads other topics.

    A broker gives a static member that comes back what it had before, without asking what it subscribes to now: a
    topic added to the settings would stay unread until somebody else joined or left.
    """
    return f"{name}-{zlib.crc32(','.join(sorted(topics)).encode()):08x}"


class KafkaSession:
    """A static group member with its transactional producer. Implements `Session`."""

    def __init__(
        self,
        base: dict[str, Any],
        group: str,
        member: str,
        topics: Sequence[str],
        outputs: Sequence[TopicPartition],
        session_timeout_ms: int,
        max_buffered: int,
    ) -> None:
        self._aligner = Aligner(max_held=max_buffered)
        self._assigned: list[TopicPartition] = []
        self._revoked: list[TopicPartition] = []
        self._lost: set[TopicPartition] = set()
        self._put_off: list[ck.TopicPartition] = []
        self._positions: dict[TopicPartition, int] = {}
        self._unreachable = ""
        self._is_in_transaction = False
        name = f"{group}-{member}"
        self._caller = DeadlineCaller(name)
        self._producer = ck.Producer(
            PRODUCER | base | {"transactional.id": name, "transaction.timeout.ms": 30_000, "client.id": name}
        )
        self._consumer = ck.Consumer(
            READER
            | base
            | {
                "group.id": group,
                "group.instance.id": _instance_id(name, topics),
                "client.id": name,
                # Decision 21: the client's cooperative one counts partitions, not topics.
                "partition.assignment.strategy": "roundrobin",
                "session.timeout.ms": session_timeout_ms,
                "heartbeat.interval.ms": max(500, session_timeout_ms // 10),
                "error_cb": self._on_error,
            }
        )
        try:
            # First, since it ends what a killed predecessor left open, so that its partitions can be read.
            self._caller.call(_STUCK_SECONDS, "joining", self._producer.init_transactions, _TRANSACTION_SECONDS)
            self._caller.call(_STUCK_SECONDS, "clearing up", self._end_leftovers, outputs)
            self._consumer.subscribe(
                list(topics), on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_revoke
            )
        except (KafkaException, Retryable) as error:
            self.close()
            raise Retryable(f"could not join {group} as {name}: {error_text(error)}") from error

    def _end_leftovers(self, partitions: Sequence[TopicPartition]) -> None:
        """Aborts a transaction that touches every partition we write.

        After its broker was killed, a predecessor's transaction was seen to stay open in single partitions, and to hide
        everything behind it from all readers. The abort's marker ends it there, and shuts the predecessor out.
        """
        if not partitions:
            return
        self._producer.begin_transaction()
        for partition in partitions:
            produce(self._producer, Output(partition.topic, b"", None, None, partition.partition))
        self._producer.flush(_TRANSACTION_SECONDS)
        self._producer.abort_transaction(_TRANSACTION_SECONDS)

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        deadline = time.monotonic() + timeout_seconds
        wait = 0.0
        while True:
            self._fetch(max_records, wait)
            records = self._aligner.release(max_records, time.monotonic())
            left = deadline - time.monotonic()
            if records or self._assigned or self._revoked or left <= 0:
                break
            # What is held may become free when another partition says that it is at its end.
            wait = min(left, _HELD_WAIT_SECONDS) if len(self._aligner) else left
        if self._assigned:
            self._learn_positions(self._assigned)
        batch = Batch(records, self._assigned, self._revoked, self._aligner.caught_up())
        self._assigned, self._revoked = [], []
        return batch

    def _learn_positions(self, partitions: Sequence[TopicPartition]) -> None:
        # Not in the assignment call-back: a request to the broker from there can lock up a closing client.
        wanted = [ck.TopicPartition(*partition) for partition in partitions]
        try:
            found = self._committed(wanted)
        except KafkaException as error:
            self._drop_pending_offsets(wanted)
            raise Retryable(f"no committed offsets: {error_text(error)}") from error
        for place in found:
            if place.offset >= 0:
                self._positions.setdefault(TopicPartition(place.topic, place.partition), place.offset)

    def _committed(self, wanted: list[ck.TopicPartition]) -> list[ck.TopicPartition]:
        found: list[ck.TopicPartition] = self._consumer.committed(wanted, timeout=_OFFSETS_SECONDS)
        return found

    def _drop_pending_offsets(self, wanted: list[ck.TopicPartition]) -> None:
        """Ends offsets that a transaction left pending when its broker was killed: they would be waited for for ever.

        The abort of an empty transaction of the same producer reaches them too; what was committed stays.
        """
        offsets = [ck.TopicPartition(p.topic, p.partition, 0) for p in wanted]
        get_logger().warning("dropping_pending_offsets", partitions=len(offsets))
        try:
            self._caller.call(_STUCK_SECONDS, "dropping pending offsets", self._offer_and_abort, offsets)
        except (KafkaException, Retryable) as error:
            get_logger().debug("dropping_pending_offsets_failed", error=error_text(error))

    def _offer_and_abort(self, offsets: list[ck.TopicPartition]) -> None:
        self._producer.begin_transaction()
        try:
            metadata = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(offsets, metadata, _OFFSETS_SECONDS)
        finally:
            self._producer.abort_transaction(_OFFSETS_SECONDS)

    def write(self, outputs: Sequence[Output]) -> None:
        self._call_or_abort(outputs, self._produce, outputs)

    def commit(self, outputs: Sequence[Output], next_offsets: Mapping[TopicPartition, int]) -> None:
        self._positions.update(next_offsets)
        # All positions, also of partitions without news: the broker then refuses a member that has lost them.
        offsets = [ck.TopicPartition(p.topic, p.partition, offset) for p, offset in self._positions.items()]
        self._call_or_abort(outputs, self._transact, outputs, offsets)

    def _call_or_abort(self, outputs: Sequence[Output], step: Callable[..., None], *args: Any) -> None:
        try:
            self._caller.call(_STUCK_SECONDS, "a transaction", step, *args)
        except KafkaException as error:
            self._abort()
            raise Retryable(f"transaction of {len(outputs)} records aborted: {error_text(error)}") from error

    def _produce(self, outputs: Sequence[Output]) -> None:
        if not self._is_in_transaction:
            self._producer.begin_transaction()
            self._is_in_transaction = True
        produce_all(self._producer, outputs)

    def _transact(self, outputs: Sequence[Output], offsets: list[ck.TopicPartition]) -> None:
        self._produce(outputs)
        if offsets:
            metadata = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(offsets, metadata, _TRANSACTION_SECONDS)
        self._producer.commit_transaction(_TRANSACTION_SECONDS)
        self._is_in_transaction = False

    def close(self) -> None:
        try:
            self._caller.call(_CLOSE_SECONDS, "leaving the group", self._leave)
        except (Retryable, KafkaException, RuntimeError) as error:
            get_logger().debug("close_failed", error=str(error))
        self._caller.close()

    def _leave(self) -> None:
        # librdkafka 2.16 never returns from close() while an assignment waits for its call-back.
        self._consumer.consume(1, 0)
        self._consumer.unsubscribe()
        self._consumer.close()
        self._producer.purge(in_queue=True, in_flight=True)

    def _fetch(self, max_records: int, timeout: float) -> None:
        try:
            messages = self._consume(max_records, timeout)
            if self._put_off:
                self._consumer.assign(self._put_off)
                self._put_off = []
        except (KafkaException, RuntimeError) as error:
            raise Retryable(f"could not read: {error}") from error
        if self._unreachable:
            raise Retryable(self._unreachable)
        begin = 0
        for end in [number for number, message in enumerate(messages) if message.error() is not None]:
            # Records before an end-of-partition must be added before it is noted.
            self._aligner.add(to_records(messages[begin:end]), now_ms())
            self._on_message_error(messages[end])
            begin = end + 1
        self._aligner.add(to_records(messages[begin:]), now_ms())

    def _consume(self, max_records: int, timeout: float) -> list[Any]:
        """What is there, at once; else what comes first, and what is there then."""
        messages = self._collect(max_records)
        if messages or timeout <= 0:
            return messages
        first = self._consumer.poll(timeout)
        return [] if first is None else self._collect(max_records, first)

    def _collect(self, max_records: int, *first: Any) -> list[Any]:
        """`first` and what is there, but for what was collected of partitions that were lost meanwhile.

        The client calls `_on_revoke` while it collects, and does not say where in between.
        """
        self._lost.clear()
        messages = [*first, *self._consumer.consume(max_records, 0)]
        if not self._lost:
            return messages
        return [m for m in messages if TopicPartition(m.topic(), m.partition()) not in self._lost]

    def _on_message_error(self, message: Any) -> None:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._aligner.reached_end(TopicPartition(message.topic(), message.partition()))
        elif error.fatal() or not error.retriable():
            raise Retryable(f"could not read {message.topic()}: {error.str()}")

    # The client assigns and unassigns by itself after these call-backs, unless they do.
    def _on_assign(self, consumer: ck.Consumer, partitions: list[Any]) -> None:
        gained = [TopicPartition(p.topic, p.partition) for p in partitions]
        if self._lost:
            # Else records from before and from after could come from one call, with nothing to tell them apart.
            consumer.assign([])
            self._put_off = partitions
        self._aligner.assign(gained)
        self._assigned += gained

    def _on_revoke(self, consumer: ck.Consumer, partitions: list[Any]) -> None:
        lost = [TopicPartition(p.topic, p.partition) for p in partitions]
        self._lost.update(lost)
        self._put_off = []
        self._aligner.revoke(lost)
        self._revoked += [p for p in lost if p not in self._assigned]
        self._assigned = [p for p in self._assigned if p not in lost]
        for partition in lost:
            self._positions.pop(partition, None)

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in (KafkaError._ALL_BROKERS_DOWN, KafkaError._FATAL) or error.fatal():
            # A fatal client, fenced after the broker's restart for one, reads nothing any more and says so only here.
            self._unreachable = f"Kafka is away: {error.str()}"
        get_logger().debug("kafka_client_error", error=error.str())

    def _abort(self) -> None:
        try:
            self._caller.call(_CLOSE_SECONDS, "aborting", self._producer.abort_transaction, 5)
        except (Retryable, KafkaException) as error:
            # The next session's init_transactions ends it in any case.
            get_logger().debug("abort_failed", error=str(error))
