"""What the feature service counts about itself."""

from prometheus_client import Counter, Gauge, Histogram

RECORDS = Counter(
    "moselle_features_records_total",
    "Records by feature set and what became of them: admitted, late, future, begun_anew, repeated, unknown, forced.",
    ["feature_set", "verdict"],
)
VECTORS = Counter("moselle_features_vectors_total", "Feature vectors written.", ["feature_set"])
DEAD_LETTERS = Counter(
    "moselle_features_dead_letters_total", "Records that could not be read, by reason.", ["topic", "reason"]
)
ENTITIES = Gauge("moselle_features_entities", "Entities whose steps are kept.", ["feature_set"])
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
