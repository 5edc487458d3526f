"""Apache Kafka through confluent-kafka (librdkafka)."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from services.common.broker.abstract import Output, Record, Session, TopicPartition, View
from services.common.broker.client import CLIENT, PRODUCER, READER, consume, error_text, produce, to_record, to_records
from services.common.broker.session import KafkaSession
from services.common.errors import InvalidMessage, Retryable, SettingsInvalid

_PUBLISH_SECONDS = 30.0
_READ_TO_END_SECONDS = 90.0


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
        startup_timeout_seconds: float = 30.0,
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
            produce(producer, output, delivery)
        # Not flush(): that would wait for what other threads publish meanwhile, too.
        until = time.monotonic() + _PUBLISH_SECONDS
        while delivery.left and time.monotonic() < until:
            producer.poll(0.05)
        if delivery.is_too_large:
            raise InvalidMessage("too_large", "a record is larger than its topic's max.message.bytes")
        if delivery.left or delivery.failures:
            count = delivery.left + len(delivery.failures)
            raise Retryable(f"{count} of {len(outputs)} records were not taken: {delivery.failures[:1]}")

    def check(self, topics: Sequence[str]) -> None:
        self._admin()
        for topic in topics:
            self._metadata(topic)

    def make_topic(self, topic: str, num_partitions: int, replication: int, config: Mapping[str, str]) -> None:
        """Makes a topic that is not there yet; returns when the cluster knows it.

        Args:
            config: the topic's settings by Kafka's names, such as `cleanup.policy`.

        Raises:
            SettingsInvalid: the cluster refuses it.
            Retryable: the cluster does not answer, or does not know it after the start-up timeout.
        """
        until = time.monotonic() + self._startup_timeout
        while topic not in self._known_topics():
            self._create(NewTopic(topic, num_partitions, replication, config=dict(config)))
            if time.monotonic() > until:
                raise Retryable(f"topic {topic} was made and is not known to {self.bootstrap}")
            time.sleep(0.1)

    def _known_topics(self) -> set[str]:
        """Those that can be used: a topic is listed, with an error, before its partitions are there."""
        try:
            topics = self._admin().list_topics(timeout=10).topics
            return {name for name, found in topics.items() if found.error is None and found.partitions}
        except KafkaException as error:
            raise Retryable(f"{self.bootstrap} does not say its topics: {error_text(error)}") from error

    def _create(self, wanted: NewTopic) -> None:
        try:
            self._admin().create_topics([wanted], request_timeout=30)[wanted.topic].result()
        except KafkaException as error:
            code, what = error.args[0].code(), f"topic {wanted.topic} with {wanted.num_partitions} partitions and"
            what = f"{what} {wanted.replication_factor} copies cannot be made: {error_text(error)}"
            if code in (KafkaError._TIMED_OUT, KafkaError._TRANSPORT):
                raise Retryable(what) from error
            if code != KafkaError.TOPIC_ALREADY_EXISTS:
                raise SettingsInvalid(f"{what}; allow this client to, or create it yourself") from error

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
            raise Retryable(f"no offsets of {partition.topic}[{partition.partition}]: {error_text(error)}") from error

    def reader(self) -> ck.Consumer:
        """A consumer without a group, read_committed, for `assign`."""
        return ck.Consumer(READER | self._base | {"group.id": "moselle-reader"})

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.flush(5)
        self._publisher = self._admin_client = None

    def _open_publisher(self) -> ck.Producer:
        with self._lock:
            if self._publisher is None:
                self._publisher = ck.Producer(PRODUCER | self._base)
            return self._publisher

    def _admin(self) -> AdminClient:
        if self._admin_client is None:
            admin = AdminClient(CLIENT | self._base)
            try:
                admin.list_topics(timeout=self._startup_timeout)
            except KafkaException as error:
                raise SettingsInvalid(
                    f"no Kafka answers at {self.bootstrap}: {error_text(error)}; start it (`moselle up`) or set"
                    " MOSELLE_KAFKA_BOOTSTRAP to a broker's host:port"
                ) from error
            self._admin_client = admin
        return self._admin_client

    def _metadata(self, topic: str) -> Any:
        try:
            found = self._admin().list_topics(topic, timeout=10).topics[topic]
        except KafkaException as error:
            raise Retryable(f"no metadata of {topic}: {error_text(error)}") from error
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
        self.is_too_large = False
        self._lock = threading.Lock()

    def __call__(self, error: KafkaError | None, _: Any) -> None:
        with self._lock:
            self.left -= 1
            if error is not None:
                self.failures.append(error.str())
                self.is_too_large |= error.code() == KafkaError.MSG_SIZE_TOO_LARGE


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
        while messages := consume(self._consumer, 1000, timeout_seconds):
            for record in to_records(message for message in messages if message.error() is None):
                self._apply(record)
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
        for message in consume(consumer, 1000, 0.1):
            error = message.error()
            if error is None:
                yield to_record(message)
            elif error.code() != KafkaError._PARTITION_EOF:
                if not error.retriable():
                    raise Retryable(f"could not read {message.topic()}: {error.str()}")
                continue
            partition = TopicPartition(message.topic(), message.partition())
            reached = message.offset() + (1 if error is None else 0)
            if reached >= ends.get(partition, 0):
                missing.discard(partition)
