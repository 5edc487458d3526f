"""`docs/factors.md`: every factor of placement, those with recorded exporter text and those without."""

from pathlib import Path

from moselle.generators.pages import table
from services.common.signal_forms import NodeSignal
from services.placement.core.constraints import CONSTRAINTS, Constraint
from services.placement.core.factors import FACTORS, Factor, weighing
from services.placement.core.node_factors import GROUP_NAMES, GROUP_SHARES, NUMBER_OF, PROFILES, SIGNALS, WEIGHTS

EXPORTERS = Path("tests/data/exporters")
#: The groups of factors.py's factors, and of constraints.
_GROUP_OF = {
    "health": "F", "cpu_forecast": "B", "memory_forecast": "C", "cpu_load": "B", "memory_load": "C", "disk_load": "C",
    "cpu_free": "C", "memory_free": "C", "disk_free": "C", "balance": "C", "packing": "C", "in_flight": "B",
    "added_power": "D", "cost": "F", "hardware_speed": "B", "crowding": "B",
}  # fmt: skip
#: What is known to matter and no source feeds here: group, factor, what would say it.
WANTED = (
    ("A", "sriov_vf_fits", "allocatable of the device plugin; Placement SRIOV_NET_VF"),
    ("A", "pinned_cpu_fits", "Placement PCPU; the kubelet's static processor manager"),
    ("A", "numa_resources_fit", "zones of NodeResourceTopology"),
    ("A", "dra_claim_allocatable", "ResourceClaim and ResourceSlice"),
    ("A", "host_port_free", "hostPort of the pods on a node"),
    ("A", "volume_zone_ok", "nodeAffinity of PersistentVolume"),
    ("A", "volume_attach_limit", "CSINode"),
    ("B", "measured_slowdown_history", "outcomes: seen by expected run time, by class of work and node"),
    ("B", "workload_class_affinity", "a table of speeds by class of work and of node"),
    ("B", "noisy_neighbour_score", "predicted interference of what runs there"),
    ("B", "image_locality", "Node.status.images"),
    ("C", "dot_product_alignment", "request and free amounts"),
    ("C", "fragmentation_delta", "free amounts against the mix of recent requests"),
    ("C", "stranded_memory", "free memory where no core is free"),
    ("C", "stranded_cpu", "free cores where no memory is free"),
    ("C", "gpu_fragmentation", "what each accelerator has left"),
    ("C", "numa_fragmentation", "zones of NodeResourceTopology"),
    ("C", "request_vs_usage_ratio", "use by request, by class of work"),
    ("C", "expected_lifetime", "a prediction of how long work stays"),
    ("C", "exit_alignment", "predicted ends of what runs there"),
    ("D", "rack_power_headroom", "a power budget of each rack"),
    ("D", "pue", "the site's configuration"),
    ("D", "grid_carbon_intensity", "a feed for each region"),
    ("D", "energy_price", "a feed for each region"),
    ("D", "performance_per_watt", "a benchmark of each class of hardware"),
    ("E", "predicted_bandwidth_mbps", "DWCP's predictions"),
    ("E", "predicted_latency_ms", "DWCP's predictions"),
    ("E", "predicted_packet_loss", "DWCP's predictions"),
    ("E", "predicted_jitter_ms", "DWCP's predictions"),
    ("E", "prediction_confidence", "DWCP's predictions"),
    ("E", "same_zone_peers", "zones of the pods that work together"),
    ("E", "same_rack_peers", "racks of the pods that work together"),
    ("E", "network_cost", "NetworkTopology"),
    ("E", "hop_count", "LLDP"),
    ("E", "dependency_latency_sum", "measured latency between pods"),
    ("E", "sriov_pf_numa_match", "NUMA nodes of devices and of free cores"),
    ("E", "uplink_oversubscription", "capacity of each rack's uplink"),
    ("E", "wan_region_cost", "a price list"),
    ("F", "log_anomaly_rate", "logbert's scores by host (its alerts count in `health`)"),
    ("F", "failure_probability_24h", "a failure predictor"),
    ("F", "node_flaps_7d", "a memory of a week of kube_node_status_condition"),
    ("F", "hardware_age", "the inventory"),
    ("F", "bind_failures", "outcomes by node"),
    ("F", "metric_staleness", "the age of a node's newest sample"),
    ("F", "blast_radius", "replicas of one owner by rack and zone"),
    ("F", "pdb_headroom", "PodDisruptionBudget"),
    ("F", "preemption_cost", "what would have to go, and its priority"),
    ("F", "migration_cost", "how fast a guest's memory changes"),
    ("F", "sla_class", "PriorityClass"),
    ("F", "maintenance_window_distance", "a calendar"),
)
_TEXT = """<!-- Made by `make gen` from services/common/node_signals.py, services/placement/core/ and tests/data/. -->
# Factors of placement

A score is the sum of weight x utility over the factors, both 0 to 1. The weights below are percents of the score in the
profiles {profiles}. What is not known of a node counts half its weight.

A factor is *proven* when text of its exporter, exposed by two nodes that are equal but for it, goes through ingest and
features and changes the decision to the better node: tests/unit/placement/test_factors.py runs every file of
tests/data/exporters/. `recorded` is the text of a real run, in which one node's values were changed; `documented` has
the form that the exporter's own documentation and tests show, with values made for the test. {recorded} are recorded,
{documented} documented. The others are listed below and are no part of the {number}.

Signals of nodes are a line each in `services/common/node_signals.py`; one more is one line there and one such text.
A group's share of the score is fixed, so that one more signal takes from its own group only:

{shares}
A signal that no node has takes no part; its weight stays with the factors of `services/placement/core/factors.py`,
health first, which keep at least {kept:.0f} percent of every profile (their weights below: while no signal takes part).
Weights of signals are by judgement; which weights of factors.py were tuned says services/placement/README.md.
"""


