"""The transactional stage: what a service's pipeline is to the kernel.

A pipeline implements `Stage`. It never sees Kafka: it gets records with the partitions they came from, a state per
partition, and an `Outputs` to fill. One call of `process` becomes one transaction that holds outputs, state and
offsets. When a transaction fails the kernel drops the whole stage object and makes a new one from committed state, the
same way as after kill -9; a stage therefore needs no undo.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import repeat
from typing import Any, NamedTuple, Protocol

from services.common.broker.abstract import Headers, Output, Record, TopicPartition
from services.common.columns import Columns, rows_of
from services.common.errors import InvalidMessage
from services.common.state import PartitionState
from services.common.topics import MAX_RAW_BYTES

Encode = Callable[[str, Mapping[str, Any]], bytes]
EncodeAll = Callable[[str, Columns], list[bytes]]

#: Outputs of one transaction, beyond which a stage shall handle no further record in it.
FULL_BYTES = 32 * 2**20
#: So many outputs are worth a trip of their own to the broker.
PASS_ON_RECORDS = 1000
#: A dead letter larger than this is cut: what a broker's compression let through must not outgrow its topic.
MAX_DEAD_LETTER_BYTES = MAX_RAW_BYTES
#: What a client and a broker add to a record.
_OVERHEAD_BYTES = 4096


#: (topic, key, value, headers, partition) as an Output; the class itself would call Python for each.
_output: Callable[[Iterable[Any]], Output] = partial(tuple.__new__, Output)


class Table(NamedTuple):
    """Records of one topic as columns: for each field the values of all of them, as many as there are keys."""

    keys: Sequence[str]
    columns: Columns


class Outputs:
    """Collects what one `process` call writes. Records are encoded when they are added.

    Args:
        encode: (schema name, record) to bytes on the wire.
        write: lets some travel ahead of the commit; None keeps all of them here.
        encode_all: (schema name, columns) to the bytes of each; None encodes record by record.
    """

    def __init__(
        self,
        encode: Encode,
        write: Callable[[Sequence[Output]], None] | None = None,
        encode_all: EncodeAll | None = None,
    ) -> None:
        self._encode = encode
        self._encode_all = encode_all or self._encode_rows
        self._write = write
        self._num_passed_on = 0
        self.records: list[Output] = []
        self.num_bytes = 0
        #: How many records went to which dead-letter topic, by (source topic, reason).
        self.dead_letters: Counter[tuple[str, str]] = Counter()

    def add(self, topic: str, key: str, record: Mapping[str, Any], headers: Headers | None = None) -> None:
        """Encodes `record` by the schema that is named as the topic, and keeps it for `topic`."""
        value = self._encode(topic, record)
        self.num_bytes += len(value)
        self.records.append(Output(topic, key.encode(), value, headers))

    def add_all(self, tables: Mapping[str, Table]) -> None:
        """The same for many by topic; none of them is kept when one does not fit its schema."""
        added: list[Output] = []
        num_bytes = 0
        for topic, (keys, columns) in tables.items():
            values = self._encode_all(topic, columns)
            num_bytes += sum(map(len, values))
            added += map(_output, zip(repeat(topic), map(str.encode, keys), values, repeat(None), repeat(None)))
        self.num_bytes += num_bytes
        self.records += added

    def _encode_rows(self, topic: str, columns: Columns) -> list[bytes]:
        return [self._encode(topic, record) for record in rows_of(columns)]

    def pass_on(self) -> None:
        """Lets what was added travel to the broker while the stage goes on, once there is enough of it.

        For a stage that is quick with many records: while it works, what others write to these partitions waits.

        Raises:
            Retryable: the broker does not take it; the stage lets it pass.
        """
        if self._write is not None and len(self.records) - self._num_passed_on >= PASS_ON_RECORDS:
            self._write(self.left)
            self._num_passed_on = len(self.records)

    @property
    def left(self) -> list[Output]:
        """What has not been passed on."""
        return self.records[self._num_passed_on :]

    @property
    def is_full(self) -> bool:
        """True when this is enough for one transaction: a stage may return and leave the rest for the next one."""
        return self.num_bytes > FULL_BYTES

    def dead_letter(self, record: Record, error: InvalidMessage) -> None:
        """Sends the original bytes of `record` to its dead-letter topic with where they stood and why."""
        output = dead_letter_output(record, error)
        self.num_bytes += len(output.value or b"")
        self.records.append(output)
        self.dead_letters[record.topic, error.reason] += 1


def dead_letter_output(record: Record, error: InvalidMessage) -> Output:
    """The dead letter of `record`: key, value and headers as read, and `moselle.*` headers that say where and why.

    One larger than MAX_DEAD_LETTER_BYTES is cut and says so: `moselle.cut_from_bytes`.
    """
    reasons: list[tuple[str, bytes]] = [
        ("moselle.source_topic", record.topic.encode()),
        ("moselle.source_partition", str(record.partition).encode()),
        ("moselle.source_offset", str(record.offset).encode()),
        ("moselle.source_timestamp_ms", str(record.timestamp_ms).encode()),
        ("moselle.error", error.reason.encode()),
        ("moselle.error_detail", error.detail.encode()[:1000]),
    ]
    size = _size(record)
    if size > MAX_DEAD_LETTER_BYTES:
        return _cut(record, size, reasons)
    return Output(f"{record.topic}.dlq", record.key, record.value, [*(record.headers or ()), *reasons])


def _size(record: Record) -> int:
    headers = sum(len(name) + len(value or b"") for name, value in record.headers or ())
    return len(record.key or b"") + len(record.value or b"") + headers


def _cut(record: Record, size: int, reasons: list[tuple[str, bytes]]) -> Output:
    """The beginning of the value, the key if it is short, no headers but ours, and how large it was."""
    reasons.append(("moselle.cut_from_bytes", str(size).encode()))
    key = record.key if len(record.key or b"") <= _OVERHEAD_BYTES else None
    value = (record.value or b"")[: MAX_DEAD_LETTER_BYTES - 2 * _OVERHEAD_BYTES]
    return Output(f"{record.topic}.dlq", key, value, reasons)


class Stage(Protocol):
    """A pipeline between topics."""

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        """A partition is ours now; `state` holds what was committed for it. The stage keeps the reference."""
        ...

    def revoke(self, partition: TopicPartition) -> None:
        """The partition is somebody else's now. Everything of it was committed; forget it."""
        ...

    def process(self, records: Sequence[Record], outputs: Outputs) -> int | None:
        """Handles a batch: fills `outputs`, and puts what must survive into the partitions' states before returning.

        Never raises for what a record holds: unreadable ones go to `outputs.dead_letter`.

        Returns:
            How many records it has handled, should it stop when `outputs.is_full`: the others come again with the next
            call, in another transaction. None for all of them.
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
