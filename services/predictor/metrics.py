"""What the predictor counts. Each with its meaning; all since the process began."""

from prometheus_client import Counter, Gauge, Histogram

STEPS = Counter("moselle_predictor_steps_total", "Feature vectors by how they arrived.", ["arrival"])
PREDICTIONS = Counter("moselle_predictor_predictions_total", "Predictions by the forecaster that spoke.", ["spoken_by"])
ALERT_RECORDS = Counter("moselle_predictor_alert_records_total", "Alert records written.", ["status", "rule"])
PREDICT_SECONDS = Histogram(
    "moselle_predictor_predict_seconds",
    "Making the predictions of the entities that are due together, without encoding them, seconds.",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)
ENTITIES = Gauge("moselle_predictor_entities", "Entities whose past is held in memory.")
OPEN_ALERTS = Gauge("moselle_predictor_open_alerts", "Alerts that are firing now.")
