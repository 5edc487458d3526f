"""What placement counts. Each with its meaning; all since the process began."""

from prometheus_client import Counter, Gauge, Histogram

DECISIONS = Counter("moselle_placement_decisions_total", "Decisions made by this replica.", ["mode", "result"])
DECIDE_SECONDS = Histogram(
    "moselle_placement_decide_seconds",
    "Making one decision in memory: mask, scores, reasons; seconds.",
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05),
)
PUBLISH_SECONDS = Histogram(
    "moselle_placement_publish_seconds",
    "From handing decisions over until Kafka had them, seconds.",
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
REPEATED = Counter("moselle_placement_repeated_requests_total", "Requests answered with the decision made before.")
REFUSED = Counter("moselle_placement_refused_requests_total", "Requests that got an error.", ["code"])
OUTCOMES = Counter("moselle_placement_outcomes_total", "What orchestrators said became of decisions.", ["outcome"])
STILL_FEASIBLE = Counter(
    "moselle_placement_confirms_total", "Confirms by whether every constraint still held.", ["is_still_feasible"]
)
EXPIRED = Counter("moselle_placement_expired_reservations_total", "Reservations that nobody confirmed or released.")
CONFLICTS = Counter(
    "moselle_placement_conflicts_total",
    "Decisions of ours that another replica's decision for the same request preceded in the log.",
)
UNREADABLE = Counter("moselle_placement_unreadable_records_total", "Records that could not be read.", ["topic"])
NODES = Gauge("moselle_placement_nodes", "Nodes in the matrix.")
RESERVATIONS = Gauge("moselle_placement_in_flight_workloads", "Workloads whose load does not show yet.")
TROUBLED = Gauge("moselle_placement_troubled_nodes", "Nodes that some alert concerns.")
WATCHERS = Gauge("moselle_placement_watchers", "Open streams of WatchDecisions.")
FACADE_REQUESTS = Counter(
    "moselle_placement_facade_requests_total", "Requests of the HTTP facade by their status.", ["path", "status"]
)
FACADE_SECONDS = Histogram(
    "moselle_placement_facade_request_seconds",
    "From a facade request's whole body to its answer, seconds.",
    ["path"],
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05),
)
EXTENDER_SECONDS = Histogram(
    "moselle_placement_extender_seconds",
    "Answering one question of a Kubernetes scheduler, without HTTP; seconds.",
    ["verb"],
    buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1),
)
EXTENDER_NEUTRAL = Counter(
    "moselle_placement_extender_neutral_total",
    "Questions of a scheduler answered with all nodes passing and equal marks: stale, late, circuit_open, unreadable,"
    " error.",
    ["verb", "reason"],
)
EXTENDER_ALL_REFUSED = Counter(
    "moselle_placement_extender_all_refused_total",
    "Times that every node failed: passed all the same, or refused since the pod demands it.",
    ["result"],
)
EXTENDER_BOUND = Counter(
    "moselle_placement_extender_bound_pods_total",
    "Bound pods that this replica had decided about, by whether they went where it would have sent them.",
    ["mode", "agrees"],
)
EXTENDER_DROPPED = Counter(
    "moselle_placement_extender_dropped_records_total", "Records that could not be written, or waited too long."
)
PODS = Gauge("moselle_placement_running_pods", "Pods that the API server has bound to nodes and that are not over.")
KUBERNETES_EVENTS = Counter("moselle_placement_kubernetes_events_total", "Changes read from the API server.", ["kind"])
KUBERNETES_LISTS = Counter(
    "moselle_placement_kubernetes_lists_total", "Whole lists read from the API server, by why.", ["kind", "reason"]
)
