"""Counts what the topics hold: the demonstration's figures come from here and from nowhere else."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from services.common import topics
from services.common.broker.abstract import Record, TopicPartition
from services.common.broker.kafka import KafkaBroker
from services.common.clock import from_micros
from services.common.codec import Codec

#: OpenTelemetry's SeverityNumber from which an event counts as an ERROR event.
ERROR_SEVERITY = 17
BUCKET_SECONDS = 10
RAW = (topics.LOGS_RAW, topics.METRICS_RAW)
DEAD_LETTERS = tuple(topics.dead_letter_topic(topic).name for topic in RAW)
#: Read for their last offsets: consumers of these are compared with what was really written, markers left out.
_ENDS_ONLY = (topics.LOGS_RATES, topics.METRICS_SAMPLES)
_RESULTS = (topics.FEATURES, topics.PREDICTIONS, topics.PLACEMENTS)
MEASURED = (
    topics.LOGS_PARSED.name,
    topics.ALERTS.name,
    *DEAD_LETTERS,
    *(topic.name for topic in (*_ENDS_ONLY, *_RESULTS)),
)

Json = dict[str, Any]
FeatureKey = tuple[str, int, str]


@dataclass
class Seen:
    """Everything the report is made of.

    Attributes:
        alerts: every record of alerts.v1 by (alert_id, status, revision), in the order of their arrival.
        first_alert_epoch: the broker's time of the first of them, seconds since 1970; None before.
        lines_parsed, events: sum of line_count over logs.parsed.v1, and its records.
        dead_letters: records of each dead-letter topic.
        event_epoch: the latest event time of a line that states its own, seconds since 1970; 0 before.
        features: by (entity_id, event_time of the step, feature set), so that one written twice counts once.
        features_span: the broker's times of the first and the last of them, seconds since 1970.
        predictions: by (entity_id, target, event_time).
        placements: the decisions by request id, their latest word.
        rates, error_rates: events and ERROR events by the start of their ten seconds (epoch seconds).
        ends: by partition, one past the last record seen.
    """

    alerts: dict[tuple[str, str, int], Json] = field(default_factory=dict)
    first_alert_epoch: float | None = None
    lines_parsed: int = 0
    events: int = 0
    dead_letters: Counter[str] = field(default_factory=Counter)
    event_epoch: float = 0.0
    features: dict[FeatureKey, Json] = field(default_factory=dict)
    features_span: tuple[float, float] | None = None
    predictions: dict[tuple[str, str, int], Json] = field(default_factory=dict)
    placements: dict[str, Json] = field(default_factory=dict)
    rates: Counter[int] = field(default_factory=Counter)
    error_rates: Counter[int] = field(default_factory=Counter)
    ends: dict[TopicPartition, int] = field(default_factory=dict)

    def add(self, record: Record, decode: Callable[[bytes | None], Json]) -> None:
        """Counts one record."""
        self.ends[record.topic_partition] = record.offset + 1
        if record.topic == topics.LOGS_PARSED.name:
            self._add_event(decode(record.value))
        elif record.topic == topics.ALERTS.name and record.value is not None:
            self._add_alert(decode(record.value), record.timestamp_ms / 1000)
        elif record.topic in DEAD_LETTERS:
            self.dead_letters[record.topic] += 1
        elif record.value is not None and record.topic not in (topic.name for topic in _ENDS_ONLY):
            self._add_result(record.topic, decode(record.value), record.timestamp_ms / 1000)

    def _add_event(self, event: Json) -> None:
        self.events += 1
        self.lines_parsed += event["line_count"]
        moment = event["event_time"] // 1_000_000
        bucket = moment - moment % BUCKET_SECONDS
        self.rates[bucket] += 1
        if event["severity_number"] >= ERROR_SEVERITY:
            self.error_rates[bucket] += 1
        if event["event_time_source"] == "line":
            self.event_epoch = max(self.event_epoch, event["event_time"] / 1e6)

    def _add_result(self, topic: str, fields: Json, epoch: float) -> None:
        if topic == topics.FEATURES.name:
            self.features_span = (self.features_span[0] if self.features_span else epoch, epoch)
            self.features[fields["entity_id"], fields["event_time"], fields["feature_set"]] = fields
        elif topic == topics.PREDICTIONS.name:
            self.predictions[fields["entity_id"], fields["target"], fields["event_time"]] = fields
        elif topic == topics.PLACEMENTS.name:
            self.placements[fields["request_id"]] = fields

    def _add_alert(self, alert: Json, epoch: float) -> None:
        self.alerts.setdefault((alert["alert_id"], alert["status"], alert["revision"]), alert)
        if self.first_alert_epoch is None:
            self.first_alert_epoch = epoch


class Watch:
    """Reads the topics of one broker from their beginning, without a group.

    Raises:
        SettingsInvalid: the broker or one of the topics cannot be reached.
    """

    def __init__(self, broker: KafkaBroker) -> None:
        self.seen = Seen()
        self._broker = broker
        decode = Codec().decode
        self._view = broker.open_view(MEASURED, lambda record: self.seen.add(record, decode))

    def refresh(self, timeout_seconds: float = 0.0) -> int:
        """Counts what has come since; returns how many records."""
        return self._view.refresh(timeout_seconds)

    def lines_published(self) -> int:
        """The records of the raw log topics: what was published since the topic began, one line each."""
        name = topics.LOGS_RAW.name
        return sum(self._broker.end_offset(name, part) for part in range(self._broker.num_partitions(name)))

    def close(self) -> None:
        self._view.close()


def first_evidence(alert: Json) -> str:
    """The first raw line or sample that the alert counted; its summary when it names none."""
    for item in alert["evidence"]:
        if item["raw_line"]:
            value = "" if item["value"] is None else f" = {item['value']:g}"
            return f"{item['raw_line']}{value}"
    return str(alert["summary"])


def clock_text(micros: int) -> str:
    """`06:12:31` of microseconds since 1970, UTC."""
    return f"{from_micros(micros):%H:%M:%S}"
