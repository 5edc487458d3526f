"""Records of the topics as what a step takes in."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.common.errors import InvalidMessage
from services.common.topics import LOGS_RATES, METRICS_SAMPLES
from services.features.core.log_features import LogCounts, host_counts, service_counts
from services.features.core.sources import is_wanted

#: Event times beyond these are no times: year 1970 to far beyond any calendar, with room for adding in 64 bits.
MAX_TIME = 2**62

#: A metric record's finite samples: (series, value).
Samples = Sequence[tuple[str, float]]


class Incoming(NamedTuple):
    """One record, for one entity. Times in microseconds; `appended` is Kafka's, None when unknown.

    `content` is `Samples` or `LogCounts`.
    """

    entity_id: str
    event_time: int
    appended: int | None
    ingest_time: int
    cluster: str
    parent_entity_ids: Sequence[str]
    content: Any


def read(topic: str, record: Mapping[str, Any], appended: int | None) -> Incoming | None:
    """A record of metrics.samples.v1 or logs.rates.v1; None for samples of which no feature knows any.

    Raises:
        InvalidMessage: `time_out_of_range`, `unexpected_topic`.
    """
    if topic == METRICS_SAMPLES.name:
        return read_samples(record, appended)
    if topic == LOGS_RATES.name:
        return _incoming(record, record["window_start"], appended, service_counts(record))
    raise InvalidMessage("unexpected_topic", f"{topic}: wanted {METRICS_SAMPLES.name} or {LOGS_RATES.name}")


def read_samples(record: Mapping[str, Any], appended: int | None) -> Incoming | None:
    """A record of metrics.samples.v1 without what is not finite or not known; None when nothing is left."""
    pairs = zip(record["series"], record["values"], strict=False)
    samples = [(series, value) for series, value in pairs if is_wanted(series) and math.isfinite(value)]
    return _incoming(record, record["event_time"], appended, samples) if samples else None


def read_contribution(record: Mapping[str, Any], appended: int, host: str) -> Incoming:
    """A record of features.rollup.v1, as its host takes it in."""
    counts = host_counts(record["names"], record["values"], record["entity_id"])
    given = {**record, "entity_id": host, "parent_entity_ids": []}
    return _incoming(given, record["event_time"], appended, counts)


def host_of(parent_entity_ids: Sequence[str]) -> str | None:
    """The host among an entity's parents."""
    return next((parent for parent in parent_entity_ids if parent.startswith("host:")), None)


def as_contribution(incoming: Incoming) -> Incoming | None:
    """What a service's log counts add to its host; None for an entity without a host."""
    host = host_of(incoming.parent_entity_ids)
    if host is None:
        return None
    counts: LogCounts = msgspec.structs.replace(incoming.content, distinct={incoming.entity_id})
    return incoming._replace(entity_id=host, parent_entity_ids=(), content=counts)


def _incoming(record: Mapping[str, Any], event_time: int, appended: int | None, content: Any) -> Incoming:
    if not 0 <= event_time < MAX_TIME:
        raise InvalidMessage("time_out_of_range", f"{event_time} microseconds of {record['entity_id']}")
    return Incoming(
        record["entity_id"], event_time, appended, record["ingest_time"], record["cluster"],
        tuple(record["parent_entity_ids"]), content,
    )  # fmt: skip
