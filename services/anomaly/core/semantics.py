"""What each metric means: which way is bad, what is too little to matter, and how to say it.

A signal is what is judged: some series of an entity made into one value a scrape. `SIGNALS` is the whole knowledge; a
metric that it does not name becomes a signal of its own by `unknown`. The numbers are operators' rules of thumb for
what deserves a person's attention, not fitted to any recording.
"""

from dataclasses import dataclass
from typing import Literal

#: How a series' samples become a value: as they are, growth per second, growth since the scrape before.
How = Literal["value", "rate", "increase"]
Direction = Literal["high", "low", "both"]
#: `alerts` may raise an alert; `leads` only by what the entity's signals say together; `joins` is learnt, and shown in
#: the alerts of its entity.
Role = Literal["alerts", "leads", "joins"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """One kind of signal.

    Attributes:
        signal: its name; `|` and the values of the labels `by` follow it.
        metric: the series it is made of.
        rule: of the alert that it raises.
        words: what it is, for a sentence.
        how: how a sample becomes a value.
        over: a metric to divide by, sums first; empty for none.
        by: labels whose values make signals of their own; series that differ in other labels are added up.
        only, without: label values that count, and that do not.
        direction: which way is bad.
        min_change: the least difference from the median that matters, in the signal's unit.
        min_factor: how many times the median a value must be to matter; 1 for any.
        hits, of: it must lie outside in so many of the last so many scrapes.
        vanishing_is_zero: a series that is no longer sent while its scrape goes on counts as 0.
        unit: `ratio` is shown as per cent, `bytes` in binary units, `s` as seconds, else as a word behind the number.
    """

    signal: str
    metric: str
    rule: str
    words: str
    how: How = "value"
    over: str = ""
    by: tuple[str, ...] = ()
    only: tuple[tuple[str, frozenset[str]], ...] = ()
    without: tuple[tuple[str, frozenset[str]], ...] = ()
    direction: Direction = "high"
    min_change: float = 0.0
    min_factor: float = 1.0
    hits: int = 2
    of: int = 3
    vanishing_is_zero: bool = False
    unit: str = ""
    role: Role = "alerts"


def _only(label: str, *values: str) -> tuple[tuple[str, frozenset[str]], ...]:
    return ((label, frozenset(values)),)


_NO_WORK = _only("mode", "idle", "iowait", "steal", "guest", "guest_nice")
_NO_REAL_DISK = _only("fstype", "tmpfs", "ramfs", "squashfs", "overlay", "iso9660")
_GROUP = ("groupname",)
_MIB = 2.0**20

_HOST = (
    Meaning("cpu_pressure", "node_pressure_cpu_waiting_seconds_total", "resource_pressure",
            "time in which work waited for a processor", "rate", min_change=0.15, unit="ratio"),
    Meaning("io_pressure", "node_pressure_io_waiting_seconds_total", "resource_pressure",
            "time in which work waited for a disk", "rate", min_change=0.10, unit="ratio"),
    Meaning("memory_pressure", "node_pressure_memory_waiting_seconds_total", "resource_pressure",
            "time in which work waited for memory", "rate", min_change=0.05, unit="ratio"),
    Meaning("memory_available", "node_memory_MemAvailable_bytes", "resource_pressure", "memory available",
            over="node_memory_MemTotal_bytes", direction="low", min_change=0.05, unit="ratio"),
    Meaning("disk_busy", "node_disk_io_time_seconds_total", "resource_pressure", "time in which the disk was busy",
            "rate", by=("device",), min_change=0.25, unit="ratio"),
    Meaning("cpu_busy", "node_cpu_seconds_total", "resource_pressure", "processors at work", "rate",
            without=_NO_WORK, min_change=0.5, min_factor=1.5, unit="processors"),
    Meaning("cpu_steal", "node_cpu_seconds_total", "resource_pressure", "processors taken by the hypervisor", "rate",
            only=_only("mode", "steal"), min_change=0.2, unit="processors"),
    Meaning("blocked", "node_procs_blocked", "resource_pressure", "processes blocked by a disk", min_change=3,
            unit="processes"),
    Meaning("disk_free", "node_filesystem_avail_bytes", "resource_pressure", "free space of the file system",
            by=("mountpoint",), without=_NO_REAL_DISK, direction="low", min_factor=0.75, unit="bytes"),
    Meaning("major_faults", "node_vmstat_pgmajfault", "resource_pressure", "pages fetched back from disk", "rate",
            min_change=50, min_factor=2, unit="a second"),
    Meaning("oom_kills", "node_vmstat_oom_kill", "resource_pressure", "processes killed for want of memory",
            "increase", min_change=0.5, hits=1, of=1, unit="processes"),
    Meaning("receive_errors", "node_network_receive_errs_total", "network_errors", "received packets with errors",
            "rate", by=("device",), min_change=1, min_factor=2, unit="a second"),
    Meaning("transmit_errors", "node_network_transmit_errs_total", "network_errors", "sent packets with errors",
            "rate", by=("device",), min_change=1, min_factor=2, unit="a second"),
    Meaning("receive_drops", "node_network_receive_drop_total", "network_errors", "received packets dropped", "rate",
            by=("device",), min_change=10, min_factor=2, unit="a second"),
    Meaning("transmit_drops", "node_network_transmit_drop_total", "network_errors", "packets dropped in sending",
            "rate", by=("device",), min_change=10, min_factor=2, unit="a second"),
    Meaning("retransmits", "node_netstat_Tcp_RetransSegs", "network_errors", "segments sent again", "rate",
            min_change=20, min_factor=2, unit="a second"),
)  # fmt: skip

_PROCESSES = (
    Meaning("processes", "namedprocess_namegroup_num_procs", "processes_lost", "processes", by=_GROUP,
            direction="low", min_change=0.5, vanishing_is_zero=True, unit="processes"),
    Meaning("process_cpu", "namedprocess_namegroup_cpu_seconds_total", "resource_usage", "processors used", "rate",
            by=_GROUP, min_change=0.5, min_factor=2, hits=4, of=5, unit="processors"),
    Meaning("process_memory", "namedprocess_namegroup_memory_bytes", "resource_usage", "resident memory", by=_GROUP,
            only=_only("memtype", "resident"), min_change=128 * _MIB, min_factor=1.5, hits=4, of=5, unit="bytes"),
    Meaning("process_files", "namedprocess_namegroup_open_filedesc", "resource_usage", "open files", by=_GROUP,
            min_change=200, min_factor=2, hits=4, of=5, unit="files"),
    Meaning("process_threads", "namedprocess_namegroup_num_threads", "resource_usage", "threads", by=_GROUP,
            min_change=100, min_factor=2, hits=4, of=5, unit="threads"),
    Meaning("zombies", "namedprocess_namegroup_states", "resource_usage", "dead processes that nobody collects",
            by=_GROUP, only=_only("state", "Zombie"), min_change=5, hits=4, of=5, unit="processes"),
)  # fmt: skip

_API = (
    Meaning("latency", "openstack_api_latency_seconds_mean", "latency", "mean time of an answer", min_change=0.25,
            min_factor=2, unit="s"),
    Meaning("latency_p95", "openstack_api_latency_seconds_p95", "latency", "time of the slowest answers",
            min_change=0.5, min_factor=2, unit="s", role="joins"),
    Meaning("errors", "openstack_api_errors", "errors", "failed requests a scrape", min_change=1.5, min_factor=2,
            unit="requests"),
    Meaning("rejected", "openstack_api_rejected", "errors", "refused requests a scrape", min_change=4, min_factor=3,
            unit="requests"),
    Meaning("requests", "openstack_api_requests", "traffic", "requests a scrape", direction="both", unit="requests",
            role="joins"),
)  # fmt: skip

SIGNALS: tuple[Meaning, ...] = (*_HOST, *_PROCESSES, *_API)


def unknown(metric: str, how: How, role: Role) -> Meaning:
    """A metric that nobody has described: both ways are news, and it takes more to believe it."""
    words = f"{metric} a second" if how == "rate" else metric
    return Meaning(metric, metric, "out_of_range", words, how, direction="both", hits=4, of=5, role=role)


def shown(value: float, unit: str) -> str:
    """A value for a sentence.

    >>> shown(0.61, "ratio"), shown(3 * 2**30, "bytes"), shown(0.0213, "s"), shown(2, "processes")
    ('61 %', '3.0 GiB', '0.021 s', '2 processes')
    """
    if unit == "ratio":
        return f"{100 * value:.3g} %"
    if unit == "bytes":
        return _shown_bytes(value)
    if unit == "s":
        return f"{value:.2g} s"
    return f"{value:.4g} {unit}".strip()


def _shown_bytes(value: float) -> str:
    for word in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1024:
            return f"{value:.1f} {word}"
        value /= 1024
    return f"{value:.1f} TiB"


#: What a person does first, by rule.
ADVICE = {
    "resource_pressure": "Look which process uses it (top, iotop, pidstat) and whether it belongs there.",
    "network_errors": "Look at the interface's counters and its switch port.",
    "processes_lost": "Look at the unit's state and journal, and start it again.",
    "resource_usage": "Look what the process does; a restart gives the resource back for a while.",
    "latency": "Look whether its host, its database or a service that it calls is slow.",
    "errors": "Read its log of this time.",
    "unusual_together": "Look at the signals named, the largest part first, and what changed at that time.",
    "out_of_range": "Look what changed; describe the metric in core/semantics.py if it matters often.",
    "cardinality": "Look which label takes ever new values, and drop it at the exporter; or raise "
    "MOSELLE_ANOMALY_MAX_SIGNALS.",
    "no_room": "Raise MOSELLE_ANOMALY_MAX_ENTITIES, give the topic more partitions, or look why so many come and go.",
    "held_back": "The worst of them stand in the label held_back_worst; raise MOSELLE_ANOMALY_ALERTS_PER_DAY to see "
    "more.",
    "scrape_stopped": "Look whether the exporter and the collector run.",
}
