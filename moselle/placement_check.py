"""Whether placements broke a rule: a second opinion that shares no code with the engine.

Plain Python over the inventory and the decisions, one node and one decision at a time. For tests, the demo, and anybody
who wants to audit placements.v1.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Json = Mapping[str, Any]

#: What floating point may add to a sum of processor cores and other fractions.
_SLACK = 1e-6
_REGION = "topology.kubernetes.io/region"
_TAINT = "moselle.io/taint."
_FIELDS = ("cpu_cores", "memory_bytes", "disk_bytes", "num_gpus")


def violations(inventory: Iterable[Json], placements: Iterable[Json]) -> list[str]:
    """One sentence for each rule that a placement broke; empty when all are kept.

    Args:
        inventory: records of entities.v1, one source an entity.
        placements: in the order in which they were decided. Each has `request_id`, `node` (empty: placed nowhere) and
            `workload`, a placement.v1.Workload as JSON with proto field names; and may have `decided_at` and
            `free_at` (None while it lasts), in one unit: a workload holds its room from one to the other.
    """
    nodes = {record["entity_id"]: record for record in inventory if record["capacity"]}
    found: list[str] = []
    running: list[Json] = []
    for placement in placements:
        now = placement.get("decided_at")
        running = [other for other in running if _still_runs(other, now)]
        if not placement["node"]:
            continue
        node = nodes.get(placement["node"])
        if node is None:
            found.append(f"{placement['request_id']} went to {placement['node']}, which is no node of the inventory")
            continue
        broken = [*_over_capacity(node, placement, running), *_broken_constraints(node, placement, running, nodes)]
        found += [f"{placement['request_id']} on {placement['node']}: {what}" for what in broken]
        running.append(placement)
    return found


def placements_of(records: Iterable[Json]) -> list[dict[str, Any]]:
    """What `violations` takes, from the records of placements.v1: every decision that reserved room, with its end.

    A reservation that nobody confirmed ends by itself; a workload that the orchestrator put elsewhere is its own doing
    and counts as ended.
    """
    from google.protobuf.json_format import MessageToDict

    from services.common.gen.moselle.placement.v1 import placement_pb2

    found: dict[str, dict[str, Any]] = {}
    for record in records:
        if record["mode"] == "shadow":
            continue
        entry = found.get(record["request_id"])
        if entry is None:
            request = placement_pb2.PlaceRequest.FromString(record["request"])
            workload = MessageToDict(request.workload, preserving_proto_field_name=True)
            entry = {"request_id": record["request_id"], "node": record["node"], "workload": workload}
            entry |= {"decided_at": record["decided_at"], "free_at": record["reserved_until"]}
            found[record["request_id"]] = entry
        if record["outcome"] == "bound" and record["bound_node"] == entry["node"]:
            entry["free_at"] = None
        elif record["outcome"] is not None:
            entry["free_at"] = record["outcome_time"]
    return sorted(found.values(), key=lambda entry: entry["decided_at"])


def _still_runs(placement: Json, now: Any) -> bool:
    free_at = placement.get("free_at")
    return free_at is None or now is None or free_at > now


def _amounts(workload: Json) -> dict[str, float]:
    requests = workload.get("requests", {})
    amounts = {name: float(requests.get(name, 0)) for name in _FIELDS}
    return amounts | {name: float(amount) for name, amount in requests.get("extended", {}).items()}


def _over_capacity(node: Json, placement: Json, running: Sequence[Json]) -> list[str]:
    here = [placement, *(other for other in running if other["node"] == placement["node"])]
    broken = []
    for name, asked in _amounts(placement["workload"]).items():
        total = sum(_amounts(one["workload"]).get(name, 0.0) for one in here)
        if asked and total > node["capacity"].get(name, 0.0) + _SLACK:
            broken.append(f"{total:g} of {name} are taken, {node['capacity'].get(name, 0.0):g} are there")
    most = node["capacity"].get("max_workloads")
    if most is not None and len(here) > most:
        broken.append(f"{len(here)} workloads run there, {most:g} may")
    return broken


def _broken_constraints(node: Json, placement: Json, running: Sequence[Json], nodes: Mapping[str, Json]) -> list[str]:
    wanted = placement["workload"].get("constraints", {})
    checks = {
        "out of service": node["labels"].get("moselle.io/unschedulable") in ("true", "1", "yes"),
        "no candidate": bool(wanted.get("candidates")) and node["entity_id"] not in wanted["candidates"],
        "an excluded node": node["entity_id"] in wanted.get("excluded_nodes", ()),
        "labels do not match": not all(_label_holds(node, one) for one in wanted.get("node_labels", ())),
        "a taint is not borne": not _taints_borne(node, wanted.get("tolerations", ())),
        "not in a required region": bool(wanted.get("required_regions"))
        and node["labels"].get(_REGION) not in wanted["required_regions"],
        "in an excluded or unknown region": bool(wanted.get("excluded_regions"))
        and node["labels"].get(_REGION, "") in ("", *wanted["excluded_regions"]),
        "another node than its group": _is_away(placement, running, wanted.get("affinity_group", "")),
        "with its anti-affinity group": _is_with(placement, running, wanted.get("anti_affinity_group", "")),
    }
    broken = [what for what, is_broken in checks.items() if is_broken]
    return [*broken, *_limits(node, wanted), *_skews(node, placement, running, nodes)]


def _limits(node: Json, wanted: Json) -> list[str]:
    has = node["capacity"]
    lower = {"min_security_level": "security_level", "min_bandwidth_mbps": "bandwidth_mbps",
             "min_uptime_ratio": "uptime_ratio"}  # fmt: skip
    upper = {"max_latency_ms": "latency_ms", "max_cost_per_hour": "cost_per_hour"}
    broken = [name for name, fact in lower.items() if name in wanted and not has.get(fact, -1.0) >= wanted[name]]
    return broken + [
        name for name, fact in upper.items() if name in wanted and not has.get(fact, float("inf")) <= wanted[name]
    ]


def _label_holds(node: Json, demand: Json) -> bool:
    value = node["labels"].get(demand["label"])
    operator = demand.get("operator", "OPERATOR_IN").removeprefix("OPERATOR_")
    if operator in ("IN", "UNSPECIFIED"):
        return value in demand.get("values", ()) if value is not None else False
    if operator == "NOT_IN":
        return value is None or value not in demand.get("values", ())
    return bool((value is not None) == (operator == "EXISTS"))


def _taints_borne(node: Json, tolerations: Sequence[Json]) -> bool:
    for label, text in node["labels"].items():
        value, _, effect = text.rpartition(":")
        taint = {"key": label.removeprefix(_TAINT), "value": value, "effect": effect or "NoSchedule"}
        if not label.startswith(_TAINT) or taint["effect"] == "PreferNoSchedule":
            continue
        if not any(all(one.get(k, "") in ("", taint[k]) for k in taint) for one in tolerations):
            return False
    return True


def _in_group(placement: Json, group: str) -> bool:
    wanted = placement["workload"].get("constraints", {})
    return group in (wanted.get("affinity_group"), wanted.get("anti_affinity_group"))


def _is_away(placement: Json, running: Sequence[Json], group: str) -> bool:
    homes = {other["node"] for other in running if group and _in_group(other, group)}
    return bool(homes) and placement["node"] not in homes


def _is_with(placement: Json, running: Sequence[Json], group: str) -> bool:
    return any(other["node"] == placement["node"] for other in running if group and _in_group(other, group))


def _skews(node: Json, placement: Json, running: Sequence[Json], nodes: Mapping[str, Json]) -> list[str]:
    owner = placement["workload"].get("owner", "")
    broken = []
    for spread in placement["workload"].get("constraints", {}).get("topology_spread", ()):
        label, domain = spread["label"], node["labels"].get(spread["label"])
        counts = Counter({one["labels"][label]: 0 for one in nodes.values() if label in one["labels"]})
        for other in (*running, placement):
            home = nodes.get(other["node"], {}).get("labels", {}).get(label)
            if other["workload"].get("owner", "") == owner and home is not None:
                counts[home] += 1
        if domain is None or counts[domain] - min(counts.values()) > spread["max_skew"]:
            broken.append(f"the workloads of {owner} are not spread over {label}")
    return broken
