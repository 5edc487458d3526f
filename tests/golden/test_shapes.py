"""Every shape that ingest reads, one file each, through the real stage: see data/shapes/README.md.

Regenerate with `python -m tests.golden.test_shapes`, which shows the difference.
"""

import base64
import difflib
import gzip
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cramjam
import orjson
import pytest

from services.common.broker.abstract import Record
from tests.unit.ingest.conftest import LOGS, METRICS, NOW, Harness

FOLDER = Path(__file__).parent / "data" / "shapes"
FILES = sorted(FOLDER.glob("*.json"))
TOPICS = {"logs": "logs.parsed.v1", "metrics": "metrics.samples.v1"}
TIMES = ("event_time", "ingest_time")
USUAL = {
    "logs": ("shape", "event_time", "event_time_source", "entity_id", "severity_text", "severity_number", "body"),
    "metrics": ("event_time", "entity_id", "series", "values"),
}
PACKERS = {"gzip": gzip.compress, "zstd": lambda data: bytes(cramjam.zstd.compress(data))}
REQUIRED = {"shape", "kind", "shipper", "line", "tested", "messages", "expected"}


def value_of(message: Mapping[str, Any]) -> bytes:
    """The bytes of one message."""
    if "base64" in message:
        value = base64.b64decode(message["base64"])
    elif "json" in message:
        value = orjson.dumps(message["json"])
    else:
        text = message["text"]
        value = (text if isinstance(text, str) else "\n".join(text)).encode()
    return PACKERS[message["pack"]](value) if "pack" in message else value


def record_of(message: Mapping[str, Any], kind: str, offset: int) -> Record:
    """The message as Kafka delivers it."""
    topic = message.get("topic", (LOGS if kind == "logs" else METRICS).topic)
    headers = [(name, value.encode()) for name, value in message.get("headers", {}).items()]
    key = message["key"].encode() if "key" in message else None
    millis = message.get("timestamp_ms", int(NOW.timestamp() * 1000))
    return Record(topic, 0, offset, millis, key, value_of(message), headers or None)


def outcome(golden: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The records that the messages of a file become, and the reasons of its dead letters."""
    ingest = Harness(**golden.get("settings", {}))
    kind = golden["kind"]
    ingest.process([record_of(message, kind, offset) for offset, message in enumerate(golden["messages"])])
    ingest.wait(60)
    ingest.wait(60)  # what a cut line became
    return ingest.of(TOPICS[kind]), ingest.dead


def reduced(wanted: object, found: object) -> object:
    """What was found, as far as `wanted` names it: objects by their keys, numbers that JSON lacks by their names."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return {key: reduced(value, found.get(key)) for key, value in wanted.items()}
    if isinstance(found, float) and (found != found or abs(found) == float("inf")):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(found)]
    if isinstance(found, list):
        parts = wanted if isinstance(wanted, list) and len(wanted) == len(found) else found
        return [reduced(part, each) for part, each in zip(parts, found, strict=True)]
    return found


def shown_times(record: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The record with times as RFC 3339 where the file has them so."""
    return {
        key: rfc3339(value) if key in TIMES and not isinstance(wanted.get(key), int) else value
        for key, value in record.items()
    }


def rfc3339(micros: int) -> str:
    """Microseconds since 1970 as a reader likes them."""
    text = datetime.fromtimestamp(micros // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f"{micros % 1_000_000:06d}".rstrip("0")
    return f"{text}.{fraction}Z" if fraction else f"{text}Z"


def found_as_wanted(golden: Mapping[str, Any], records: list[dict[str, Any]]) -> list[object]:
    """The records reduced to the fields that the file names."""
    usual = dict.fromkeys(USUAL[golden["kind"]])
    wanted = [*golden["expected"], *[usual] * len(records)][: len(records)]
    return [reduced(fields, shown_times(record, fields)) for fields, record in zip(wanted, records, strict=True)]


def read(path: Path) -> dict[str, Any]:
    """A golden file."""
    golden: dict[str, Any] = json.loads(path.read_text())
    return golden


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_shape_becomes_what_its_file_says(path: Path) -> None:
    """The events or samples, reduced to the fields that matter, and the dead letters."""
    golden = read(path)
    assert REQUIRED <= golden.keys()
    assert golden["shape"] == path.stem
    records, dead = outcome(golden)
    assert found_as_wanted(golden, records) == golden["expected"]
    assert dead == golden.get("dead", [])


def rewritten(path: Path) -> str:
    """The file with what its messages become now."""
    golden = read(path)
    records, dead = outcome(golden)
    golden["expected"] = found_as_wanted(golden, records)
    golden.pop("dead", None)
    if dead:
        golden["dead"] = dead
    return json.dumps(golden, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in FILES:
        old, new = path.read_text(), rewritten(path)
        sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), path.name, "now", n=1))
        path.write_text(new)
