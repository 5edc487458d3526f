"""What a request must be to be asked at all. Each refusal is one sentence: the field, the value, what was wanted."""

import math
from collections.abc import Callable, Collection, Mapping

from services.placement.core.workload import MAX_AMOUNT, Constraints, PlaceRequest, Workload
from services.placement.errors import InvalidRequest

MAX_BATCH = 1000
MAX_ALTERNATIVES = 20
MAX_NODES = 20_000
MAX_LABEL_BYTES = 64 * 1024
MAX_ID_CHARACTERS = 512
MAX_DEMANDS = 200
#: A record of placements.v1 holds the request, and a topic takes a record of 1 MB.
MAX_REQUEST_BYTES = 512 * 1024


def check_id(name: str, value: str) -> None:
    """An id is there, and short enough to be a key."""
    if not value.strip():
        raise InvalidRequest(f"{name} is empty: give a unique id")
    if len(value) > MAX_ID_CHARACTERS:
        raise InvalidRequest(f"{name} has {len(value)} characters: give at most {MAX_ID_CHARACTERS}")


def check_number(name: str, value: float, low: float = 0.0, high: float = MAX_AMOUNT) -> None:
    """A number is finite and within its bounds."""
    if not math.isfinite(value) or not low <= value <= high:
        raise InvalidRequest(f"{name} is {value:g}: give a number from {low:g} to {high:g}")


def check_length(name: str, values: Collection[object], most: int) -> None:
    """A list is not too long."""
    if len(values) > most:
        raise InvalidRequest(f"{name} has {len(values)} entries: give at most {most}")


def check_labels(labels: Mapping[str, str], whose: str = "workload.labels") -> None:
    """Labels are not too large together."""
    size = sum(len(key.encode()) + len(value.encode()) for key, value in labels.items())
    if size > MAX_LABEL_BYTES:
        raise InvalidRequest(f"{whose} take {size} bytes: give at most {MAX_LABEL_BYTES}")


def check_place(request: PlaceRequest) -> None:
    """All of a PlaceRequest.

    Raises:
        InvalidRequest: it can never work.
    """
    check_id("request_id", request.request_id)
    check_number("num_alternatives", request.num_alternatives, 0, MAX_ALTERNATIVES)
    check_workload(request.workload)
    if len(request.raw) > MAX_REQUEST_BYTES:
        raise InvalidRequest(
            f"the request takes {len(request.raw)} bytes, and a decision is recorded with it: give at most "
            f"{MAX_REQUEST_BYTES}; name fewer nodes in constraints.candidates and excluded_nodes"
        )


def check_workload(workload: Workload) -> None:
    """A workload with its constraints.

    Raises:
        InvalidRequest: it can never work.
    """
    check_id("workload.workload_id", workload.workload_id)
    check_length("workload.requests.extended", workload.requests, MAX_DEMANDS)
    for name, amount in workload.requests.items():
        check_id("a name in workload.requests.extended", name)
        check_number(f"workload.requests {name}", amount)
    check_number("workload.priority", workload.priority, 0.0, 1.0)
    check_constraints(workload.constraints, workload.owner)


def check_constraints(constraints: Constraints, owner: str = "") -> None:
    """The demands, each for itself and against each other.

    Raises:
        InvalidRequest: they are out of bounds, or contradict each other whatever the nodes are.
    """
    check_length("constraints.candidates", constraints.candidates, MAX_NODES)
    check_length("constraints.excluded_nodes", constraints.excluded_nodes, MAX_NODES)
    for name in ("node_labels", "tolerations", "topology_spread", "required_regions", "excluded_regions"):
        check_length(f"constraints.{name}", getattr(constraints, name), MAX_DEMANDS)
    for name, high in _LIMITS.items():
        value = getattr(constraints, name)
        if value is not None:
            check_number(f"constraints.{name}", value, 0.0, high)
    for spread in constraints.topology_spread:
        check_id("constraints.topology_spread.label", spread.label)
        check_number("constraints.topology_spread.max_skew", spread.max_skew, 1, 1e6)
    for demand in constraints.node_labels:
        check_id("constraints.node_labels.label", demand.label)
        if demand.operator == "in" and not demand.values:
            raise InvalidRequest(f"constraints.node_labels {demand.label} is IN no values: name at least one")
    for wrong, sentence in _CONTRADICTIONS:
        if wrong(constraints, owner):
            raise InvalidRequest(sentence)


#: Upper bounds of the optional numbers.
_LIMITS = {
    "min_security_level": 1e6,
    "max_latency_ms": 1e9,
    "min_bandwidth_mbps": 1e9,
    "max_cost_per_hour": 1e9,
    "min_uptime_ratio": 1.0,
}
_CONTRADICTIONS: tuple[tuple[Callable[[Constraints, str], bool], str], ...] = (
    (
        lambda c, owner: bool(c.affinity_group) and c.affinity_group == c.anti_affinity_group,
        "constraints.affinity_group and anti_affinity_group are the same group: a workload cannot be with it and "
        "apart from it; drop one",
    ),
    (
        lambda c, owner: bool(c.candidates) and c.candidates <= c.excluded_nodes,
        "every node of constraints.candidates is in excluded_nodes as well: leave one out of the latter",
    ),
    (
        lambda c, owner: bool(c.required_regions) and c.required_regions <= c.excluded_regions,
        "every region of constraints.required_regions is in excluded_regions as well: leave one out of the latter",
    ),
    (
        lambda c, owner: bool(c.topology_spread) and not owner,
        "constraints.topology_spread spreads the workloads of one owner, and workload.owner is empty: name the owner",
    ),
)
