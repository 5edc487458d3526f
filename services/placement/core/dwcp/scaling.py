"""More or less of something: /optimize/scaling, predictive_scaling/predict_scaling and /optimize/bandwidth.

The rule is that of the Kubernetes HorizontalPodAutoscaler: wanted = present x use / target, and nothing within a
tenth of it (kubernetes.io, Horizontal Pod Autoscaling, Algorithm details). The target is 0.7 of what there is.
Bandwidth is shared max-min fairly: nobody can get more without somebody who has less losing (Bertsekas, Gallager, Data
Networks, 1992, 6.5.2).
"""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from services.placement.core.dwcp.given import amount, check_rows, column, share
from services.placement.core.dwcp.known import RATIOS, Known

_TARGET = 0.7
_TOLERANCE = 0.1
#: Below this share of the processors with a forecast nothing is said of all nodes together: NovaCron acts at once.
_LEAST_COVERAGE = 0.5
_ENOUGH_SAMPLES = 30


class Asked(Struct):
    """A question of scheduler.go: `current_resources` has uses such as cpu_usage, shares of 1 or percent."""

    vm_id: str
    current_resources: dict[str, float] | None = None
    historical_data: list[dict[str, Any]] | None = None


class Scaling(Struct):
    """The answer; `target_value` is the wanted multiple of what it has now."""

    vm_id: str = ""
    decisions: list[dict[str, Any]] = field(default_factory=list)
    total_cost_impact: float = 0.0
    performance_impact: float = 0.0
    execution_timeline: list[dict[str, Any]] = field(default_factory=list)
    confidence: float = 0.0
    reason: str = "nothing is known"


def scale(known: Known, asked: Asked) -> Scaling:
    """One decision for each resource whose highest use, measured, told or forecast, misses the target.

    Confidence of a decision: the forecast's own where one speaks of the instance, else samples / 30, at most 1; 0 for a
    single reading. Costs are not known of a virtual machine and are 0.
    """
    current, rows = asked.current_resources or {}, asked.historical_data or []
    check_rows("historical_data", rows)
    names = [name.removesuffix("_usage") for name in current if name.endswith("_usage")]
    found = [_decision(known, asked.vm_id, name, current, rows) for name in names]
    decisions = [one for one in found if one is not None]
    confidences = [one["confidence"] for one in decisions]
    return Scaling(
        asked.vm_id,
        decisions,
        confidence=sum(confidences) / len(confidences) if confidences else 0.0,
        reason="" if names else "current_resources names no use such as cpu_usage",
    )


def _decision(
    known: Known, vm_id: str, resource: str, current: Mapping[str, float], rows: list[dict[str, Any]]
) -> dict[str, Any] | None:
    now = share(amount("current_resources", current, f"{resource}_usage") or 0.0)
    past = [share(value) for value in column(rows, f"{resource}_usage", resource)]
    curve = known.world.figures.curve(f"instance:{vm_id}", RATIOS.get(resource, resource), known.now)
    ahead = [] if curve is None else [share(value) for value in curve.values]
    highest = max([now, *past[-_ENOUGH_SAMPLES:], *ahead])
    wanted = max(highest / _TARGET, _TOLERANCE)
    if abs(wanted - 1.0) <= _TOLERANCE:
        return None
    why = f"its highest use of {resource} is {highest:.2f}, and {_TARGET:g} is the target"
    return {
        "action": "scale_up" if wanted > 1 else "scale_down",
        "resource": resource,
        "current_value": now,
        "target_value": wanted,
        "multiplier": wanted,
        "confidence": curve.confidence if curve is not None else min(1.0, len(past) / _ENOUGH_SAMPLES),
        "reasoning": why,
        "reason": why,
        "cost_impact": 0.0,
    }


class ClusterAsked(Struct):
    """A question of distributed_ai_service.go; what counts here is what the nodes' forecasts say."""

    current_capacity: dict[str, float] | None = None
    current_load: dict[str, float] | None = None


class Action(Struct):
    """One action; `target_capacity` is the wanted multiple of the present capacity."""

    action: str
    resource: str
    target_capacity: float


class ClusterScaling(Struct):
    """The answer. NovaCron carries out every action whatever the confidence, so there are none without a forecast for
    at least half of the processors."""

    scaling_actions: list[Action] = field(default_factory=list)
    confidence: float = 0.0
    reason: str = "nothing is known"


