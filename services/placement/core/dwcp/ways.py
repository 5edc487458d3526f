"""Ways between nodes, how their networks are, and what past and running migrations show: orchestrator.go's other half.

Confidence and `assumed` mean what migration.py says.
"""

import heapq
import math
from collections.abc import Mapping
from typing import Any

from msgspec import Struct, field

from services.placement.core.dwcp.given import amount, check_rows
from services.placement.core.dwcp.known import Known
from services.placement.core.dwcp.migration import Evidence, free_rate
from services.placement.errors import InvalidRequest

_MOST_HOPS = 10_000
#: What NovaCron lets a machine stand still: migration/orchestrator.go, MaxDowntime.
_DOWNTIME_SECONDS = 30.0


class PathAsked(Struct):
    """Which way. `network_topology.connections` maps a node to a list of neighbours, or to a map of costs."""

    source_node: str
    dest_node: str
    network_topology: dict[str, Any] | None = None


class Path(Struct):
    """The answer; an empty path when the topology has none. Confidence 0 when there is no topology."""

    path: list[str] = field(default_factory=list)
    confidence: float = 0.0
    reason: str = "nothing is known"


def optimal_path(known: Known, asked: PathAsked) -> Path:
    """The cheapest path (Dijkstra 1959): a hop costs 1, or what the topology says, plus the health its end has lost."""
    edges = _edges((asked.network_topology or {}).get("connections"))
    if asked.source_node == asked.dest_node:
        return Path([asked.source_node], 1.0, "")
    if not edges:
        return Path([asked.source_node, asked.dest_node], 0.0, "no topology was given: the direct way")
    found = _cheapest(known, edges, asked.source_node, asked.dest_node)
    return Path(found, 1.0, "") if found else Path(reason="the topology has no way between them")


def _edges(connections: object) -> dict[str, dict[str, float]]:
    if not isinstance(connections, Mapping):
        return {}
    edges: dict[str, dict[str, float]] = {}
    for name, neighbours in connections.items():
        if isinstance(neighbours, Mapping):
            costs = {other: amount(f"connections.{name}", neighbours, other) for other in neighbours}
            edges[name] = {other: cost for other, cost in costs.items() if cost is not None}
        elif isinstance(neighbours, list):
            edges[name] = {other: 1.0 for other in neighbours if isinstance(other, str)}
    if sum(map(len, edges.values())) > _MOST_HOPS:
        raise InvalidRequest(
            f"network_topology.connections has more than {_MOST_HOPS} entries: send the part in question"
        )
    return edges


def _cheapest(known: Known, edges: dict[str, dict[str, float]], source: str, destination: str) -> list[str]:
    reached: dict[str, str] = {}
    waiting = [(0.0, source, "")]
    while waiting:
        cost, name, before = heapq.heappop(waiting)
        if name in reached:
            continue
        reached[name] = before
        if name == destination:
            break
        for other, hop in edges.get(name, {}).items():
            if other not in reached:
                row = known.row(other)
                lost = 0.0 if row is None else 1.0 - known.health(row)
                heapq.heappush(waiting, (cost + hop + lost, other, name))
    return _walk(reached, destination)


def _walk(reached: dict[str, str], destination: str) -> list[str]:
    path, name = [], destination if destination in reached else ""
    while name:
        path.append(name)
        name = reached[name]
    return path[::-1]


class NetworkAsked(Struct):
    """How a node's network is."""

    node_id: str


class Network(Struct):
    """The answer: free bytes a second, milliseconds, shares. What nobody measures is 0 and listed in `unknown`."""

    bandwidth: float = 0.0
    latency: float = 0.0
    packet_loss: float = 0.0
    jitter: float = 0.0
    congestion_level: float = 0.0
    predicted_stability: float = 0.0
    confidence: float = 0.0
    unknown: list[str] = field(default_factory=list)


