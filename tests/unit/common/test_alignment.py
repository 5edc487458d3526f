"""Partitions are merged by transport time, whatever order they are fetched in."""

from hypothesis import given
from hypothesis import strategies as st

from services.common.broker.abstract import Record, TopicPartition
from services.common.broker.alignment import Aligner

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


def records(partition: TopicPartition, *times: int, first: int = 0) -> list[Record]:
    return [Record(*partition, first + i, time, None, b"") for i, time in enumerate(times)]


def make_aligner(*partitions: TopicPartition) -> Aligner:
    aligner = Aligner(max_hold_seconds=1.0)
    aligner.assign(partitions)
    return aligner


def times(released: list[Record]) -> list[int]:
    return [record.timestamp_ms for record in released]


def test_holds_what_another_partition_may_still_precede() -> None:
    """Nothing is released while a partition with more to give has shown nothing."""
    aligner = make_aligner(A, B)
    aligner.add(records(A, 10, 20), now_ms=100)
    assert aligner.release(10, 0.0) == []
    aligner.add(records(B, 15), now_ms=100)
    assert times(aligner.release(10, 0.0)) == [10, 15]


def test_a_partition_at_its_end_holds_nobody() -> None:
    """Once B has said that it is at its end, all of A may go."""
    aligner = make_aligner(A, B)
    aligner.add(records(A, 10, 20), now_ms=100)
    aligner.reached_end(A)
    aligner.reached_end(B)
    assert times(aligner.release(10, 0.0)) == [10, 20]
    assert aligner.caught_up() == {A, B}


def test_a_mute_partition_is_left_aside_after_the_longest_hold() -> None:
    """A partition whose leader is away stops the others for a second, not for ever."""
    aligner = make_aligner(A, B)
    aligner.add(records(A, 10, 20), now_ms=100)
    assert aligner.release(10, 5.0) == []
    assert times(aligner.release(10, 6.0)) == [10, 20]


def test_memory_is_bounded() -> None:
    """Beyond the most that may be held, the oldest go without waiting."""
    aligner = Aligner(max_held=2)
    aligner.assign([A, B])
    aligner.add(records(A, 10, 20, 30), now_ms=100)
    assert times(aligner.release(10, 0.0)) == [10]
    assert len(aligner) == 2


def test_large_values_are_not_held() -> None:
    """A hundred records of a mebibyte would be too much to wait with."""
    aligner = make_aligner(A, B)
    aligner.add([Record(*A, i, 10, None, b"x" * 2**20) for i in range(65)], now_ms=100)
    assert len(aligner.release(100, 0.0)) == 65
    aligner.add(records(A, 20, first=65), now_ms=100)
    assert aligner.release(100, 0.0) == []


def test_times_that_go_back_keep_their_order() -> None:
    """Within a partition offsets rule: a late time counts as its predecessor's."""
    aligner = make_aligner(A)
    aligner.add(records(A, 30, 10, 20), now_ms=100)
    assert times(aligner.release(10, 0.0)) == [30, 10, 20]


def test_a_time_in_the_future_counts_as_now() -> None:
    """A shipper whose clock is ahead does not wait for the others to get there."""
    aligner = make_aligner(A, B)
    aligner.add(records(A, 10**15), now_ms=100)
    aligner.add(records(B, 101), now_ms=101)
    assert times(aligner.release(10, 0.0)) == [10**15]


def test_revoking_drops_what_is_held() -> None:
    """Another member will read it."""
    aligner = make_aligner(A, B)
    aligner.add(records(A, 10), now_ms=100)
    aligner.revoke([A])
    aligner.reached_end(B)
    assert len(aligner) == 0
    assert aligner.release(10, 0.0) == []


