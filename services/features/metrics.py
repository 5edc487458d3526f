"""What the feature service counts. Each with its meaning; all since the process began."""

from prometheus_client import Counter, Gauge, Histogram

HISTORY_ROWS = Counter(
    "moselle_features_history_rows_total", "Rows that the history writer added or changed in the database.", ["table"]
)
HISTORY_SECONDS = Histogram(
    "moselle_features_history_write_seconds",
    "One batch of records, from its first row to the database's commit, seconds.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
)
ONLINE_VECTORS = Gauge("moselle_features_online_vectors", "Newest vectors held in memory: one an entity and set.")
ONLINE_RECORDS = Counter(
    "moselle_features_online_records_total",
    "Records of features.v1 by what became of them: newest, older, unreadable, no_room.",
    ["outcome"],
)
