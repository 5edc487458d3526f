"""A pod as a workload. What of a pod counts where: docs in the service's README."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.placement.core.kube.objects import Container, Expression, Pod, PodAffinity, Selector
from services.placement.core.kube.objects import Toleration as PodToleration
from services.placement.core.kube.quantity import amounts
from services.placement.core.workload import (
    MAX_AMOUNT,
    Constraints,
    LabelDemand,
    Operator,
    Profile,
    Toleration,
    TopologySpread,
    Workload,
)

HOSTNAME = "kubernetes.io/hostname"
#: Annotations of a pod with which it demands or prefers what Kubernetes has no word for.
ANNOTATION = "moselle.io/"
_NUMBERS = (
    "min_security_level", "max_latency_ms", "min_bandwidth_mbps", "max_cost_per_hour", "min_uptime_ratio",
)  # fmt: skip
_REGIONS = ("required_regions", "excluded_regions")
_PROFILES: dict[str, Profile] = {
    "balanced": "balanced", "performance": "performance", "efficiency": "efficiency",
    "consolidation": "consolidation", "power": "power", "cost": "cost",
}  # fmt: skip
_OPERATORS: dict[str, Operator] = {"In": "in", "NotIn": "not_in", "Exists": "exists", "DoesNotExist": "not_exists"}
#: The priority of system-node-critical is twice this.
_HIGH_PRIORITY = 1e9
#: What a pod may ask for of one kind, beside what is counted of it.
_MOST_DEMANDS = 200
_MOST_GPUS = 2.0**31 - 1
#: A pod's level resources are of these; the others stay with the containers.
_POD_LEVEL = ("cpu_cores", "memory_bytes")


class Asked(NamedTuple):
    """What a pod asks for."""

    uid: str
    workload: Workload
    profile: Profile


def asked_by(pod: Pod) -> Asked:
    """A pod as our question.

    Raises:
        ValueError: an amount is no quantity.
    """
    about = pod.metadata
    annotations = about.annotations or {}
    workload = Workload(
        pod.key,
        requests_of(pod),
        about.name,
        owner_of(pod),
        about.namespace,
        constraints_of(pod),
        min(1.0, max(0.0, (pod.spec.priority or 0) / _HIGH_PRIORITY)),
    )
    return Asked(about.uid or pod.key, workload, _PROFILES.get(annotations.get(f"{ANNOTATION}profile", ""), "balanced"))


def requests_of(pod: Pod) -> dict[str, float]:
    """What a pod reserves on its node, as the scheduler counts it.

    The containers and the sidecars together, or the largest moment of the start if that is more; then the overhead.
    """
    running = _sum([*(pod.spec.containers or []), *(one for one in pod.spec.init_containers or [] if _stays(one))])
    starting = _largest_start(pod.spec.init_containers or [])
    most = {name: max(running.get(name, 0.0), starting.get(name, 0.0)) for name in {*running, *starting}}
    whole = requested(pod.spec.resources)
    most |= {name: amount for name, amount in whole.items() if name in _POD_LEVEL or name.startswith("hugepages-")}
    for name, amount in amounts(pod.spec.overhead).items():
        most[name] = most.get(name, 0.0) + amount
    few = sorted(most.items())[:_MOST_DEMANDS]
    return {name: min(amount, _MOST_GPUS if name == "num_gpus" else MAX_AMOUNT) for name, amount in few if amount}


def requested(resources: Any) -> dict[str, float]:
    """Requests by name; a limit without a request is one."""
    if resources is None:
        return {}
    return amounts(resources.limits) | amounts(resources.requests)


def _stays(container: Container) -> bool:
    """An init container that goes on beside the others."""
    return container.restart_policy == "Always"


def _sum(containers: Sequence[Container]) -> dict[str, float]:
    total: dict[str, float] = {}
    for container in containers:
        for name, amount in requested(container.resources).items():
            total[name] = total.get(name, 0.0) + amount
    return total


def _largest_start(containers: Sequence[Container]) -> dict[str, float]:
    """The most while the init containers run one after the other, each beside the sidecars before it."""
    most: dict[str, float] = {}
    sidecars: list[Container] = []
    for container in containers:
        moment = _sum([*sidecars, container])
        most = {name: max(most.get(name, 0.0), moment.get(name, 0.0)) for name in {*most, *moment}}
        if _stays(container):
            sidecars.append(container)
    return most


def owner_of(pod: Pod) -> str:
    """What made it, the same for all replicas; a Deployment of the ReplicaSet that it made."""
    about = pod.metadata
    owner = next((one for one in about.owner_references or [] if one.controller), None)
    if owner is None:
        return ""
    kind, name = owner.kind, owner.name
    template = (about.labels or {}).get("pod-template-hash")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        kind, name = "Deployment", name.removesuffix(f"-{template}")
    return f"{about.namespace}/{kind}/{name}"


def constraints_of(pod: Pod) -> Constraints:
    """What a node must fulfil, where we have a word for it that means the same."""
    affinity = pod.spec.affinity
    names, labels = _node_demands(pod)
    return Constraints(
        labels,
        tuple(_toleration(one) for one in (pod.spec.tolerations or [])[:_MOST_DEMANDS]),
        names,
        affinity_group=_group(pod, affinity.pod_affinity) if affinity else "",
        anti_affinity_group=_group(pod, affinity.pod_anti_affinity) if affinity else "",
        topology_spread=_spreads(pod),
        **_annotated(pod.metadata.annotations or {}),
    )


def _toleration(one: PodToleration) -> Toleration:
    return Toleration(one.key, "" if one.operator == "Exists" else one.value, one.effect)


def _node_demands(pod: Pod) -> tuple[frozenset[str], tuple[LabelDemand, ...]]:
    """The node selector, and the required node affinity when it is a single term without Gt and Lt."""
    demands = [LabelDemand(key, "in", (value,)) for key, value in (pod.spec.node_selector or {}).items()]
    affinity = pod.spec.affinity and pod.spec.affinity.node_affinity and pod.spec.affinity.node_affinity.required
    terms = affinity.node_selector_terms or [] if affinity else []
    names: frozenset[str] = frozenset()
    if len(terms) == 1:
        demands += [_demand(one) for one in terms[0].match_expressions or [] if one.operator in _OPERATORS]
        for field in terms[0].match_fields or []:
            if field.key == "metadata.name" and field.operator == "In":
                names = frozenset(node_id(name) for name in field.values or [])
    return names, tuple(demands[:_MOST_DEMANDS])


def _demand(one: Expression) -> LabelDemand:
    return LabelDemand(one.key, _OPERATORS[one.operator], tuple(one.values or ()))


def node_id(name: str) -> str:
    """A node's entity_id."""
    return f"node:{name}"


