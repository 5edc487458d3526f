"""What excludes a node. Each is a mask over the matrix's rows, declared once in CONSTRAINTS.

What a workload demands and no source tells of a node is not fulfilled there: a promise that nobody can check is not
given. Labels are as placement.proto says: a missing label fulfils NOT_IN and NOT_EXISTS.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from services.placement.core.amounts import demanded, plain, words
from services.placement.core.decision import Exclusion
from services.placement.core.groups import Members
from services.placement.core.inventory import REGION
from services.placement.core.matrix import Bools, Floats, NodeMatrix
from services.placement.core.observed import (
    Check,
    bandwidth,
    disk_space_fits,
    fits_beside,
    huge_pages_free,
    is_not,
    pod_count_fits,
)
from services.placement.core.workload import CORE_RESOURCES, LabelDemand, TopologySpread, Workload

#: The one that says when, not where: what it excludes now may do in a minute.
ADMISSION = "utilisation_admits"


class Constraint(NamedTuple):
    """One hard constraint.

    Attributes:
        relax: what a person can do when it excludes too much.
        signals: of nodes (node_signals.py) that it reads.
    """

    name: str
    passes: Check
    relax: str
    signals: tuple[str, ...] = ()


class Mask(NamedTuple):
    """What the constraints say of each node.

    Attributes:
        names: of the constraints that were demanded.
        fails: (len(names), n).
        feasible: (n,).
    """

    names: tuple[str, ...]
    fails: Bools
    feasible: Bools

    def failed(self, row: int) -> tuple[str, ...]:
        """The constraints that a node fails."""
        return tuple(name for name, fails in zip(self.names, self.fails[:, row], strict=True) if fails)

    def exclusions(self) -> tuple[Exclusion, ...]:
        """Those that excluded anything, most first."""
        alone = self.fails.sum(axis=0) == 1
        rows = [
            Exclusion(name, int(fails.sum()), int((fails & alone).sum()))
            for name, fails in zip(self.names, self.fails, strict=True)
        ]
        return tuple(sorted((row for row in rows if row.num_nodes), key=lambda row: (-row.num_nodes, row.constraint)))


def free(matrix: NodeMatrix, name: str) -> Floats:
    """(n,) units that nobody holds."""
    difference: Floats = matrix.capacity(name) - matrix.allocated(name)
    return difference


def fits(name: str) -> Check:
    """The free part of a resource holds what is asked for."""

    def passes(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
        amount = workload.requests.get(name, 0.0)
        return free(matrix, name) >= demanded(name, amount) if amount else None

    return passes


def extended_fit(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """The same for everything that has no field of its own."""
    masks = [fits(name)(matrix, workload, members) for name in workload.requests if name not in CORE_RESOURCES]
    return _all([mask for mask in masks if mask is not None])


def workload_count_fits(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """One workload more stays within the inventory's `max_workloads`, where it gives one."""
    limit = matrix.fact("max_workloads")
    if np.isnan(limit).all():
        return None
    mask: Bools = np.isnan(limit) | (matrix.num_workloads + 1 <= limit)
    return mask


def utilisation(matrix: NodeMatrix) -> Floats:
    """(n,) share of each node's processors that is busy, with what is on its way there; NaN where nobody measures it.

    What is measured of the host that several nodes share says nothing of one of them.
    """
    busy: Floats = matrix.own_load + matrix.cpu_in_flight * matrix.inverse("cpu_cores")
    return busy


