"""Rates: counts per entity and ten-second window, as increments of one batch. The reader adds them up."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.ingest.core.severity import RANGE_NAMES

WINDOW_SECONDS = 10
_WINDOW_MICROS = WINDOW_SECONDS * 1_000_000
_CLASSES = {1: "other", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}


class RateCounter:
    """Counts the events of one batch. Keeps nothing across batches."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], dict[str, Any]] = {}

    def count(self, event: Mapping[str, Any]) -> None:
        """Adds one log event (a record of logs.parsed.v1)."""
        micros = event["event_time"]
        key = (event["entity_id"], micros - micros % _WINDOW_MICROS)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = _empty(event, key[1])
        counts["num_events"] += 1
        counts["num_lines"] += event["line_count"]
        severities, templates = counts["severity_counts"], counts["template_counts"]
        severity, template_id = RANGE_NAMES[event["severity_number"]], event["template_id"]
        severities[severity] = severities.get(severity, 0) + 1
        templates[template_id] = templates.get(template_id, 0) + 1
        http = event["http"]
        if http is not None:
            statuses, status = counts["http_status_counts"], _CLASSES.get(http["status"] // 100, "other")
            statuses[status] = statuses.get(status, 0) + 1

    def records(self, ingest_time: int) -> Iterator[dict[str, Any]]:
        """The records of logs.rates.v1, in order of first sight."""
        for counts in self._counts.values():
            counts["ingest_time"] = ingest_time
            yield counts


def _empty(event: Mapping[str, Any], window_start: int) -> dict[str, Any]:
    return {
        "window_start": window_start, "window_seconds": WINDOW_SECONDS, "ingest_time": 0,
        "cluster": event["cluster"], "entity_id": event["entity_id"],
        "parent_entity_ids": event["parent_entity_ids"], "num_events": 0, "num_lines": 0,
        "severity_counts": {}, "template_counts": {}, "http_status_counts": {},
    }  # fmt: skip
