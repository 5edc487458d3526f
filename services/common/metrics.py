"""What the kernel counts in every service."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter("moselle_kernel_records_total", "Records processed and committed.", ["topic"])
OUTPUTS = Counter("moselle_kernel_outputs_total", "Records written in committed transactions.", ["topic"])
DEAD_LETTERS = Counter("moselle_kernel_dead_letters_total", "Records sent to a dead-letter topic.", ["topic", "reason"])
TRANSACTIONS = Counter("moselle_kernel_transactions_total", "Transactions by how they ended.", ["outcome"])
TRANSACTION_SECONDS = Histogram(
    "moselle_kernel_transaction_seconds",
    "From the first record handed to the stage until its transaction was committed, seconds.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
PARTITIONS = Gauge("moselle_kernel_assigned_partitions", "Partitions that this replica reads now.")
STATE_KEYS = Gauge("moselle_kernel_state_keys", "Keys of keyed state held in memory.")
RESTORE_SECONDS = Histogram("moselle_kernel_restore_seconds", "Reading a partition's state back, seconds.")
READY = Gauge("moselle_kernel_ready", "1 when /readyz says yes.")
GRPC_REQUESTS = Counter("moselle_kernel_grpc_requests_total", "gRPC requests by their status code.", ["method", "code"])
GRPC_SECONDS = Histogram(
    "moselle_kernel_grpc_request_seconds",
    "From a request's arrival at a worker to its answer, seconds; of a stream, until it ended.",
    ["method"],
    buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 5),
)
