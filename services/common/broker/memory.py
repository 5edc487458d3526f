"""The in-memory twin of `kafka.py`, for tests: the same promises, one process, nothing kept."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from services.common.broker.abstract import Batch, Output, Record, Session, TopicPartition, View
from services.common.broker.alignment import Aligner
from services.common.errors import Retryable, SettingsInvalid


def murmur2(data: bytes) -> int:
    """Kafka's partitioning hash, 32 bits unsigned.

    Source: org.apache.kafka.common.utils.Utils.murmur2.
    """
    seed, m, r, mask = 0x9747B28C, 0x5BD1E995, 24, 0xFFFFFFFF
    h = seed ^ len(data)
    whole = len(data) & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little") * m & mask
        k = (k ^ k >> r) * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key: bytes, num_partitions: int) -> int:
    """The partition of a key, as every Moselle producer chooses it."""
    return (murmur2(key) & 0x7FFFFFFF) % num_partitions


@dataclass
class _Group:
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    members: "dict[str, MemorySession]" = field(default_factory=dict)


class MemoryBroker:
    """Topics as lists. Implements `Broker`. Thread-safe; transactions are atomic by a lock.

    Args:
        topics: topic name to number of partitions.
        now_ms: the transport time of what is written.
    """

    def __init__(self, topics: Mapping[str, int], now_ms: Callable[[], int] | None = None) -> None:
        self._logs = {TopicPartition(t, p): list[Record]() for t, n in topics.items() for p in range(n)}
        self._topics = dict(topics)
        self._groups: defaultdict[str, _Group] = defaultdict(_Group)
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._round_robin = 0
        self.is_away = False
        self.lock = threading.RLock()

    def open_session(self, group: str, member: str, topics: Sequence[str], outputs: Sequence[str] = ()) -> Session:
        with self.lock:
            self.raise_if_away()
            self.check(topics)
            session = MemorySession(self, self._groups[group], topics)
            predecessor = self._groups[group].members.get(member)
            if predecessor is not None:
                predecessor.is_fenced = True
            self._groups[group].members[member] = session
            self._rebalance(self._groups[group])
            return session

    def open_view(self, topics: Sequence[str], apply: Callable[[Record], None]) -> View:
        self.check(topics)
        return _MemoryView(self, [p for p in self._logs if p.topic in topics], apply)

    def read_to_end(self, topic: str, partition: int) -> Iterator[Record]:
        self.raise_if_away()
        yield from self.log(TopicPartition(topic, partition))

    def num_partitions(self, topic: str) -> int:
        self.check([topic])
        return self._topics[topic]

    def publish(self, outputs: Sequence[Output]) -> None:
        with self.lock:
            self.raise_if_away()
            for output in outputs:
                self._append(output)

    def check(self, topics: Sequence[str]) -> None:
        missing = [topic for topic in topics if topic not in self._topics]
        if missing:
            raise SettingsInvalid(f"topic {missing[0]} does not exist in this memory broker: name it when making one")

    def close(self) -> None: ...

    def log(self, partition: TopicPartition) -> list[Record]:
        """A copy of what a partition holds."""
        with self.lock:
            return list(self._logs[partition])

    def raise_if_away(self) -> None:
        """Raises Retryable while a test holds the broker away."""
        if self.is_away:
            raise Retryable("the memory broker is away")

    def leave(self, group: _Group, session: "MemorySession") -> None:
        """Takes a session out of its group; its partitions go to the others."""
        with self.lock:
            names = [name for name, member in group.members.items() if member is session]
            for name in names:
                del group.members[name]
            self._rebalance(group)

    def append_all(self, outputs: Sequence[Output]) -> None:
        """Writes; the caller holds the lock."""
        for output in outputs:
            self._append(output)

    def _append(self, output: Output) -> None:
        self.check([output.topic])
        count = self._topics[output.topic]
        number = output.partition
        if number is None and output.key is not None:
            number = partition_of(output.key, count)
        elif number is None:
            self._round_robin += 1
            number = self._round_robin % count
        log = self._logs[TopicPartition(output.topic, number)]
        headers = list(output.headers) if output.headers else None
        log.append(Record(output.topic, number, len(log), self._now_ms(), output.key, output.value, headers))

    def _rebalance(self, group: _Group) -> None:
        members = [group.members[name] for name in sorted(group.members)]
        for topic in sorted({topic for member in members for topic in member.topics}):
            interested = [member for member in members if topic in member.topics]
            for partition in range(self._topics[topic]):
                owner = interested[partition % len(interested)]
                for member in members:
                    member.give(TopicPartition(topic, partition), member is owner)


class MemorySession:
    """Implements `Session`."""

    def __init__(self, broker: MemoryBroker, group: _Group, topics: Sequence[str]) -> None:
        self.topics = tuple(topics)
        self.is_fenced = False
        self._broker = broker
        self._group = group
        self._aligner = Aligner()
        self._positions: dict[TopicPartition, int] = {}
        self._assigned: list[TopicPartition] = []
        self._revoked: list[TopicPartition] = []
        self._written: list[Output] = []

    def poll(self, max_records: int, timeout_seconds: float) -> Batch:
        with self._broker.lock:
            self._raise_if_dead()
            for partition in sorted(self._aligner.assigned):
                log = self._broker.log(partition)
                self._aligner.add(log[self._positions[partition] :], 2**62)
                self._positions[partition] = len(log)
                self._aligner.reached_end(partition)
            records = self._aligner.release(max_records, 0.0)
            batch = Batch(records, self._assigned, self._revoked, self._aligner.caught_up())
            self._assigned, self._revoked = [], []
            return batch

    def write(self, outputs: Sequence[Output]) -> None:
        with self._broker.lock:
            self._raise_if_dead()
            self._written += outputs

    def commit(self, outputs: Sequence[Output], next_offsets: Mapping[TopicPartition, int]) -> None:
        with self._broker.lock:
            self._raise_if_dead()
            lost = set(next_offsets) - self._aligner.assigned
            if lost:
                raise Retryable(f"{sorted(lost)} belong to another member now")
            self._broker.append_all([*self._written, *outputs])
            self._written = []
            self._group.committed.update(next_offsets)

    def close(self) -> None:
        self._broker.leave(self._group, self)
        self.is_fenced = True

    def give(self, partition: TopicPartition, is_mine: bool) -> None:
        """The group decided whose `partition` is."""
        had = partition in self._aligner.assigned
        if is_mine and not had:
            self._positions[partition] = self._group.committed.get(partition, 0)
            self._aligner.assign([partition])
            self._assigned.append(partition)
        elif had and not is_mine:
            self._aligner.revoke([partition])
            if partition in self._assigned:
                self._assigned.remove(partition)
            else:
                self._revoked.append(partition)

    def _raise_if_dead(self) -> None:
        self._broker.raise_if_away()
        if self.is_fenced:
            raise Retryable("another process runs as this member")


class _MemoryView:
    """Implements `View`."""

    def __init__(
        self, broker: MemoryBroker, partitions: Sequence[TopicPartition], apply: Callable[[Record], None]
    ) -> None:
        self._broker = broker
        self._apply = apply
        self._positions = dict.fromkeys(partitions, 0)

    def refresh(self, timeout_seconds: float = 0.0) -> int:
        self._broker.raise_if_away()
        count = 0
        for partition, position in self._positions.items():
            for record in self._broker.log(partition)[position:]:
                self._apply(record)
                count += 1
                self._positions[partition] += 1
        return count

    def close(self) -> None: ...
