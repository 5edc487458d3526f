"""What would help all nodes: /optimize/performance and performance_optimization/optimize_cluster; and the health.

Hot is a node whose highest forecast use, else its newest measured one, is above max_cpu_threshold or
max_memory_threshold (0.85 and 0.80, distributed_ai_service.go's own); sick is one that has lost more than half of its
health; idle is one without a workload whose idle power the inventory gives. Confidence is the forecasts' mean over all
processors, those without one counting 0; for sick nodes it is 1, since alerts are facts.
"""

from typing import Any

import numpy as np
from msgspec import Struct, field

from services.placement.core.dwcp.demand import NEVER
from services.placement.core.dwcp.given import amount, check_rows
from services.placement.core.dwcp.known import MODEL, Known, Totals
from services.placement.core.matrix import Floats

_CPU_LINE, _MEMORY_LINE, _SICK = 0.85, 0.80, 0.5
_MOST_NAMED = 10


class Asked(Struct):
    """A question of scheduler.go; what counts here is what the nodes say."""

    cluster_id: str = ""
    performance_data: list[dict[str, Any]] | None = None
    optimization_goals: list[str] | None = None
    constraints: dict[str, Any] | None = None


class Recommendation(Struct):
    """One thing to do; `priority` 1 comes first. Types: migration, load_balancing, resource_allocation,
    energy_optimization."""

    type: str
    target: str
    action: str
    parameters: dict[str, float]
    priority: int
    impact: str
    confidence: float


class Performance(Struct):
    """The answer to the scheduler."""

    cluster_id: str = ""
    optimizations: list[Recommendation] = field(default_factory=list)
    expected_improvements: dict[str, float] = field(default_factory=dict)
    implementation_priority: list[str] = field(default_factory=list)
    confidence: float = 0.0
    reason: str = "nothing is known"


class ProcessAsked(Struct):
    """A question of integration_layer.go."""

    cluster_id: str = ""
    cluster_data: dict[str, Any] | None = None
    goals: list[str] | None = None
    constraints: dict[str, Any] | None = None


class RiskAssessment(Struct):
    """`overall_risk` is the share of the processors on sick nodes."""

    overall_risk: float = 0.0
    risk_factors: list[str] = field(default_factory=list)
    mitigations: list[str] = field(default_factory=list)
    risk_breakdown: dict[str, float] = field(default_factory=dict)


class ProcessPerformance(Struct):
    """The answer through the envelope; gains are what the highest use on a node would fall by, at best."""

    recommendations: list[Recommendation] = field(default_factory=list)
    expected_gains: dict[str, float] = field(default_factory=dict)
    risk_assessment: RiskAssessment = field(default_factory=RiskAssessment)
    confidence: float = 0.0
    reason: str = "nothing is known"


def optimize(known: Known, asked: Asked) -> Performance:
    """The recommendations as the scheduler reads them."""
    check_rows("performance_data", asked.performance_data or ())
    found, gains, totals = _look(known, asked.constraints or {}, asked.optimization_goals or [])
    if not totals.num_nodes:
        return Performance(asked.cluster_id, reason="the inventory has no node")
    order = [f"{one.type}: {one.target}" for one in found]
    return Performance(asked.cluster_id, found, gains, order, totals.confidence, "")


def process(known: Known, asked: ProcessAsked) -> ProcessPerformance:
    """The same through the envelope, with the risk."""
    found, gains, totals = _look(known, asked.constraints or {}, asked.goals or [])
    if not totals.num_nodes:
        return ProcessPerformance(reason="the inventory has no node")
    is_sick = totals.troubled > 0
    risk = RiskAssessment(
        totals.troubled,
        ["nodes have lost more than half of their health"] if is_sick else [],
        ["move workloads away from them"] if is_sick else [],
        {"health": totals.troubled, "unforecast": 1.0 - totals.coverage},
    )
    return ProcessPerformance(found, gains, risk, totals.confidence, "")


