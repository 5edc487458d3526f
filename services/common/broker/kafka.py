"""Apache Kafka through confluent-kafka (librdkafka).

The settings that differ from the client's defaults were measured; docs/benchmarks/ names the figures.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, OffsetSpec

from services.common.broker.abstract import Batch, Output, Record, Session, TopicPartition, View
from services.common.broker.alignment import Aligner
from services.common.broker.deadline import DeadlineCaller
from services.common.errors import Retryable, SettingsInvalid
from services.common.logging import get_logger
from services.common.topics import MAX_RECORD_BYTES

#: Java's and Faust's partitioner; librdkafka's default is another, and keys must meet in one partition.
PARTITIONER = "murmur2_random"

_CLIENT: dict[str, Any] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    # 100 by default, and it delays every transaction that meets the previous one's markers.
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 500,
    "log.connection.close": False,
    # Only what is critical: readiness and the service's own log say the rest.
    "log_level": 2,
}
_PRODUCER = _CLIENT | {
    "partitioner": PARTITIONER,
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "compression.type": "lz4",
    "message.max.bytes": MAX_RECORD_BYTES,
    "queue.buffering.max.messages": 1_000_000,
    "message.timeout.ms": 20_000,
}
_READER = _CLIENT | {
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "auto.offset.reset": "earliest",
    "enable.partition.eof": True,
    # 1000 by default, and it parks the fetcher whenever its queue is full.
    "fetch.queue.backoff.ms": 10,
    # How soon a reader learns that it is at the end, for which the other partitions wait (alignment.py).
    "fetch.wait.max.ms": 25,
    "fetch.error.backoff.ms": 100,
    # Small bites of each partition, since all of them are held side by side while they are merged by time.
    "max.partition.fetch.bytes": 131_072,
    "queued.min.messages": 20_000,
    "queued.max.messages.kbytes": 16_384,
}
_TRANSACTION_SECONDS = 10.0
#: When a call of the client is given up; longer than the time-out that the client itself is told.
_STUCK_SECONDS = 12.0
_CLOSE_SECONDS = 5.0
_OFFSETS_SECONDS = 5.0
_READ_TO_END_SECONDS = 90.0
_HELD_WAIT_SECONDS = 0.02


class KafkaBroker:
    """A Kafka cluster. Implements `Broker`.

    Args:
        bootstrap: host:port list.
        session_timeout_ms: when a dead member's partitions go to others.
        max_buffered_records: how much is read ahead while a slower partition catches up.
        startup_timeout_seconds: how long the first contact may take.
        extra: further client settings (TLS, SASL), by librdkafka's names.
    """

    def __init__(
        self,
        bootstrap: str,
        session_timeout_ms: int = 10_000,
        max_buffered_records: int = 50_000,
        startup_timeout_seconds: float = 10.0,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.bootstrap = bootstrap
        self._session_timeout_ms = session_timeout_ms
        self._max_buffered = max_buffered_records
        self._startup_timeout = startup_timeout_seconds
        self._base: dict[str, Any] = {"bootstrap.servers": bootstrap, **(extra or {})}
        self._admin_client: AdminClient | None = None
        self._publisher: ck.Producer | None = None
        self._lock = threading.Lock()

    def open_session(self, group: str, member: str, topics: Sequence[str], outputs: Sequence[str] = ()) -> Session:
        written = [TopicPartition(topic, p) for topic in outputs for p in range(self.num_partitions(topic))]
        return KafkaSession(self._base, group, member, topics, written, self._session_timeout_ms, self._max_buffered)

    def open_view(self, topics: Sequence[str], apply: Callable[[Record], None]) -> View:
        return KafkaView(self, topics, apply)

    def read_to_end(self, topic: str, partition: int) -> Iterator[Record]:
        end = self.end_offset(topic, partition)
        if end == 0:
            return
        consumer = self.reader()
        try:
            consumer.assign([self.beginning(TopicPartition(topic, partition))])
            yield from _until(consumer, {TopicPartition(topic, partition): end})
        finally:
            consumer.close()

    def num_partitions(self, topic: str) -> int:
        return len(self._metadata(topic).partitions)

    def publish(self, outputs: Sequence[Output]) -> None:
        delivery = _Delivery(len(outputs))
        producer = self._open_publisher()
        for output in outputs:
            _produce(producer, output, delivery)
        # Not flush(): that would wait for what other threads publish meanwhile, too.
        until = time.monotonic() + _TRANSACTION_SECONDS
        while delivery.left and time.monotonic() < until:
            producer.poll(0.05)
        if delivery.left or delivery.failures:
            count = delivery.left + len(delivery.failures)
            raise Retryable(f"{count} of {len(outputs)} records were not taken: {delivery.failures[:1]}")

    def check(self, topics: Sequence[str]) -> None:
        self._admin()
        for topic in topics:
            self._metadata(topic)

    def end_offset(self, topic: str, partition: int) -> int:
        """The partition's high watermark: what open transactions wrote included."""
        return self._offset(TopicPartition(topic, partition), OffsetSpec.latest())

    def beginning(self, partition: TopicPartition) -> ck.TopicPartition:
        """Where a partition begins, to assign. The client's own OFFSET_BEGINNING costs half a second each time."""
        return ck.TopicPartition(*partition, self._offset(partition, OffsetSpec.earliest()))

    def _offset(self, partition: TopicPartition, which: OffsetSpec) -> int:
        wanted = ck.TopicPartition(*partition)
        level = ck.IsolationLevel.READ_UNCOMMITTED
        try:
            futures = self._admin().list_offsets({wanted: which}, isolation_level=level, request_timeout=10)
            return int(futures[wanted].result().offset)
        except KafkaException as error:
            # A restarted broker has newer leader epochs than this client remembers, and it never looks again.
            self._admin_client = None
            raise Retryable(f"no offsets of {partition.topic}[{partition.partition}]: {_text(error)}") from error

    def reader(self) -> ck.Consumer:
        """A consumer without a group, read_committed, for `assign`."""
        return ck.Consumer(_READER | self._base | {"group.id": "moselle-reader"})

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.flush(5)
        self._publisher = self._admin_client = None

    def _open_publisher(self) -> ck.Producer:
        with self._lock:
            if self._publisher is None:
                self._publisher = ck.Producer(_PRODUCER | self._base)
            return self._publisher

    def _admin(self) -> AdminClient:
        if self._admin_client is None:
            admin = AdminClient(_CLIENT | self._base)
            try:
                admin.list_topics(timeout=self._startup_timeout)
            except KafkaException as error:
                raise SettingsInvalid(
                    f"no Kafka answers at {self.bootstrap}: {_text(error)}; start it (`moselle up`) or set"
                    " MOSELLE_KAFKA_BOOTSTRAP to a broker's host:port"
                ) from error
            self._admin_client = admin
        return self._admin_client

    def _metadata(self, topic: str) -> Any:
        try:
            found = self._admin().list_topics(topic, timeout=10).topics[topic]
        except KafkaException as error:
            raise Retryable(f"no metadata of {topic}: {_text(error)}") from error
        if found.error is not None or not found.partitions:
            raise SettingsInvalid(
                f"topic {topic} does not exist at {self.bootstrap}: create it as docs/topics.md says, or let"
                " `moselle up` do it"
            )
        return found


