"""What exporters say of a node, as signals that features computes and placement weighs: one line a signal.

A signal is a number of a node: a few series of an exporter, how each becomes a number (its newest value, or a counter's
rate), and how those come together. Signals of workloads (pods, instances) are added up over a node's own. How good a
value is falls or rises evenly from `best` to `worst`.
"""

from collections.abc import Mapping

from services.common.signal_forms import Formula, NodeSignal, Over, Pick


def _labels(given: Mapping[str, str | tuple[str, ...]]) -> dict[str, frozenset[str]]:
    return {name: frozenset([value] if isinstance(value, str) else value) for name, value in given.items()}


def _last(metric: str, over: Over = "sum", factor: float = 1.0, **only: str | tuple[str, ...]) -> Pick:
    return Pick(metric, "last", over, _labels(only), factor=factor)


def _rate(metric: str, over: Over = "sum", factor: float = 1.0, **only: str | tuple[str, ...]) -> Pick:
    return Pick(metric, "rate", over, _labels(only), factor=factor)


def _of(*parts: Pick, by: Pick | tuple[Pick, ...] = ()) -> tuple[Formula, ...]:
    return (Formula(parts, (by,) if isinstance(by, Pick) else by),)


#: A host's processors: one idle counter each.
_PROCESSORS = _last("node_cpu_seconds_total", "count", mode="idle")
_BUSY = Pick(
    "node_cpu_seconds_total", "rate", never=_labels({"mode": ("idle", "iowait", "steal", "guest", "guest_nice")})
)
_NO_DISKS = _labels({"fstype": ("tmpfs", "ramfs", "devtmpfs", "overlay", "squashfs", "iso9660", "erofs", "rootfs")})
_LOOPBACK = _labels({"device": "lo"})
_INLETS = ("Inlet Temp", "Inlet_Temp", "Inlet Ambient", "01-Inlet Ambient", "Ambient Temp", "FrontPanel Temp")
_POD = _labels({"container": ("", "POD")})
_GIB = 2.0**30
_HOUR = 3600.0

_NE, _KSM, _CADVISOR, _LIBVIRT = "node_exporter", "kube-state-metrics", "cAdvisor", "libvirt-exporter"
_DCGM, _IPMI, _KUBELET = "DCGM exporter", "ipmi_exporter", "kubelet"


def _mode(mode: str) -> tuple[Formula, ...]:
    """Share of the processors' time in a mode."""
    return _of(_rate("node_cpu_seconds_total", mode=mode), by=_PROCESSORS)


def _nic(direction: str) -> tuple[Formula, ...]:
    """Of the busiest network device with a known speed."""
    return _of(
        Pick(f"node_network_{direction}_bytes_total", "rate", "max", never=_LOOPBACK, beside="node_network_speed_bytes")
    )


def _both(what: str) -> tuple[Formula, ...]:
    """Received and sent, loopback left out."""
    return _of(*(Pick(f"node_network_{way}_{what}_total", "rate", never=_LOOPBACK) for way in ("receive", "transmit")))


def _allocatable(resource: str) -> tuple[Formula, ...]:
    return _of(_last("kube_node_status_allocatable", resource=resource))


def _asked(what: str, resource: str) -> tuple[Formula, ...]:
    return _of(_last(f"kube_pod_container_resource_{what}", resource=resource))


def _mean_time(name: str) -> tuple[Formula, ...]:
    return _of(_rate(f"{name}_sum"), by=_rate(f"{name}_count"))


