"""What excludes a node, what is said when all are excluded, and what is no request at all."""

import math
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict

from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.placement.core.amounts import demanded, offered
from services.placement.core.constraints import CONSTRAINTS
from services.placement.errors import InvalidRequest
from services.placement.settings import PlacementSettings
from tests.unit.placement.worlds import GIB, Cloud, make_features, make_node, make_request, make_workload


def excluded_by(cloud: Cloud, workload: pb.Workload) -> list[str]:
    """The constraints that exclude, most first; the workload fits nowhere."""
    decision = cloud.place(workload=workload)
    assert decision.node == ""
    return [row.constraint for row in decision.exclusions]


def test_an_impossible_request_is_answered_with_what_would_help() -> None:
    """Counts per constraint, the one whose relaxing gains most, what was asked and what is there."""
    cloud = Cloud(make_node("n1", cpu=8), make_node("n2", cpu=4), make_node("n3", cpu=8, memory=GIB))
    decision = cloud.place(workload=make_workload(cpu=16, memory=2 * GIB))
    rows = [(row.constraint, row.num_nodes, row.num_nodes_only_this) for row in decision.exclusions]
    assert rows == [("cpu_request_fits", 3, 2), ("memory_request_fits", 1, 0)]
    assert decision.remedy == (
        "cpu_request_fits alone would free 2 of 3 nodes (16 cpu_cores asked for, at most 8 cpu_cores free on one node):"
        " ask for fewer cores, end something, or add a node."
    )


def test_an_empty_inventory_is_said_to_be_so() -> None:
    """There is nothing to choose from: the remedy is the command."""
    decision = Cloud().place()
    assert (decision.node, decision.exclusions) == ("", ())
    assert "moselle inventory publish" in decision.remedy


@pytest.mark.parametrize(
    ("demand", "constraint"),
    [
        ({"min_security_level": 1}, "min_security_level"),
        ({"max_latency_ms": 5}, "max_latency"),
        ({"min_bandwidth_mbps": 5}, "min_bandwidth"),
        ({"max_cost_per_hour": 5}, "max_cost_per_hour"),
        ({"min_uptime_ratio": 0.5}, "min_uptime_ratio"),
        ({"required_regions": ["eu"]}, "required_regions"),
        ({"excluded_regions": ["eu"]}, "excluded_regions"),
        ({"single_numa_node": True}, "single_numa_node"),
        ({"node_labels": [{"label": "disk", "values": ["ssd"]}]}, "node_labels"),
    ],
)
def test_what_no_source_tells_is_not_promised(demand: dict[str, Any], constraint: str) -> None:
    """A node of which the inventory does not say it is excluded by the demand."""
    constraints = ParseDict(demand, pb.Constraints())
    assert excluded_by(Cloud(make_node()), make_workload(constraints=constraints)) == [constraint]


def test_numa_is_promised_only_where_it_is_sure() -> None:
    """One NUMA node holds all; of several only a single resource can be promised, by the emptiest one's least share."""
    numa = pb.Constraints(single_numa_node=True)
    one = Cloud(make_node(capacity={"num_numa_nodes": 1.0}))
    two = Cloud(make_node(capacity={"num_numa_nodes": 2.0}))
    assert one.place(workload=make_workload(constraints=numa)).node
    assert not two.place("both", make_workload(constraints=numa)).node
    assert two.place("cpu", make_workload(cpu=4, memory=0, constraints=numa)).node
    assert not two.place("more", make_workload(cpu=3, memory=0, constraints=numa)).node


def test_fractions_of_cores_add_up_exactly() -> None:
    """Ten times 0.1 is 1; what is asked for is rounded up and what is there down."""
    cloud = Cloud(make_node(cpu=1, memory=20 * GIB))
    assert [bool(cloud.place(f"r{n}", make_workload(cpu=0.1)).node) for n in range(11)] == [True] * 10 + [False]
    assert (demanded("cpu_cores", 0.0001), offered("cpu_cores", 0.9999)) == (1.0, 999.0)


def test_a_taint_needs_a_toleration_and_a_soft_one_does_not() -> None:
    """Key, value and effect are compared; an empty one bears every."""
    tainted = make_node(labels={"moselle.io/taint.gpu": "yes:NoSchedule", "moselle.io/taint.x": ":PreferNoSchedule"})
    cloud = Cloud(tainted)
    assert excluded_by(cloud, make_workload()) == ["taints_tolerated"]
    for number, toleration in enumerate(({}, {"key": "gpu"}, {"key": "gpu", "value": "yes", "effect": "NoSchedule"})):
        constraints = pb.Constraints(tolerations=[pb.Toleration(**toleration)])
        assert cloud.place(f"t{number}", make_workload(constraints=constraints)).node
    wrong = pb.Constraints(tolerations=[pb.Toleration(key="gpu", value="no")])
    assert not cloud.place("other", make_workload(constraints=wrong)).node


