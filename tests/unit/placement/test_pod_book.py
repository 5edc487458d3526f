"""Pods that run hold their room, and what became of decisions is told once."""

from services.placement.core.kube.book import uid_of
from tests.unit.placement.kube import Away, Scheduler, bound, make_node_object, make_pod, raw, scheduler
from tests.unit.placement.worlds import Cloud

NAMES = ["n1", "n2"]


def test_a_bound_pod_holds_its_room_until_it_is_over() -> None:
    """Also one that we were never asked about; ended, failed or deleted, it holds nothing."""
    side = scheduler(*NAMES)
    for number, end in enumerate(
        (bound(make_pod("p0"), "n1", "Succeeded"), bound(make_pod("p1"), "n1", "Failed"), None)
    ):
        pod = bound(make_pod(f"p{number}", cpu="2"), "n1")
        side.see(pod, "ADDED")
        side.see(pod)
        assert side.held("n1") == 2.0
        side.see(end or pod, "MODIFIED" if end else "DELETED")
        assert side.held("n1") == 0.0


def test_a_pod_without_a_node_holds_nothing() -> None:
    """It waits."""
    side = scheduler(*NAMES)
    side.see(make_pod(cpu="2"), "ADDED")
    assert len(side.book) == 0


def test_a_pod_that_is_resized_holds_its_new_size() -> None:
    """In place, without a restart."""
    side = scheduler(*NAMES)
    side.see(bound(make_pod(cpu="2"), "n1"))
    side.see(bound(make_pod(cpu="3"), "n1"))
    assert side.held("n1") == 3.0


def test_pods_that_a_list_lacks_are_gone() -> None:
    """After a watch broke off, what was deleted meanwhile is noticed; the others stay."""
    side = scheduler(*NAMES)
    for number in range(3):
        side.see(bound(make_pod(f"p{number}", cpu="1"), "n1"))
    side.pods.listed([raw(bound(make_pod("p1", cpu="1"), "n1")), raw(bound(make_pod("p9", cpu="2"), "n2"))])
    assert (side.held("n1"), side.held("n2")) == (1.0, 2.0)


def test_pods_on_a_node_that_comes_later_count_there() -> None:
    """Lists of pods and nodes come in any order."""
    side = Scheduler(Cloud())
    side.see(bound(make_pod(cpu="2"), "n1"))
    side.nodes.changed("ADDED", raw(make_node_object("n1")))
    assert side.held("n1") == 2.0


def test_a_pod_that_cannot_be_read_is_left_out() -> None:
    """The others of the list are not."""
    side = scheduler(*NAMES)
    broken = bound(make_pod("p1", cpu="lots"), "n1")
    side.pods.listed([raw(broken), raw({"metadata": 3}), raw(bound(make_pod("p2", cpu="2"), "n1"))])
    side.see(broken)
    assert side.held("n1") == 2.0


def test_what_became_of_a_decision_is_told() -> None:
    """Bound, and completed later, each once, by the replica that decided."""
    side = scheduler(*NAMES)
    side.marks(make_pod(), NAMES)
    for _ in range(2):
        side.see(bound(make_pod(), "n1"))
    side.see(bound(make_pod(), "n1", "Succeeded"))
    side.see(bound(make_pod(), "n1"), "DELETED")
    told = [(uid_of(request_id), fate.outcome, fate.bound_node) for request_id, fate in side.fates]
    assert told == [("uid-p1", "bound", "node:n1"), ("uid-p1", "completed", "node:n1")]


def test_an_evicted_pod_is_told_so() -> None:
    """The reason stands in its status."""
    side = scheduler(*NAMES)
    side.marks(make_pod(), NAMES)
    side.see(bound(make_pod(), "n1"))
    side.see({**bound(make_pod(), "n1"), "status": {"phase": "Failed", "reason": "Evicted"}})
    assert side.fates[-1][1].outcome == "evicted"


def replica(side: Scheduler) -> Scheduler:
    """Another replica on the same Kafka that follows the same API server."""
    return Scheduler(side.cloud, engine=side.cloud.start())


