"""How the values of a history row are written for COPY, table by table."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from services.common.clock import from_micros
from services.features.core.history import DAY_MICROS, Row, name_id

Format = Callable[[Any], str | None]


def _time(micros: int | None) -> str | None:
    return None if micros is None else from_micros(micros).isoformat()


def _numbers(values: Sequence[float]) -> str:
    return "{" + ",".join(map(repr, values)) + "}"


def _number_rows(rows: Sequence[Sequence[float]]) -> str:
    return "{" + ",".join(map(_numbers, rows)) + "}"


def _texts(values: Sequence[str]) -> str:
    return "{" + ",".join('"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"' for v in values) + "}"


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _date(day: int) -> str:
    return from_micros(day * DAY_MICROS).date().isoformat()


#: Columns of timestamps: microseconds in a row.
TIMES = (
    "event_time", "ingest_time", "valid_until", "starts_at", "ends_at", "detected_at", "published_at", "decided_at",
    "outcome_time",
)  # fmt: skip
#: How a value is written for COPY, by column; the others are text or numbers.
_FORMATS: Mapping[str, Format] = {
    **dict.fromkeys(TIMES, _time),
    **dict.fromkeys(("values", "horizons_seconds", "quantile_levels"), _numbers),
    **dict.fromkeys(("parent_entity_ids", "mentions", "names"), _texts),
    **dict.fromkeys(("evidence", "labels", "alternatives", "details"), _json),
    "quantiles": _number_rows,
    "last_day": _date,
}


def _column(name: str, make: Format | None = None) -> Callable[[Row], Any]:
    format_value = make or _FORMATS.get(name)
    return (lambda row: row[name]) if format_value is None else (lambda row: format_value(row[name]))


def _columns(names: str) -> dict[str, Callable[[Row], Any]]:
    return {name: _column(name) for name in names.split()}


#: The columns of each table, and what of a row stands there.
COLUMNS: Mapping[str, Mapping[str, Callable[[Row], Any]]] = {
    "series": _columns("series_id name last_day"),
    "feature_names": _columns("names_id names"),
    "features": {
        **_columns(
            "cluster entity_id feature_set event_time feature_set_version step_seconds ingest_time parent_entity_ids"
        ),
        "names_id": lambda row: name_id(*row["names"]),
        "values": _column("values"),
    },
    "scrapes": {
        **_columns("cluster entity_id event_time job ingest_time parent_entity_ids"),
        "series_ids": lambda row: _numbers([name_id(name) for name in row["series"]]),
        "values": _column("values"),
    },
    "alerts": _columns(
        "fingerprint alert_id revision status starts_at ends_at detected_at published_at cluster entity_id "
        "parent_entity_ids service detector rule kind severity score threshold summary reason evidence mentions labels "
        "model_version runbook_url"
    ),
    "predictions": {
        **_columns(
            "cluster entity_id target event_time parent_entity_ids step_seconds horizons_seconds values "
            "quantile_levels quantiles confidence spoken_by model_version valid_until"
        ),
        "reasons": _column("reasons", _texts),
    },
    "placements": {
        **_columns(
            "cluster request_id decided_at workload node score alternatives mode model_version outcome outcome_time "
            "details"
        ),
        "reasons": _column("reasons", _json),
    },
}
