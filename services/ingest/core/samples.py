"""Telegraf's JSON metrics to samples: one record per entity and time.

A field named `value`, `gauge` or `counter` is the series `name{tags}`; another field is `name_field{tags}`, as
Telegraf's own Prometheus output names them. Numbers and booleans are samples; texts are not.
"""

from collections.abc import Iterator
from typing import Any

import orjson

from services.common.entities import sample_entity, series_name
from services.common.errors import InvalidMessage
from services.ingest.core.secrets import mask
from services.ingest.core.times import epoch_micros

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
            raise InvalidMessage("not_a_metric", f"wanted name, tags, fields and timestamp, found {str(metric)[:200]}")
        if not isinstance(metric.get("fields"), dict):
            raise InvalidMessage("not_a_metric", f"fields of {metric['name'][:200]!r} is not an object")
    return metrics


def sample_records(metrics: list[dict[str, Any]], transport_micros: int) -> Iterator[dict[str, Any]]:
    """One record per entity and time, in order of first sight, with entity, time, job, series and values filled."""
    records: dict[tuple[str, int], dict[str, Any]] = {}
    for metric in metrics:
        tags = _tags(metric.get("tags"))
        time = _time(metric.get("timestamp"), transport_micros)
        entity = sample_entity(tags)
        record = records.get((entity.entity_id, time))
        if record is None:
            record = records[entity.entity_id, time] = {
                "event_time": time, "entity_id": entity.entity_id, "parent_entity_ids": list(entity.parent_entity_ids),
                "series": [], "values": [], "job": tags.get("job", ""),
            }  # fmt: skip
        for field, value in metric["fields"].items():
            if isinstance(value, (int, float)):
                record["series"].append(series_name(_metric_name(metric["name"], field), tags))
                record["values"].append(float(value))
    return (record for record in records.values() if record["series"])


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
    return {key: mask(str(value)) for key, value in tags.items() if value is not None and value != ""}


def _time(value: object, transport_micros: int) -> int:
    """Telegraf writes seconds, or milli-, micro- or nanoseconds when told to: told apart by size."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return transport_micros
    micros = epoch_micros(value)
    return transport_micros if micros is None else micros
