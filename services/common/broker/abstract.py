"""The broker as the kernel needs it: what `kafka.py` and its in-memory twin both promise.

The promises, held by tests/conformance/test_broker.py:

1. `poll` hands each committed record of the assigned partitions once, in order within a partition, and across
   partitions merged by transport time as far as they were fetched. Aborted records are never seen.
2. `commit` is all or nothing: outputs and next offsets become visible together, or `Retryable` is raised and neither
   does. After `Retryable` the session is dead: close it and open another one, which begins at the committed offsets.
3. A newly assigned partition is reported by the same `poll` that hands its first records, so that its state can be
   restored before they are processed. A revoked partition's records are never handed afterwards.
4. `read_to_end` gives every committed record that the partition held when it was called, then stops.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

Headers = Sequence[tuple[str, bytes]]


class TopicPartition(NamedTuple):
    """One partition of one topic."""

    topic: str
    partition: int


class Record(NamedTuple):
    """A record as read. `timestamp_ms` is the transport time (Kafka's), milliseconds since 1970 UTC."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None

    @property
    def topic_partition(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class Output(NamedTuple):
    """A record to write. Without `partition`, murmur2 over the key decides, as in Java's client and Faust."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers | None = None
    partition: int | None = None


@dataclass(slots=True)
class Batch:
    """What one `poll` brought.

    Attributes:
        records: in the order in which they shall be processed.
        assigned, revoked: partitions gained and lost since the last `poll`; handle them before `records`.
        caught_up: the assigned partitions of which everything written so far has been handed out.
    """

    records: list[Record] = field(default_factory=list)
    assigned: list[TopicPartition] = field(default_factory=list)
    revoked: list[TopicPartition] = field(default_factory=list)
    caught_up: frozenset[TopicPartition] = frozenset()


class Session(Protocol):
    """One member of a consumer group with its transactional producer."""

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        """Waits up to `timeout_seconds` for records; returns at once when there are some.

        Raises:
            Retryable: the broker does not answer; the session is dead.
        """
        ...

    def write(self, outputs: Sequence[Output]) -> None:
        """Lets outputs travel ahead of the `commit` that they belong to: nobody sees them before it, nor without it.

        Nothing is polled between the two. While they wait, they hold back what others write to the same partitions.

        Raises:
            Retryable: nothing of it happened; the session is dead.
        """
        ...

    def commit(self, outputs: Sequence[Output], next_offsets: Mapping[TopicPartition, int]) -> None:
        """Writes `outputs` and commits `next_offsets` (last processed + 1) in one transaction.

        Raises:
            Retryable: nothing of it happened; the session is dead.
        """
        ...

    def close(self) -> None:
        """Leaves cleanly. What was polled and not committed will be read again."""
        ...


class View(Protocol):
    """All partitions of compacted topics, without a group: each replica reads everything."""

    def refresh(self, timeout_seconds: float = 0.0) -> int:
        """Applies what has come since the last call; returns how many records.

        The first call reads to what was the end when it began, however long that takes.
        """
        ...

    def close(self) -> None: ...


class Broker(Protocol):
    """A Kafka cluster, or its twin."""

    def open_session(self, group: str, member: str, topics: Sequence[str], outputs: Sequence[str] = ()) -> Session:
        """Joins `group` as the static member `member`; its transactional id is `group` + `member`.

        Args:
            topics: what to read.
            outputs: what it will write; whatever a dead predecessor left open there is ended first.
        """
        ...

    def open_view(self, topics: Sequence[str], apply: Callable[[Record], None]) -> View:
        """Every record of `topics` goes through `apply`, from the beginning, in order within a partition."""
        ...

    def read_to_end(self, topic: str, partition: int) -> Iterator[Record]:
        """The committed records of one partition up to its end as of now.

        Waits for open transactions of others to end, so that nothing committed before an assignment is missed.
        """
        ...

    def num_partitions(self, topic: str) -> int:
        """Raises SettingsInvalid when the topic does not exist, with the remedy."""
        ...

    def publish(self, outputs: Sequence[Output]) -> None:
        """Writes outside any transaction and returns when the broker has all of it.

        Raises:
            Retryable: the broker did not take all of it; some may have been written.
            InvalidMessage: `too_large`: a topic never takes one of them; others may have been written.
        """
        ...

    def check(self, topics: Sequence[str]) -> None:
        """Raises SettingsInvalid, with the remedy, when the broker or one of the topics cannot be reached."""
        ...

    def close(self) -> None: ...