def utilisation_admits(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """Admission control: a node that is as busy as may be takes no more; one of which no load is known does.

    By load, not by requests, which capacity holds already: nodes full by requests and idle are nobody's trouble.
    """
    if matrix.max_utilisation >= 1.0:
        return None
    admits: Bools = ~(utilisation(matrix) >= matrix.max_utilisation)
    return admits


def is_schedulable(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """The node is not taken out of service."""
    if not matrix.closed:
        return None
    mask = np.ones(len(matrix), dtype=np.bool_)
    mask[list(matrix.closed)] = False
    return mask


def is_candidate(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    names = workload.constraints.candidates
    return matrix.where_named(names) if names else None


def is_not_excluded(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    names = workload.constraints.excluded_nodes
    return ~matrix.where_named(names) if names else None


def labels_match(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    return _all([_label_mask(matrix, demand) for demand in workload.constraints.node_labels])


def _label_mask(matrix: NodeMatrix, demand: LabelDemand) -> Bools:
    holds = {value: demand.holds({} if value is None else {demand.label: value}) for value in
             set(matrix.labels(demand.label))}  # fmt: skip
    return np.array([holds[value] for value in matrix.labels(demand.label)], dtype=np.bool_)


def taints_tolerated(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """Every hard taint of the node is borne."""
    if not matrix.taints:
        return None
    mask = np.ones(len(matrix), dtype=np.bool_)
    for row, taints in matrix.taints.items():
        mask[row] = all(any(one.bears(taint) for one in workload.constraints.tolerations) for taint in taints)
    return mask


def affinity_group(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """Where the group runs, when it runs somewhere; else anywhere."""
    nodes = members.nodes("group", workload.constraints.affinity_group) if workload.constraints.affinity_group else {}
    return matrix.where_named(set(nodes)) if nodes else None


def anti_affinity_group(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """Where nobody of the group runs."""
    group = workload.constraints.anti_affinity_group
    nodes = members.nodes("group", group) if group else {}
    return ~matrix.where_named(set(nodes)) if nodes else None


def topology_spread(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """One more of the owner's workloads keeps every demanded skew. Domains: the label's values over all nodes."""
    counts = members.nodes("owner", workload.owner)
    return _all([_spread_mask(matrix, spread, counts) for spread in workload.constraints.topology_spread])


def _spread_mask(matrix: NodeMatrix, spread: TopologySpread, counts: Counter[str]) -> Bools:
    domains = matrix.labels(spread.label)
    held = dict.fromkeys((domain for domain in domains if domain is not None), 0)
    for node_id, number in counts.items():
        domain = domains[matrix.row_of[node_id]] if node_id in matrix.row_of else None
        if domain is not None:
            held[domain] += number
    least = min(held.values(), default=0)
    allowed = {domain for domain, number in held.items() if number + 1 - least <= spread.max_skew}
    return np.array([domain in allowed for domain in domains], dtype=np.bool_)


def single_numa_node(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """Some NUMA node surely holds it all.

    The inventory tells how many there are, not who sits where: of n equal ones the emptiest has at least an nth of
    what is free. Of several resources each has its own emptiest one, so with more than one NUMA node only one
    resource of cores, memory and devices can be promised; otherwise the node must have a single one.
    """
    if not workload.constraints.single_numa_node:
        return None
    number = matrix.fact("num_numa_nodes")
    asked = [name for name in workload.requests if name != "disk_bytes"]
    if len(asked) > 1:
        is_alone: Bools = number == 1
        return is_alone
    masks = [free(matrix, name) / number >= demanded(name, workload.requests[name]) for name in asked]
    return _all([~np.isnan(number), *masks])


def required_regions(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    wanted = workload.constraints.required_regions
    return _regions(matrix, lambda region: region in wanted) if wanted else None


def excluded_regions(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """A node of unknown region might lie in one of them."""
    refused = workload.constraints.excluded_regions
    return _regions(matrix, lambda region: region is not None and region not in refused) if refused else None


def _regions(matrix: NodeMatrix, holds: Callable[[str | None], bool]) -> Bools:
    return np.array([holds(region) for region in matrix.labels(REGION)], dtype=np.bool_)


def at_least(fact: str, field: str) -> Check:
    """A fact of the node is at least what the constraint's field says; NaN never is."""

    def passes(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
        limit = getattr(workload.constraints, field)
        return None if limit is None else matrix.fact(fact) >= limit

    return passes


def min_bandwidth(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """By the inventory, else by what the fastest device has free."""
    limit = workload.constraints.min_bandwidth_mbps
    mask: Bools | None = None if limit is None else bandwidth(matrix) >= limit
    return mask


def at_most(fact: str, field: str) -> Check:
    """The same for an upper limit."""

    def passes(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
        limit = getattr(workload.constraints, field)
        return None if limit is None else matrix.fact(fact) <= limit

    return passes


def _all(masks: list[Bools]) -> Bools | None:
    if not masks:
        return None
    both: Bools = np.logical_and.reduce(masks, axis=0)
    return both


CONSTRAINTS = (
    Constraint("cpu_request_fits", fits("cpu_cores"), "ask for fewer cores, end something, or add a node"),
    Constraint("memory_request_fits", fits("memory_bytes"), "ask for less memory, end something, or add a node"),
    Constraint("disk_request_fits", fits("disk_bytes"), "ask for less local disk, or add a node with more"),
    Constraint("gpu_request_fits", fits("num_gpus"), "ask for fewer accelerators, or add a node that has them"),
    Constraint("extended_request_fits", extended_fit, "ask for less of it, or give its capacity in the inventory"),
    Constraint("workload_count_fits", workload_count_fits, "raise max_workloads in the inventory, or add a node"),
    Constraint(ADMISSION, utilisation_admits, "wait and ask with a new request_id, end something, or add a node"),
    Constraint("node_schedulable", is_schedulable, "put a node back into service"),
    Constraint("is_candidate", is_candidate, "name candidates that are in the inventory"),
    Constraint("is_not_excluded", is_not_excluded, "exclude fewer nodes"),
    Constraint("node_labels", labels_match, "relax the label demands, or label a node so"),
    Constraint("taints_tolerated", taints_tolerated, "tolerate the taints, or take them off a node"),
    Constraint("affinity_group", affinity_group, "make room on the node of the group, or drop the group"),
    Constraint("anti_affinity_group", anti_affinity_group, "add a node, or leave the group smaller"),
    Constraint("topology_spread", topology_spread, "raise max_skew, or make room in the emptiest domain"),
    Constraint("single_numa_node", single_numa_node, "drop single_numa_node, or give num_numa_nodes in the inventory"),
    Constraint("required_regions", required_regions, "allow more regions, or label nodes with theirs"),
    Constraint("excluded_regions", excluded_regions, "exclude fewer regions, or label nodes with theirs"),
    Constraint("min_security_level", at_least("security_level", "min_security_level"), "lower the security level"),
    Constraint("max_latency", at_most("latency_ms", "max_latency_ms"), "allow more latency, or give latency_ms"),
    Constraint("min_bandwidth", min_bandwidth, "ask for less bandwidth", ("nic_free_bandwidth",)),
    Constraint("max_cost_per_hour", at_most("cost_per_hour", "max_cost_per_hour"), "allow a higher price"),
    Constraint("min_uptime_ratio", at_least("uptime_ratio", "min_uptime_ratio"), "ask for less uptime"),
    Constraint("node_ready", is_not("node_ready", 0.0), "repair a node, or wait until one is Ready", ("node_ready",)),
    Constraint("node_uncordoned", is_not("node_unschedulable", 1.0), "uncordon a node", ("node_unschedulable",)),
    Constraint("cpu_allocatable_fits", fits_beside("cpu_allocatable", "cpu_requested", "cpu_cores"),
               "ask for fewer cores, end pods, or add a node", ("cpu_allocatable", "cpu_requested")),
    Constraint("memory_allocatable_fits", fits_beside("memory_allocatable", "memory_requested", "memory_bytes"),
               "ask for less memory, end pods, or add a node", ("memory_allocatable", "memory_requested")),
    Constraint("gpus_allocatable_fit", fits_beside("gpus_allocatable", "gpus_requested", "num_gpus"),
               "ask for fewer accelerators, or end pods that hold some", ("gpus_allocatable", "gpus_requested")),
    Constraint("pod_count_fits", pod_count_fits, "end pods, or add a node", ("pods_allocatable", "pods_running")),
    Constraint("disk_space_fits", disk_space_fits, "ask for less local disk, or make room", ("disk_available",)),
    Constraint("huge_pages_free", huge_pages_free, "ask for fewer huge pages, or reserve more on a node",
               ("hugepages_free", "hugepage_size")),
)  # fmt: skip
_RELAX = {constraint.name: constraint.relax for constraint in CONSTRAINTS}


def evaluate(matrix: NodeMatrix, workload: Workload, members: Members) -> Mask:
    """Which nodes can hold the workload, and what the others fail."""
    names, fails = [], []
    for constraint in CONSTRAINTS:
        passes = constraint.passes(matrix, workload, members)
        if passes is not None:
            names.append(constraint.name)
            fails.append(~passes)
    table = np.array(fails, dtype=np.bool_).reshape(len(names), len(matrix))
    feasible: Bools = np.logical_not(table.any(axis=0))
    return Mask(tuple(names), table, feasible)


def remedy(mask: Mask, workload: Workload, matrix: NodeMatrix) -> str:
    """One sentence: what would help a workload that no node can hold."""
    num_nodes = len(matrix)
    if not num_nodes:
        return "There is no node in the inventory: publish one with `moselle inventory publish`."
    exclusions = mask.exclusions()
    gains = max(exclusions, key=lambda row: (row.num_nodes_only_this, row.num_nodes))
    what = _largest(gains.constraint, workload, matrix)
    if gains.num_nodes_only_this:
        gain = f"would free {gains.num_nodes_only_this} of {num_nodes} nodes"
        return f"{gains.constraint} alone {gain}{what}: {_RELAX[gains.constraint]}."
    several = ", ".join(row.constraint for row in exclusions[:3])
    return f"Every one of the {num_nodes} nodes fails several constraints ({several}){what}: relax more than one."


def _largest(constraint: str, workload: Workload, matrix: NodeMatrix) -> str:
    """What was asked for beside the most that any node has free."""
    if constraint == ADMISSION:
        least = float(np.nanmin(utilisation(matrix)))
        limit = matrix.max_utilisation
        return f" (the least busy node with a known load is at {least:.0%}, from {limit:.0%} on none takes more)"
    name = {"cpu": "cpu_cores", "memory": "memory_bytes", "disk": "disk_bytes", "gpu": "num_gpus"}.get(
        constraint.partition("_request_fits")[0]
    )
    if name is None or not constraint.endswith("_request_fits"):
        return ""
    most = plain(name, float(free(matrix, name).max()))
    return f" ({words(name, workload.requests[name])} asked for, at most {words(name, most)} free on one node)"