class _Delivery:
    """What became of one `publish`: called by the client for each record."""

    def __init__(self, num_records: int) -> None:
        self.left = num_records
        self.failures: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, error: KafkaError | None, _: Any) -> None:
        with self._lock:
            self.left -= 1
            if error is not None:
                self.failures.append(error.str())


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
        self._positions: dict[TopicPartition, int] = {}
        self._unreachable = ""
        name = f"{group}-{member}"
        self._caller = DeadlineCaller(name)
        self._producer = ck.Producer(
            _PRODUCER | base | {"transactional.id": name, "transaction.timeout.ms": 30_000, "client.id": name}
        )
        self._consumer = ck.Consumer(
            _READER
            | base
            | {
                "group.id": group,
                "group.instance.id": name,
                "client.id": name,
                "partition.assignment.strategy": "cooperative-sticky",
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
            raise Retryable(f"could not join {group} as {name}: {_text(error)}") from error

    def _end_leftovers(self, partitions: Sequence[TopicPartition]) -> None:
        """Aborts a transaction that touches every partition we write.

        After its broker was killed, a predecessor's transaction was seen to stay open in single partitions, and to hide
        everything behind it from all readers. The abort's marker ends it there, and shuts the predecessor out.
        """
        if not partitions:
            return
        self._producer.begin_transaction()
        for partition in partitions:
            _produce(self._producer, Output(partition.topic, b"", None, None, partition.partition))
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
            raise Retryable(f"no committed offsets: {_text(error)}") from error
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
            get_logger().debug("dropping_pending_offsets_failed", error=_text(error))

    def _offer_and_abort(self, offsets: list[ck.TopicPartition]) -> None:
        self._producer.begin_transaction()
        try:
            metadata = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(offsets, metadata, _OFFSETS_SECONDS)
        finally:
            self._producer.abort_transaction(_OFFSETS_SECONDS)

    def commit(self, outputs: Sequence[Output], next_offsets: Mapping[TopicPartition, int]) -> None:
        self._positions.update(next_offsets)
        # All positions, also of partitions without news: the broker then refuses a member that has lost them.
        offsets = [ck.TopicPartition(p.topic, p.partition, offset) for p, offset in self._positions.items()]
        try:
            self._caller.call(_STUCK_SECONDS, "a transaction", self._transact, outputs, offsets)
        except KafkaException as error:
            self._abort()
            raise Retryable(f"transaction of {len(outputs)} records aborted: {_text(error)}") from error

    def _transact(self, outputs: Sequence[Output], offsets: list[ck.TopicPartition]) -> None:
        self._producer.begin_transaction()
        for output in outputs:
            _produce(self._producer, output)
        if offsets:
            metadata = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction(offsets, metadata, _TRANSACTION_SECONDS)
        self._producer.commit_transaction(_TRANSACTION_SECONDS)

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
            messages = _consume(self._consumer, max_records, timeout)
        except (KafkaException, RuntimeError) as error:
            raise Retryable(f"could not read: {error}") from error
        if self._unreachable:
            raise Retryable(self._unreachable)
        records = []
        for message in messages:
            if message.error() is None:
                records.append(_record(message))
            else:
                # Records before an end-of-partition must be added before it is noted.
                self._aligner.add(records, _now_ms())
                records = []
                self._on_message_error(message)
        self._aligner.add(records, _now_ms())

    def _on_message_error(self, message: Any) -> None:
        error = message.error()
        if error.code() == KafkaError._PARTITION_EOF:
            self._aligner.reached_end(TopicPartition(message.topic(), message.partition()))
        elif error.fatal() or not error.retriable():
            raise Retryable(f"could not read {message.topic()}: {error.str()}")

    # The client assigns and unassigns by itself after these call-backs.
    def _on_assign(self, consumer: ck.Consumer, partitions: list[Any]) -> None:
        gained = [TopicPartition(p.topic, p.partition) for p in partitions]
        self._aligner.assign(gained)
        self._assigned += gained

    def _on_revoke(self, consumer: ck.Consumer, partitions: list[Any]) -> None:
        lost = [TopicPartition(p.topic, p.partition) for p in partitions]
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


class KafkaView:
    """All partitions of some topics, in memory at the caller's. Implements `View`."""

    def __init__(self, broker: KafkaBroker, topics: Sequence[str], apply: Callable[[Record], None]) -> None:
        self._broker = broker
        self._apply = apply
        self._consumer = broker.reader()
        self._partitions = [TopicPartition(t, p) for t in topics for p in range(broker.num_partitions(t))]
        self._consumer.assign([broker.beginning(partition) for partition in self._partitions])
        self._is_loaded = False

    def refresh(self, timeout_seconds: float = 0.0) -> int:
        count = 0
        if not self._is_loaded:
            ends = {p: self._broker.end_offset(p.topic, p.partition) for p in self._partitions}
            for record in _until(self._consumer, ends):
                self._apply(record)
                count += 1
            self._is_loaded = True
            return count
        while messages := _consume(self._consumer, 1000, timeout_seconds):
            for message in messages:
                if message.error() is None:
                    self._apply(_record(message))
                    count += 1
            timeout_seconds = 0.0
        return count

    def close(self) -> None:
        self._consumer.close()


def _until(consumer: ck.Consumer, ends: Mapping[TopicPartition, int]) -> Iterator[Record]:
    """Records until each partition's position reaches its end; the position passes markers and aborted records."""
    missing = {partition for partition, end in ends.items() if end > 0}
    deadline = time.monotonic() + _READ_TO_END_SECONDS
    while missing:
        if time.monotonic() > deadline:
            raise Retryable(f"{sorted(missing)} could not be read to the end in {_READ_TO_END_SECONDS:.0f} s")
        for message in _consume(consumer, 1000, 0.1):
            error = message.error()
            if error is None:
                yield _record(message)
            elif error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise Retryable(f"could not read {message.topic()}: {error.str()}")
                continue
            partition = TopicPartition(message.topic(), message.partition())
            reached = message.offset() + (1 if error is None else 0)
            if reached >= ends.get(partition, 0):
                missing.discard(partition)


def _consume(consumer: ck.Consumer, max_records: int, timeout: float) -> list[Any]:
    """What is there, at once; else what comes first. The client's own time-out waits for a full batch."""
    messages = consumer.consume(max_records, 0)
    if messages or timeout <= 0:
        return list(messages)
    first = consumer.poll(timeout)
    return [] if first is None else [first, *consumer.consume(max_records, 0)]


def _record(message: Any) -> Record:
    return _make(
        (
            message.topic(),
            message.partition(),
            message.offset(),
            message.timestamp()[1],
            message.key(),
            message.value(),
            message.headers(),
        )
    )


_make = Record._make


def _produce(producer: ck.Producer, output: Output, delivered: Callable[..., None] | None = None) -> None:
    topic, key, value, headers, number = output
    partition = -1 if number is None else number
    while True:
        try:
            if headers:
                producer.produce(topic, value, key, partition, delivered, headers=list(headers))
            else:
                producer.produce(topic, value, key, partition, delivered)
            return
        except BufferError:
            producer.poll(0.1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _text(error: Exception) -> str:
    inner = error.args[0] if error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(error)
