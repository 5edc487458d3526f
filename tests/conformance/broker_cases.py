"""Brokers for the conformance suites: the real one and its twin, behind one face."""

import itertools
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from confluent_kafka.admin import AdminClient, NewTopic

from services.common.broker.abstract import Batch, Broker, Record, Session, TopicPartition
from services.common.broker.kafka import KafkaBroker
from services.common.broker.memory import MemoryBroker
from tests.polling import TIMEOUT_SECONDS, poll_until

_numbers = itertools.count()


@dataclass
class BrokerCase:
    """A broker with topics of its own for one test, and the means to read and close what the test opens."""

    broker: Broker
    topics: Mapping[str, str]
    sessions: list[Session] = field(default_factory=list)
    group: str = field(default_factory=lambda: f"it-group-{uuid.uuid4().hex[:8]}")

    def open(self, member: str, *topics: str) -> Session:
        """Joins this case's group."""
        session = self.broker.open_session(self.group, member, [self.topics[t] for t in topics])
        self.sessions.append(session)
        return session

    def read(self, topic: str) -> list[Record]:
        """Everything committed in all partitions of a topic."""
        name = self.topics[topic]
        return [r for p in range(self.broker.num_partitions(name)) for r in self.broker.read_to_end(name, p)]

    def close(self) -> None:
        """Closes what the test left open."""
        for session in self.sessions:
            session.close()
        self.broker.close()


def memory_case(topics: Mapping[str, int]) -> BrokerCase:
    """The twin with the topics of a test."""
    return BrokerCase(MemoryBroker(topics), {name: name for name in topics})


def kafka_case(bootstrap: str, topics: Mapping[str, int]) -> BrokerCase:
    """The real broker; each test's topics get names of their own."""
    suffix = f"{next(_numbers)}-{uuid.uuid4().hex[:6]}"
    names = {name: f"it-{name.removesuffix('.dlq')}-{suffix}{'.dlq' * name.endswith('.dlq')}" for name in topics}
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic(names[n], count, 1) for n, count in topics.items()]).values():
        future.result(30)
    return BrokerCase(KafkaBroker(bootstrap, session_timeout_ms=6000), names)


def collect(session: Session, wanted: int, seconds: float = TIMEOUT_SECONDS) -> list[Batch]:
    """Polls until `wanted` records have come."""
    batches: list[Batch] = []

    def enough() -> bool:
        batches.append(session.poll(100, 0.05))
        return sum(len(b.records) for b in batches) >= wanted

    poll_until(enough, f"{wanted} records", seconds)
    return batches


def next_offsets(batches: list[Batch]) -> dict[TopicPartition, int]:
    """What to commit after these batches."""
    return {r.topic_partition: r.offset + 1 for b in batches for r in b.records}
