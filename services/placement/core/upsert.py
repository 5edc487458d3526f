"""What an orchestrator says of its nodes, checked, and the records of entities.v1 that say it on."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import msgspec

from services.placement.core.checks import MAX_DEMANDS, MAX_NODES, check_id, check_labels, check_length, check_number
from services.placement.errors import InvalidRequest

#: As whom `moselle inventory` speaks.
DEFAULT_SOURCE = "inventory"


class NodeWord(msgspec.Struct, frozen=True):
    """One source's word on one node; meanings as in placement.proto's InventoryNode."""

    node_id: str
    capacity: dict[str, float]
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    parents: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


class Upsert(msgspec.Struct, frozen=True):
    """What one source says at once."""

    source: str
    nodes: tuple[NodeWord, ...] = ()
    removed: tuple[str, ...] = ()
    is_replacing: bool = False


def check_upsert(upsert: Upsert) -> None:
    """All of it, before any is published.

    Raises:
        InvalidRequest: a name that is none, an amount that is none, a node twice or both given and removed.
    """
    check_id("source", upsert.source)
    if "|" in upsert.source:
        raise InvalidRequest(f"source is {upsert.source!r}: give a name without |")
    check_length("nodes", upsert.nodes, MAX_NODES)
    check_length("removed_nodes", upsert.removed, MAX_NODES)
    for node in upsert.nodes:
        _check_node(node)
    for node_id in upsert.removed:
        _check_name("removed_nodes", node_id)
    names = Counter([*(node.node_id for node in upsert.nodes), *upsert.removed])
    twice, number = names.most_common(1)[0] if names else ("", 0)
    if number > 1:
        raise InvalidRequest(f"{twice} is named twice: say each node once, or remove it")


def _check_node(node: NodeWord) -> None:
    _check_name("nodes.node", node.node_id)
    if not node.capacity:
        raise InvalidRequest(f"{node.node_id} has no capacity: give at least cpu_cores and memory_bytes")
    for name in ("capacity", "parents", "aliases"):
        check_length(f"{name} of {node.node_id}", getattr(node, name), MAX_DEMANDS)
    for name, amount in node.capacity.items():
        check_id(f"a name in the capacity of {node.node_id}", name)
        check_number(f"{name} of {node.node_id}", amount)
    for name in (*node.parents, *node.aliases):
        check_id(f"a parent or alias of {node.node_id}", name)
    check_labels(node.labels, f"the labels of {node.node_id}")


def _check_name(field: str, node_id: str) -> None:
    check_id(field, node_id)
    kind, _, name = node_id.partition(":")
    if not (kind and name):
        raise InvalidRequest(f"{field} is {node_id!r}: give kind:name, e.g. node:n1 or host:compute-1")


def key_of(node_id: str, source: str) -> bytes:
    """Key of a source's word on a node in entities.v1."""
    return f"{node_id}|{source}".encode()


def records_of(upsert: Upsert, cluster: str, now: int) -> list[dict[str, Any]]:
    """The records of entities.v1, in the order of the nodes."""
    return [_record(node, upsert.source, cluster, now) for node in upsert.nodes]


def _record(node: NodeWord, source: str, cluster: str, now: int) -> dict[str, Any]:
    kind, _, name = node.node_id.partition(":")
    return {
        "entity_id": node.node_id,
        "source": source,
        "cluster": cluster,
        "kind": kind,
        "name": name,
        "updated_at": now,
        "parent_entity_ids": list(node.parents),
        "aliases": list(node.aliases),
        "labels": node.labels,
        "capacity": node.capacity,
    }


def gone(upsert: Upsert, named_before: Collection[str]) -> Sequence[str]:
    """The nodes of which the source says nothing any more, in order."""
    if not upsert.is_replacing:
        return upsert.removed
    keeps = {node.node_id for node in upsert.nodes}
    return (*upsert.removed, *sorted(set(named_before) - keeps - set(upsert.removed)))
