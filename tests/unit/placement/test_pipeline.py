"""Questions to the engine of one replica and of several: same answers, room held once, nothing lost at a restart."""

import threading
from collections.abc import Sequence

import pytest

from services.common.broker.abstract import Output
from services.common.errors import Retryable
from services.common.topics import PLACEMENTS
from services.placement import metrics
from services.placement.core.reading import TOPICS
from services.placement.errors import InvalidRequest, NotKnown, NotReady, TooLate
from services.placement.pipeline import Placement
from services.placement.settings import PlacementSettings
from tests.unit.placement.worlds import (
    GIB,
    SECOND,
    START,
    Cloud,
    make_batch,
    make_node,
    make_prediction,
    make_request,
    make_workload,
    same,
)


def free_cores(engine: Placement, node_id: str = "host:n1") -> float:
    """What is left of a node, by what still fits."""
    matrix = engine._world.matrix
    row = matrix.row_of[node_id]
    return float((matrix.capacity("cpu_cores") - matrix.allocated("cpu_cores"))[row]) / 1000


def test_a_decision_is_in_kafka_when_it_is_answered() -> None:
    """The record holds the decision, what it reserves and until when."""
    cloud = Cloud(make_node())
    decision = cloud.place()
    (record,) = cloud.placements()
    assert (record["node"], record["score"], record["mode"]) == ("host:n1", decision.chosen.score, "fallback")  # type: ignore[union-attr]
    assert record["requests"] == {"cpu_cores": 1.0, "memory_bytes": float(GIB)}
    assert record["reserved_until"] == decision.reserved_until > record["decided_at"]


def test_a_repeated_request_gets_the_same_decision_and_reserves_once() -> None:
    """Asking again changes nothing, whatever has happened to the nodes meanwhile."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    first = cloud.place()
    cloud.put_node(make_node("n3", cpu=64))
    cloud.turn()
    assert same(cloud.place(), first)
    assert len(cloud.placements()) == 1
    assert free_cores(cloud.engine, first.node) == 7


def test_a_repeated_id_with_another_content_is_refused() -> None:
    """The sentence says what to do."""
    cloud = Cloud(make_node())
    cloud.place()
    with pytest.raises(InvalidRequest, match="'r1' was used before for another request"):
        cloud.place(workload=make_workload(cpu=2))


def test_a_restart_forgets_nothing() -> None:
    """A new process gives the same decision and holds the same room."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    first = cloud.place()
    again = cloud.start()
    assert same(again.place(make_request()), first)
    assert free_cores(again, first.node) == 7


def test_replicas_see_each_others_reservations() -> None:
    """The second replica does not give away what the first has given."""
    cloud = Cloud(make_node(cpu=4))
    other = cloud.start()
    cloud.place("r1", make_workload(cpu=3))
    cloud.turn()
    assert other.place(make_request("r2", make_workload(cpu=2))).node == ""
    assert other.place(make_request("r3", make_workload(cpu=1))).node == "host:n1"


def test_of_two_replicas_decisions_for_one_request_the_first_in_the_log_holds() -> None:
    """Both decided before they could read each other; afterwards both hold the same room and give the same answer."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    other = cloud.start()
    cloud.clock.advance(1)
    first = cloud.place()
    cloud.clock.advance(1)
    second = other.place(make_request())
    assert first.decided_at != second.decided_at
    cloud.turn()
    for engine in (cloud.engine, other):
        assert same(engine.place(make_request()), first)
        assert free_cores(engine, "host:n1") + free_cores(engine, "host:n2") == 15


def test_an_answer_follows_another_replica_that_was_faster() -> None:
    """Its record came while ours was on its way: the caller gets what holds."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    other, publish = cloud.start(), cloud.engine._publish

    def publish_late(outputs: Sequence[Output]) -> None:
        cloud.clock.advance(1)
        other.place(make_request())
        cloud.turn()
        publish(outputs)

    cloud.engine._publish = publish_late
    answer = cloud.place()
    cloud.turn()
    assert same(answer, other.place(make_request()))
    assert free_cores(cloud.engine, answer.node) == 7


