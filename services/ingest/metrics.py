"""What ingest counts about itself."""

from prometheus_client import Counter, Gauge, Histogram

EVENTS = Counter("moselle_ingest_events_total", "Log events written, by recognised shape.", ["shape"])
LINES = Counter("moselle_ingest_lines_total", "Raw log lines in the log events written, blank ones included.")
SAMPLES = Counter("moselle_ingest_samples_total", "Samples written.")
METRIC_MESSAGES = Counter(
    "moselle_ingest_metric_messages_total", "Messages of metrics read, by recognised shape.", ["shape"]
)
LEFT_OUT = Counter(
    "moselle_ingest_left_out_samples_total",
    "Samples, and other parts of messages with metrics, that were not written, by reason. `nan`, `stale`, `metadata` "
    "and `exemplar` are no faults.",
    ["reason"],
)
REPEATED_REQUESTS = Counter(
    "moselle_ingest_repeated_requests_total",
    "Requests of HTTP receivers that were handled before and came again, by topic; nothing of them was written.",
    ["topic"],
)
DEAD_LETTERS = Counter("moselle_ingest_dead_letters_total", "Records that could not be read, by reason.", ["reason"])
KEYLESS = Counter(
    "moselle_ingest_keyless_records_total",
    "Log records without a Kafka key: lines of one source may then lie in several partitions, where tracebacks "
    "cannot be folded safely.",
)
FOLDED = Counter("moselle_ingest_folded_events_total", "Log events made of more than one line.")
FUTURE = Counter(
    "moselle_ingest_future_events_total", "Log events whose line states a time over a minute after it was read."
)
UNREADABLE = Counter(
    "moselle_ingest_unreadable_events_total",
    "Events whose content was withheld since building them failed; a defect to report.",
)
GAPS = Counter(
    "moselle_ingest_source_gaps_total", "Silences of sources longer than their usual pace: docs/completeness.md."
)
LATE = Counter(
    "moselle_ingest_late_lines_total", "Lines over ten seconds behind the newest event time of their own source."
)
REPEATED = Counter(
    "moselle_ingest_repeated_events_total", "Events whose line the same source had sent before; they are written again."
)
UNPARSED = Counter(
    "moselle_ingest_unparsed_lines_total",
    "Lines without a header where others of their source have one, or without any time where none has a header.",
)
SOURCES = Gauge("moselle_ingest_sources", "Sources seen: host and file, or host and program.")
OPEN_FOLDS = Gauge("moselle_ingest_open_folds", "Events that wait for further lines.")
TEMPLATES = Gauge("moselle_ingest_templates", "Templates known, aliases included.")
RECEIVED = Counter(
    "moselle_ingest_receiver_requests_total", "HTTP requests answered, by path and status.", ["path", "status"]
)
RECEIVED_BYTES = Counter("moselle_ingest_receiver_bytes_total", "Bodies that Kafka took, bytes as sent.", ["path"])
RECEIVE_SECONDS = Histogram(
    "moselle_ingest_receiver_seconds", "From a request's head to its answer, Kafka included, seconds.", ["path"]
)
MASKED = Counter(
    "moselle_ingest_masked_values_total",
    "Values of personal data replaced by pseudonyms, by kind. None while mask_personal and mask_hosts are off.",
    ["kind"],
)