def _group(pod: Pod, affinity: PodAffinity | None) -> str:
    """The group that says the same as one required term: on one host, about pods like itself, in its own namespace."""
    terms = affinity.required or [] if affinity else []
    if len(terms) != 1:
        return ""
    term = terms[0]
    own_namespace = term.namespace_selector is None and (term.namespaces or [pod.metadata.namespace]) == [
        pod.metadata.namespace
    ]
    if term.topology_key != HOSTNAME or not own_namespace or not _selects(term.label_selector, pod):
        return ""
    return f"{pod.metadata.namespace}/{msgspec.json.encode(term.label_selector, order='deterministic').decode()}"


def _selects(selector: Selector | None, pod: Pod) -> bool:
    """Whether a selector finds the pod that it stands in."""
    if selector is None:
        return False
    labels: Mapping[str, str] = pod.metadata.labels or {}
    return all(labels.get(key) == value for key, value in (selector.match_labels or {}).items()) and all(
        one.operator in _OPERATORS and _demand(one).holds(labels) for one in selector.match_expressions or []
    )


def _spreads(pod: Pod) -> tuple[TopologySpread, ...]:
    """Hard spreads of its own kind over all nodes; with node demands the domains would be other ones than ours."""
    affinity = pod.spec.affinity
    if not owner_of(pod) or pod.spec.node_selector or (affinity and affinity.node_affinity):
        return ()
    return tuple(
        TopologySpread(one.topology_key, max(1, one.max_skew))
        for one in (pod.spec.topology_spread_constraints or [])[:_MOST_DEMANDS]
        if one.when_unsatisfiable == "DoNotSchedule" and one.topology_key and _selects(one.label_selector, pod)
    )


def _annotated(annotations: Mapping[str, str]) -> dict[str, Any]:
    """Demands by annotation: `moselle.io/max-latency-ms: "5"`. One that is no number is left out."""
    found: dict[str, Any] = {}
    for name in _NUMBERS:
        text = annotations.get(ANNOTATION + name.replace("_", "-"))
        number = _number(text) if text else None
        if number is not None:
            found[name] = int(number) if name == "min_security_level" else number
    for name in _REGIONS:
        text = annotations.get(ANNOTATION + name.replace("_", "-"), "")
        found[name] = frozenset(filter(None, (one.strip() for one in text.split(","))))
    found["single_numa_node"] = annotations.get(f"{ANNOTATION}single-numa-node") == "true"
    return found


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number <= 1e9 else None