def test_equal_requests_at_once_are_decided_once() -> None:
    """Ten threads ask the same; one record is written."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(cloud.place().node)) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(cloud.placements()) == 1
    assert len(set(answers)) == 1
    assert len(answers) == 10


def test_what_kafka_did_not_take_was_never_decided() -> None:
    """The caller hears it, the room is free, and the same id may be asked again."""
    cloud = Cloud(make_node())
    cloud.broker.is_away = True
    with pytest.raises(Retryable, match="could not be recorded"):
        cloud.place()
    assert free_cores(cloud.engine) == 8
    cloud.broker.is_away = False
    assert cloud.place().node == "host:n1"


def test_a_shadow_reserves_nothing() -> None:
    """It is only recorded."""
    cloud = Cloud(make_node())
    decision = cloud.place(is_shadow=True)
    assert (decision.mode, decision.reserved_until) == ("shadow", 0)
    assert free_cores(cloud.engine) == 8
    assert [record["mode"] for record in cloud.placements()] == ["shadow"]


def test_a_reservation_runs_out() -> None:
    """Nobody confirmed: after 300 s the room is free, on every replica and after a restart."""
    cloud = Cloud(make_node())
    other = cloud.start()
    cloud.place()
    cloud.turn(299)
    assert (free_cores(cloud.engine), free_cores(other)) == (7, 7)
    cloud.turn(2)
    assert (free_cores(cloud.engine), free_cores(other), free_cores(cloud.start())) == (8, 8, 8)


def test_a_confirmed_workload_stays() -> None:
    """What is bound runs out no more."""
    cloud = Cloud(make_node())
    version = cloud.place().node_version
    assert cloud.engine.confirm("r1", "host:n1", version) == ()
    cloud.turn(10_000)
    assert (free_cores(cloud.engine), free_cores(cloud.start())) == (7, 7)


def test_a_bind_that_comes_before_its_decision_is_read_back_holds_all_along() -> None:
    """Our own older record says nothing that the newer one does not know: no conflict, and no room is given back."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    conflicts = metrics.CONFLICTS._value.get()
    node = cloud.place().node
    other = "host:n2" if node == "host:n1" else "host:n1"
    cloud.engine.confirm("r1", other, 0)
    seen = []
    for record in [record for number in range(2) for record in cloud.broker.read_to_end(PLACEMENTS.name, number)]:
        cloud.engine.reading.apply(record)
        seen.append((free_cores(cloud.engine, node), free_cores(cloud.engine, other)))
    assert seen == [(8, 7), (8, 7)]
    assert metrics.CONFLICTS._value.get() == conflicts


def test_the_orchestrators_commit_is_the_authority() -> None:
    """It went to a full node: the answer says so, and the room is counted there all the same."""
    cloud = Cloud(make_node("n1", cpu=8), make_node("n2", cpu=1))
    assert cloud.place(workload=make_workload(cpu=4)).node == "host:n1"
    assert cloud.engine.confirm("r1", "host:n2", 0) == ("cpu_request_fits",)
    assert (free_cores(cloud.engine, "host:n1"), free_cores(cloud.engine, "host:n2")) == (8, -3)
    assert cloud.placements()[-1]["bound_node"] == "host:n2"


def test_a_confirm_of_a_changed_node_says_so() -> None:
    """The inventory changed between the decision and the bind."""
    cloud = Cloud(make_node())
    decision = cloud.place()
    cloud.put_node(make_node(cpu=16))
    cloud.turn()
    assert cloud.engine.confirm("r1", "host:n1", decision.node_version) == ("node_version",)
    assert cloud.engine.confirm("r1", "host:n1", 0) == ()


def test_a_released_workload_gives_its_room_back_once() -> None:
    """The outcome is recorded; doing it twice changes nothing."""
    cloud = Cloud(make_node())
    cloud.place()
    cloud.engine.confirm("r1", "host:n1", 0)
    assert cloud.engine.release("r1", "evicted", "preempted", START + SECOND)
    assert not cloud.engine.release("r1", "evicted", "preempted", START + SECOND)
    assert free_cores(cloud.engine) == 8
    assert [record["outcome"] for record in cloud.placements()] == [None, "bound", "evicted"]
    assert cloud.placements()[-1]["outcome_detail"] == "preempted"


