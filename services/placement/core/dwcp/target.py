"""Which host a virtual machine should move to: /predict/migration.

The hosts are masked and scored as Place does it, in the profile balanced, for a workload made of vm_metrics:
cpu_required or cpu_cores, memory_mb, memory_gb or memory_bytes, disk_gb. Confidence is the share of the winner's
weights whose factors rest on something known. Times are of pre-copy (precopy.py), 0 where memory or bandwidth is not
known.
"""

import math
from typing import Any

from msgspec import Struct, field

from services.placement.core.decide import best_rows, candidates
from services.placement.core.decision import Candidate
from services.placement.core.dwcp.given import GIB, MAX_NAMES, amount, check_rows, dirty_rate, memory
from services.placement.core.dwcp.known import NETWORK, Known
from services.placement.core.dwcp.migration import Evidence, rate_between
from services.placement.core.dwcp.precopy import PreCopy, pre_copy
from services.placement.core.factors import weighing
from services.placement.core.workload import Constraints, Workload

_NUM_REASONS = 3


class Asked(Struct):
    """A question of scheduler.go."""

    vm_id: str
    source_host: str = ""
    target_hosts: list[str] | None = None
    vm_metrics: dict[str, float] | None = None


class Target(Struct):
    """The answer; recommended_host is one of the question's names, or empty when none is known and fits."""

    vm_id: str = ""
    recommended_host: str = ""
    target_host: str = ""
    prediction_time: float = 0.0
    confidence: float = 0.0
    reasons: list[str] = field(default_factory=list)
    migration_score: float = 0.0
    score: float = 0.0
    strategy: str = "balanced"
    network_impact: dict[str, float] = field(default_factory=dict)
    estimated_downtime: float = 0.0
    cost_analysis: dict[str, float] = field(default_factory=dict)


def choose(known: Known, asked: Asked) -> Target:
    """The best of the hosts that are known and can hold it; the source is none of them."""
    hosts, metrics = asked.target_hosts or [], asked.vm_metrics or {}
    check_rows("target_hosts", hosts, MAX_NAMES)
    workload = _workload(asked.vm_id, metrics)
    source = known.row(asked.source_host)
    rows = {row: name for name in hosts if (row := known.row(name)) is not None and row != source}
    if not rows:
        return Target(asked.vm_id, reasons=["none of the target_hosts is another node of the inventory"])
    world = known.world
    named = frozenset(world.matrix.ids[row] for row in rows)
    mask = world.mask(Workload(workload.workload_id, workload.requests, constraints=Constraints(candidates=named)))
    scored = world.scores.ask(workload, "balanced")
    best = best_rows(world.matrix, scored.scores, mask.feasible, asked.vm_id, 1)
    if not best:
        failed = sorted({name for row in rows for name in mask.failed(row)})
        return Target(asked.vm_id, reasons=[f"no target host can hold it: {', '.join(failed)}"])
    (found,) = candidates(world.matrix, scored, best, world.tell)
    return _answer(known, asked, rows[best[0]], best[0], found, metrics)


def _workload(vm_id: str, metrics: dict[str, float]) -> Workload:
    disk = amount("vm_metrics", metrics, "disk_gb")
    asked = {
        "cpu_cores": amount("vm_metrics", metrics, "cpu_required", "cpu_cores"),
        "memory_bytes": memory("vm_metrics", metrics)[0],
        "disk_bytes": None if disk is None else disk * GIB,
    }
    return Workload(vm_id or "vm", {name: value for name, value in asked.items() if value})


def _answer(known: Known, asked: Asked, name: str, row: int, found: Candidate, metrics: dict[str, float]) -> Target:
    moved = _moved(known, asked.source_host, name, metrics)
    is_known = [reason for reason in found.reasons if not math.isnan(reason.value)]
    weights = _weights(known)
    score = min(max(found.score, 0.0), 1.0)
    return Target(
        asked.vm_id,
        name,
        name,
        moved.seconds if moved else 0.0,
        min(1.0, sum(weights[reason.factor] for reason in is_known)),
        [f"{reason.factor} {reason.contribution:+.3f} ({reason.text})" for reason in found.reasons[:_NUM_REASONS]],
        score,
        score,
        "balanced",
        _impact(known, asked.source_host, row),
        moved.downtime_seconds if moved else 0.0,
        _costs(known, asked.source_host, row),
    )


def _weights(known: Known) -> dict[str, float]:
    found = weighing("balanced")
    return {factor.name: float(weight) for factor, weight in zip(found.factors, found.weights, strict=True)}


def _moved(known: Known, source: str, target: str, metrics: dict[str, Any]) -> PreCopy | None:
    whole, _ = memory("vm_metrics", metrics)
    rate = rate_between(known, Evidence(), source, target)
    if whole is None or rate is None:
        return None
    return pre_copy(whole, rate, dirty_rate("vm_metrics", metrics) or 0.0)


def _impact(known: Known, source: str, row: int) -> dict[str, float]:
    """What of the network is known: how busy the target's is, and how much later it answers than the source's."""
    found: dict[str, float] = {}
    busy, carries = known.figure(row, NETWORK), known.bytes_per_second(row)
    if busy is not None and carries:
        found["bandwidth_utilization"] = min(1.0, busy / carries)
    here = known.row(source)
    before, after = None if here is None else known.fact(here, "latency_ms"), known.fact(row, "latency_ms")
    if before is not None and after is not None:
        found["latency_increase_ms"] = after - before
    return found


def _costs(known: Known, source: str, row: int) -> dict[str, float]:
    """The inventory's prices, where both have one."""
    here = known.row(source)
    before, after = None if here is None else known.fact(here, "cost_per_hour"), known.fact(row, "cost_per_hour")
    if before is None or after is None:
        return {}
    return {"cost_per_hour_before": before, "cost_per_hour_after": after, "operational_savings": before - after}