def network_conditions(known: Known, asked: NetworkAsked) -> Network:
    """Bandwidth and latency by the inventory, congestion by features.v1, stability is the node's health.

    Packet loss and jitter are measured by nobody here.
    """
    evidence = Evidence()
    row = known.row(asked.node_id)
    names = ("bandwidth", "latency", "congestion_level", "predicted_stability")
    found = [None] * 4 if row is None else [
        free_rate(known, asked.node_id), known.fact(row, "latency_ms"), known.measured(row, "network"),
        known.health(row),
    ]  # fmt: skip
    for name, value in zip((*names, "packet_loss", "jitter"), (*found, None, None), strict=True):
        evidence.take(name, value is not None)
    carries, latency, busy, health = (value or 0.0 for value in found)
    return Network(
        float(math.floor(carries)), latency, 0.0, 0.0, busy, health, evidence.confidence if row is not None else 0.0,
        evidence.assumed,
    )  # fmt: skip


class AdjustmentsAsked(Struct):
    """What to change while it runs."""

    migration_id: str = ""
    current_metrics: dict[str, Any] | None = None


class Adjustment(Struct):
    """One change."""

    parameter: str
    current_value: float
    recommended_value: float
    reason: str
    confidence: float
    impact: str


class Adjustments(Struct):
    """The answer."""

    recommendations: list[Adjustment] = field(default_factory=list)


def adjustments(known: Known, asked: AdjustmentsAsked) -> Adjustments:
    """More bandwidth, when what is dirty cannot be sent within NovaCron's 30 s of downtime at the present rate.

    Whether the link carries it is not told, so confidence is 0.75, below the orchestrator's line of 0.8: it logs.
    """
    given = asked.current_metrics or {}
    rate = amount("current_metrics", given, "transfer_rate")
    pages = amount("current_metrics", given, "dirty_pages")
    if not rate or not pages or pages * 4096 / rate <= _DOWNTIME_SECONDS:
        return Adjustments()
    wanted = float(math.ceil(pages * 4096 / _DOWNTIME_SECONDS))
    why = f"{pages:.0f} dirty pages take {pages * 4096 / rate:.0f} s at the present rate, and 30 s are allowed"
    return Adjustments([Adjustment("bandwidth_limit", rate, wanted, why, 0.75, "high")])


class Record(Struct):
    """A migration that is over; durations in nanoseconds, as Go writes them."""

    source_node: str = ""
    destination_node: str = ""
    success: bool = False
    duration: float = 0.0


class PatternsAsked(Struct):
    """What past migrations have in common."""

    historical_data: list[Record] | None = None


class Pattern(Struct):
    """One pair of nodes; `avg_duration` in whole seconds."""

    pattern: str
    frequency: float
    success_rate: float
    avg_duration: float
    recommendations: list[str] = field(default_factory=list)


class Patterns(Struct):
    """The answer, most frequent first."""

    patterns: list[Pattern] = field(default_factory=list)


def patterns(known: Known, asked: PatternsAsked) -> Patterns:
    """Counts by pair of nodes, at most a hundred of them."""
    rows = asked.historical_data or []
    check_rows("historical_data", rows)
    pairs: dict[tuple[str, str], list[Record]] = {}
    for row in rows:
        pairs.setdefault((row.source_node, row.destination_node), []).append(row)
    found = sorted(
        (_pattern(*pair, held) for pair, held in pairs.items()), key=lambda one: (-one.frequency, one.pattern)
    )
    return Patterns(found[:100])


def _pattern(source: str, destination: str, rows: list[Record]) -> Pattern:
    good = [row for row in rows if row.success]
    seconds = sum(row.duration for row in good) / len(good) / 1e9 if good else 0.0
    rate = len(good) / len(rows)
    advice = [f"{len(rows) - len(good)} of {len(rows)} failed: look at both nodes"] if rate < 0.5 else []
    return Pattern(f"{source} to {destination}", float(len(rows)), rate, float(round(seconds)), advice)