def test_another_replica_counts_what_was_decided_and_lets_the_watch_speak() -> None:
    """It holds the reservation that it reads of, and the pod once it is bound, never both."""
    side = scheduler(*NAMES)
    other = replica(side)
    marks = side.marks(make_pod(cpu="2"), NAMES)
    best = max(marks, key=lambda name: marks[name])
    side.write()
    assert other.held(best) == 2.0
    for one in (side, other):
        one.see(bound(make_pod(cpu="2"), best))
    side.write()
    assert [one.held(best) for one in (side, other)] == [2.0, 2.0]
    other.see(bound(make_pod(cpu="2"), best), "DELETED")
    side.write()
    assert other.held(best) == 0.0


def test_a_dead_replicas_outcome_is_told_by_another_one() -> None:
    """After a while, and only when nobody told it."""
    side = scheduler(*NAMES)
    other = replica(side)
    side.marks(make_pod("p1"), NAMES)
    side.marks(make_pod("p2"), NAMES)
    side.write()
    side.see(bound(make_pod("p2"), "n1"))
    for name in ("p1", "p2"):
        other.see(bound(make_pod(name), "n1"))
    side.write()
    other.book.tick(other.reading.now())
    assert other.fates == []
    other.book.tick(other.reading.now() + 20_000_000)
    assert [(uid_of(request_id), fate.outcome) for request_id, fate in other.fates] == [("uid-p1", "bound")]


def test_a_replica_that_follows_no_api_server_goes_by_the_outcomes() -> None:
    """One that serves gRPC alone holds the pod's room from bound to completed."""
    side = scheduler(*NAMES)
    plain = side.cloud.start()
    matrix = plain.reading.world.matrix
    side.marks(make_pod(cpu="2"), NAMES)
    side.see(bound(make_pod(cpu="2"), "n1"))
    side.write()
    assert matrix.allocated("cpu_cores")[matrix.row_of["node:n1"]] == 2000
    side.see(bound(make_pod(cpu="2"), "n1"), "DELETED")
    side.write()
    assert matrix.allocated("cpu_cores")[matrix.row_of["node:n1"]] == 0


def test_nodes_that_say_something_new_are_published() -> None:
    """Once each; a heartbeat is nothing new, and one that is gone is a tombstone."""
    side = Scheduler(Cloud())
    for event, node in (("ADDED", make_node_object("n1")), ("MODIFIED", make_node_object("n1"))):
        side.nodes.changed(event, raw(node))
    side.nodes.changed("MODIFIED", raw(make_node_object("n1", cpu="4")))
    side.nodes.listed([raw(make_node_object("n2"))])
    side.nodes.changed("DELETED", raw(make_node_object("n2")))
    side.nodes.changed("DELETED", raw(make_node_object("n2")))
    assert [(key, fields and fields["capacity"]["cpu_cores"]) for key, fields in side.published] == [
        ("node:n1|kubernetes", 8), ("node:n1|kubernetes", 4), ("node:n2|kubernetes", 8),
        ("node:n1|kubernetes", None), ("node:n2|kubernetes", None),
    ]  # fmt: skip
    assert not side.reading.world.matrix.row_of


def test_what_the_topic_has_already_is_not_published_again() -> None:
    """A replica that starts reads the inventory first."""
    side = scheduler("n1")
    side.nodes.listed([raw(make_node_object("n1"))])
    assert side.published == []


def test_a_node_that_cannot_be_read_stays_as_it_was() -> None:
    """A quantity that is none."""
    side = scheduler("n1")
    side.nodes.changed("MODIFIED", raw(make_node_object("n1", cpu="many")))
    assert side.reading.world.matrix.capacity("cpu_cores")[0] == 8000


def test_a_kafka_that_is_away_keeps_nobody_waiting() -> None:
    """Decisions wait in memory; closing gives them up."""
    side = scheduler(*NAMES)
    side.marks(make_pod(), NAMES)
    side.write(Away())
    assert side.cloud.placements() == []


def test_a_uid_is_found_in_a_request_id() -> None:
    """And in nothing else."""
    assert uid_of("pod:8f7e-1:1800") == "8f7e-1"
    assert uid_of("anything:8f7e") == ""
