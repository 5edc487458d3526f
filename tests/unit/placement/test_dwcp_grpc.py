"""PlaceVM and PlaceVMBatch of DWCP said in placement.proto, by the tables of docs/novacron.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.placement.core.decision import Decision
from tests.unit.placement.worlds import GIB, Cloud, make_batch, make_node, make_request

REGION = "topology.kubernetes.io/region"
NODE_TYPE = "novacron/node-type"
NODE_TYPES = ("", "edge", "volunteer", "datacenter")


@dataclass
class VM:
    """DWCP's VM, field by field."""

    id: str
    requested_cpu: int = 1
    requested_memory: int = GIB
    requested_disk: int = 0
    requested_gpu: int = 0
    priority: float = 0.0
    affinity_group: str = ""
    anti_affinity_group: str = ""
    required_regions: Sequence[str] = ()
    excluded_regions: Sequence[str] = ()
    required_labels: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Constraints:
    """DWCP's constraints; 0 demands nothing."""

    max_latency_ms: float = 0.0
    min_bandwidth: float = 0.0
    required_uptime: float = 0.0
    max_cost_per_hour: float = 0.0
    required_node_type: int = 0


def as_workload(vm: VM, constraints: Constraints | None = None) -> pb.Workload:
    """What an adapter sends."""
    demands = dict(vm.required_labels)
    limits = {}
    if constraints is not None:
        demands |= {NODE_TYPE: NODE_TYPES[constraints.required_node_type]} if constraints.required_node_type else {}
        limits = {
            "max_latency_ms": constraints.max_latency_ms, "min_bandwidth_mbps": constraints.min_bandwidth,
            "min_uptime_ratio": constraints.required_uptime, "max_cost_per_hour": constraints.max_cost_per_hour,
        }  # fmt: skip
    return pb.Workload(
        workload_id=vm.id,
        priority=vm.priority,
        requests=pb.Resources(
            cpu_cores=vm.requested_cpu, memory_bytes=vm.requested_memory, disk_bytes=vm.requested_disk,
            num_gpus=vm.requested_gpu,
        ),
        constraints=pb.Constraints(
            affinity_group=vm.affinity_group, anti_affinity_group=vm.anti_affinity_group,
            required_regions=vm.required_regions, excluded_regions=vm.excluded_regions,
            node_labels=[pb.LabelDemand(label=name, values=[value]) for name, value in demands.items()],
            **{name: value for name, value in limits.items() if value},
        ),
    )  # fmt: skip


def make_cloud() -> Cloud:
    """An edge node in eu with little, a datacenter in us with much."""
    return Cloud(
        make_node("edge", cpu=4, labels={REGION: "eu", NODE_TYPE: "edge", "tier": "b"},
                  capacity={"latency_ms": 5.0, "bandwidth_mbps": 100.0, "cost_per_hour": 0.1, "uptime_ratio": 0.9}),
        make_node("dc", cpu=64, memory=256 * GIB, labels={REGION: "us", NODE_TYPE: "datacenter", "tier": "a"},
                  capacity={"latency_ms": 40.0, "bandwidth_mbps": 10_000.0, "cost_per_hour": 2.0, "uptime_ratio": 0.999,
                            "num_gpus": 2.0, "disk_bytes": 2.0**41}),
    )  # fmt: skip


def place(vm: VM, constraints: Constraints | None = None) -> Decision:
    """PlaceVM."""
    return make_cloud().engine.place(make_request(vm.id, as_workload(vm, constraints)))


def test_each_field_of_a_vm_decides() -> None:
    """Only the node that fulfils it is chosen."""
    for vm, node in (
        (VM("a", requested_cpu=16), "dc"), (VM("b", requested_memory=64 * GIB), "dc"),
        (VM("c", requested_disk=GIB), "dc"), (VM("d", requested_gpu=1), "dc"),
        (VM("e", required_regions=["eu"]), "edge"),
        (VM("f", excluded_regions=["eu"]), "dc"), (VM("g", required_labels={"tier": "b"}), "edge"),
    ):  # fmt: skip
        assert place(vm).node == f"host:{node}", vm


def test_each_constraint_decides() -> None:
    """Latency, bandwidth, uptime, price and the type of the node."""
    for constraints, node in (
        (Constraints(max_latency_ms=10), "edge"), (Constraints(min_bandwidth=1000), "dc"),
        (Constraints(required_uptime=0.99), "dc"), (Constraints(max_cost_per_hour=1), "edge"),
        (Constraints(required_node_type=1), "edge"), (Constraints(required_node_type=3), "dc"),
    ):  # fmt: skip
        assert place(VM("vm"), constraints).node == f"host:{node}", constraints


def test_what_fits_nowhere_is_an_error_with_a_remedy() -> None:
    """No node, and a sentence that Go's error can carry."""
    decision = place(VM("vm", required_regions=["eu"]), Constraints(min_bandwidth=1000))
    assert (decision.node, bool(decision.remedy)) == ("", True)


def test_a_batch_is_a_map_of_vms_to_nodes() -> None:
    """The important one gets the scarce room first, those apart are apart, those together are together."""
    cloud = make_cloud()
    vms = [
        VM("low", requested_cpu=3, required_regions=["eu"]),
        VM("high", requested_cpu=3, required_regions=["eu"], priority=0.9),
        VM("apart-1", anti_affinity_group="g"), VM("apart-2", anti_affinity_group="g"),
        VM("with-1", affinity_group="h", required_regions=["us"]), VM("with-2", affinity_group="h"),
    ]  # fmt: skip
    decisions = cloud.engine.place_batch(make_batch("b", [as_workload(vm) for vm in vms]), is_gang=False)
    found = {decision.workload_id: decision.node for decision in decisions}
    assert (found["high"], found["low"]) == ("host:edge", "")
    assert {found["apart-1"], found["apart-2"]} == {"host:edge", "host:dc"}
    assert found["with-1"] == found["with-2"] == "host:dc"


def test_a_batch_of_the_datacenter_mode_is_all_or_nothing() -> None:
    """When one fails the others give their room back, as DWCP's rollback does."""
    cloud = make_cloud()
    vms = [VM("fits"), VM("does-not", requested_cpu=1000)]
    decisions = cloud.engine.place_batch(make_batch("b", [as_workload(vm) for vm in vms]), is_gang=True)
    assert [decision.node for decision in decisions] == ["", ""]
    assert not cloud.engine._world.matrix.allocated("cpu_cores").any()