def scale_cluster(known: Known, asked: ClusterAsked) -> ClusterScaling:
    """By the mean of the highest forecast use of processors, and of memory, over all nodes."""
    found, confidences = [], []
    for resource in ("cpu", "memory"):
        totals = known.totals(resource)
        if totals.coverage < _LEAST_COVERAGE:
            continue
        confidences.append(totals.confidence)
        wanted = totals.forecast / _TARGET
        if abs(wanted - 1.0) > _TOLERANCE:
            found.append(Action("scale_up" if wanted > 1 else "scale_down", resource, wanted))
    if not confidences:
        return ClusterScaling(reason="forecasts speak for less than half of the processors")
    return ClusterScaling(found, sum(confidences) / len(confidences), "")


class BandwidthAsked(Struct):
    """A question of scheduler.go: uses by node in `bandwidth_usage`, in whatever unit the total has."""

    network_id: str
    traffic_data: list[dict[str, Any]] | None = None
    qos_requirements: dict[str, float] | None = None


class Bandwidth(Struct):
    """The answer; `estimated_savings` is the share of the total that nobody needs."""

    network_id: str = ""
    optimizations: list[dict[str, Any]] = field(default_factory=list)
    bandwidth_allocation: dict[str, float] = field(default_factory=dict)
    qos_improvements: dict[str, float] = field(default_factory=dict)
    estimated_savings: float = 0.0
    allocation_strategy: str = "max_min_fair"
    total_bandwidth: float = 0.0
    per_flow_bandwidth: float = 0.0
    qos_enabled: bool = False
    confidence: float = 0.0
    reason: str = "nothing is known"


def share_bandwidth(known: Known, asked: BandwidthAsked) -> Bandwidth:
    """The total is qos_requirements.total_bandwidth, else the inventory's bandwidth_mbps of the nodes that are named.

    Each node's demand is the highest of its uses, at least qos_requirements.min_bandwidth. Confidence: share of the
    nodes whose use was told, 0 without a total.
    """
    rows, qos = asked.traffic_data or [], asked.qos_requirements or {}
    check_rows("traffic_data", rows)
    floor = amount("qos_requirements", qos, "min_bandwidth", "min_bandwidth_per_node") or 0.0
    demands, told = _demands(rows, floor)
    total = amount("qos_requirements", qos, "total_bandwidth") or _inventory_total(known, demands)
    if not demands or not total:
        why = "no node is named in traffic_data" if not demands else "no total is told, and the inventory has none"
        return Bandwidth(asked.network_id, reason=why)
    shares = fair_shares(demands, total)
    return Bandwidth(
        asked.network_id,
        [{"type": "bandwidth_allocation", "nodes": list(shares), "allocations": shares}],
        shares,
        {},
        max(0.0, total - sum(shares.values())) / total,
        "max_min_fair",
        total,
        total / len(shares),
        bool(qos),
        told / len(demands),
        "",
    )


def _demands(rows: list[dict[str, Any]], floor: float) -> tuple[dict[str, float], int]:
    """Each node's highest use, and of how many nodes one was told."""
    demands: dict[str, float] = {}
    told: set[str] = set()
    for row in rows:
        used = amount("traffic_data", row, "bandwidth_usage", "bandwidth")
        names = {row[key] for key in ("source", "destination", "endpoint", "node_id") if isinstance(row.get(key), str)}
        for name in sorted(names):
            demands[name] = max(demands.get(name, floor), used or 0.0)
            told |= {name} if used is not None else set()
    return demands, len(told)


def _inventory_total(known: Known, demands: Mapping[str, float]) -> float:
    """Megabits a second of the nodes that are named and known."""
    rows = [known.row(name) for name in demands]
    return sum(known.fact(row, "bandwidth_mbps") or 0.0 for row in rows if row is not None)


def fair_shares(demands: Mapping[str, float], total: float) -> dict[str, float]:
    """Max-min fair shares of a total: everybody gets the same or all that he asks for, whichever is less."""
    left, shares = total, dict[str, float]()
    for count, (name, demand) in enumerate(sorted(demands.items(), key=lambda pair: (pair[1], pair[0]))):
        shares[name] = max(0.0, min(demand, left / (len(demands) - count)))
        left -= shares[name]
    return shares
