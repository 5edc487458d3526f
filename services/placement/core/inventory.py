"""What entities.v1 says of the nodes: several sources' records of one entity become one node."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from services.common.entities import program_name
from services.placement.core.workload import Taint

#: Labels with a meaning of their own; docs in the service's README.
REGION = "topology.kubernetes.io/region"
TAINT_PREFIX = "moselle.io/taint."
UNSCHEDULABLE = "moselle.io/unschedulable"
#: Entries of `capacity` that are no amounts of a resource, but facts of a node.
FACTS = (
    "cost_per_hour", "uptime_ratio", "latency_ms", "bandwidth_mbps", "security_level", "idle_watts", "peak_watts",
    "num_numa_nodes", "max_workloads", "relative_speed",
)  # fmt: skip


class NodeInfo(msgspec.Struct, frozen=True):
    """A node as the inventory has it.

    Attributes:
        version: a hash of everything else: the same on every replica, another one when the inventory changed.
    """

    node_id: str
    parents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    capacity: dict[str, float] = msgspec.field(default_factory=dict)
    version: int = 0

    @property
    def taints(self) -> tuple[Taint, ...]:
        """`moselle.io/taint.<key>` = `<value>:<effect>`, several with commas; without a colon it is the effect."""
        found = []
        for label, texts in sorted(self.labels.items()):
            if label.startswith(TAINT_PREFIX):
                for text in texts.split(","):
                    value, _, effect = text.rpartition(":")
                    found.append(Taint(label.removeprefix(TAINT_PREFIX), value, effect or "NoSchedule"))
        return tuple(found)

    @property
    def is_schedulable(self) -> bool:
        return self.labels.get(UNSCHEDULABLE, "false").lower() not in ("true", "1", "yes")


class Inventory:
    """Every source's record of every entity. An entity with a capacity is a node.

    Of one label or amount said by several sources, the newest record counts; aliases and parents add up.
    """

    def __init__(self) -> None:
        self._records: dict[str, dict[str, Mapping[str, Any]]] = {}
        self.nodes: dict[str, NodeInfo] = {}

    def put(self, fields: Mapping[str, Any]) -> str:
        """Takes a record of entities.v1; returns the entity_id concerned."""
        entity_id = str(fields["entity_id"])
        self._records.setdefault(entity_id, {})[str(fields["source"])] = fields
        self._merge(entity_id)
        return entity_id

    def remove(self, key: str) -> str:
        """Takes the tombstone of `entity_id|source`; returns the entity_id concerned."""
        entity_id, _, source = key.rpartition("|")
        records = self._records.get(entity_id, {})
        records.pop(source, None)
        if not records:
            self._records.pop(entity_id, None)
        self._merge(entity_id)
        return entity_id

    def said(self, entity_id: str, source: str) -> Mapping[str, Any] | None:
        """A source's newest record of an entity."""
        return self._records.get(entity_id, {}).get(source)

    def named_by(self, source: str) -> list[str]:
        """The entities of which a source says something."""
        return [entity_id for entity_id, records in self._records.items() if source in records]

    def _merge(self, entity_id: str) -> None:
        info = merged(entity_id, self._records.get(entity_id, {}).values())
        if info is None:
            self.nodes.pop(entity_id, None)
        else:
            self.nodes[entity_id] = info


def merged(entity_id: str, records: Iterable[Mapping[str, Any]]) -> NodeInfo | None:
    """One node of several sources' records; None when none of them gives a capacity."""
    labels: dict[str, str] = {}
    capacity: dict[str, float] = {}
    aliases: dict[str, None] = {}
    parents: dict[str, None] = {}
    for record in sorted(records, key=lambda record: (record["updated_at"], record["source"])):
        labels |= record["labels"]
        # A capacity that is no number, or negative, is as good as none.
        capacity |= {name: amount for name, amount in record["capacity"].items() if 0 <= amount < float("inf")}
        aliases |= dict.fromkeys(record["aliases"])
        parents |= dict.fromkeys(record["parent_entity_ids"])
    if not capacity:
        return None
    parts = (entity_id, sorted(labels.items()), sorted(capacity.items()), sorted(aliases), list(parents))
    digest = hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=8).digest()
    version = int.from_bytes(digest, "big") >> 1
    return NodeInfo(entity_id, tuple(parents), tuple(aliases), labels, capacity, version)


class NodeNames:
    """Which nodes a name means: an entity_id, an alias, a parent, a program that several nodes run.

    Args:
        parent_weight: how much of a parent's trouble counts for each of its nodes, 0..1.
    """

    def __init__(self, parent_weight: float = 0.5) -> None:
        self._parent_weight = parent_weight
        self._own: dict[str, set[str]] = {}
        self._children: dict[str, set[str]] = {}
        self._names: dict[str, tuple[set[str], set[str]]] = {}

    def put(self, info: NodeInfo) -> None:
        """Takes a node's names anew."""
        self.remove(info.node_id)
        own, parents = own_names(info), {*info.parents, *shared_programs(info)}
        self._names[info.node_id] = (own, parents)
        for index, names in ((self._own, own), (self._children, parents)):
            for name in names:
                index.setdefault(name, set()).add(info.node_id)

    def remove(self, node_id: str) -> None:
        """Forgets a node; one that is not there is fine."""
        own, parents = self._names.pop(node_id, (set(), set()))
        for index, names in ((self._own, own), (self._children, parents)):
            for name in names:
                index[name].discard(node_id)
                if not index[name]:
                    del index[name]

    def own(self, name: str) -> set[str]:
        """The nodes that are called so."""
        return self._own.get(name) or self._own.get(name.partition(":")[2]) or set()

    def children(self, entity_id: str) -> set[str]:
        """The nodes that belong to an entity, or whose program it is."""
        return self._children.get(entity_id, set())

    def concerned(self, entity_id: str, parents: Iterable[str], members: Iterable[str]) -> dict[str, float]:
        """Which nodes an alert concerns, and how much, 0..1.

        1. Members that name nodes: those nodes and no others. 2. The entity itself is a node. 3. One of its parents
        is a node, such as a service on it. 4. Nodes belong to the entity, or it is a program that they run: all of
        them, by `parent_weight`.
        """
        named = set[str]().union(*(self.own(member) for member in members))
        if not named:
            named = set(self.own(entity_id))
        if not named:
            named = set[str]().union(*(self.own(parent) for parent in parents))
        if named:
            return dict.fromkeys(named, 1.0)
        return dict.fromkeys(self.children(entity_id), self._parent_weight)


def own_names(info: NodeInfo) -> set[str]:
    """entity_id, the name without its kind, and the aliases."""
    return {info.node_id, info.node_id.partition(":")[2], *info.aliases}


def shared_programs(info: NodeInfo) -> set[str]:
    """`service:nova-compute@controller-1` for the alias nova-compute-3 of a node whose parent is host:controller-1."""
    hosts = [parent.partition(":")[2] for parent in info.parents if parent.startswith("host:")]
    programs = [program_name(alias) for alias in info.aliases if program_name(alias) != alias]
    return {f"service:{program}@{host}" for program in programs for host in hosts}
