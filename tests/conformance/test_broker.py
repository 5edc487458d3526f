"""Every broker keeps the promises of services/common/broker/abstract.py."""

import pytest

from services.common.broker.abstract import Output, Record, TopicPartition
from services.common.errors import Retryable, SettingsInvalid
from tests.conformance.broker_cases import BrokerCase, collect, next_offsets
from tests.conformance.conftest import OpenCase
from tests.polling import poll_until


def fill(case: BrokerCase, topic: str, count: int, partition: int | None = 0) -> None:
    case.broker.publish([Output(case.topics[topic], None, b"%d" % i, None, partition) for i in range(count)])


def values(batches: list) -> list[bytes | None]:
    return [r.value for b in batches for r in b.records]


def test_hands_each_record_once_in_order(open_case: OpenCase) -> None:
    """What was written to a partition comes once, in its order, with key, headers and offsets."""
    case = open_case({"in": 1})
    case.broker.publish([Output(case.topics["in"], b"k", b"%d" % i, [("h", b"v")]) for i in range(250)])
    records = [r for b in collect(case.open("0", "in"), 250) for r in b.records]
    assert [r.value for r in records] == [b"%d" % i for i in range(250)]
    assert [r.offset for r in records] == list(range(250))
    assert {(r.key, tuple(r.headers or ())) for r in records} == {(b"k", (("h", b"v"),))}


def test_a_commit_makes_outputs_and_offsets_visible_together(open_case: OpenCase) -> None:
    """After a commit the outputs are there and the next session starts behind the inputs."""
    case = open_case({"in": 1, "out": 1})
    fill(case, "in", 5)
    session = case.open("0", "in")
    batches = collect(session, 5)
    assert case.read("out") == []
    session.commit([Output(case.topics["out"], b"k", b"done")], next_offsets(batches))
    fill(case, "in", 1)
    assert [r.value for r in case.read("out")] == [b"done"]
    assert values(collect(case.open("0", "in"), 1)) == [b"0"]


def test_what_is_written_ahead_is_committed_with_the_rest(open_case: OpenCase) -> None:
    """In the order in which it was written, and the next transaction begins with nothing."""
    case = open_case({"in": 1, "out": 1})
    fill(case, "in", 5)
    session, out = case.open("0", "in"), case.topics["out"]
    batches = collect(session, 5)
    for value in (b"first", b"second"):
        session.write([Output(out, b"k", value)])
    session.commit([Output(out, b"k", b"last")], next_offsets(batches))
    session.commit([Output(out, b"k", b"next")], {})
    assert [r.value for r in case.read("out")] == [b"first", b"second", b"last", b"next"]


def test_what_was_written_ahead_and_never_committed_is_never_seen(open_case: OpenCase) -> None:
    """As after kill -9: the member's next session ends what the last one left open, and reads the same again."""
    case = open_case({"in": 1, "out": 1})
    fill(case, "in", 5)
    first = case.open("0", "in")
    collect(first, 5)
    first.write([Output(case.topics["out"], b"k", b"%d" % i) for i in range(2000)])
    second = case.broker.open_session(case.group, "0", [case.topics["in"]], [case.topics["out"]])
    case.sessions.append(second)
    batches = collect(second, 5)
    second.commit([Output(case.topics["out"], b"k", b"again")], next_offsets(batches))
    assert b"again" in [r.value for r in case.read("out")]
    assert all(r.value in (b"again", b"") for r in case.read("out"))
    with pytest.raises(Retryable):
        first.commit([], next_offsets(batches))


def test_what_was_not_committed_is_read_again(open_case: OpenCase) -> None:
    """A session that ends without a commit leaves its records to the next one."""
    case = open_case({"in": 1})
    fill(case, "in", 3)
    collect(case.open("0", "in"), 3)
    assert values(collect(case.open("0", "in"), 3)) == [b"0", b"1", b"2"]


def test_a_newly_assigned_partition_is_reported_with_its_first_records(open_case: OpenCase) -> None:
    """No record comes before the poll that names its partition as assigned."""
    case = open_case({"in": 4})
    for partition in range(4):
        fill(case, "in", 10, partition)
    seen: set[TopicPartition] = set()
    for batch in collect(case.open("0", "in"), 40):
        seen |= set(batch.assigned)
        assert {r.topic_partition for r in batch.records} <= seen
    assert len(seen) == 4


def test_a_second_process_of_the_same_member_shuts_the_first_out(open_case: OpenCase) -> None:
    """A replica that was thought dead cannot commit after its successor has joined."""
    case = open_case({"in": 1, "out": 1})
    fill(case, "in", 2)
    first = case.open("0", "in")
    batches = collect(first, 2)
    second = case.open("0", "in")
    collect(second, 2)
    with pytest.raises(Retryable):
        first.commit([Output(case.topics["out"], None, b"zombie")], next_offsets(batches))
    assert case.read("out") == []


