"""Rows and stores for the conformance of history."""

from collections.abc import Sequence
from typing import Any

from services.features.core.history import HistoryStore, Row, to_row

#: 2026-11-21T06:00:00Z.
NOON = 1_795_240_800_000_000
DAY = 86_400_000_000
FOREVER = NOON + 3650 * DAY
ENTITY = "host:controller-1"


def make_features(seconds: int = 0, **fields: Any) -> tuple[str, Row]:
    record = {
        "event_time": NOON + seconds * 1_000_000, "step_seconds": 10, "ingest_time": NOON, "cluster": "c",
        "entity_id": ENTITY, "parent_entity_ids": [], "feature_set": "host", "feature_set_version": 1,
        "names": ["cpu_ratio", "memory_ratio"], "values": [0.5, 0.25],
    }  # fmt: skip
    return to_row("features.v1", record | fields, FOREVER)


def make_scrape(seconds: int = 0, pairs: dict[str, float] | None = None, **fields: Any) -> tuple[str, Row]:
    pairs = {"up": 1.0, 'load{host="a"}': 0.5} if pairs is None else pairs
    record = {
        "event_time": NOON + seconds * 1_000_000, "ingest_time": NOON, "cluster": "c", "entity_id": ENTITY,
        "parent_entity_ids": [], "job": "node", "series": list(pairs), "values": list(pairs.values()),
    }  # fmt: skip
    return to_row("metrics.samples.v1", record | fields, FOREVER)


def make_alert(revision: int = 0, status: str = "firing", **fields: Any) -> tuple[str, Row]:
    record = {
        "fingerprint": "f", "alert_id": "a", "revision": revision, "status": status, "starts_at": NOON,
        "ends_at": None, "detected_at": NOON, "published_at": NOON, "cluster": "c", "entity_id": ENTITY,
        "parent_entity_ids": ["host:h"], "service": "nova-api", "detector": "log.rules", "rule": "error_burst",
        "kind": "errors", "severity": "critical", "score": 0.9, "threshold": 0.5, "summary": "s", "reason": "r",
        "evidence": [{"event_time": NOON, "entity_id": ENTITY, "raw_line": "a\tb\\n", "value": None}],
        "mentions": ["10.0.0.1:3306"], "labels": {"rules": "error_burst"}, "model_version": "1", "runbook_url": "",
    }  # fmt: skip
    return to_row("alerts.v1", record | fields, FOREVER)


def make_prediction(seconds: int = 0, **fields: Any) -> tuple[str, Row]:
    record = {
        "event_time": NOON + seconds * 1_000_000, "cluster": "c", "entity_id": ENTITY, "parent_entity_ids": [],
        "target": "cpu_ratio", "step_seconds": 10, "horizons_seconds": [60, 120], "values": [0.5, 0.6],
        "quantile_levels": [0.1, 0.9], "quantiles": [[0.4, 0.6], [0.5, 0.7]], "confidence": 0.8,
        "spoken_by": "lstm", "model_version": "1", "valid_until": NOON + DAY, "reasons": ["flat"],
    }  # fmt: skip
    return to_row("predictions.v1", record | fields, FOREVER)


def make_placement(**fields: Any) -> tuple[str, Row]:
    record = {
        "request_id": "r1", "decided_at": NOON, "cluster": "c", "workload": "web", "node": "node:n1", "score": 0.75,
        "alternatives": [{"node": "node:n2", "score": 0.5}],
        "reasons": [{"factor": "cpu", "value": 0.5, "contribution": 0.25}], "mode": "live", "model_version": "1",
        "outcome": None, "outcome_time": None, "owner": "team", "request": b"\x00\x01",
    }  # fmt: skip
    return to_row("placements.v1", record | fields, FOREVER)


def write(store: HistoryStore, *rows: tuple[str, Row]) -> int:
    """Upserts all of them at once; returns how many rows changed."""
    tables: dict[str, list[Row]] = {}
    for table, row in rows:
        tables.setdefault(table, []).append(row)
    return sum(store.upsert(tables).values())


def rows_of(store: HistoryStore, table: str, entity_id: str | None = None) -> Sequence[Row]:
    """Everything of a table."""
    return list(store.read(table, 0, FOREVER, entity_id))
