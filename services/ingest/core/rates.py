"""Rates: counts per entity and ten-second window, as increments of one batch. The reader adds them up."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from services.common.columns import Columns
from services.ingest.core.severity import RANGE_NAMES

WINDOW_SECONDS = 10
_WINDOW_MICROS = WINDOW_SECONDS * 1_000_000
_CLASSES = {1: "other", 2: "2xx", 3: "3xx", 4: "4xx", 5: "5xx"}

#: Entity and its parents, its window's number, severity number, template id, HTTP status (-1 for none), lines.
_Kind = tuple[str, tuple[str, ...], int, int, str, int, int]


class RateCounter:
    """Counts the events of one batch. Keeps nothing across batches."""

    def __init__(self) -> None:
        self._kinds: Counter[_Kind] = Counter()

    def count(self, events: Columns) -> None:
        """Adds log events (columns of logs.parsed.v1)."""
        self._kinds.update(
            zip(
                events["entity_id"], map(tuple, events["parent_entity_ids"]),
                [micros // _WINDOW_MICROS for micros in events["event_time"]], events["severity_number"],
                events["template_id"], [-1 if http is None else http["status"] for http in events["http"]],
                events["line_count"], strict=True,
            )
        )  # fmt: skip

    def records(self, ingest_time: int, cluster: str) -> Iterator[dict[str, Any]]:
        """The records of logs.rates.v1, in order of first sight."""
        records: dict[tuple[str, int], dict[str, Any]] = {}
        for (entity_id, parents, window, severity, template_id, status, line_count), number in self._kinds.items():
            record = records.get((entity_id, window))
            if record is None:
                record = records[entity_id, window] = {
                    "window_start": window * _WINDOW_MICROS, "window_seconds": WINDOW_SECONDS,
                    "ingest_time": ingest_time, "cluster": cluster, "entity_id": entity_id,
                    "parent_entity_ids": list(parents), "num_events": 0, "num_lines": 0,
                    "severity_counts": {}, "template_counts": {}, "http_status_counts": {},
                }  # fmt: skip
            record["num_events"] += number
            record["num_lines"] += number * line_count
            _add(record["severity_counts"], RANGE_NAMES[severity], number)
            _add(record["template_counts"], template_id, number)
            if status >= 0:
                _add(record["http_status_counts"], _CLASSES.get(status // 100, "other"), number)
        yield from records.values()


def _add(counts: dict[str, int], name: str, number: int) -> None:
    counts[name] = counts.get(name, 0) + number
