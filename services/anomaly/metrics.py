"""What anomaly counts. Each with its meaning; all since the process began."""

from prometheus_client import Counter, Gauge

SAMPLES = Counter("moselle_anomaly_samples_total", "Samples by what became of them.", ["fate"])
ALERT_RECORDS = Counter("moselle_anomaly_alert_records_total", "Alert records written.", ["status", "rule"])
ENTITIES = Gauge("moselle_anomaly_entities", "Entities whose past is held in memory.")
SIGNALS = Gauge("moselle_anomaly_signals", "Signals whose past is held in memory.")
OPEN_ALERTS = Gauge("moselle_anomaly_open_alerts", "Alerts that are firing now.")
HELD_BACK = Counter(
    "moselle_anomaly_held_back_total", "Troubles not alerted for the budget: below its raised line, or beyond its day.",
    ["why"],
)  # fmt: skip
FEEDBACK_WORDS = Gauge("moselle_anomaly_feedback_words", "People's words on metric alerts that still count.")
UNREADABLE_WORDS = Counter("moselle_anomaly_unreadable_words_total", "Records of feedback.v1 that are no such words.")
