"""Reading a topic of a real Kafka to its end, where there is little to read."""

import time
import uuid

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from moselle.reading import TopicReader
from moselle.stack.topics import create_topics
from services.common.topics import Topic
from tests.polling import TIMEOUT_SECONDS


@pytest.fixture
def topic(kafka_bootstrap: str) -> str:
    """A topic of one partition with five records."""
    name = f"it-reading-{uuid.uuid4().hex[:8]}"
    create_topics(kafka_bootstrap, [Topic(name, "", "", (), (), None, transport_time="create", partitions=1)], 1)
    producer = Producer({"bootstrap.servers": kafka_bootstrap})
    for number in range(5):
        producer.produce(name, b"%d" % number)
    assert producer.flush(TIMEOUT_SECONDS) == 0
    return name


def read(bootstrap: str, topic: str, since_ms: int | None = None) -> list[bytes | None]:
    """What there is until the end, and until nothing comes any more: the same."""
    to_end = TopicReader(bootstrap, topic, is_from_beginning=True, since_ms=since_ms)
    until_idle = TopicReader(bootstrap, topic, is_from_beginning=True, since_ms=since_ms)
    values = [record.value for record in to_end.to_end()]
    assert [record.value for batch in until_idle.records(0.001) for record in batch] == values
    to_end.close(), until_idle.close()
    return values


def test_what_is_there_is_read_however_short_the_silence_may_be(kafka_bootstrap: str, topic: str) -> None:
    """A broker that takes its time is no silence."""
    assert read(kafka_bootstrap, topic) == [b"0", b"1", b"2", b"3", b"4"]


def test_what_was_deleted_is_not_waited_for(kafka_bootstrap: str, topic: str) -> None:
    """As after its time in the topic: the first records are gone, then all of them."""
    admin = AdminClient({"bootstrap.servers": kafka_bootstrap})
    for before, left in ((3, [b"3", b"4"]), (5, [])):
        for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
            future.result(TIMEOUT_SECONDS)
        assert read(kafka_bootstrap, topic) == left


def test_nothing_since_a_time_is_an_end(kafka_bootstrap: str, topic: str) -> None:
    """Reading since an hour from now gives nothing, at once."""
    assert read(kafka_bootstrap, topic, since_ms=int(time.time() * 1000) + 3_600_000) == []