def factors_page(root: Path) -> dict[Path, str]:
    """`docs/factors.md`."""
    proven = {path.stem: _origin(path) for path in (root / EXPORTERS).glob("*.txt") if path.stem != "base"}
    masks = [one for one in CONSTRAINTS if one.name in proven]
    shares = table(
        ("group", *PROFILES),
        [(f"{group} {GROUP_NAMES[group]}", *(f"{one:g}" for one in row)) for group, row in GROUP_SHARES.items()],
    )
    recorded = sum(origin == "recorded" for origin in proven.values())
    kept = 100 - max(sum(column) for column in zip(*GROUP_SHARES.values(), strict=True))
    text = _TEXT.format(profiles=", ".join(PROFILES), number=len(proven), shares=shares, kept=kept,
                        recorded=recorded, documented=len(proven) - recorded)  # fmt: skip
    text += f"\n## Proven: {len(proven)}\n\n### A hard constraints\n\nWhat they exclude is never chosen.\n\n"
    text += table(("constraint", "reads", "text"), [_mask_row(one, proven[one.name]) for one in masks])
    for group in GROUP_SHARES:
        rows = [_factor_row(one, proven[one.name]) for one in _factors(group) if one.name in proven]
        rows += [_signal_row(one, proven[one.name]) for one in SIGNALS if one.group == group and one.name in proven]
        text += f"\n### {group} {GROUP_NAMES[group]}\n\n" + table(
            ("factor", "unit", "source", "objective", "better", "best to worst", "weights", "text"), rows
        )
    return {Path("docs/factors.md"): text + _unproven(proven)}


def _unproven(proven: dict[str, str]) -> str:
    """What counts already and has no exporter text, and what nobody says here."""
    rows: list[tuple[str, ...]] = [
        (f"`{one.name}`", group, one.unit, one.source, one.objective, one.direction, _weights(one))
        for group in GROUP_SHARES
        for one in _factors(group)
        if one.name not in proven
    ]
    masks = ", ".join(f"`{one.name}`" for one in CONSTRAINTS if one.name not in proven)
    wanted: list[tuple[str, ...]] = [(f"`{name}`", group, source) for group, name, source in WANTED]
    return (
        "\n## Unproven\n\nThey count, and their tests begin at the topics, not at an exporter's text:\n\n"
        + table(("factor", "group", "unit", "source", "objective", "better", "weights"), rows)
        + f"\nConstraints on what the inventory and requests say, tested the same way: {masks}.\n"
        + "\nNo source here says these; they count for nothing:\n\n"
        + table(("factor", "group", "what would say it"), wanted)
    )


def _origin(path: Path) -> str:
    """`recorded` or `documented`, as the file's first line says."""
    return "recorded" if ", recorded" in path.read_text().partition("\n")[0] else "documented"


def _factors(group: str) -> list[Factor]:
    return [factor for factor in FACTORS if _GROUP_OF[factor.name] == group]


def _weights(factor: Factor) -> str:
    found = []
    for profile in PROFILES:
        weighed = dict(zip((one.name for one in weighing(profile).factors), weighing(profile).weights, strict=True))
        found.append(f"{100 * weighed.get(factor.name, 0.0):.3g}")
    return " ".join(found)


def _factor_row(factor: Factor, origin: str) -> tuple[str, ...]:
    better = "1 to 0" if factor.direction == "higher" else "0 to 1"
    return (f"`{factor.name}`", factor.unit, factor.source, factor.objective, factor.direction, better,
            _weights(factor), origin)  # fmt: skip


def _metrics(signal: NodeSignal) -> str:
    return f"{signal.exporter}: " + ", ".join(f"`{name}`" for name in sorted(signal.metrics))


def _signal_row(signal: NodeSignal, origin: str) -> tuple[str, ...]:
    weights = " ".join(f"{100 * one:.2g}" for one in WEIGHTS[:, NUMBER_OF[signal.name]].tolist())
    return (f"`{signal.name}`", signal.unit, _metrics(signal), signal.objective, signal.direction,
            f"{signal.best:g} to {signal.worst:g}", weights, origin)  # fmt: skip


def _mask_row(constraint: Constraint, origin: str) -> tuple[str, ...]:
    read = "; ".join(_metrics(SIGNALS[NUMBER_OF[name]]) for name in constraint.signals)
    return f"`{constraint.name}`", read, origin
