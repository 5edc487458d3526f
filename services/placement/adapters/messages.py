"""placement.proto's messages to plain values and back."""

import math
from collections.abc import Iterable
from typing import Any

from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.placement.core.decision import MODEL_VERSION, Candidate, Decision, Reason
from services.placement.core.factors import PROFILES
from services.placement.core.upsert import DEFAULT_SOURCE, NodeWord, Upsert
from services.placement.core.workload import (
    CORE_RESOURCES,
    Constraints,
    LabelDemand,
    Operator,
    PlaceRequest,
    Profile,
    Toleration,
    TopologySpread,
    Workload,
)
from services.placement.errors import InvalidRequest

MODES = {"live": pb.MODE_LIVE, "shadow": pb.MODE_SHADOW, "fallback": pb.MODE_FALLBACK}
OUTCOMES = {
    pb.OUTCOME_UNSPECIFIED: "",
    pb.OUTCOME_BOUND: "bound",
    pb.OUTCOME_FAILED: "failed",
    pb.OUTCOME_EVICTED: "evicted",
    pb.OUTCOME_COMPLETED: "completed",
}
_OPERATORS: tuple[Operator, ...] = ("in", "in", "not_in", "exists", "not_exists")
_OPERATOR_NUMBERS = {"in": 1, "not_in": 2, "exists": 3, "not_exists": 4}
_OPTIONAL = ("min_security_level", "max_latency_ms", "min_bandwidth_mbps", "max_cost_per_hour", "min_uptime_ratio")
_DEFAULT_ALTERNATIVES = 3


def place_request(message: pb.PlaceRequest, batch_size: int = 0) -> PlaceRequest:
    """A request as plain values.

    Raises:
        InvalidRequest: a profile or an operator that nobody has defined, an amount that stands twice.
    """
    return PlaceRequest(
        message.request_id,
        workload(message.workload),
        profile(message.profile),
        message.num_alternatives or _DEFAULT_ALTERNATIVES,
        message.is_shadow,
        message.SerializeToString(deterministic=True),
        batch_size,
    )


def read_place_request(raw: bytes) -> PlaceRequest:
    """The request that a record of placements.v1 holds. A protobuf error is a ValueError here."""
    message = pb.PlaceRequest()
    try:
        message.ParseFromString(raw)
    except Exception as error:
        raise ValueError(f"the field request is no PlaceRequest: {error}") from error
    return place_request(message)


def batch_requests(message: pb.PlaceBatchRequest) -> list[PlaceRequest]:
    """Its workloads as requests of their own: `<request_id>/<i>`."""
    return [
        place_request(
            pb.PlaceRequest(
                request_id=f"{message.request_id}/{number}",
                workload=one,
                profile=message.profile,
                num_alternatives=message.num_alternatives,
                is_shadow=message.is_shadow,
            ),
            len(message.workloads),
        )
        for number, one in enumerate(message.workloads)
    ]


def profile(number: int) -> Profile:
    """PROFILE_UNSPECIFIED is balanced."""
    if not 0 <= number <= len(PROFILES):
        raise InvalidRequest(f"profile {number} is not known: give one of Profile in placement.proto")
    return PROFILES[max(0, number - 1)]


def workload(message: pb.Workload) -> Workload:
    """A workload as plain values; amounts of 0 are left out."""
    amounts = {name: float(getattr(message.requests, name)) for name in CORE_RESOURCES}
    twice = [name for name in message.requests.extended if name in amounts]
    if twice:
        raise InvalidRequest(f"workload.requests.extended has {twice[0]}, which has a field of its own: use that")
    amounts |= message.requests.extended
    return Workload(
        message.workload_id,
        {name: amount for name, amount in amounts.items() if amount},
        message.name,
        message.owner,
        message.project,
        constraints(message.constraints),
        message.priority,
    )


def constraints(message: pb.Constraints) -> Constraints:
    """Constraints as plain values."""
    return Constraints(
        tuple(_label_demand(demand) for demand in message.node_labels),
        tuple(Toleration(one.key, one.value, one.effect) for one in message.tolerations),
        frozenset(message.candidates),
        frozenset(message.excluded_nodes),
        message.affinity_group,
        message.anti_affinity_group,
        tuple(TopologySpread(one.label, one.max_skew) for one in message.topology_spread),
        message.single_numa_node,
        frozenset(message.required_regions),
        frozenset(message.excluded_regions),
        **{name: getattr(message, name) if message.HasField(name) else None for name in _OPTIONAL},
    )