#: name, group, unit, objective, exporter, meaning, formulas, best, worst, then what differs from the defaults.
NODE_SIGNALS: tuple[NodeSignal, ...] = (
    # A. Read by constraints only.
    NodeSignal("node_ready", "A", "0 or 1", "reliability", _KSM, "the node's condition Ready is true",
               _of(_last("kube_node_status_condition", condition="Ready", status="true")), 1, 0, 0),
    NodeSignal("node_unschedulable", "A", "0 or 1", "reliability", _KSM, "the node is cordoned",
               _of(_last("kube_node_spec_unschedulable")), 0, 1, 0),
    NodeSignal("cpu_allocatable", "A", "cores", "efficiency", _KSM, "cores that pods may have",
               _allocatable("cpu"), 64, 0, 0),
    NodeSignal("memory_allocatable", "A", "bytes", "efficiency", _KSM, "memory that pods may have",
               _allocatable("memory"), 256 * _GIB, 0, 0),
    NodeSignal("pods_allocatable", "A", "pods", "efficiency", _KSM, "pods that it may have",
               _allocatable("pods"), 110, 0, 0),
    NodeSignal("pods_running", "A", "pods", "efficiency", _KSM, "pods bound to it",
               _of(_last("kube_pod_info")), 0, 110, 0, of="workloads"),
    NodeSignal("cpu_requested", "A", "cores", "efficiency", _KSM, "cores that its pods ask for",
               _asked("requests", "cpu"), 0, 64, 0, of="workloads"),
    NodeSignal("memory_requested", "A", "bytes", "efficiency", _KSM, "memory that its pods ask for",
               _asked("requests", "memory"), 0, 256 * _GIB, 0, of="workloads"),
    NodeSignal("gpus_allocatable", "A", "devices", "efficiency", _KSM, "accelerators that pods may have",
               _allocatable("nvidia_com_gpu"), 8, 0, 0),
    NodeSignal("gpus_requested", "A", "devices", "efficiency", _KSM, "accelerators that its pods ask for",
               _asked("requests", "nvidia_com_gpu"), 0, 8, 0, of="workloads"),
    NodeSignal("disk_available", "A", "bytes", "efficiency", _NE, "free on the largest file system",
               _of(Pick("node_filesystem_avail_bytes", "last", "max", never=_NO_DISKS)), 1e12, 0, 0),
    NodeSignal("hugepages_free", "A", "pages", "efficiency", _NE, "huge pages of the default size that are free",
               _of(_last("node_memory_HugePages_Free"), _last("node_memory_HugePages_Rsvd", factor=-1.0)), 1024, 0, 0),
    NodeSignal("hugepage_size", "A", "bytes", "efficiency", _NE, "the default size of huge pages",
               _of(_last("node_memory_Hugepagesize_bytes")), 1, 0, 0),
    NodeSignal("nic_free_bandwidth", "A", "Mbit/s", "performance", _NE, "what the fastest device still could send",
               _of(Pick("node_network_transmit_bytes_total", "rate", "max", never=_LOOPBACK,
                        beside="node_network_speed_bytes", less=True, factor=8e-6)), 10_000, 0, 0),
    # B. Performance: compute and contention.
    NodeSignal("cpu_util_variation", "B", "ratio", "performance", _NE, "spread of the processors' load",
               _of(_BUSY, by=_PROCESSORS), 0, 0.5, 2, recent="std"),
    NodeSignal("cpu_pressure_some", "B", "ratio", "performance", _NE, "time that some task waits for a processor",
               _of(_rate("node_pressure_cpu_waiting_seconds_total")), 0, 1, 5),
    NodeSignal("memory_pressure_full", "B", "ratio", "performance", _NE, "time that all tasks wait for memory",
               _of(_rate("node_pressure_memory_stalled_seconds_total")), 0, 0.5, 4),
    NodeSignal("io_pressure_full", "B", "ratio", "performance", _NE, "time that all tasks wait for disks",
               _of(_rate("node_pressure_io_stalled_seconds_total")), 0, 1, 4),
    NodeSignal("cpu_throttling_ratio", "B", "ratio", "performance", _CADVISOR, "periods in which containers were held",
               _of(_rate("container_cpu_cfs_throttled_periods_total"), by=_rate("container_cpu_cfs_periods_total")),
               0, 1, 2, of="workloads", over="mean"),
    NodeSignal("cpu_steal", "B", "ratio", "performance", _NE, "processor time that the hypervisor took",
               _mode("steal"), 0, 0.5, 5),
    NodeSignal("vm_vcpu_delay", "B", "cores", "performance", _LIBVIRT, "guests' processors that wait for the host's",
               _of(_rate("libvirt_domain_vcpu_delay_seconds_total")), 0, 8, 4, of="workloads"),
    NodeSignal("vm_vcpu_wait", "B", "cores", "performance", _LIBVIRT, "guests' processors that wait for I/O",
               _of(_rate("libvirt_domain_vcpu_wait_seconds_total")), 0, 32, 1, of="workloads"),
    NodeSignal("load1_per_core", "B", "tasks", "performance", _NE, "load average of a minute, a processor",
               _of(_last("node_load1"), by=_PROCESSORS), 0, 2, 3),
    NodeSignal("run_queue", "B", "tasks", "performance", _NE, "tasks that run or want to, a processor",
               _of(_last("node_procs_running"), by=_PROCESSORS), 0, 4, 2),
    NodeSignal("context_switch_rate", "B", "1/s", "performance", _NE, "context switches a processor",
               _of(_rate("node_context_switches_total"), by=_PROCESSORS), 0, 50_000, 1),
    NodeSignal("interrupt_rate", "B", "1/s", "performance", _NE, "interrupts a processor",
               _of(_rate("node_intr_total"), by=_PROCESSORS), 0, 50_000, 1),
    NodeSignal("softirq_time", "B", "ratio", "performance", _NE, "processor time in soft interrupts",
               _mode("softirq"), 0, 0.3, 1),
    NodeSignal("core_frequency", "B", "GHz", "performance", _NE, "frequency at which the cores run, their mean",
               _of(_last("node_cpu_scaling_frequency_hertz", "mean", 1e-9)), 4, 1, 2),
    NodeSignal("core_thermal_throttles", "B", "1/h", "performance", _NE, "times that heat slowed a core",
               _of(_rate("node_cpu_core_throttles_total", factor=_HOUR)), 0, 600, 3, recent="max"),
    NodeSignal("llc_miss_rate", "B", "ratio", "performance", _NE, "accesses that the last cache did not have",
               _of(_rate("node_perf_cache_misses_total"), by=_rate("node_perf_cache_refs_total")), 0, 0.5, 1),
    NodeSignal("ipc", "B", "instructions", "performance", _NE, "instructions a cycle",
               _of(_rate("node_perf_instructions_total"), by=_rate("node_perf_cpucycles_total")), 2, 0, 1),
    NodeSignal("memory_bandwidth_util", "B", "bytes/s", "performance", _CADVISOR, "what containers read and write",
               _of(_rate("container_memory_bandwidth_bytes")), 0, 100e9, 2, of="workloads"),
    NodeSignal("llc_occupancy", "B", "bytes", "performance", _CADVISOR, "last cache that containers hold",
               _of(_last("container_llc_occupancy_bytes")), 0, 64 * 2.0**20, 1, of="workloads"),
    NodeSignal("numa_remote_access", "B", "ratio", "performance", _NE, "pages taken from another NUMA node",
               _of(_rate("node_memory_numa_numa_miss_total"), by=(
                   _rate("node_memory_numa_numa_miss_total"), _rate("node_memory_numa_numa_hit_total"))), 0, 0.5, 1),
    NodeSignal("hardware_speed_class", "B", "GHz", "performance", _NE, "highest frequency of the cores, their mean",
               _of(_last("node_cpu_frequency_max_hertz", "mean", 1e-9)), 5, 1.5, 5),
    NodeSignal("gpu_util", "B", "ratio", "performance", _DCGM, "how busy the accelerators are",
               _of(_last("DCGM_FI_DEV_GPU_UTIL", "mean", 0.01)), 0, 1, 3, of="workloads", over="mean"),
    NodeSignal("gpu_mem_free", "B", "ratio", "performance", _DCGM, "accelerator memory that is free",
               _of(_last("DCGM_FI_DEV_FB_FREE"), by=(_last("DCGM_FI_DEV_FB_FREE"), _last("DCGM_FI_DEV_FB_USED"))),
               1, 0, 2, of="workloads", over="mean"),
    # C. Resource efficiency.
    NodeSignal("cpu_allocated_fraction", "C", "ratio", "efficiency", _KSM, "cores asked for by cores there are",
               _asked("requests", "cpu"), 0, 1, 3, of="workloads", per="cpu_allocatable"),
    NodeSignal("memory_allocated_fraction", "C", "ratio", "efficiency", _KSM, "memory asked for by memory there is",
               _asked("requests", "memory"), 0, 1, 3, of="workloads", per="memory_allocatable"),
    NodeSignal("overcommit_ratio_cpu", "C", "ratio", "efficiency", _KSM, "cores up to limits by cores there are",
               _asked("limits", "cpu"), 0, 4, 1, of="workloads", per="cpu_allocatable"),
    NodeSignal("overcommit_ratio_mem", "C", "ratio", "efficiency", _KSM, "memory up to limits by memory there is",
               _asked("limits", "memory"), 0, 2, 2, of="workloads", per="memory_allocatable"),
    NodeSignal("memory_working_set", "C", "bytes", "efficiency", _CADVISOR, "memory that containers cannot give back",
               _of(Pick("container_memory_working_set_bytes", never=_POD)), 0, 256 * _GIB, 1, of="workloads"),
    NodeSignal("swap_activity", "C", "pages/s", "efficiency", _NE, "pages swapped in and out",
               _of(_rate("node_vmstat_pswpin"), _rate("node_vmstat_pswpout")), 0, 1000, 3),
    NodeSignal("oom_history", "C", "1/h", "efficiency", _NE, "processes killed for memory",
               _of(_rate("node_vmstat_oom_kill", factor=_HOUR)), 0, 360, 4, recent="max"),
    NodeSignal("major_faults", "C", "1/s", "efficiency", _NE, "pages that had to be read from disk",
               _of(_rate("node_vmstat_pgmajfault")), 0, 1000, 2),
    NodeSignal("disk_space_free", "C", "ratio", "efficiency", _NE, "free on the fullest file system",
               _of(Pick("node_filesystem_avail_bytes", "last", "min", never=_NO_DISKS,
                        beside="node_filesystem_size_bytes")), 0.5, 0, 3),
    NodeSignal("disk_latency", "C", "seconds", "performance", _NE, "time of a read, of the slowest disk",
               _of(Pick("node_disk_read_time_seconds_total", "rate", "max",
                        beside="node_disk_reads_completed_total", beside_how="rate")), 0, 0.1, 3),
    NodeSignal("disk_write_latency", "C", "seconds", "performance", _NE, "time of a write, of the slowest disk",
               _of(Pick("node_disk_write_time_seconds_total", "rate", "max",
                        beside="node_disk_writes_completed_total", beside_how="rate")), 0, 0.1, 2),
    NodeSignal("inode_free", "C", "ratio", "efficiency", _NE, "inodes free on the fullest file system",
               _of(Pick("node_filesystem_files_free", "last", "min", never=_NO_DISKS,
                        beside="node_filesystem_files")), 0.5, 0, 1),
    NodeSignal("vm_balloon_usable", "C", "bytes", "efficiency", _LIBVIRT, "memory that guests could give back",
               _of(_last("libvirt_domain_memory_stats_usable_bytes")), 64 * _GIB, 0, 1, of="workloads"),
    # D. Power and energy.
    NodeSignal("node_power_now", "D", "watts", "power", f"{_IPMI}, {_NE}", "what the node draws",
               (*_of(_last("ipmi_dcmi_power_consumption_watts")), *_of(_last("ipmi_power_watts", "max")),
                *_of(_last("node_hwmon_power_average_watt")), *_of(_last("node_power_supply_power_watt"))),
               0, 1500, 4),
    NodeSignal("rapl_package_power", "D", "watts", "power", _NE, "what the processors draw",
               _of(_rate("node_rapl_package_joules_total")), 0, 800, 3),
    NodeSignal("rapl_dram_power", "D", "watts", "power", _NE, "what the memory draws",
               _of(_rate("node_rapl_dram_joules_total")), 0, 150, 1),
    NodeSignal("pod_power", "D", "watts", "power", "kepler", "what the containers draw",
               _of(_rate("kepler_container_joules_total")), 0, 1000, 2, of="workloads"),
    NodeSignal("gpu_power", "D", "watts", "power", _DCGM, "what the accelerators draw",
               _of(_last("DCGM_FI_DEV_POWER_USAGE")), 0, 5600, 3, of="workloads"),
    NodeSignal("inlet_temperature", "D", "celsius", "power", _IPMI, "temperature of the air that comes in",
               _of(_last("ipmi_temperature_celsius", "max", name=_INLETS)), 18, 40, 2),
    NodeSignal("temperature_headroom", "D", "celsius", "power", _NE, "least distance of a sensor from its maximum",
               _of(Pick("node_hwmon_temp_celsius", "last", "min", beside="node_hwmon_temp_max_celsius", less=True)),
               50, 0, 3),
    NodeSignal("fan_speed", "D", "1/min", "power", f"{_IPMI}, {_NE}", "turns of the fans, their mean",
               (*_of(_last("ipmi_fan_speed_rpm", "mean")), *_of(_last("node_hwmon_fan_rpm", "mean"))),
               2000, 18_000, 1),
    NodeSignal("power_cap_active", "D", "ratio", "power", _NE, "highest frequency allowed by highest there is",
               _of(Pick("node_cpu_scaling_frequency_max_hertz", "last", "min",
                        beside="node_cpu_frequency_max_hertz")), 1, 0.4, 2),
    # E. Network and topology.
    NodeSignal("nic_rx_util", "E", "ratio", "performance", _NE, "of the busiest device, receiving",
               _nic("receive"), 0, 1, 4),
    NodeSignal("nic_tx_util", "E", "ratio", "performance", _NE, "of the busiest device, sending",
               _nic("transmit"), 0, 1, 4),
    NodeSignal("nic_drops", "E", "1/s", "performance", _NE, "packets dropped", _both("drop"), 0, 1000, 3),
    NodeSignal("nic_errors", "E", "1/s", "reliability", _NE, "packets with errors", _both("errs"), 0, 100, 4),
    NodeSignal("tcp_retransmits", "E", "ratio", "performance", _NE, "segments sent again",
               _of(_rate("node_netstat_Tcp_RetransSegs"), by=_rate("node_netstat_Tcp_OutSegs")), 0, 0.1, 4),
    NodeSignal("conntrack_fill", "E", "ratio", "reliability", _NE, "connections tracked by those that can be",
               _of(_last("node_nf_conntrack_entries"), by=_last("node_nf_conntrack_entries_limit")), 0, 1, 3),
    NodeSignal("vm_net_rx", "E", "bytes/s", "performance", _LIBVIRT, "what guests receive",
               _of(_rate("libvirt_domain_interface_stats_receive_bytes_total")), 0, 1.25e9, 1, of="workloads"),
    NodeSignal("vm_net_drops", "E", "1/s", "performance", _LIBVIRT, "packets that guests lose",
               _of(_rate("libvirt_domain_interface_stats_receive_drops_total")), 0, 1000, 2, of="workloads"),
    NodeSignal("link_redundancy", "E", "links", "reliability", _NE, "active links of the bond that has fewest",
               _of(_last("node_bonding_active", "min")), 2, 0, 2),
    # F. Reliability, anomaly and operations.
    NodeSignal("ecc_correctable", "F", "1/h", "reliability", _NE, "memory errors that were corrected",
               _of(_rate("node_edac_correctable_errors_total", factor=_HOUR)), 0, 360, 3, recent="max"),
    NodeSignal("ecc_uncorrectable", "F", "errors", "reliability", _NE, "memory errors since the start, not corrected",
               _of(_last("node_edac_uncorrectable_errors_total")), 0, 1, 6),
    NodeSignal("disk_smart", "F", "ratio", "reliability", "smartmon textfile", "disks that say they are healthy",
               _of(_last("smartmon_device_smart_healthy", "mean")), 1, 0.5, 5),
    NodeSignal("raid_failed_disks", "F", "disks", "reliability", _NE, "failed disks of software RAIDs",
               _of(_last("node_md_disks", state="failed")), 0, 1, 4),
    NodeSignal("mce_kernel_errors", "F", "1/h", "reliability", "node-problem-detector", "problems that the kernel told",
               _of(_rate("problem_counter", factor=_HOUR)), 0, 360, 4, recent="max"),
    NodeSignal("clock_skew", "F", "seconds", "reliability", _NE, "distance of its clock from the true time",
               _of(_last("node_timex_offset_seconds", "extreme")), 0, 0.1, 2),
    NodeSignal("uptime", "F", "hours", "reliability", _NE, "since the node was started",
               _of(_last("node_time_seconds", factor=1 / _HOUR), _last("node_boot_time_seconds", factor=-1 / _HOUR)),
               24, 0, 2),
    NodeSignal("restart_rate", "F", "1/h", "reliability", _KSM, "restarts of its containers",
               _of(_rate("kube_pod_container_status_restarts_total", factor=_HOUR)), 0, 360, 3,
               recent="max", of="workloads"),
    NodeSignal("kubelet_start_latency", "F", "seconds", "reliability", _KUBELET, "time to start a pod",
               _mean_time("kubelet_pod_start_duration_seconds"), 0, 30, 2, recent="mean"),
    NodeSignal("kubelet_pleg", "F", "seconds", "reliability", _KUBELET, "time to list the containers",
               _mean_time("kubelet_pleg_relist_duration_seconds"), 0, 1, 3, recent="mean"),
)  # fmt: skip
OF_NODE = tuple(signal for signal in NODE_SIGNALS if signal.of == "node")
OF_WORKLOADS = tuple(signal for signal in NODE_SIGNALS if signal.of == "workloads")
