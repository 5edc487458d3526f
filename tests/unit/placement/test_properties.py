"""Whatever is asked in whatever order: no capacity is exceeded, no constraint is broken, no score is unexplained."""

import math
from itertools import pairwise
from typing import Any

from google.protobuf.json_format import MessageToDict
from hypothesis import given, settings
from hypothesis import strategies as st

from moselle.placement_check import placements_of, violations
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.placement.core.decision import Decision
from services.placement.core.scores import score
from services.placement.core.workload import PlaceRequest
from services.placement.errors import InvalidRequest
from tests.unit.placement.worlds import GIB, Cloud, make_batch, make_node, make_request

NAMES = ("n1", "n2", "n3", "n4")
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


@st.composite
def nodes(draw: st.DrawFn) -> list[dict[str, Any]]:
    """One to four nodes with some of every property."""
    found = []
    for name in NAMES[: draw(st.integers(1, 4))]:
        labels = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    ZONE: st.sampled_from(["a", "b"]),
                    REGION: st.sampled_from(["eu", "us"]),
                    "disk": st.sampled_from(["ssd", "hdd"]),
                    "moselle.io/taint.gpu": st.sampled_from([":NoSchedule", "x:NoExecute", ":PreferNoSchedule"]),
                    "moselle.io/unschedulable": st.just("true"),
                },
            )
        )
        facts = {"security_level": float, "cost_per_hour": float, "latency_ms": float, "bandwidth_mbps": float}
        capacity = {fact: float(draw(st.integers(0, 3))) for fact in facts if draw(st.booleans())}
        capacity |= {"sriov": 2.0, "num_gpus": 1.0} if draw(st.booleans()) else {}
        capacity |= {"max_workloads": 2.0} if draw(st.booleans()) else {}
        cpu = draw(st.sampled_from([0.5, 2.0, 3.3]))
        found.append(make_node(name, cpu=cpu, memory=draw(st.integers(0, 4)) * GIB, labels=labels, capacity=capacity))
    return found


def assert_scores_are_up_to_date(cloud: Cloud, request: PlaceRequest) -> None:
    """What is remembered and brought up to date by row is what a fresh look gives, to the last bit."""
    world = cloud.engine._world
    fresh = score(world.matrix, request.workload, request.profile).scores
    assert world.scores.ask(request.workload, request.profile).scores.tolist() == fresh.tolist()


label_demands = st.builds(
    pb.LabelDemand,
    label=st.sampled_from(["disk", ZONE]),
    operator=st.integers(0, 4),
    values=st.lists(st.sampled_from(["ssd", "hdd", "a"]), min_size=1, max_size=2),
)
node_ids = st.lists(st.sampled_from([f"host:{name}" for name in NAMES]), max_size=3)
seldom = st.integers(0, 3).map(lambda number: number == 0)


@st.composite
def workloads(draw: st.DrawFn) -> pb.Workload:
    """A small workload with few or no constraints."""
    constraints = pb.Constraints(
        node_labels=draw(st.lists(label_demands, max_size=1)) if draw(seldom) else [],
        tolerations=[pb.Toleration(key=draw(st.sampled_from(["", "gpu"])))] if draw(st.booleans()) else [],
        candidates=draw(node_ids) if draw(seldom) else [],
        excluded_nodes=draw(node_ids) if draw(seldom) else [],
        affinity_group="g1" if draw(seldom) else "",
        anti_affinity_group="g2" if draw(seldom) else "",
        topology_spread=[pb.TopologySpread(label=ZONE, max_skew=1)] if draw(seldom) else [],
        required_regions=["eu"] if draw(seldom) else [],
        excluded_regions=["us"] if draw(seldom) else [],
    )
    for name in ("min_security_level", "max_cost_per_hour", "max_latency_ms", "min_bandwidth_mbps"):
        if draw(seldom):
            setattr(constraints, name, draw(st.integers(0, 3)))
    resources = pb.Resources(
        cpu_cores=draw(st.sampled_from([0.0, 0.1, 0.3, 1.1])),
        memory_bytes=draw(st.integers(0, 2)) * GIB,
        num_gpus=int(draw(seldom)),
        extended={"sriov": 1.0} if draw(seldom) else {},
    )
    return pb.Workload(workload_id="w", owner="o", requests=resources, constraints=constraints)


def requests(wanted: list[pb.Workload]) -> list[PlaceRequest]:
    return [make_request(f"r{number}", workload) for number, workload in enumerate(wanted)]


