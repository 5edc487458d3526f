"""A node as a record of entities.v1."""

from collections.abc import Mapping
from typing import Any

from services.placement.core.inventory import FACTS, TAINT_PREFIX
from services.placement.core.kube.objects import Node
from services.placement.core.kube.pods import ANNOTATION, node_id
from services.placement.core.kube.quantity import amounts

#: What the watch calls itself in entities.v1.
SOURCE = "kubernetes"
_ADDRESSES = ("Hostname", "InternalIP", "InternalDNS", "ExternalDNS")
_CORDONED = "node.kubernetes.io/unschedulable"
_NOT_READY = "node.kubernetes.io/not-ready"


def entity_of(node: Node, cluster: str, now: int) -> dict[str, Any]:
    """What the API server knows of a node.

    Args:
        now: microseconds UTC.

    Raises:
        ValueError: an amount is no quantity.
    """
    name = node.metadata.name
    return {
        "entity_id": node_id(name),
        "source": SOURCE,
        "cluster": cluster,
        "kind": "node",
        "name": name,
        "updated_at": now,
        "parent_entity_ids": [],
        "aliases": aliases_of(node),
        "labels": {**(node.metadata.labels or {}), **taints_of(node)},
        "capacity": capacity_of(node),
    }


def aliases_of(node: Node) -> list[str]:
    """Names under which logs and metrics speak of it: its addresses, and the virtual machine that it is."""
    found = [one.address for one in node.status.addresses or [] if one.type in _ADDRESSES]
    scheme, _, instance = (node.spec.provider_id or "").partition("://")
    if scheme == "openstack" and instance:
        found.append(f"instance:{instance.rpartition('/')[2]}")
    return sorted({alias for alias in found if alias and alias != node.metadata.name})


def capacity_of(node: Node) -> dict[str, float]:
    """What may be allocated, and facts by annotation: `moselle.io/cost-per-hour: "0.4"`."""
    capacity = amounts(node.status.allocatable)
    if "pods" in capacity:
        capacity["max_workloads"] = capacity.pop("pods")
    annotations = node.metadata.annotations or {}
    for fact in FACTS:
        text = annotations.get(ANNOTATION + fact.replace("_", "-"))
        try:
            capacity |= {fact: float(text)} if text else {}
        except ValueError:
            continue
    return capacity


def taints_of(node: Node) -> dict[str, str]:
    """Taints as the inventory has them: one label a key, its values and effects after each other."""
    taints = [(one.key, f"{one.value}:{one.effect}") for one in node.spec.taints or [] if one.key]
    keys = {key for key, _ in taints}
    ready = next((one.status for one in node.status.conditions or [] if one.type == "Ready"), "True")
    # The node controller says the same a moment later.
    if node.spec.unschedulable and _CORDONED not in keys:
        taints.append((_CORDONED, ":NoSchedule"))
    if ready != "True" and _NOT_READY not in keys:
        taints.append((_NOT_READY, ":NoSchedule"))
    labels: dict[str, str] = {}
    for key, text in sorted(taints):
        label = TAINT_PREFIX + key
        labels[label] = f"{labels[label]},{text}" if label in labels else text
    return labels


def has_changed(old: Mapping[str, Any] | None, new: dict[str, Any]) -> bool:
    """Whether two records say different things; when they were said does not count."""
    return old is None or any(old.get(name) != value for name, value in new.items() if name != "updated_at")
