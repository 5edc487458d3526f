"""What was decided, and the same as a record of placements.v1."""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from services.placement.core.workload import Mode, PlaceRequest

#: Version of the rules that decide. Changes with every change of factors, weights or constraints.
MODEL_VERSION = "rules-3"
OUTCOMES = ("bound", "failed", "evicted", "completed")


class Reason(msgspec.Struct, frozen=True):
    """One factor's exact share in a score; `value` is NaN when nothing is known."""

    factor: str
    value: float
    unit: str
    contribution: float
    text: str


class Candidate(msgspec.Struct, frozen=True):
    """A node with its score and every factor's share, largest first."""

    node: str
    score: float
    reasons: tuple[Reason, ...] = ()


class Exclusion(msgspec.Struct, frozen=True):
    """How many nodes one constraint excluded, and how many of them fail nothing else."""

    constraint: str
    num_nodes: int
    num_nodes_only_this: int


class Decision(msgspec.Struct, frozen=True):
    """The decision as the caller and placements.v1 get it. Times in microseconds UTC; 0 where nothing was reserved."""

    request_id: str
    workload_id: str
    mode: Mode
    decided_at: int
    chosen: Candidate | None = None
    alternatives: tuple[Candidate, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    remedy: str = ""
    node_version: int = 0
    staleness_seconds: float = 0.0
    reserved_until: int = 0

    @property
    def node(self) -> str:
        """entity_id of the chosen node; empty when none is feasible."""
        return self.chosen.node if self.chosen else ""


class Fate(msgspec.Struct, frozen=True):
    """What became of a decision: the part of a record that changes later."""

    outcome: str
    outcome_time: int
    bound_node: str = ""
    detail: str = ""


def to_record(decision: Decision, request: PlaceRequest, cluster: str) -> dict[str, Any]:
    """The record of placements.v1 of a decision without an outcome."""
    chosen = decision.chosen
    return {
        "request_id": decision.request_id,
        "decided_at": decision.decided_at,
        "cluster": cluster,
        "workload": decision.workload_id,
        "node": decision.node,
        "score": chosen.score if chosen else 0.0,
        "alternatives": [{"node": other.node, "score": other.score} for other in decision.alternatives],
        "reasons": [msgspec.structs.asdict(reason) for reason in chosen.reasons] if chosen else [],
        "mode": decision.mode,
        "model_version": MODEL_VERSION,
        "reserved_until": decision.reserved_until or None,
        "requests": dict(request.workload.requests),
        "owner": request.workload.owner,
        "profile": request.profile,
        "alternative_reasons": [
            [msgspec.structs.asdict(reason) for reason in other.reasons] for other in decision.alternatives
        ],
        "exclusions": [msgspec.structs.asdict(exclusion) for exclusion in decision.exclusions],
        "remedy": decision.remedy,
        "node_version": decision.node_version,
        "staleness_seconds": decision.staleness_seconds,
        "batch_size": request.batch_size,
        "request": request.raw,
    }


def with_fate(record: Mapping[str, Any], fate: Fate) -> dict[str, Any]:
    """The same record with its outcome."""
    return {
        **record,
        "outcome": fate.outcome,
        "outcome_time": fate.outcome_time,
        "bound_node": fate.bound_node,
        "outcome_detail": fate.detail,
    }


def from_record(record: Mapping[str, Any]) -> Decision:
    """The decision that a record holds."""
    reasons = record["alternative_reasons"]
    return Decision(
        request_id=record["request_id"],
        workload_id=record["workload"],
        mode=record["mode"],
        decided_at=record["decided_at"],
        chosen=Candidate(record["node"], record["score"], _reasons(record["reasons"])) if record["node"] else None,
        alternatives=tuple(
            Candidate(other["node"], other["score"], _reasons(reasons[number] if number < len(reasons) else []))
            for number, other in enumerate(record["alternatives"])
        ),
        exclusions=tuple(Exclusion(**exclusion) for exclusion in record["exclusions"]),
        remedy=record["remedy"],
        node_version=record["node_version"],
        staleness_seconds=record["staleness_seconds"],
        reserved_until=record["reserved_until"] or 0,
    )


def fate_of(record: Mapping[str, Any]) -> Fate | None:
    """What became of it, None while that is not known. An outcome that this version does not know ends it."""
    if record["outcome"] is None:
        return None
    outcome = record["outcome"] if record["outcome"] in OUTCOMES else "failed"
    return Fate(outcome, record["outcome_time"] or 0, record["bound_node"], record["outcome_detail"])


def _reasons(reasons: list[dict[str, Any]]) -> tuple[Reason, ...]:
    return tuple(Reason(**reason) for reason in reasons)


def by_size(reasons: list[Reason]) -> tuple[Reason, ...]:
    """Largest shares first; equal ones by name."""
    return tuple(sorted(reasons, key=lambda reason: (-abs(reason.contribution), reason.factor)))


def total(reasons: tuple[Reason, ...]) -> float:
    """The score: the exactly rounded sum of the contributions, in whatever order they stand."""
    return math.fsum(reason.contribution for reason in reasons)