@settings(max_examples=40, deadline=None)
@given(nodes(), st.lists(workloads(), min_size=1, max_size=8), st.data())
def test_nothing_is_ever_broken(
    inventory: list[dict[str, Any]], wanted: list[pb.Workload], data: st.DataObject
) -> None:
    """Placing, confirming, releasing and running out in any order, seen by a checker that shares no code."""
    cloud = Cloud(*inventory)
    for request in requests(wanted):
        try:
            decision = cloud.engine.place(request)
        except InvalidRequest:
            continue
        fate = data.draw(st.sampled_from(["nothing", "confirm", "release", "late"]))
        if fate == "confirm" and decision.node:
            assert cloud.engine.confirm(request.request_id, decision.node, decision.node_version) == ()
        elif fate == "release":
            cloud.engine.release(request.request_id, "", "", 0)
        cloud.turn(200 if fate == "late" else 0.5)
        assert_scores_are_up_to_date(cloud, request)
    assert violations(inventory, placements_of(cloud.placements())) == []


@settings(max_examples=40, deadline=None)
@given(nodes(), st.lists(workloads(), max_size=4), workloads())
def test_masks_say_what_a_look_at_each_node_says(
    inventory: list[dict[str, Any]], before: list[pb.Workload], asked: pb.Workload
) -> None:
    """A node is feasible exactly when placing the workload there breaks nothing by the independent checker."""
    cloud = Cloud(*inventory)
    try:
        made = [cloud.engine.place(request) for request in requests(before)]
        question = make_request("q", asked)
        answers, _ = cloud.engine.score(question.workload, [], question.profile, False)
    except InvalidRequest:
        return
    running = [as_placement(decision, workload) for decision, workload in zip(made, before, strict=True)]
    for answer in answers:
        tried = {"request_id": "q", "node": answer.node, "workload": as_json(asked)}
        assert bool(violations(inventory, [*running, tried])) == bool(answer.failed_constraints)


def as_json(workload: pb.Workload) -> dict[str, Any]:
    found: dict[str, Any] = MessageToDict(workload, preserving_proto_field_name=True)
    return found


def as_placement(decision: Decision, workload: pb.Workload) -> dict[str, Any]:
    return {"request_id": decision.request_id, "node": decision.node, "workload": as_json(workload)}


@settings(max_examples=40, deadline=None)
@given(nodes(), st.lists(workloads(), min_size=1, max_size=4), st.sampled_from(range(7)))
def test_contributions_add_up_to_the_score(
    inventory: list[dict[str, Any]], wanted: list[pb.Workload], profile: int
) -> None:
    """Of the chosen node and of each alternative, exactly, in 0..1, largest first, best node first."""
    cloud = Cloud(*inventory)
    for number, workload in enumerate(wanted):
        try:
            decision = cloud.engine.place(make_request(f"r{number}", workload, profile=profile))
        except InvalidRequest:
            continue
        found = [*filter(None, [decision.chosen]), *decision.alternatives]
        for one in found:
            shares = [reason.contribution for reason in one.reasons]
            assert math.fsum(shares) == one.score
            assert -1e-9 <= one.score <= 1 + 1e-9
            assert shares == sorted(shares, key=abs, reverse=True)
        assert all(a.score >= b.score - 2e-9 for a, b in pairwise(found))


@settings(max_examples=25, deadline=None)
@given(nodes(), st.lists(workloads(), min_size=1, max_size=6), st.booleans())
def test_a_restart_holds_what_was_held(
    inventory: list[dict[str, Any]], wanted: list[pb.Workload], is_gang: bool
) -> None:
    """A process that knows only the topics has the same matrix, and gives the same answers."""
    cloud = Cloud(*inventory)
    batch = make_batch("b", wanted)
    try:
        first = cloud.engine.place_batch(batch, is_gang)
    except InvalidRequest:
        return
    again = cloud.start()
    old, new = cloud.engine._world.matrix, again._world.matrix
    for name in ("cpu_cores", "memory_bytes", "num_gpus", "sriov"):
        assert dict(zip(old.ids, old.allocated(name), strict=True)) == dict(
            zip(new.ids, new.allocated(name), strict=True)
        )
    nodes_again = [decision.node for decision in again.place_batch(batch, is_gang)]
    assert nodes_again == [decision.node for decision in first]