def test_partitions_move_to_a_new_member(open_case: OpenCase) -> None:
    """When a second replica joins, the first reports what it lost, and each record goes to one of them."""
    case = open_case({"in": 4})
    first = case.open("0", "in")
    owned: set[TopicPartition] = set()

    def owns(count: int) -> bool:
        batch = first.poll(10, 0.05)
        owned.difference_update(batch.revoked)
        owned.update(batch.assigned)
        return len(owned) == count

    poll_until(lambda: owns(4), "all partitions")
    second = case.open("1", "in")
    taken: set[TopicPartition] = set()

    def shared() -> bool:
        taken.update(second.poll(10, 0.05).assigned)
        return owns(2) and len(taken) == 2

    poll_until(shared, "two partitions each")
    assert not owned & taken


def test_a_member_that_joins_late_gets_its_share_of_every_topic(open_case: OpenCase) -> None:
    """Else a second replica might take all metrics and leave all logs to the first: two would be as fast as one."""
    case = open_case({"logs": 4, "metrics": 4, "single": 1})
    sessions = [case.open("0", "logs", "metrics", "single")]
    owned: list[set[TopicPartition]] = [set()]

    def shares() -> list[list[int]]:
        for session, mine in zip(sessions, owned, strict=True):
            batch = session.poll(10, 0.05)
            mine.difference_update(batch.revoked)
            mine.update(batch.assigned)
        return [sorted(len([p for p in mine if p.topic == name]) for mine in owned) for name in case.topics.values()]

    poll_until(lambda: shares() == [[4], [4], [1]], "everything")
    for member, wanted in (("1", [[2, 2], [2, 2], [0, 1]]), ("2", [[1, 1, 2], [1, 1, 2], [0, 0, 1]])):
        sessions.append(case.open(member, "logs", "metrics", "single"))
        owned.append(set())
        poll_until(lambda wanted=wanted: shares() == wanted, f"{wanted}")


def test_a_member_that_comes_back_reads_what_it_was_given_since(open_case: OpenCase) -> None:
    """A topic added to a service's settings is read, although the member had its place in the group all the time."""
    case = open_case({"in": 2, "added": 2})
    session = case.open("0", "in")
    poll_until(lambda: session.poll(10, 0.05).assigned, "the first topic's partitions")
    session.close()
    case.broker.publish([Output(case.topics["added"], b"k", b"x", None, part) for part in range(2)])
    batches = collect(case.open("0", "in", "added"), 2)
    assert {(r.topic, r.partition) for b in batches for r in b.records} == {(case.topics["added"], p) for p in range(2)}


def test_caught_up_says_that_nothing_more_was_written(open_case: OpenCase) -> None:
    """A partition is caught up once everything in it was handed out, an empty one too."""
    case = open_case({"in": 2})
    fill(case, "in", 3, 0)
    session = case.open("0", "in")
    batches = collect(session, 3)
    both = {TopicPartition(case.topics["in"], p) for p in range(2)}
    poll_until(lambda: session.poll(10, 0.05).caught_up == both, "both caught up")
    assert len(values(batches)) == 3


def test_partitions_are_merged_by_transport_time(open_case: OpenCase) -> None:
    """A backlog of several partitions comes in the order in which it was written, not partition by partition."""
    case = open_case({"in": 3})
    for i in range(60):
        case.broker.publish([Output(case.topics["in"], None, b"%d" % i, None, i % 3)])
    records = [r for b in collect(case.open("0", "in"), 60) for r in b.records]
    times = [r.timestamp_ms for r in records]
    assert times == sorted(times)


def test_read_to_end_gives_committed_records_only(open_case: OpenCase) -> None:
    """It stops at the end as of its call and skips what a transaction did not commit."""
    case = open_case({"in": 1, "out": 1})
    session = case.open("0", "in")
    session.commit([Output(case.topics["out"], b"k", b"%d" % i) for i in range(3)], {})
    assert [r.value for r in case.read("out")] == [b"0", b"1", b"2"]
    assert case.read("in") == []


def test_a_view_applies_everything_and_then_what_comes(open_case: OpenCase) -> None:
    """The first refresh loads all partitions, later ones the news."""
    case = open_case({"in": 2})
    fill(case, "in", 4, 0)
    seen: list[Record] = []
    view = case.broker.open_view([case.topics["in"]], seen.append)
    assert view.refresh() == 4
    fill(case, "in", 2, 1)
    poll_until(lambda: view.refresh(0.05) >= 0 and len(seen) == 6, "six records")
    view.close()


def test_keys_meet_in_the_partition_that_java_would_choose(open_case: OpenCase) -> None:
    """murmur2, as in Kafka's Java client: values for 4 partitions taken from its source's algorithm."""
    case = open_case({"in": 4})
    keys = [b"service:nova-api@controller-1", b"host:compute-1", b"a", b"abcd"]
    case.broker.publish([Output(case.topics["in"], key, b"") for key in keys])
    from services.common.broker.memory import partition_of

    assert {(r.key, r.partition) for r in case.read("in")} == {(k, partition_of(k, 4)) for k in keys}


def test_a_missing_topic_is_named(open_case: OpenCase) -> None:
    """A setting that points to no topic is refused before any group is joined."""
    case = open_case({"in": 1})
    with pytest.raises(SettingsInvalid, match="it-missing"):
        case.broker.check(["it-missing"])
