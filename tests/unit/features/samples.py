"""Records as ingest writes them, showing only what matters."""

from collections.abc import Mapping
from typing import Any

SECOND = 1_000_000
#: A multiple of every step.
START = 1_795_240_800 * SECOND
HOST = "host:compute-1"
SERVICE = "service:nova-api@compute-1"
SCRAPED_BYTES = 'node_network_receive_bytes_total{device="eth0"}'


def make_samples(seconds: float, values: Mapping[str, float], entity_id: str = HOST) -> dict[str, Any]:
    """A record of metrics.samples.v1, `seconds` after START."""
    return {
        "event_time": START + int(seconds * SECOND), "ingest_time": START, "cluster": "test", "entity_id": entity_id,
        "parent_entity_ids": [], "series": list(values), "values": list(values.values()), "job": "",
        "source_topic": "metrics.raw", "source_partition": 0, "source_offsets": [0], "source_index": 0,
    }  # fmt: skip


def make_rates(seconds: float, num_events: int = 1, entity_id: str = SERVICE, **fields: Any) -> dict[str, Any]:
    """A record of logs.rates.v1 whose window begins `seconds` after START."""
    program, _, host = entity_id.partition("@")
    rates = {
        "window_start": START + int(seconds) * SECOND, "window_seconds": 10, "ingest_time": START, "cluster": "test",
        "entity_id": entity_id, "parent_entity_ids": [f"host:{host}"] if host else [], "num_events": num_events,
        "num_lines": num_events, "severity_counts": {"INFO": num_events}, "template_counts": {program: num_events},
        "http_status_counts": {},
    }  # fmt: skip
    return rates | fields


def value_of(record: Mapping[str, Any], name: str) -> float:
    """One feature of a vector."""
    return float(record["values"][record["names"].index(name)])