def test_an_outcome_that_kafka_did_not_take_is_undone() -> None:
    """The caller repeats it; until then the room is held as before."""
    cloud = Cloud(make_node())
    cloud.place()
    cloud.broker.is_away = True
    with pytest.raises(Retryable, match="outcome could not be recorded"):
        cloud.engine.release("r1", "failed", "", 0)
    assert free_cores(cloud.engine) == 7
    cloud.broker.is_away = False
    assert cloud.engine.release("r1", "failed", "", 0)


def test_unknown_requests_and_nodes_are_named() -> None:
    """NOT_FOUND with the name."""
    cloud = Cloud(make_node())
    cloud.place()
    with pytest.raises(NotKnown, match="'nobody'"):
        cloud.engine.confirm("nobody", "host:n1", 0)
    with pytest.raises(NotKnown, match="'host:gone'"):
        cloud.engine.confirm("r1", "host:gone", 0)
    with pytest.raises(NotKnown, match="'nobody'"):
        cloud.engine.release("nobody", "", "", 0)


def test_a_stale_matrix_answers_nothing() -> None:
    """Kafka was not read for longer than allowed: the orchestrator is told to decide by itself."""
    cloud = Cloud(make_node())
    cloud.clock.advance(31)
    with pytest.raises(NotReady, match="last read 31 s ago"):
        cloud.place()


def test_a_batch_shares_the_room_by_priority() -> None:
    """Two of three fit; the least important one does not, and each has its own decision."""
    cloud = Cloud(make_node(cpu=4))
    workloads = [make_workload(cpu=2, workload_id=f"w{n}", priority=p) for n, p in enumerate((0.1, 0.9, 0.5))]
    decisions = cloud.engine.place_batch(make_batch("b", workloads), is_gang=False)
    assert [decision.node for decision in decisions] == ["", "host:n1", "host:n1"]
    assert [decision.request_id for decision in decisions] == ["b/0", "b/1", "b/2"]


def test_a_gang_is_placed_whole_or_not_at_all() -> None:
    """One does not fit: nobody holds anything, and the answer says which one."""
    cloud = Cloud(make_node(cpu=4))
    workloads = [make_workload(cpu=cpu, workload_id=f"w{cpu}") for cpu in (2, 3)]
    decisions = cloud.engine.place_batch(make_batch("b", workloads), is_gang=True)
    assert [decision.node for decision in decisions] == ["", ""]
    assert "w3 fits nowhere" in decisions[0].remedy
    assert free_cores(cloud.engine) == 4
    assert [record["node"] for record in cloud.placements()] == ["", ""]


def test_a_gang_that_was_broken_off_leaves_nothing_behind() -> None:
    """Half of it was recorded when the process died: the repeat gives the half back when the rest does not fit."""
    cloud = Cloud(make_node(cpu=4))
    requests = make_batch("b", [make_workload(cpu=2, workload_id="w0"), make_workload(cpu=3, workload_id="w1")])
    cloud.engine.place_batch(requests[:1], is_gang=True)
    again = cloud.start()
    for _ in range(2):
        assert [decision.node for decision in again.place_batch(requests, is_gang=True)] == ["", ""]
    assert free_cores(again) == 4


def test_forecasts_make_a_decision_live() -> None:
    """Without any it is a fallback; one that is past its validity is none."""
    cloud = Cloud(make_node())
    assert cloud.place("r1").mode == "fallback"
    cloud.say(make_prediction())
    assert cloud.place("r2").mode == "live"
    cloud.turn(301)
    assert cloud.place("r3").mode == "fallback"


def test_explain_knows_the_decision_after_a_restart() -> None:
    """The compared node has every factor, and the text names both."""
    cloud = Cloud(make_node("n1"), make_node("n2", cpu=4))
    decision = cloud.place()
    found = cloud.start().explain("r1", "")
    assert same(found.decision, decision)
    assert found.compared is not None
    assert found.compared.node == "host:n2"
    assert found.text.startswith("host:n1 was chosen for w1")
    assert "host:n2 scores" in found.text


def test_explain_says_what_excludes_a_node() -> None:
    """A node that was no alternative is looked at as it is now."""
    cloud = Cloud(make_node("n1", cpu=8), make_node("n2", cpu=1))
    cloud.place(workload=make_workload(cpu=4))
    found = cloud.engine.explain("r1", "host:n2")
    assert found.failed_constraints == ("cpu_request_fits",)
    assert "host:n2 as it is now" in found.text


