"""A RequestSpec of Nova as a workload of placement.

From the flavor: vcpus and memory_mb (not the disk, which with shared storage is no host's), and these extra specs, all
optional: moselle:profile, moselle:required_regions and moselle:excluded_regions (lists with commas),
moselle:min_security_level, moselle:max_latency_ms, moselle:min_bandwidth_mbps, moselle:max_cost_per_hour,
moselle:min_uptime_ratio.
"""

from typing import Any

from services.common.gen.moselle.placement.v1 import placement_pb2 as pb

PREFIX = "moselle:"
PROFILES = ("balanced", "performance", "efficiency", "consolidation", "power", "cost")
#: Constraints of placement by whose word the filter removes a host. Not what Nova counts itself: cores, memory, disk
#: and devices are OpenStack Placement's, with its overcommit.
VETOES = (
    "node_schedulable", "taints_tolerated", "required_regions", "excluded_regions", "min_security_level", "max_latency",
    "min_bandwidth", "max_cost_per_hour", "min_uptime_ratio",
)  # fmt: skip
_LISTS = ("required_regions", "excluded_regions")
_NUMBERS = ("max_latency_ms", "min_bandwidth_mbps", "max_cost_per_hour", "min_uptime_ratio")
_MIB = 2**20


def workload(spec: Any) -> pb.Workload:
    """What placement is asked about.

    Raises:
        ValueError: an extra spec that is no number.
    """
    flavor = spec.flavor
    constraints = pb.Constraints()
    for name, text in _extras(flavor).items():
        if name in _LISTS:
            getattr(constraints, name).extend(part.strip() for part in text.split(",") if part.strip())
        elif name in _NUMBERS:
            setattr(constraints, name, float(text))
        elif name == "min_security_level":
            constraints.min_security_level = int(text)
    return pb.Workload(
        # Not the instance: the same question has the same answer, whoever asks.
        workload_id="nova",
        project=_set(spec, "project_id") or "",
        requests=pb.Resources(cpu_cores=flavor.vcpus, memory_bytes=flavor.memory_mb * _MIB),
        constraints=constraints,
    )


def profile(spec: Any, default: str) -> int:
    """The flavor's profile, else the configured one.

    Raises:
        ValueError: there is no such profile.
    """
    return PROFILES.index(_extras(spec.flavor).get("profile", default)) + 1


def _extras(flavor: Any) -> dict[str, str]:
    found = _set(flavor, "extra_specs") or {}
    return {name[len(PREFIX) :]: text for name, text in found.items() if name.startswith(PREFIX)}


def _set(thing: Any, name: str) -> Any:
    """A field of a versioned object; None where it was never set, since reading it would ask the database."""
    try:
        is_set = thing.obj_attr_is_set(name)
    except AttributeError:
        is_set = hasattr(thing, name)
    return getattr(thing, name) if is_set else None