def test_groups_keep_together_and_apart() -> None:
    """The second of an affinity group joins the first; the second of an anti-affinity group goes elsewhere."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    together, apart = pb.Constraints(affinity_group="t"), pb.Constraints(anti_affinity_group="a")
    places = [cloud.place(f"t{n}", make_workload(constraints=together)).node for n in range(3)]
    assert len(set(places)) == 1
    places = [cloud.place(f"a{n}", make_workload(constraints=apart)).node for n in range(3)]
    assert sorted(places) == ["", "host:n1", "host:n2"]


def test_every_constraint_has_a_name_of_its_own_and_a_remedy() -> None:
    """Names are what callers match on."""
    assert len({constraint.name for constraint in CONSTRAINTS}) == len(CONSTRAINTS)
    assert all(constraint.relax for constraint in CONSTRAINTS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"request_id": " "}, "request_id is empty"),
        ({"request_id": "x" * 513}, "513 characters"),
        ({"num_alternatives": 21}, "num_alternatives is 21"),
        ({"profile": 7}, "profile 7 is not known"),
        ({"workload": make_workload(cpu=-1)}, "cpu_cores is -1: give a number from 0"),
        ({"workload": make_workload(cpu=math.nan)}, "cpu_cores is nan"),
        ({"workload": make_workload(memory=2**62)}, "memory_bytes is"),
        ({"workload": make_workload(resources={"num_gpus": -2})}, "num_gpus is -2"),
        ({"workload": make_workload(resources={"extended": {"a": math.inf}})}, "a is inf"),
        ({"workload": make_workload(resources={"extended": {"cpu_cores": 1}})}, "a field of its own"),
        ({"workload": make_workload(workload_id="")}, "workload.workload_id is empty"),
        ({"workload": make_workload(priority=2)}, "priority is 2"),
    ],
)
def test_what_can_never_work_is_refused_with_a_sentence(change: dict[str, Any], words: str) -> None:
    """The field, the value, what was wanted."""
    with pytest.raises(InvalidRequest, match=words):
        Cloud(make_node()).engine.place(make_request(**{"request_id": "r1", **change}))


@pytest.mark.parametrize(
    ("constraints", "words"),
    [
        ({"affinity_group": "g", "anti_affinity_group": "g"}, "the same group"),
        ({"candidates": ["a"], "excluded_nodes": ["a", "b"]}, "candidates is in excluded_nodes"),
        ({"required_regions": ["eu"], "excluded_regions": ["eu"]}, "required_regions is in excluded_regions"),
        ({"topology_spread": [{"label": "zone", "max_skew": 1}]}, "name the owner"),
        ({"topology_spread": [{"label": "zone"}]}, "max_skew is 0"),
        ({"node_labels": [{"label": "x"}]}, "IN no values"),
        ({"min_uptime_ratio": 1.5}, "min_uptime_ratio is 1.5"),
        ({"max_latency_ms": -1}, "max_latency_ms is -1"),
        ({"required_regions": [str(n) for n in range(201)]}, "201 entries"),
    ],
)
def test_contradictions_are_refused(constraints: dict[str, Any], words: str) -> None:
    """Whatever the nodes are, these can never hold."""
    workload = make_workload(constraints=ParseDict(constraints, pb.Constraints()))
    with pytest.raises(InvalidRequest, match=words):
        Cloud(make_node()).place(workload=workload)


def test_nodes_that_are_as_busy_as_may_be_take_no_more() -> None:
    """The answer names the utilisation; a node that is less busy, or of which no load is known, takes it."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    cloud.say(make_features("host:n1", cpu_used_ratio=0.97), make_features("host:n2", cpu_used_ratio=0.95))
    refused = cloud.place("r1")
    assert [(row.constraint, row.num_nodes) for row in refused.exclusions] == [("utilisation_admits", 2)]
    assert refused.remedy == (
        "utilisation_admits alone would free 2 of 2 nodes (the least busy node with a known load is at 95%, from 90% "
        "on none takes more): wait and ask with a new request_id, end something, or add a node."
    )
    cloud.put_node(make_node("n3"))
    cloud.turn()
    assert cloud.place("r2").node == "host:n3"
    cloud.say(make_features("host:n2", second=10, cpu_used_ratio=0.1))
    assert cloud.place("r3", make_workload(cpu=7)).node == "host:n2"


def test_what_is_on_its_way_counts_as_busy() -> None:
    """Half busy and half promised is full; once its load shows, only that counts."""
    cloud = Cloud(make_node(cpu=10))
    cloud.say(make_features("host:n1", cpu_used_ratio=0.5))
    decision = cloud.place("r0", make_workload(cpu=4))
    assert excluded_by(cloud, make_workload(cpu=1)) == ["utilisation_admits"]
    assert cloud.engine.confirm("r0", decision.node, 0) == ()
    cloud.turn(seconds=61)
    assert cloud.place("r2", make_workload(cpu=1)).node == "host:n1"


def test_admission_can_be_switched_off() -> None:
    """With 1 a node that is wholly busy takes what its capacity holds."""
    cloud = Cloud(make_node(), settings=PlacementSettings(max_utilisation_ratio=1.0))
    cloud.say(make_features("host:n1", cpu_used_ratio=1.0))
    assert cloud.place().node == "host:n1"


def test_the_load_of_a_shared_machine_shuts_no_node_out() -> None:
    """It lowers scores, but it is not the node's own: several nodes would be refused for one busy neighbour."""
    cloud = Cloud(make_node("n1", parent_entity_ids=["host:shared"]))
    cloud.say(make_features("host:shared", cpu_used_ratio=0.99))
    assert cloud.place("r0").node == "host:n1"
    cloud.say(make_features("host:n1", second=10, cpu_used_ratio=0.95))
    assert excluded_by(cloud, make_workload()) == ["utilisation_admits"]
