"""Properties of every shape of logs: what is counted, and that nothing a message holds stops ingest."""

import gzip
import json
from pathlib import Path
from typing import Any

import cramjam
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from services.ingest.core.shapes import SHAPES
from tests.unit.ingest.conftest import Harness

FOLDER = Path(__file__).parents[2] / "golden/data/shapes"
GOLDEN = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
RECORDS = [message["json"] for golden in GOLDEN if golden["kind"] == "logs" for message in golden["messages"]
           if isinstance(message.get("json"), dict)]  # fmt: skip
HEAD = "2026-11-21 06:12:12.862 24053 INFO nova.compute [-] "
#: Texts that no decoder takes for JSON.
TEXT = st.lists(
    st.sampled_from([
        "", "text", HEAD + "x", "E1121 06:12:12.862123 7 a.go:7] oh", "Traceback (most recent call last):",
        "<34>Nov 21 05:14:15 h su: x", "\tat a.B.c(B.java:1)", "2026-11-21T06:12:13.1Z stdout F x",
    ]), min_size=1, max_size=4,
).map("\n".join)  # fmt: skip
WRAPPED = TEXT.flatmap(lambda text: st.sampled_from([
    {"log": text, "date": 1.5}, {"log": text, "stream": "stdout"}, {"message": text}, {"message": text, "host": "h"},
    {"message": text, "source_type": "file"}, {"message": text, "@metadata": {}, "log": {"file": {"path": "/x.log"}}},
    {"MESSAGE": text, "_PID": "7"}, {"message": text, "procid": "-", "facility": "3"},
]).map(lambda record: (record, num_text_lines(text))))  # fmt: skip
LINE = TEXT.flatmap(lambda text: st.sampled_from([
    {"Payload": text, "python_module": "nova", "Timestamp": "2026-11-21 06:12:12.862"}, {"msg": text, "level": 30},
    {"message": text, "levelname": "INFO", "msg": "%s", "args": ["x"], "name": "n", "created": 1.5},
    {"message": text, "involvedObject": {"kind": "Pod", "name": "p"}}, {"level": "error", "event": text, "ts": 1},
]).map(lambda record: (record, 1)))  # fmt: skip
MEMBER = st.one_of(WRAPPED, LINE)
PACK = st.sampled_from([lambda data: data, gzip.compress, lambda data: bytes(cramjam.zstd.compress(data))])
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8,
)  # fmt: skip


def num_text_lines(text: str) -> int:
    """One newline at the end ends the last line."""
    return len(text.removesuffix("\n").split("\n"))


def lines_of(value: bytes, **settings_: Any) -> tuple[int, list[str]]:
    """How many lines a value's events have, and its dead letters; nothing may be a defect."""
    ingest = Harness(**settings_)
    ingest.send(value)
    ingest.wait(60)
    ingest.wait(60)
    assert "unexpected_error" not in ingest.dead
    assert "unreadable" not in {event["shape"] for event in ingest.events}
    places = [(event["source_offsets"][0], event["source_index"]) for event in ingest.events]
    assert len(places) == len(set(places))
    return ingest.num_lines, ingest.dead


@settings(max_examples=80, deadline=None)
@given(st.lists(MEMBER, min_size=1, max_size=4), st.booleans(), PACK)
def test_lines_are_counted_in_every_shape(members: list[tuple[dict[str, Any], int]], is_array: bool, pack: Any) -> None:
    """A wrapper has the lines of its text, a record is one, an array or joined records are their sum, packed or not."""
    records = [orjson.dumps(record) for record, _ in members]
    value = b"[" + b",".join(records) + b"]" if is_array else b"\n".join(records)
    assert lines_of(pack(value)) == (sum(number for _, number in members), [])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, st.sampled_from([0, 9, 17, 99])), min_size=1, max_size=5), st.booleans())
def test_records_of_opentelemetry_are_counted(records: list[tuple[str, int]], is_json: bool) -> None:
    """A record with a severity is one line unless its body is a file's line; others have the lines of their body."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for text, number in records:
        record = scope.log_records.add(severity_number=number)  # type: ignore[arg-type]
        record.body.string_value = text
    value = request.SerializeToString()
    if is_json:
        logs = [{"severityNumber": number, "body": {"stringValue": text}} for text, number in records]
        value = orjson.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]})
    expected = sum(
        1 if number in (9, 17) and not text.startswith((HEAD, "E1121")) else num_text_lines(text)
        for text, number in records
    )
    assert lines_of(value) == (expected, [])


def replaced(value: Any, path: list[int], new: Any) -> Any:
    """The value with the leaf that `path` leads to replaced by `new`."""
    if not path or not isinstance(value, (dict, list)) or not value:
        return new
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    key = keys[path[0] % len(keys)]
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[key] = replaced(value[key], path[1:], new)
    return copy


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(RECORDS), st.lists(st.integers(0, 99), min_size=1, max_size=6), ANY_JSON)
def test_any_value_in_any_place_of_a_known_record_is_survived(record: Any, path: list[int], new: Any) -> None:
    """Text that decodes is never a dead letter."""
    lines, dead = lines_of(orjson.dumps(replaced(record, path, new)))
    assert lines > 0
    assert dead == []


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_that_begin_as_a_binary_request_are_survived(junk: bytes, position: int, byte: int) -> None:
    """A damaged request is events or a dead letter with its reason."""
    golden = next(each for each in GOLDEN if each["shape"] == "otlp_proto")
    from tests.golden.test_shapes import value_of

    whole = bytearray(value_of(golden["messages"][0]))
    whole[position % len(whole)] = byte
    for value in (bytes(whole), b"\n" + junk, b"\n\x02\x12\x00" + junk, bytes(whole)[: position % len(whole)]):
        lines, dead = lines_of(value)
        assert (lines > 0) != (len(dead) == 1)


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=15, deadline=None)
@given(st.sampled_from(RECORDS) | TEXT)
def test_a_pinned_topic_takes_anything_as_text(shape: str, value: Any) -> None:
    """What is not of the topic's shape is text; only a binary shape makes a dead letter of it."""
    data = value.encode() if isinstance(value, str) else orjson.dumps(value)
    lines, dead = lines_of(data, topic_shapes={"logs.raw": shape})
    assert (lines > 0, dead) == ((False, ["bad_otlp"]) if shape == "otlp_proto" else (True, []))
