"""The producer of the features stream, against a real Kafka."""

import asyncio
import uuid

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from services.features.adapters.faust_driver import KnowingProducer

#: Long enough for a record to wait while Kafka is asked about another topic.
LINGER_MS = 1000


def make_topic(bootstrap: str, name: str) -> str:
    client = AdminClient({"bootstrap.servers": bootstrap})
    client.create_topics([NewTopic(name, 1, 1)])[name].result()
    return name


async def write_to_an_old_and_a_new_topic(bootstrap: str, old: str, new: str) -> list[int]:
    """The offsets of two records: one waits to be sent while the other's topic is asked about."""

    producer = KnowingProducer(bootstrap_servers=bootstrap, linger_ms=LINGER_MS)
    await producer.start()
    await producer.client.force_metadata_update()  # as Faust does when it has made a topic
    await asyncio.to_thread(make_topic, bootstrap, new)
    try:
        written = [await producer.send(topic, b"x", partition=0) for topic in (old, new)]
        return [record.offset for record in await asyncio.wait_for(asyncio.gather(*written), 60)]
    finally:
        await producer.stop()


@pytest.mark.timeout(300)  # against hanging
def test_a_topic_that_is_new_to_the_client_does_not_make_it_forget_the_others(kafka_bootstrap: str) -> None:
    """Else the first record would wait for a leader that nobody asks for."""
    old, new = (f"it-{which}-{uuid.uuid4().hex[:8]}" for which in ("old", "new"))
    make_topic(kafka_bootstrap, old)
    assert asyncio.run(write_to_an_old_and_a_new_topic(kafka_bootstrap, old, new)) == [0, 0]
