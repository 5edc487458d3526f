"""Merges partitions by transport time, so that catching up looks like being live.

Kafka hands a fetch response of one partition after the other. A reader that lags would see minutes of one source before
the first second of another, and whatever compares sources (silence, watermarks) would be fooled. Records are therefore
held until every partition that has more to give has shown how far its time is.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from operator import itemgetter
from typing import Any, NamedTuple

from services.common.broker.abstract import Record, TopicPartition

#: Values held beyond this many bytes go at once, too: records may be a mebibyte each.
MAX_HELD_BYTES = 64 * 2**20
#: A partition of which nothing was released for so long, seconds, may be let ahead of one that is flooded..
PASSED_OVER_SECONDS = 2.0
#: ..at so many times the pace at which its records came.
AHEAD_PACE = 2.0

_time = itemgetter(0)
#: A record with the time it counts as, milliseconds.
_Item = tuple[int, Record]


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
        self._pending: list[_Item] = []
        self._count: Counter[TopicPartition] = Counter()
        self._last: dict[TopicPartition, int] = {}
        self._at_end: set[TopicPartition] = set()
        self._left_aside: set[TopicPartition] = set()
        self._held_since: float | None = None
        self._position = 0
        self._passed_over: dict[TopicPartition, _PassedOver] = {}
        self.assigned: set[TopicPartition] = set()

    def __len__(self) -> int:
        return len(self._pending)

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
            self._last.pop(partition, None)
            self._count.pop(partition, None)
            self._passed_over.pop(partition, None)
        self._pending = [item for item in self._pending if item[1].topic_partition not in gone]
        self._bytes = sum(len(record.value or b"") for _, record in self._pending)

    def add(self, records: Iterable[Record], now_ms: int) -> None:
        """Takes records as they were fetched, in order within each partition."""
        # Fetches come partition by partition, so what belongs to a partition is looked up once a run.
        topic, number, last, run = "", -1, 0, 0
        append = self._pending.append
        for record in records:
            if record[1] != number or record[0] != topic:
                self._end_run(topic, number, last, run)
                topic, number, run = record[0], record[1], 0
                last = self._last.get(TopicPartition(topic, number), 0)
            time = record[3]
            if time > last:
                last = max(last, min(time, now_ms))
            append((last, record))
            self._bytes += len(record[5] or b"")
            run += 1
        self._end_run(topic, number, last, run)

    def _end_run(self, topic: str, number: int, last: int, run: int) -> None:
        if run:
            partition = TopicPartition(topic, number)
            self._last[partition] = last
            self._count[partition] += run
            self._at_end.discard(partition)
            self._left_aside.discard(partition)

    def reached_end(self, partition: TopicPartition) -> None:
        """Everything that the partition holds so far has been added."""
        self._at_end.add(partition)

    def caught_up(self) -> frozenset[TopicPartition]:
        """The partitions at their end of which nothing is held."""
        return frozenset(p for p in self._at_end & self.assigned if not self._count[p])

    def release(self, max_records: int, monotonic: float) -> list[Record]:
        """Up to `max_records` records that no partition can still precede, oldest first."""
        if not self._pending:
            self._held_since = None
            return []
        self._pending.sort(key=_time)
        end = min(max(self._releasable(monotonic), self._num_too_many()), max_records)
        if end:
            self._position = self._pending[end - 1][0]
        if end == len(self._pending):
            return self._release_all()
        taken = self._pending[:end]
        counts = Counter([record[:2] for _, record in taken])
        ahead = self._let_ahead(counts.keys(), max_records, monotonic)
        if ahead:
            taken = [*taken[: max_records - len(ahead)], *ahead]
            counts = Counter([record[:2] for _, record in taken])
            gone = set(map(id, taken))
            self._pending = [item for item in self._pending if id(item) not in gone]
        else:
            del self._pending[:end]
        for place, number in counts.items():
            self._count[TopicPartition(*place)] -= number
        self._bytes -= sum(len(record[5] or b"") for _, record in taken)
        return [record for _, record in taken]

    def _release_all(self) -> list[Record]:
        if self._passed_over:
            self._passed_over = {p: mark for p, mark in self._passed_over.items() if not self._count[p]}
        out = [record for _, record in self._pending]
        self._pending, self._bytes = [], 0
        self._count.clear()
        return out

    def _let_ahead(self, released: Collection[tuple[Any, ...]], max_records: int, monotonic: float) -> list[_Item]:
        """What partitions that have been passed over for too long may give out of their turn, each in its order.

        Args:
            released: topic and number of the partitions of which something is released in its turn.
        """
        until: dict[TopicPartition, float] = {}
        for partition in [p for p, number in self._count.items() if number]:
            if partition in released:
                self._passed_over.pop(partition, None)
                continue
            mark = self._mark(partition, monotonic)
            seconds = monotonic - mark.since
            if seconds >= PASSED_OVER_SECONDS:
                until[partition] = mark.first + AHEAD_PACE * 1000 * seconds
        if not (until and released):
            return []
        return self._shares(until, max(1, max_records // len(self.assigned)))[: max_records - 1]

    def _mark(self, partition: TopicPartition, monotonic: float) -> _PassedOver:
        """Notes that a partition is passed over again; anew after a while, or when reading does not fall behind."""
        mark = self._passed_over.get(partition)
        is_new = mark is None or monotonic - mark.until > PASSED_OVER_SECONDS
        if mark is None or is_new or self._position - mark.position > (monotonic - mark.since + 1) * 1000:
            first = next(time for time, record in self._pending if record.topic_partition == partition)
            mark = _PassedOver(monotonic, monotonic, self._position, first)
        mark = self._passed_over[partition] = mark._replace(until=monotonic)
        return mark

    def _shares(self, until: dict[TopicPartition, float], share: int) -> list[_Item]:
        """Up to `share` records of each partition whose times are not above its `until`, in order."""
        left = dict.fromkeys(until, share)
        found = []
        for item in self._pending:
            partition = item[1].topic_partition
            if left.get(partition, 0) and item[0] <= until[partition]:
                left[partition] -= 1
                found.append(item)
        return found

    def _num_too_many(self) -> int:
        if self._bytes > MAX_HELD_BYTES:
            return len(self._pending)
        return len(self._pending) - self._max_held

    def _releasable(self, monotonic: float) -> int:
        open_ended = self.assigned - self._at_end - self._left_aside
        waiting = {p for p in open_ended if not self._count[p]}
        if not waiting:
            # Each open partition's next record is at or after its last: no bound below the smallest of those.
            self._held_since = None
            return self._before(min((self._last[p] for p in open_ended), default=None))
        if self._held_since is None:
            self._held_since = monotonic
        if monotonic - self._held_since >= self._max_hold:
            self._left_aside |= waiting
            return self._releasable(monotonic)
        return self._before(min(self._last.get(p, -1) for p in open_ended))

    def _before(self, bound: int | None) -> int:
        if bound is None or self._pending[-1][0] <= bound:
            return len(self._pending)
        low, high = 0, len(self._pending)
        while low < high:
            middle = (low + high) // 2
            if self._pending[middle][0] <= bound:
                low = middle + 1
            else:
                high = middle
        return low
