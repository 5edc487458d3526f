"""Which exporter's series feed which core metric: data, one line a metric.

An entity's metric comes from the first group that has a value, so that two exporters that see the same thing do not
count it twice. Within a group the series are added up.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from services.common.node_signals import NODE_SIGNALS
from services.common.series import parse_series

#: rate: growth per second of a counter; last: the newest value; per_second: counts per scrape, over the step.
Kind = Literal["rate", "last", "per_second"]


@dataclass(frozen=True, slots=True)
class Source:
    """The series of one metric whose labels fit.

    Args:
        metric: its name at the exporter.
        kind: how a step's samples become one value a series.
        only: label to the values that it must have one of; a series without the label fits none.
        never: label to the values that it must not have.
        factor: what a value is multiplied by, for its unit or its sign.
    """

    metric: str
    kind: Kind = "rate"
    only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    never: Mapping[str, frozenset[str]] = field(default_factory=dict)
    factor: float = 1.0

    def fits(self, labels: Mapping[str, str]) -> bool:
        """Whether a series with these labels counts."""
        return all(labels.get(name) in values for name, values in self.only.items()) and not any(
            labels.get(name) in values for name, values in self.never.items()
        )


@dataclass(frozen=True, slots=True)
class Group:
    """Sources of one exporter that are added up.

    Args:
        needs_all: no value when one of the sources has none, as for a difference.
    """

    sources: tuple[Source, ...]
    needs_all: bool = False


def _rates(*metrics: str, never: Mapping[str, frozenset[str]] | None = None) -> Group:
    return Group(tuple(Source(metric, never=never or {}) for metric in metrics))


def _last(metric: str, factor: float = 1.0, **only: str) -> Source:
    return Source(metric, "last", only={name: frozenset([value]) for name, value in only.items()}, factor=factor)


#: A guest's or container's device lies on one of the host's: counting both would count twice.
_VIRTUAL_DISKS = {"device": frozenset(f"{kind}{n}" for kind in ("loop", "ram", "dm-", "md") for n in range(64))}
_LOOPBACK = {"device": frozenset(["lo"]), "interface": frozenset(["lo"])}
_IDLE = {"mode": frozenset(["idle", "iowait", "steal", "guest", "guest_nice"])}
_WHOLE_POD = {"container": frozenset(["POD"])}

SUMS: dict[str, tuple[Group, ...]] = {
    "cpu_cores": (
        _rates("node_cpu_seconds_total", never=_IDLE),
        _rates("namedprocess_namegroup_cpu_seconds_total"),
        _rates("libvirt_domain_info_cpu_time_seconds_total"),
        _rates("libvirt_domain_vcpu_time_seconds_total"),
        _rates("container_cpu_usage_seconds_total", never=_WHOLE_POD),
        _rates("process_cpu_seconds_total"),
    ),
    "memory_used_bytes": (
        Group((_last("node_memory_MemTotal_bytes"), _last("node_memory_MemAvailable_bytes", -1.0)), needs_all=True),
        Group((_last("namedprocess_namegroup_memory_bytes", memtype="proportionalResident"),)),
        Group((_last("namedprocess_namegroup_memory_bytes", memtype="resident"),)),
        Group((_last("libvirt_domain_memory_stats_rss_bytes"),)),
        Group((_last("libvirt_domain_info_memory_usage_bytes"),)),
        Group((Source("container_memory_working_set_bytes", "last", never=_WHOLE_POD),)),
        Group((_last("process_resident_memory_bytes"),)),
    ),
    "memory_total_bytes": (
        Group((_last("node_memory_MemTotal_bytes"),)),
        Group((_last("libvirt_domain_info_maximum_memory_bytes"),)),
        Group((_last("container_spec_memory_limit_bytes"),)),
    ),
    "disk_io_bytes_per_second": (
        _rates("node_disk_read_bytes_total", "node_disk_written_bytes_total", never=_VIRTUAL_DISKS),
        _rates("namedprocess_namegroup_read_bytes_total", "namedprocess_namegroup_write_bytes_total"),
        _rates("libvirt_domain_block_stats_read_bytes_total", "libvirt_domain_block_stats_write_bytes_total"),
        _rates("container_fs_reads_bytes_total", "container_fs_writes_bytes_total"),
    ),
    "network_io_bytes_per_second": (
        _rates("node_network_receive_bytes_total", "node_network_transmit_bytes_total", never=_LOOPBACK),
        _rates(
            "libvirt_domain_interface_stats_receive_bytes_total", "libvirt_domain_interface_stats_transmit_bytes_total"
        ),
        _rates("container_network_receive_bytes_total", "container_network_transmit_bytes_total", never=_LOOPBACK),
        _rates("process_network_receive_bytes_total", "process_network_transmit_bytes_total"),
    ),
    "requests_per_second": (
        Group((Source("openstack_api_requests", "per_second"),)),
        _rates("http_requests_total"),
        _rates("http_server_request_duration_seconds_count"),
        _rates("http_request_duration_seconds_count"),
    ),
}  # fmt: skip

_FAILED = {"code": frozenset(map(str, range(500, 600)))}
_FAILED_STATUS = {"status": frozenset([*map(str, range(500, 600)), "5xx"])}
_FAILED_OTEL = {"http_response_status_code": frozenset(map(str, range(500, 600)))}
#: Failed requests beside all requests: (failed, all).
ERRORS: tuple[tuple[Group, Group], ...] = (
    (
        Group((Source("openstack_api_errors", "per_second"),)),
        Group((Source("openstack_api_requests", "per_second"),)),
    ),
    (
        Group((Source("http_requests_total", only=_FAILED), Source("http_requests_total", only=_FAILED_STATUS))),
        _rates("http_requests_total"),
    ),
    (
        Group((Source("http_server_request_duration_seconds_count", only=_FAILED_OTEL),)),
        _rates("http_server_request_duration_seconds_count"),
    ),
)
#: Seconds spent beside requests served, both counters: (seconds, requests).
LATENCY_COUNTERS: tuple[tuple[Group, Group], ...] = tuple(
    (_rates(f"{name}_sum"), _rates(f"{name}_count"))
    for name in (
        "http_server_request_duration_seconds", "http_request_duration_seconds", "grpc_server_handling_seconds",
    )
)  # fmt: skip
#: A mean per scrape, weighted by its requests per scrape: (mean, requests).
LATENCY_MEANS: tuple[tuple[str, str], ...] = (("openstack_api_latency_seconds_mean", "openstack_api_requests"),)
#: Seconds that a device was busy; the busiest one counts.
BUSY = Source("node_disk_io_time_seconds_total", never=_VIRTUAL_DISKS)
#: One series a processor and mode; the host's processors are those with this mode.
PROCESSORS = Source("node_cpu_seconds_total", "last", only={"mode": frozenset(["idle"])})


def all_groups() -> dict[str, tuple[Group, ...]]:
    """Feature to the groups that feed it, for the page and for `is_wanted`."""
    groups = {name: groups for name, groups in SUMS.items() if name != "memory_total_bytes"}
    means = [Group((Source(mean, "last"), Source(count, "last"))) for mean, count in LATENCY_MEANS]
    return groups | {
        "memory_used_ratio": SUMS["memory_total_bytes"],
        "cpu_used_ratio": (Group((PROCESSORS,)),),
        "disk_busy_ratio": (Group((BUSY,)),),
        "latency_seconds": (*means, *(group for pair in LATENCY_COUNTERS for group in pair)),
        "error_ratio": tuple(group for pair in ERRORS for group in pair),
    }


def _wanted_metrics() -> frozenset[str]:
    groups = (group for listed in all_groups().values() for group in listed)
    return frozenset(source.metric for group in groups for source in group.sources)


#: What `metrics.core` reads, and what any feature does.
CORE_METRICS = _wanted_metrics()
WANTED_METRICS = CORE_METRICS.union(*(signal.metrics for signal in NODE_SIGNALS))


@lru_cache(maxsize=200_000)
def is_core(series: str) -> bool:
    """Whether `metrics.core` uses a series."""
    return parse_series(series).metric in CORE_METRICS


@lru_cache(maxsize=200_000)
def is_wanted(series: str) -> bool:
    """Whether any feature uses a series. An unknown metric is nobody's and costs no memory.

    >>> is_wanted('node_cpu_seconds_total{cpu="0",mode="idle"}'), is_wanted("my_own_metric")
    (True, False)
    """
    return parse_series(series).metric in WANTED_METRICS
