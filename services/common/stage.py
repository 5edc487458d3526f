"""The transactional stage: what a service's pipeline is to the kernel.

A pipeline implements `Stage`. It never sees Kafka: it gets records with the partitions they came from, a state per
partition, and an `Outputs` to fill. One call of `process` becomes one transaction that holds outputs, state and
offsets. When a transaction fails the kernel drops the whole stage object and makes a new one from committed state, the
same way as after kill -9; a stage therefore needs no undo.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from services.common.broker.abstract import Headers, Output, Record, TopicPartition
from services.common.errors import InvalidMessage
from services.common.state import PartitionState

Encode = Callable[[str, Mapping[str, Any]], bytes]


class Outputs:
    """Collects what one `process` call writes. Records are encoded when they are added.

    Args:
        encode: (schema name, record) to bytes on the wire.
    """

    def __init__(self, encode: Encode) -> None:
        self._encode = encode
        self.records: list[Output] = []
        #: How many records went to which dead-letter topic, by (source topic, reason).
        self.dead_letters: Counter[tuple[str, str]] = Counter()

    def add(self, topic: str, key: str, record: Mapping[str, Any], headers: Headers | None = None) -> None:
        """Encodes `record` by the schema that is named as the topic, and keeps it for `topic`."""
        self.records.append(Output(topic, key.encode(), self._encode(topic, record), headers))

    def dead_letter(self, record: Record, error: InvalidMessage) -> None:
        """Sends the original bytes of `record` to its dead-letter topic with where they stood and why."""
        self.records.append(dead_letter_output(record, error))
        self.dead_letters[record.topic, error.reason] += 1


def dead_letter_output(record: Record, error: InvalidMessage) -> Output:
    """The dead letter of `record`: key, value and headers as read, and `moselle.*` headers that say where and why."""
    reasons: list[tuple[str, bytes]] = [
        ("moselle.source_topic", record.topic.encode()),
        ("moselle.source_partition", str(record.partition).encode()),
        ("moselle.source_offset", str(record.offset).encode()),
        ("moselle.source_timestamp_ms", str(record.timestamp_ms).encode()),
        ("moselle.error", error.reason.encode()),
        ("moselle.error_detail", error.detail.encode()[:1000]),
    ]
    return Output(f"{record.topic}.dlq", record.key, record.value, [*(record.headers or ()), *reasons])


class Stage(Protocol):
    """A pipeline between topics."""

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """A partition is ours now; `state` holds what was committed for it. The stage keeps the reference."""
        ...

    def revoke(self, partition: TopicPartition) -> None:
        """The partition is somebody else's now. Everything of it was committed; forget it."""
        ...

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        """Handles a batch: fills `outputs`, and puts what must survive into the partitions' states before returning.

        Never raises for what a record holds: unreadable ones go to `outputs.dead_letter`.
        """
        ...

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        """Called about every 50 ms of wall time, also when nothing comes. For what must happen without new records.

        Args:
            now: the wall time.
            caught_up: the partitions of which everything written so far has been processed; only for these does
                wall time that passes mean that nothing more is coming.
        """
        ...

    def close(self) -> None:
        """The kernel drops this object: release what it opened, such as views. Nothing is committed any more."""
        ...
