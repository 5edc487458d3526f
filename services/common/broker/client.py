"""librdkafka as Moselle sets it up: the settings that differ from its defaults, and small helpers.

The settings were measured; docs/benchmarks/ names the figures.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import confluent_kafka as ck
from confluent_kafka import KafkaError

from services.common.broker.abstract import Output, Record
from services.common.topics import DEAD_LETTER_BYTES

#: Java's and Faust's partitioner; librdkafka's default is another, and keys must meet in one partition.
PARTITIONER = "murmur2_random"

CLIENT: dict[str, Any] = {
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    # 100 by default, and it delays every transaction that meets the previous one's markers.
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 500,
    "log.connection.close": False,
    # Only what is critical: readiness and the service's own log say the rest.
    "log_level": 2,
}
PRODUCER = CLIENT | {
    "partitioner": PARTITIONER,
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 5,
    "compression.type": "lz4",
    "message.max.bytes": DEAD_LETTER_BYTES,
    "queue.buffering.max.messages": 1_000_000,
    "message.timeout.ms": 20_000,
}
READER = CLIENT | {
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


def consume(consumer: ck.Consumer, max_records: int, timeout: float) -> list[Any]:
    """What is there, at once; else what comes first. The client's own time-out waits for a full batch."""
    messages = consumer.consume(max_records, 0)
    if messages or timeout <= 0:
        return list(messages)
    first = consumer.poll(timeout)
    return [] if first is None else [first, *consumer.consume(max_records, 0)]


def to_record(message: Any) -> Record:
    """The client's message as our record."""
    return to_records([message])[0]


def to_records(messages: Iterable[Any]) -> list[Record]:
    """The client's messages as our records."""
    return [
        _make((m.topic(), m.partition(), m.offset(), m.timestamp()[1], m.key(), m.value(), m.headers()))
        for m in messages
    ]


#: As `Record._make`, which is slower for looking at how many fields there are.
_make: Callable[[tuple[Any, ...]], Record] = partial(tuple.__new__, Record)


def produce_all(producer: ck.Producer, outputs: Iterable[Output]) -> None:
    """Hands records to the client, about whose delivery its transaction says enough."""
    for output in outputs:
        topic, key, value, headers, number = output
        if headers or number is not None:
            produce(producer, output)
            continue
        try:
            producer.produce(topic, value, key)
        except BufferError:
            produce(producer, output)


def produce(producer: ck.Producer, output: Output, delivered: Callable[..., None] | None = None) -> None:
    """Hands a record to the client; waits while its queue is full."""
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


def now_ms() -> int:
    """The wall time as Kafka writes it, milliseconds since 1970 UTC."""
    return time.time_ns() // 1_000_000


def error_text(error: Exception) -> str:
    """What the client says, without its error object's wrapping."""
    inner = error.args[0] if error.args else error
    return inner.str() if isinstance(inner, KafkaError) else str(error)
