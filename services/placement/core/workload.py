"""What asks for a place: the messages of placement.proto as plain values, checked (checks.py) before they are used."""

from collections.abc import Mapping
from typing import Literal

import msgspec

Profile = Literal["balanced", "performance", "efficiency", "consolidation", "power", "cost"]
Operator = Literal["in", "not_in", "exists", "not_exists"]
Mode = Literal["live", "shadow", "fallback"]

#: The resources that have a field of their own; everything else is `extended`.
CORE_RESOURCES = ("cpu_cores", "memory_bytes", "disk_bytes", "num_gpus")
#: Largest amount of anything, in its unit: sums of them stay exact in float64.
MAX_AMOUNT = 2.0**43


class LabelDemand(msgspec.Struct, frozen=True):
    """A demand on one label of a node."""

    label: str
    operator: Operator = "in"
    values: tuple[str, ...] = ()

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a node with these labels fulfils it. A missing label fulfils `not_in` and `not_exists`."""
        value = labels.get(self.label)
        if self.operator == "in":
            return value is not None and value in self.values
        if self.operator == "not_in":
            return value is None or value not in self.values
        return (value is not None) == (self.operator == "exists")


class Taint(msgspec.Struct, frozen=True):
    """What keeps workloads away from a node unless they bear it."""

    key: str
    value: str = ""
    effect: str = "NoSchedule"

    @property
    def is_hard(self) -> bool:
        """PreferNoSchedule excludes nobody."""
        return self.effect != "PreferNoSchedule"


class Toleration(msgspec.Struct, frozen=True):
    """A taint that a workload bears; an empty field bears every one."""

    key: str = ""
    value: str = ""
    effect: str = ""

    def bears(self, taint: Taint) -> bool:
        return all(
            not mine or mine == its
            for mine, its in ((self.key, taint.key), (self.value, taint.value), (self.effect, taint.effect))
        )


class TopologySpread(msgspec.Struct, frozen=True):
    """Spreads the workloads of one owner over the values of a label."""

    label: str
    max_skew: int = 1


class Constraints(msgspec.Struct, frozen=True):
    """What a node must fulfil; empty and None demand nothing. Meanings as in placement.proto."""

    node_labels: tuple[LabelDemand, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    candidates: frozenset[str] = frozenset()
    excluded_nodes: frozenset[str] = frozenset()
    affinity_group: str = ""
    anti_affinity_group: str = ""
    topology_spread: tuple[TopologySpread, ...] = ()
    single_numa_node: bool = False
    required_regions: frozenset[str] = frozenset()
    excluded_regions: frozenset[str] = frozenset()
    min_security_level: int | None = None
    max_latency_ms: float | None = None
    min_bandwidth_mbps: float | None = None
    max_cost_per_hour: float | None = None
    min_uptime_ratio: float | None = None


class Workload(msgspec.Struct, frozen=True):
    """Something that wants to run.

    Attributes:
        requests: amounts above 0 by resource name, in the unit of the name (see CORE_RESOURCES).
    """

    workload_id: str
    requests: dict[str, float] = msgspec.field(default_factory=dict)
    name: str = ""
    owner: str = ""
    project: str = ""
    constraints: Constraints = Constraints()
    priority: float = 0.0

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of which it is a member once it is placed."""
        named = (self.constraints.affinity_group, self.constraints.anti_affinity_group)
        return tuple(dict.fromkeys(filter(None, named)))


class PlaceRequest(msgspec.Struct, frozen=True):
    """One question for a node.

    Attributes:
        raw: the request as deterministic protobuf: what makes two requests the same, and what replicas read.
        batch_size: of the batch that it came in; 0 alone.
    """

    request_id: str
    workload: Workload
    profile: Profile = "balanced"
    num_alternatives: int = 3
    is_shadow: bool = False
    raw: bytes = b""
    batch_size: int = 0