def test_scores_decide_nothing() -> None:
    """Nothing is reserved or written; unknown nodes are said to be so."""
    cloud = Cloud(make_node("n1"), make_node("n2", cpu=1))
    workload = make_request(workload=make_workload(cpu=4)).workload
    answers, _ = cloud.engine.score(workload, ["host:n2", "host:n1", "host:gone"], "balanced", True)
    assert [answer.failed_constraints for answer in answers] == [("cpu_request_fits",), (), ("unknown_node",)]
    assert cloud.placements() == []
    assert free_cores(cloud.engine) == 8


def test_watchers_hear_of_every_replicas_decisions_once() -> None:
    """Kept ones first, then those that follow."""
    cloud = Cloud(make_node(), settings=PlacementSettings(max_watchers=1))
    other = cloud.start()
    cloud.place("r1")
    cloud.turn()
    watch = cloud.engine.watch(START)
    heard = [next(watch)]
    other.place(make_request("r2"))
    assert next(watch) is None
    cloud.turn()
    cloud.engine.confirm("r1", "host:n1", 0)
    cloud.turn()
    heard += [next(watch), next(watch)]
    assert [decision and decision.request_id for decision in heard] == ["r1", "r2", None]


def test_a_record_that_cannot_be_read_stops_nothing() -> None:
    """Foreign bytes in every topic are counted and left out."""
    cloud = Cloud(make_node())
    cloud.broker.publish([Output(topic, b"key", b"no avro") for topic in TOPICS])
    cloud.turn()
    assert cloud.place().node == "host:n1"


def test_decisions_beyond_the_limit_are_forgotten_but_never_their_room() -> None:
    """Only those that hold nothing are forgotten."""
    cloud = Cloud(make_node(cpu=400, memory=400 * GIB), settings=PlacementSettings(max_decisions=100))
    for number in range(150):
        cloud.place(f"s{number}", is_shadow=True)
        cloud.place(f"r{number}")
    assert free_cores(cloud.engine) == 250
    assert len(cloud.engine._world.ledger) <= 250


def test_a_batch_ends_when_its_caller_has_gone() -> None:
    """The deadline passes between two decisions: nothing is recorded, nothing stays reserved, the ids are free."""
    cloud = Cloud(make_node())
    asked = iter([True, True, False])
    batch = make_batch("b", [make_workload(), make_workload()])
    with pytest.raises(TooLate, match="nothing is reserved"):
        cloud.engine.place_batch(batch, False, lambda: next(asked))
    assert cloud.placements() == []
    assert free_cores(cloud.engine) == 8
    assert [one.node for one in cloud.engine.place_batch(batch, False)] == ["host:n1"] * 2


def test_a_stopping_replica_decides_nothing_more() -> None:
    """Its callers are sent elsewhere, those who watch it too."""
    cloud = Cloud(make_node())
    watch = cloud.engine.watch(0)
    assert next(watch) is None
    cloud.engine.stop()
    with pytest.raises(Retryable, match="ask another one"):
        cloud.place()
    with pytest.raises(Retryable, match="watch another one"):
        list(watch)
    with pytest.raises(Retryable, match="watch another one"):
        next(cloud.engine.watch(0))
    assert cloud.placements() == []


def test_a_request_that_no_record_can_hold_is_refused() -> None:
    """Kafka would refuse the decision: the sentence says what to leave out."""
    names = [f"host:{number:0500}" for number in range(1100)]
    with pytest.raises(InvalidRequest, match="give at most 524288; name fewer nodes"):
        Cloud(make_node()).place(workload=make_workload(constraints={"excluded_nodes": names}))


def test_of_two_that_were_given_the_last_room_the_first_keeps_it() -> None:
    """Two replicas decided before they read each other: Confirm holds for the earlier decision, not for the later."""
    cloud = Cloud(make_node(cpu=4))
    other = cloud.start()
    first = cloud.place("r1", make_workload(cpu=3))
    cloud.clock.advance(0.001)
    second = other.place(make_request("r2", make_workload(cpu=3)))
    assert first.node == second.node == "host:n1"
    cloud.turn()
    for engine in (cloud.engine, other):
        assert engine.confirm("r1", "host:n1", 0) == ()
        assert engine.confirm("r2", "host:n1", 0) == ("cpu_request_fits",)