def _look(
    known: Known, constraints: dict[str, Any], goals: list[str]
) -> tuple[list[Recommendation], dict[str, float], Totals]:
    totals = known.totals()
    if not totals.num_nodes:
        return [], {}, totals
    cpu_line = amount("constraints", constraints, "max_cpu_threshold") or _CPU_LINE
    memory_line = amount("constraints", constraints, "max_memory_threshold") or _MEMORY_LINE
    cpu, memory = known.loads("cpu"), known.loads("memory")
    wants_power = any("energy" in goal or "power" in goal for goal in goals)
    found = [
        *_hot(known, "load_balancing", "cpu", cpu, cpu_line, totals.confidence),
        *_hot(known, "resource_allocation", "memory", memory, memory_line, totals.confidence),
        *(_idle(known, totals.confidence) if wants_power else ()),
    ]
    found = [*_sick(known), *found]
    for number, one in enumerate(found):
        one.priority = number + 1
    gains = {f"max_{name}_ratio": _gap(loads) for name, loads in (("cpu", cpu), ("memory", memory))}
    return found, {name: gain for name, gain in gains.items() if gain > 0}, totals


def _gap(loads: Floats) -> float:
    """Highest less mean: what perfect balance would take off the fullest node."""
    loads = loads[~np.isnan(loads)]
    return float(loads.max() - loads.mean()) if len(loads) else 0.0


def _sick(known: Known) -> list[Recommendation]:
    matrix = known.world.matrix
    health = matrix.signal("health")
    rows = np.flatnonzero(health < _SICK)
    worst = rows[np.argsort(health[rows], kind="stable")][:_MOST_NAMED].tolist()
    return [
        Recommendation(
            "migration",
            matrix.ids[row],
            f"move workloads away from {matrix.ids[row]}: {known.alerts(row)[0][1].words}",
            {"health": float(health[row]), "num_workloads": float(matrix.num_workloads[row])},
            0,
            "high",
            1.0,
        )
        for row in worst
        if known.alerts(row)
    ]


def _hot(known: Known, kind: str, resource: str, loads: Floats, line: float, confidence: float) -> list[Recommendation]:
    rows = np.flatnonzero(np.nan_to_num(loads) > line)
    hottest = rows[np.argsort(-loads[rows], kind="stable")][:_MOST_NAMED].tolist()
    ids = known.world.matrix.ids
    return [
        Recommendation(
            kind,
            ids[row],
            f"move load away from {ids[row]}: {resource} at {loads[row]:.0%}, above {line:.0%}",
            {f"{resource}_ratio": float(loads[row])},
            0,
            "medium",
            confidence,
        )
        for row in hottest
    ]


def _idle(known: Known, confidence: float) -> list[Recommendation]:
    matrix = known.world.matrix
    watts = np.where(matrix.num_workloads == 0, matrix.fact("idle_watts"), np.nan)
    rows = np.flatnonzero(np.nan_to_num(watts) > 0)
    if not len(rows):
        return []
    saved = {"num_nodes": float(len(rows)), "watts": float(watts[rows].sum())}
    action = f"{len(rows)} nodes hold no workload that was placed here: consider switching them off"
    return [Recommendation("energy_optimization", "cluster", action, saved, 0, "low", confidence)]


class HealthAsked(Struct):
    """Nothing is asked."""


class Health(Struct):
    """Whether it can answer; `components` in NovaCron's words."""

    status: str = "unhealthy"
    timestamp: str = NEVER
    components: dict[str, str] = field(default_factory=dict)
    version: str = MODEL
    num_nodes: int = 0
    reason: str = "nothing is known"


def health(known: Known, asked: HealthAsked) -> Health:
    """Healthy when the matrix is fresh and has nodes: whoever gets here has read it lately."""
    matrix = known.world.matrix
    parts = {
        "inventory": bool(len(matrix)), "forecasts": bool((~np.isnan(matrix.signal("cpu_forecast"))).any()),
        "features": bool((~np.isnan(matrix.signal("cpu_load"))).any()),
    }  # fmt: skip
    return Health(
        "healthy" if len(matrix) else "degraded",
        known.timestamp,
        {name: "healthy" if is_there else "silent" for name, is_there in parts.items()},
        MODEL,
        len(matrix),
        "" if len(matrix) else "the inventory has no node",
    )


class ModelAsked(Struct):
    """Which model."""

    model_type: str = ""
