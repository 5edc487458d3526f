"""Every topic, declared once: name, key, schema, who writes, who reads, how long it is kept.

`proto/README.md` is generated from this list, and the embedded stack creates topics from it.
"""

from dataclasses import dataclass
from typing import Literal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

#: Partitions of every topic keyed by entity_id. A change is a migration: keys move.
EMBEDDED_PARTITIONS = 4
CLUSTER_PARTITIONS = 24

#: The largest record that services write, bytes, dead letters apart.
MAX_RECORD_BYTES = 4 * 2**20
#: The largest record that raw topics take: a message of 10 MiB and what a client adds. Kafka's default is 1 MiB.
MAX_RAW_BYTES = 11 * 2**20
#: A dead letter is as large as its original, and our headers say why.
DEAD_LETTER_BYTES = MAX_RAW_BYTES + 64 * 2**10

#: How long each step of features and predictions stays, whatever came after it under its key: for a database that was
#: away, and because an entity has several feature sets under one key.
COMPACTION_LAG_MS = 6 * HOUR_MS

Cleanup = Literal["delete", "compact", "compact,delete"]


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as DESIGN says it.

    Args:
        name: the name on Kafka.
        key: what the key is, in words.
        record: what one record is, in words.
        producers, consumers: service names or "people", "shippers".
        schema: the Avro file in proto/avro without its ending; None for bytes as shipped.
        cleanup: Kafka's cleanup.policy.
        retention_ms: how long records are kept; None for as long as they are a key's latest.
        partitions: "entity" for as many as all entity topics have, else a number.
        transport_time: "create" keeps the shipper's time, "append" is the broker's own.
        max_bytes: of one record, as the client packed it.
    """

    name: str
    key: str
    record: str
    producers: tuple[str, ...]
    consumers: tuple[str, ...]
    schema: str | None
    cleanup: Cleanup = "delete"
    retention_ms: int | None = 3 * DAY_MS
    partitions: Literal["entity"] | int = "entity"
    transport_time: Literal["create", "append"] = "append"
    min_compaction_lag_ms: int = 0
    max_bytes: int = MAX_RECORD_BYTES

    def num_partitions(self, entity_partitions: int) -> int:
        """How many partitions it gets when entity topics have `entity_partitions`."""
        return entity_partitions if self.partitions == "entity" else self.partitions

    def config(self) -> dict[str, str]:
        """The topic settings as Kafka names them."""
        config = {
            "cleanup.policy": self.cleanup,
            "message.timestamp.type": "CreateTime" if self.transport_time == "create" else "LogAppendTime",
            "retention.ms": str(self.retention_ms) if self.retention_ms is not None else "-1",
            "max.message.bytes": str(self.max_bytes),
        }
        if self.transport_time == "create":
            # Kafka 4 refuses clocks an hour ahead; a shipper's wrong clock must not cost its lines.
            config["message.timestamp.after.max.ms"] = str(2**63 - 1)
        if self.cleanup == "compact":
            # Read whole at each start: keep it short by closing and compacting segments early.
            config |= {"segment.bytes": str(16 * 2**20), "segment.ms": "600000", "min.cleanable.dirty.ratio": "0.2"}
        if self.min_compaction_lag_ms:
            config["min.compaction.lag.ms"] = str(self.min_compaction_lag_ms)
        return config


LOGS_RAW = Topic(
    "logs.raw", "as shipped, often none", "whatever a shipper sends", ("shippers",), ("ingest",), None,
    retention_ms=DAY_MS, transport_time="create", max_bytes=MAX_RAW_BYTES,
)  # fmt: skip
METRICS_RAW = Topic(
    "metrics.raw", "as shipped, often none", "whatever a collector sends", ("shippers",), ("ingest",), None,
    retention_ms=DAY_MS, transport_time="create", max_bytes=MAX_RAW_BYTES,
)  # fmt: skip
LOGS_PARSED = Topic(
    "logs.parsed.v1", "entity_id", "one log event (several lines when folded)",
    ("ingest",), ("logbert", "people"), "logs.parsed.v1",
)  # fmt: skip
LOGS_RATES = Topic(
    "logs.rates.v1", "entity_id", "increments of one entity's counts in a window of ten seconds",
    ("ingest",), ("features",), "logs.rates.v1",
)  # fmt: skip
LOGS_SEQUENCES = Topic(
    "logs.sequences.v1", "request id, else instance id", "a slim event, when switched on",
    ("ingest",), ("logbert",), "logs.sequences.v1", retention_ms=DAY_MS,
)  # fmt: skip
LOGS_TEMPLATES = Topic(
    "logs.templates.v1", "template_id", "a template's text, first seen, and aliases when templates merge",
    ("ingest",), ("all",), "logs.templates.v1", cleanup="compact", retention_ms=None, partitions=1,
)  # fmt: skip
METRICS_SAMPLES = Topic(
    "metrics.samples.v1", "entity_id", "the samples of one entity and time that arrived together",
    ("ingest",), ("features", "anomaly"), "metrics.samples.v1",
)  # fmt: skip
ENTITIES = Topic(
    "entities.v1", "entity_id|source", "what one source knows of an entity",
    ("moselle inventory", "placement"), ("placement",), "entities.v1", cleanup="compact", retention_ms=None,
)  # fmt: skip
FEATURES = Topic(
    "features.v1", "entity_id", "the feature vector of one entity at one step",
    ("features",), ("features", "predictor", "placement"), "features.v1", cleanup="compact,delete",
    min_compaction_lag_ms=COMPACTION_LAG_MS,
)  # fmt: skip
FEATURES_ROLLUP = Topic(
    "features.rollup.v1", "entity_id of the host", "a service's log features at one step, on their way to its host",
    ("features",), ("features",), "features.rollup.v1",
)  # fmt: skip
PREDICTIONS = Topic(
    "predictions.v1", "entity_id|target", "all horizons of one target",
    ("predictor",), ("features", "placement", "people"), "predictions.v1", cleanup="compact,delete",
    min_compaction_lag_ms=COMPACTION_LAG_MS,
)  # fmt: skip
ALERTS = Topic(
    "alerts.v1", "fingerprint", "an alert's record: firing, updated or resolved",
    ("logbert", "anomaly", "predictor", "ingest"), ("features", "placement", "notifier", "people"), "alerts.v1",
    cleanup="compact,delete", retention_ms=30 * DAY_MS, min_compaction_lag_ms=DAY_MS,
)  # fmt: skip
PLACEMENTS = Topic(
    "placements.v1", "request id", "a decision: node, score, alternatives, reasons, mode, outcome later",
    ("placement",), ("features", "placement", "people"), "placements.v1", retention_ms=30 * DAY_MS,
)  # fmt: skip
INCIDENTS = Topic(
    "incidents.v1", "incident_id", "alerts of one cause",
    ("incident",), ("people", "notifier", "placement"), "incidents.v1",
    cleanup="compact,delete", retention_ms=90 * DAY_MS,
)  # fmt: skip
FEEDBACK = Topic(
    "feedback.v1", "subject_id: alert_id or incident_id", "a person's word on an alert, or on what nobody alerted",
    ("moselle feedback",), ("logbert", "anomaly", "predictor", "notifier"), "feedback.v1", retention_ms=90 * DAY_MS,
)  # fmt: skip
SCHEMAS = Topic(
    "schemas.v1", "fingerprint", "an Avro schema as its writer has it",
    ("all",), ("all",), "schemas.v1", cleanup="compact", retention_ms=None, partitions=1,
)  # fmt: skip

SERVICES = ("ingest", "features", "logbert", "predictor", "placement", "anomaly")


def state_topic(service: str) -> Topic:
    """The keyed state of a transactional service, kept per input partition."""
    return Topic(
        f"{service}.state.v1", "topic|partition|state key", "that service's keyed state",
        (service,), (service,), "state.v1", cleanup="compact", retention_ms=None,
    )  # fmt: skip


def dead_letter_topic(topic: Topic) -> Topic:
    """Where what could not be read from `topic` goes: original bytes, headers that say where and why."""
    return Topic(
        f"{topic.name}.dlq", "as read", "a record that could not be read, with its reason in the headers",
        topic.consumers, ("people",), None, retention_ms=topic.retention_ms or 3 * DAY_MS, transport_time="append",
        max_bytes=DEAD_LETTER_BYTES,
    )  # fmt: skip


BASE_TOPICS = (
    LOGS_RAW, METRICS_RAW, LOGS_PARSED, LOGS_RATES, LOGS_SEQUENCES, LOGS_TEMPLATES, METRICS_SAMPLES, ENTITIES,
    FEATURES, FEATURES_ROLLUP, PREDICTIONS, ALERTS, PLACEMENTS, INCIDENTS, FEEDBACK, SCHEMAS,
)  # fmt: skip

#: Services that keep state in Kafka through the transactional stage. Faust keeps its own changelogs.
STATEFUL_SERVICES = ("ingest", "logbert", "anomaly", "predictor")


def all_topics() -> tuple[Topic, ...]:
    """Every topic of the system: the base ones, each stateful service's state, and the dead letters."""
    states = tuple(state_topic(name) for name in STATEFUL_SERVICES)
    return BASE_TOPICS + states + tuple(dead_letter_topic(t) for t in BASE_TOPICS if t is not SCHEMAS)
