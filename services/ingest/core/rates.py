"""Rates: counts per entity and ten-second window, as increments of one batch. The reader adds them up."""

from collections.abc import Iterator, Mapping
from typing import Any

from services.ingest.core.severity import RANGE_NAMES

WINDOW_SECONDS = 10
_WINDOW_MICROS = WINDOW_SECONDS * 1_000_000
_CLASSES = {1: "other", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

#: Entity, start of its window, severity number, template id, HTTP status (-1 for none).
_Kind = tuple[str, int, int, str, int]


class RateCounter:
    """Counts the events of one batch. Keeps nothing across batches."""

    def __init__(self) -> None:
        #: By what is counted of an event: how many, their lines, and the first of them.
        self._kinds: dict[_Kind, list[Any]] = {}

    def count(self, event: Mapping[str, Any]) -> None:
        """Adds one log event (a record of logs.parsed.v1)."""
        micros, http = event["event_time"], event["http"]
        kind = (
            event["entity_id"], micros - micros % _WINDOW_MICROS, event["severity_number"], event["template_id"],
            -1 if http is None else http["status"],
        )  # fmt: skip
        counts = self._kinds.get(kind)
        if counts is None:
            counts = self._kinds[kind] = [0, 0, event]
        counts[0] += 1
        counts[1] += event["line_count"]

    def records(self, ingest_time: int) -> Iterator[dict[str, Any]]:
        """The records of logs.rates.v1, in order of first sight."""
        records: dict[tuple[str, int], dict[str, Any]] = {}
        for (entity_id, window, severity, template_id, status), (num_events, num_lines, event) in self._kinds.items():
            record = records.get((entity_id, window))
            if record is None:
                record = records[entity_id, window] = _empty(event, window, ingest_time)
            record["num_events"] += num_events
            record["num_lines"] += num_lines
            _add(record["severity_counts"], RANGE_NAMES[severity], num_events)
            _add(record["template_counts"], template_id, num_events)
            if status >= 0:
                _add(record["http_status_counts"], _CLASSES.get(status // 100, "other"), num_events)
        yield from records.values()


def _add(counts: dict[str, int], name: str, number: int) -> None:
    counts[name] = counts.get(name, 0) + number


def _empty(event: Mapping[str, Any], window_start: int, ingest_time: int) -> dict[str, Any]:
    return {
        "window_start": window_start, "window_seconds": WINDOW_SECONDS, "ingest_time": ingest_time,
        "cluster": event["cluster"], "entity_id": event["entity_id"],
        "parent_entity_ids": event["parent_entity_ids"], "num_events": 0, "num_lines": 0,
        "severity_counts": {}, "template_counts": {}, "http_status_counts": {},
    }  # fmt: skip
