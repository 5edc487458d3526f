"""Telegraf's JSON metrics to samples: one record per entity and time.

A field named `value`, `gauge` or `counter` is the series `name{tags}`; another field is `name_field{tags}`, as
Telegraf's own Prometheus output names them. Numbers and booleans are samples; texts are not.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from services.common.entities import Entity, sample_entity, series_name
from services.common.errors import InvalidMessage
from services.ingest.core.payload import shown
from services.ingest.core.secrets import mask
from services.ingest.core.times import epoch_micros

#: Series of one record, and characters of one series' name, so that a record stays below Kafka's largest.
MAX_SERIES = 1000
MAX_SERIES_CHARS = 4096
MAX_RECORD_CHARS = 200_000
_PLAIN_FIELDS = frozenset(("value", "gauge", "counter"))


def parse_metrics(text: str) -> list[dict[str, Any]]:
    """The metrics of a message: `{"metrics":[..]}`, a single object, or several of these on lines of their own.

    Raises:
        InvalidMessage: `not_json` or `not_a_metric`.
    """
    try:
        values = [orjson.loads(text)]
    except orjson.JSONDecodeError as error:
        if "\n" not in text:
            raise InvalidMessage("not_json", str(error)) from error
        values = _each_line(text)
    metrics = [metric for value in values for metric in _listed(value)]
    for metric in metrics:
        if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
            raise InvalidMessage(
                "not_a_metric", f"wanted name, tags, fields and timestamp, found {shown(metric)[:200]}"
            )
        if not isinstance(metric.get("fields"), dict):
            raise InvalidMessage("not_a_metric", f"fields of {metric['name'][:200]!r} is not an object")
    return metrics


def sample_records(metrics: list[dict[str, Any]], transport_micros: int) -> Iterator[dict[str, Any]]:
    """Records with entity, time, job, series and values; one per entity and time, or several when they are many.

    Raises:
        InvalidMessage: `series_too_long`.
    """
    open_records: dict[tuple[str, int], tuple[dict[str, Any], int]] = {}
    for metric in metrics:
        tags = _tags(metric.get("tags"))
        time = _time(metric.get("timestamp"), transport_micros)
        entity = sample_entity(tags)
        key = (entity.entity_id, time)
        for field, value in metric["fields"].items():
            if not isinstance(value, (int, float)):
                continue
            series = series_name(_metric_name(metric["name"], field), tags)
            if len(series) > MAX_SERIES_CHARS:
                raise InvalidMessage("series_too_long", f"{len(series)} characters, wanted up to {MAX_SERIES_CHARS}")
            record, chars = open_records.get(key) or (_empty(entity, time, tags), 0)
            record["series"].append(series)
            record["values"].append(float(value))
            open_records[key] = (record, chars + len(series))
            if len(record["series"]) >= MAX_SERIES or chars > MAX_RECORD_CHARS:
                yield open_records.pop(key)[0]
    for record, _ in open_records.values():
        yield record


def _empty(entity: Entity, time: int, tags: dict[str, str]) -> dict[str, Any]:
    return {
        "event_time": time, "entity_id": entity.entity_id, "parent_entity_ids": list(entity.parent_entity_ids),
        "series": [], "values": [], "job": tags.get("job", "")[:256],
    }  # fmt: skip


def _metric_name(name: str, field: str) -> str:
    return name if field in _PLAIN_FIELDS else f"{name}_{field}"


def _each_line(text: str) -> list[Any]:
    try:
        return [orjson.loads(line) for line in text.split("\n") if line.strip()]
    except orjson.JSONDecodeError as error:
        raise InvalidMessage("not_json", str(error)) from error


def _listed(value: Any) -> list[Any]:
    if isinstance(value, dict) and isinstance(value.get("metrics"), list):
        return list(value["metrics"])
    return value if isinstance(value, list) else [value]


def _tags(tags: object) -> dict[str, str]:
    if not isinstance(tags, dict):
        return {}
    return {key: mask(shown(value)) for key, value in tags.items() if value is not None and value != ""}


def _time(value: object, transport_micros: int) -> int:
    """Telegraf writes seconds, or milli-, micro- or nanoseconds when told to: told apart by size."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return transport_micros
    micros = epoch_micros(value)
    return transport_micros if micros is None else micros