def _label_demand(message: pb.LabelDemand) -> LabelDemand:
    if not 0 <= message.operator < len(_OPERATORS):
        raise InvalidRequest(f"operator {message.operator} of label {message.label!r} is not known")
    return LabelDemand(message.label, _OPERATORS[message.operator], tuple(message.values))


def upsert(message: pb.UpsertInventoryRequest) -> Upsert:
    """What a source says of its nodes."""
    return Upsert(
        message.source or DEFAULT_SOURCE,
        tuple(
            NodeWord(one.node, dict(one.capacity), dict(one.labels), tuple(one.parents), tuple(one.aliases))
            for one in message.nodes
        ),
        tuple(message.removed_nodes),
        message.is_replacing,
    )


def decision(plain: Decision) -> pb.Decision:
    """A decision as a message."""
    message = pb.Decision(
        request_id=plain.request_id,
        workload_id=plain.workload_id,
        node=plain.node,
        score=plain.chosen.score if plain.chosen else 0.0,
        mode=MODES[plain.mode],
        decided_at_micros=plain.decided_at,
        node_version=plain.node_version,
        model_version=MODEL_VERSION,
        staleness_seconds=plain.staleness_seconds,
        reserved_until_micros=plain.reserved_until,
    )
    # Added in place: a message that is handed over is copied.
    for other in plain.alternatives:
        _add_reasons(message.alternatives.add(node=other.node, score=other.score).reasons, other.reasons)
    if plain.chosen is not None:
        _add_reasons(message.reasons, plain.chosen.reasons)
    else:
        message.infeasible.remedy = plain.remedy
        message.infeasible.exclusions.extend(
            pb.Exclusion(
                constraint=row.constraint, num_nodes=row.num_nodes, num_nodes_only_this=row.num_nodes_only_this
            )
            for row in plain.exclusions
        )
    return message


def _add_reasons(to: Any, plain: Iterable[Reason]) -> None:
    for reason in plain:
        to.add(
            factor=reason.factor,
            value=reason.value,
            unit=reason.unit,
            contribution=reason.contribution,
            text=reason.text,
        )


def candidate(plain: Candidate) -> pb.Candidate:
    """A candidate as a message."""
    return pb.Candidate(node=plain.node, score=plain.score, reasons=reasons(plain.reasons))


def reasons(plain: Iterable[Reason]) -> list[pb.Reason]:
    """Reasons as messages."""
    return [
        pb.Reason(
            factor=reason.factor,
            value=reason.value,
            unit=reason.unit,
            contribution=reason.contribution,
            text=reason.text,
        )
        for reason in plain
    ]


def raw_request(plain: PlaceRequest) -> bytes:
    """A request that did not come as protobuf, as `placements.v1` keeps it."""
    message = pb.PlaceRequest(
        request_id=plain.request_id,
        workload=_workload_message(plain.workload),
        profile=PROFILES.index(plain.profile) + 1,
        num_alternatives=plain.num_alternatives,
        is_shadow=plain.is_shadow,
    )
    raw: bytes = message.SerializeToString(deterministic=True)
    return raw


def _workload_message(plain: Workload) -> pb.Workload:
    message = pb.Workload(
        workload_id=plain.workload_id,
        name=plain.name,
        owner=plain.owner,
        project=plain.project,
        priority=plain.priority,
        constraints=_constraints_message(plain.constraints),
    )
    for name, amount in plain.requests.items():
        if name in CORE_RESOURCES:
            kind = type(getattr(message.requests, name))
            setattr(message.requests, name, kind(math.ceil(amount) if kind is int else amount))
        else:
            message.requests.extended[name] = amount
    return message


def _constraints_message(plain: Constraints) -> pb.Constraints:
    return pb.Constraints(
        node_labels=[
            pb.LabelDemand(label=one.label, operator=_OPERATOR_NUMBERS[one.operator], values=one.values)
            for one in plain.node_labels
        ],
        tolerations=[pb.Toleration(key=one.key, value=one.value, effect=one.effect) for one in plain.tolerations],
        candidates=sorted(plain.candidates),
        excluded_nodes=sorted(plain.excluded_nodes),
        affinity_group=plain.affinity_group,
        anti_affinity_group=plain.anti_affinity_group,
        topology_spread=[pb.TopologySpread(label=one.label, max_skew=one.max_skew) for one in plain.topology_spread],
        single_numa_node=plain.single_numa_node,
        required_regions=sorted(plain.required_regions),
        excluded_regions=sorted(plain.excluded_regions),
        **{name: value for name in _OPTIONAL if (value := getattr(plain, name)) is not None},
    )