@given(st.lists(st.tuples(st.sampled_from([A, B]), st.integers(0, 50)), max_size=60), st.integers(1, 7))
def test_every_record_comes_once_and_in_partition_order(arrivals: list[tuple[TopicPartition, int]], size: int) -> None:
    """Whatever comes in whatever order, each record is released once, in the order of its partition."""
    aligner = make_aligner(A, B)
    added: dict[TopicPartition, list[Record]] = {A: [], B: []}
    out: list[Record] = []
    for partition, time in arrivals:
        fresh = records(partition, time, first=len(added[partition]))
        added[partition] += fresh
        aligner.add(fresh, now_ms=1000)
        out += aligner.release(size, len(out) * 0.7)
    aligner.reached_end(A)
    aligner.reached_end(B)
    while released := aligner.release(size, len(out) * 0.7):
        out += released
    assert [r for r in out if r.topic_partition == A] == added[A]
    assert [r for r in out if r.topic_partition == B] == added[B]


@given(st.lists(st.lists(st.integers(0, 9), max_size=9).map(sorted), min_size=1, max_size=4), st.integers(1, 7))
def test_what_is_complete_is_merged_by_time(held: list[list[int]], size: int) -> None:
    """However many partitions, however much at once: all in order of time, and each partition in its own."""
    partitions = [TopicPartition("t", number) for number in range(len(held))]
    aligner = make_aligner(*partitions)
    added = [records(partition, *times) for partition, times in zip(partitions, held, strict=True)]
    for partition, fresh in zip(partitions, added, strict=True):
        aligner.add(fresh, now_ms=100)
        aligner.reached_end(partition)
    out: list[Record] = []
    while released := aligner.release(size, 0.0):
        assert len(released) == min(size, sum(map(len, held)) - len(out))
        out += released
    assert times(out) == sorted(time for each in held for time in each)
    assert [[r for r in out if r.topic_partition == p] for p in partitions] == added


def flood(aligner: Aligner, start: int, number: int = 100) -> None:
    """A tenth of a second of A, half a minute ago, and no end of it."""
    times = range(70_000 + start, 70_000 + start + number)
    aligner.add(records(A, *times, first=start), now_ms=100_000)


def given_by_b(aligner: Aligner, monotonic: float) -> list[int]:
    return times([r for r in aligner.release(50, monotonic) if r.topic_partition == B])


def test_a_flooded_partition_does_not_stop_the_others() -> None:
    """B's fresh record waits for two seconds behind A's backlog, then goes, and so does what follows it."""
    aligner = make_aligner(A, B)
    released = []
    for turn in range(6):
        flood(aligner, turn * 100)
        aligner.add(records(B, 99_000 + turn, first=turn), now_ms=100_000)
        aligner.reached_end(B)
        released.append(given_by_b(aligner, turn * 0.5))
    assert released == [[], [], [], [], [99_000, 99_001, 99_002, 99_003, 99_004], [99_005]]


def test_a_backlog_of_all_partitions_is_merged_however_long_it_takes() -> None:
    """Where reading is faster than records came, each keeps its place in time."""
    aligner = make_aligner(A, B)
    aligner.add(records(B, 10**6), now_ms=10**7)
    for second in range(30):
        aligner.add(records(A, *range(second * 30_000, (second + 1) * 30_000, 600), first=second * 50), now_ms=10**7)
        assert given_by_b(aligner, second) == []


def test_an_old_backlog_of_the_others_goes_on_at_twice_its_pace() -> None:
    """After an outage in the middle of a flood, B catches up without running away."""
    aligner = make_aligner(A, B)
    aligner.add(records(B, 80_000, 84_000, 90_000), now_ms=100_000)
    aligner.reached_end(B)
    released = []
    for second in range(7):
        flood(aligner, second * 100)
        released.append(given_by_b(aligner, second))
    assert released == [[], [], [80_000, 84_000], [], [], [90_000], []]


def test_who_is_let_ahead_takes_no_more_than_an_equal_share() -> None:
    """The flood goes on, too."""
    aligner = make_aligner(A, B)
    flood(aligner, 0, 1000)
    aligner.add(records(B, *range(99_000, 99_900)), now_ms=100_000)
    aligner.reached_end(B)
    aligner.release(50, 0.0), aligner.release(50, 1.0)
    out = aligner.release(50, 2.0)
    assert (len(out), sum(record.topic_partition == B for record in out)) == (50, 25)
