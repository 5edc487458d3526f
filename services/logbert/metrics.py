"""What logbert counts. Each with its meaning; all since the process began."""

from prometheus_client import Counter, Gauge

EVENTS = Counter("moselle_logbert_events_total", "Log events by how they arrived.", ["arrival"])
ALERT_RECORDS = Counter("moselle_logbert_alert_records_total", "Alert records written.", ["status", "rule"])
ENTITIES = Gauge("moselle_logbert_entities", "Entities whose past is held in memory.")
OPEN_ALERTS = Gauge("moselle_logbert_open_alerts", "Alerts that are firing now.")
BERT_WINDOWS_ASKED = Gauge("moselle_logbert_bert_windows_asked", "Windows of log lines that BERT was asked about.")
BERT_WINDOWS_RUN = Gauge(
    "moselle_logbert_bert_windows_run", "Of these, the distinct ones that went through the network."
)
