"""Constraints on what exporters say of a node now, beside what the inventory says of it.

A node of which an exporter says nothing passes: nobody asked for the exporter.
"""

from collections.abc import Callable

import numpy as np

from services.placement.core.groups import Members
from services.placement.core.matrix import Bools, Floats, NodeMatrix
from services.placement.core.node_factors import NUMBER_OF
from services.placement.core.workload import Workload

#: (matrix, workload, who is where) to (n,) nodes that fulfil it; None when nothing is known or asked.
Check = Callable[[NodeMatrix, Workload, Members], Bools | None]

#: Requests of huge pages by their size in bytes.
HUGE_PAGES = {"hugepages-2Mi": 2.0**21, "hugepages-1Gi": 2.0**30}
#: Sums of what pods ask for are not exact; less than this is nothing, as a share of what there is.
_ROUNDING = 1e-9


def is_known(matrix: NodeMatrix, signal: str) -> bool:
    """Whether any node has a signal."""
    return bool(matrix.known[NUMBER_OF[signal]])


def is_not(signal: str, value: float) -> Check:
    """A signal does not have a value that rules a node out."""

    def passes(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
        mask: Bools | None = matrix.node_signal(signal) != value if is_known(matrix, signal) else None
        return mask

    return passes


def fits_beside(allocatable: str, taken: str, resource: str) -> Check:
    """What there is, less what is taken and, of cores, what is on its way, holds what is asked for."""

    def passes(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
        asked = workload.requests.get(resource, 0.0)
        if not asked or not is_known(matrix, allocatable):
            return None
        coming = matrix.cpu_in_flight / 1000.0 if resource == "cpu_cores" else 0.0
        return _holds(matrix.node_signal(allocatable), matrix.node_signal(taken), coming + asked)

    return passes


def pod_count_fits(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """One pod more, and those on their way, stay within what the node may have."""
    if not is_known(matrix, "pods_allocatable"):
        return None
    signals = matrix.node_signal("pods_allocatable"), matrix.node_signal("pods_running")
    return _holds(*signals, matrix.num_in_flight + 1.0)


def _holds(there: Floats, taken: Floats, asked: Floats | float) -> Bools:
    # A comparison with NaN is false: where nothing is known of what there is, it holds.
    mask: Bools = np.logical_not(there * (1 + _ROUNDING) - np.where(taken == taken, taken, 0.0) < asked)
    return mask


def disk_space_fits(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """The largest file system has that much room."""
    asked = workload.requests.get("disk_bytes", 0.0)
    if not asked or not is_known(matrix, "disk_available"):
        return None
    return _holds(matrix.node_signal("disk_available"), np.zeros(len(matrix)), asked)


def huge_pages_free(matrix: NodeMatrix, workload: Workload, members: Members) -> Bools | None:
    """As many huge pages are free; of nodes whose default size is another one nothing is known."""
    asked = [(HUGE_PAGES[name], amount) for name, amount in workload.requests.items() if name in HUGE_PAGES]
    if not asked or not is_known(matrix, "hugepages_free"):
        return None
    sizes, pages = matrix.node_signal("hugepage_size"), matrix.node_signal("hugepages_free")
    short = [(sizes == size) & (pages * size < amount) for size, amount in asked]
    mask: Bools = np.logical_not(np.logical_or.reduce(short, axis=0))
    return mask


def bandwidth(matrix: NodeMatrix) -> Floats:
    """(n,) Mbit/s by the inventory, else what the fastest device has free; NaN where nobody says."""
    told = matrix.fact("bandwidth_mbps")
    if not is_known(matrix, "nic_free_bandwidth"):
        return told
    found: Floats = np.where(np.isnan(told), matrix.node_signal("nic_free_bandwidth"), told)
    return found
