"""Merges partitions by transport time, so that catching up looks like being live.

Kafka hands a fetch response of one partition after the other. A reader that lags would see minutes of one source before
the first second of another, and whatever compares sources (silence, watermarks) would be fooled. Records are therefore
held until every partition that has more to give has shown how far its time is.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import groupby
from math import inf
from operator import itemgetter
from typing import NamedTuple

from services.common.broker.abstract import Record, TopicPartition

#: Values held beyond this many bytes go at once, too: records may be a mebibyte each.
MAX_HELD_BYTES = 64 * 2**20
#: A partition of which nothing was released for so long, seconds, may be let ahead of one that is flooded..
PASSED_OVER_SECONDS = 2.0
#: ..at so many times the pace at which its records came.
AHEAD_PACE = 2.0

_place = itemgetter(0, 1)


class _Queue:
    """What is held of a partition: records, and the times that they count as, milliseconds, never falling."""

    __slots__ = ("last", "records", "times")

    def __init__(self) -> None:
        self.times: list[int] = []
        self.records: list[Record] = []
        self.last = 0

    def add(self, records: list[Record], now_ms: int) -> None:
        times = [record[3] for record in records]
        if times[0] < self.last or times[-1] > now_ms or times != sorted(times):
            last = self.last
            times = [last := max(last, min(time, now_ms)) for time in times]
        self.last = times[-1]
        self.times += times
        self.records += records


class _PassedOver(NamedTuple):
    """A partition that had something to give and was not asked.

    Attributes:
        since, until: the first and the last time that it was so, seconds of the monotonic clock.
        position: how far the merged reading was at first, milliseconds of transport time.
        first: the time of its first record then.
    """

    since: float
    until: float
    position: int
    first: int


class Aligner:
    """Holds records of several partitions and releases them in the order of their transport time.

    Within a partition the order stays as it is: a record whose time goes back counts as late as its predecessor, one
    from the future as of now. Nobody waits for a partition longer than `max_hold_seconds`: a partition that stays
    silent that long without being at its end is left aside until it speaks again.

    A flooded partition does not stop the others. When reading falls behind, so that a second of transport time takes
    longer than a second, a partition of which nothing was released for PASSED_OVER_SECONDS is let ahead: with an equal
    share of each batch at most, no faster than AHEAD_PACE times as its records came. Decision 20 says why only then.

    Args:
        max_hold_seconds: the longest wait, in the seconds of the `monotonic` values given to `release`.
        max_held: when more records are held, the oldest go, whoever might still precede them: memory is bounded.
    """

    def __init__(self, max_hold_seconds: float = 1.0, max_held: int = 50_000) -> None:
        self._max_hold = max_hold_seconds
        self._max_held = max_held
        self._bytes = 0
        self._queues: dict[TopicPartition, _Queue] = {}
        self._at_end: set[TopicPartition] = set()
        self._left_aside: set[TopicPartition] = set()
        self._held_since: float | None = None
        self._position = 0
        self._passed_over: dict[TopicPartition, _PassedOver] = {}
        self.assigned: set[TopicPartition] = set()

    def __len__(self) -> int:
        return sum(len(queue.times) for queue in self._queues.values())

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Partitions from which records will come."""
        self.assigned.update(partitions)

    def revoke(self, partitions: Iterable[TopicPartition]) -> None:
        """Forgets partitions and drops what is held of them."""
        gone = set(partitions)
        self.assigned -= gone
        self._at_end -= gone
        self._left_aside -= gone
        for partition in gone:
            queue = self._queues.pop(partition, None)
            self._bytes -= _num_bytes(queue.records) if queue else 0
            self._passed_over.pop(partition, None)

    def add(self, records: Iterable[Record], now_ms: int) -> None:
        """Takes records as they were fetched, in order within each partition."""
        # Fetches come partition by partition, so what belongs to a partition is looked up once a run.
        for place, run in groupby(records, _place):
            partition = TopicPartition(*place)
            queue = self._queues.get(partition)
            if queue is None:
                queue = self._queues[partition] = _Queue()
            taken = list(run)
            queue.add(taken, now_ms)
            self._bytes += _num_bytes(taken)
            self._at_end.discard(partition)
            self._left_aside.discard(partition)

    def reached_end(self, partition: TopicPartition) -> None:
        """Everything that the partition holds so far has been added."""
        self._at_end.add(partition)

    def caught_up(self) -> frozenset[TopicPartition]:
        """The partitions at their end of which nothing is held."""
        return frozenset(p for p in self._at_end & self.assigned if not self._holds(p))

    def _holds(self, partition: TopicPartition) -> bool:
        queue = self._queues.get(partition)
        return queue is not None and bool(queue.times)

    def release(self, max_records: int, monotonic: float) -> list[Record]:
        """Up to `max_records` records that no partition can still precede, oldest first."""
        num_held = len(self)
        if not num_held:
            self._held_since = None
            return []
        bound = self._bound(monotonic)
        among = {p: bisect_right(queue.times, bound) for p, queue in self._queues.items()}
        most, num_too_many = sum(among.values()), self._num_too_many(num_held)
        if num_too_many > most:
            among, most = {p: len(queue.times) for p, queue in self._queues.items()}, num_too_many
        most = min(most, max_records)
        taken, numbers = self._earliest(most, among)
        if taken:
            self._position = max(self._queues[p].times[number - 1] for p, number in numbers.items())
        ahead, of_ahead = self._earliest(max_records - 1, self._let_ahead(numbers, max_records, monotonic))
        if ahead:
            taken, numbers = self._earliest(min(most, max_records - len(ahead)), among)
            taken += ahead
            numbers |= of_ahead
        for partition, number in numbers.items():
            queue = self._queues[partition]
            del queue.times[:number], queue.records[:number]
        self._bytes -= _num_bytes(taken)
        return taken

    def _earliest(
        self, most: int, among: Mapping[TopicPartition, int]
    ) -> tuple[list[Record], dict[TopicPartition, int]]:
        """The `most` earliest records among the first so many of each partition; and how many of each they are."""
        times: list[int] = []
        records: list[Record] = []
        begins: list[tuple[TopicPartition, int]] = []
        for partition, number in among.items():
            if number := min(number, most):
                queue = self._queues[partition]
                begins.append((partition, len(times)))
                times += queue.times[:number]
                records += queue.records[:number]
        if len(begins) < 2:
            return records, {partition: len(times) for partition, _ in begins}
        order = sorted(range(len(times)), key=times.__getitem__)[:most]
        ends = [*(begin for _, begin in begins[1:]), len(times)]
        parts = zip(begins, ends, strict=True)
        numbers = {p: _num_up_to(order[-1], times, begin, end) for (p, begin), end in parts}
        return [records[index] for index in order], {p: number for p, number in numbers.items() if number}

    def _let_ahead(
        self, released: Collection[TopicPartition], max_records: int, monotonic: float
    ) -> dict[TopicPartition, int]:
        """How many records partitions that have been passed over for too long may give out of their turn.

        Args:
            released: the partitions of which something is released in its turn.
        """
        until: dict[TopicPartition, float] = {}
        for partition in filter(self._holds, self._queues):
            if partition in released:
                self._passed_over.pop(partition, None)
                continue
            mark = self._mark(partition, monotonic)
            seconds = monotonic - mark.since
            if seconds >= PASSED_OVER_SECONDS:
                until[partition] = mark.first + AHEAD_PACE * 1000 * seconds
        if not (until and released):
            return {}
        share = max(1, max_records // len(self.assigned))
        return {p: min(share, bisect_right(self._queues[p].times, time)) for p, time in until.items()}

    def _mark(self, partition: TopicPartition, monotonic: float) -> _PassedOver:
        """Notes that a partition is passed over again; anew after a while, or when reading does not fall behind."""
        mark = self._passed_over.get(partition)
        is_new = mark is None or monotonic - mark.until > PASSED_OVER_SECONDS
        if mark is None or is_new or self._position - mark.position > (monotonic - mark.since + 1) * 1000:
            mark = _PassedOver(monotonic, monotonic, self._position, self._queues[partition].times[0])
        mark = self._passed_over[partition] = mark._replace(until=monotonic)
        return mark

    def _num_too_many(self, num_held: int) -> int:
        return num_held if self._bytes > MAX_HELD_BYTES else num_held - self._max_held

    def _bound(self, monotonic: float) -> float:
        """The time up to which no partition can still precede."""
        open_ended = self.assigned - self._at_end - self._left_aside
        waiting = {p for p in open_ended if not self._holds(p)}
        if not waiting:
            # Each open partition's next record is at or after its last: no bound below the smallest of those.
            self._held_since = None
            return min((self._queues[p].last for p in open_ended), default=inf)
        if self._held_since is None:
            self._held_since = monotonic
        if monotonic - self._held_since >= self._max_hold:
            self._left_aside |= waiting
            return self._bound(monotonic)
        return min(self._queues[p].last if p in self._queues else -1 for p in open_ended)


def _num_up_to(last: int, times: Sequence[int], begin: int, end: int) -> int:
    """How many of times[begin:end] come up to the index `last` when all are sorted by time, then index."""
    if begin <= last < end:
        return last + 1 - begin
    find = bisect_right if end <= last else bisect_left
    return find(times, times[last], begin, end) - begin


def _num_bytes(records: Iterable[Record]) -> int:
    return sum([len(record[5] or b"") for record in records])
