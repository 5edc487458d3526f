"""Labelled metrics of other people: folders laid out like asd and smd (`*.npz` with train, test, label) or like nab.

Nobody says what these series mean, so every one is an unknown metric that may alert: this shows how often the alert
layer cries on streams that it was not made for, not how well a detector ranks.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from services.anomaly.settings import AnomalySettings
from services.anomaly.train.replay import Replay

SECOND = 1_000_000
DAY = 86_400 * SECOND
BEGIN = 1_700_000_000 * SECOND
#: Seconds between samples by the folder's name, as its SOURCE.txt says.
INTERVALS = {"smd": 60, "asd": 300}
#: NAB's own share of a file that is there to learn from.
NAB_PROBATION = 0.15


class Stream(NamedTuple):
    """One entity's records, where learning ends, and the labelled windows after that; microseconds."""

    name: str
    records: list[dict[str, Any]]
    fit_end: int
    windows: list[tuple[int, int]]


def read_streams(folder: Path) -> Iterator[Stream]:
    """Every stream of the folder."""
    archives = sorted(folder.glob("*.npz"))
    if archives:
        yield from (_archive(path, INTERVALS.get(folder.name, 60) * SECOND) for path in archives)
        return
    windows = json.loads((folder / "labels" / "combined_windows.json").read_text())
    for path in sorted((folder / "data").rglob("*.csv")):
        yield _nab(path, windows.get(f"{path.parent.name}/{path.name}", []))


def _archive(path: Path, step: int) -> Stream:
    arrays = np.load(path)
    values = np.concatenate([arrays["train"], arrays["test"]]).astype(float)
    times = [BEGIN + row * step for row in range(len(values))]
    first = len(arrays["train"])
    edges = np.flatnonzero(np.diff(arrays["label"].astype(int), prepend=0, append=0))
    windows = [
        (times[first] + int(a) * step, times[first] + int(b - 1) * step)
        for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]
    return Stream(path.stem, _records(path.stem, times, values.tolist()), times[first], windows)


def _nab(path: Path, windows: Sequence[Sequence[str]]) -> Stream:
    with path.open() as file:
        rows = [(_micros(row["timestamp"]), float(row["value"])) for row in csv.DictReader(file)]
    times = [time for time, _ in rows]
    fit_end = times[int(NAB_PROBATION * len(times))]
    kept = [(_micros(begin), _micros(end)) for begin, end in windows]
    return Stream(path.stem, _records(path.stem, times, [[value] for _, value in rows]), fit_end, kept)


def _micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND


def _records(name: str, times: Sequence[int], rows: Sequence[Sequence[float]]) -> list[dict[str, Any]]:
    series = [f"metric_{number}" for number in range(len(rows[0]))]
    return [
        {
            "event_time": time, "cluster": "evaluation", "entity_id": f"host:{name}", "parent_entity_ids": [],
            "series": series, "values": row, "job": "file", "source_topic": name, "source_partition": 0,
            "source_offsets": [place], "source_index": 0, "ingest_time": time,
        }
        for place, (time, row) in enumerate(zip(times, rows, strict=True))
    ]  # fmt: skip


def evaluate_streams(folder: Path, settings: AnomalySettings, max_streams: int = 1000) -> dict[str, Any]:
    """Alerts against labelled windows, each stream by itself, thresholds as set: nothing is chosen by these labels."""
    rows = [_judged(stream, settings) for _, stream in zip(range(max_streams), read_streams(folder), strict=False)]
    total = {
        word: sum(row[word] for row in rows) for word in ("events", "events_found", "alerts", "false_alarms", "days")
    }
    return {
        "detectors": {"moselle": {
            "event_recall": _ratio(total["events_found"], total["events"]),
            "event_precision": _ratio(total["alerts"] - total["false_alarms"], total["alerts"]),
            "false_alarms_per_day": _ratio(total["false_alarms"], total["days"]),
        }},
        "series": sum(row["series"] for row in rows),
        "streams": len(rows),
        **total,
        "thresholds": settings.model_dump(),
    }  # fmt: skip


def _judged(stream: Stream, settings: AnomalySettings) -> dict[str, float]:
    """An alert is right when it fires in a labelled window."""
    warmup = (stream.fit_end - stream.records[0]["event_time"]) / SECOND
    own = settings.model_copy(update={"warmup_seconds": warmup, "unknown_metrics": "alert", "advisers": ()})
    alerts = Replay(own).read(stream.records, 500).finish().records
    starts = [alert["detected_at"] for alert in alerts if alert["status"] == "firing"]
    right = [start for start in starts if any(begin <= start <= end for begin, end in stream.windows)]
    return {
        "events": len(stream.windows), "alerts": len(starts), "false_alarms": len(starts) - len(right),
        "events_found": sum(any(begin <= start <= end for start in right) for begin, end in stream.windows),
        "days": (stream.records[-1]["event_time"] - stream.fit_end) / DAY, "series": len(stream.records[0]["series"]),
    }  # fmt: skip


def _ratio(part: float, whole: float) -> float | None:
    return round(part / whole, 3) if whole else None
