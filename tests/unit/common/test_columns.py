"""Many records at once: the bytes that they have one by one, or the error that names what does not fit."""

from typing import Any

import pytest
from fastavro import parse_schema
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.codec import Codec
from services.common.columns import MAX_RUN_BYTES, MAX_RUNS, compile_table_writer, rows_of
from services.common.encoding import Unsupported
from tests.unit.common.test_encoding import GOOD, LONGS, MISFITS, SHAPES, by_fastavro, values

CODEC = Codec()
HTTP = {"method": "GET", "target": "/é", "status": 200, "duration_seconds": 0.5}
EVENT: dict[str, Any] = {
    "event_time": 1_795_240_300_123_456, "event_time_source": "line", "ingest_time": 1_795_240_301_000_000,
    "cluster": "c", "entity_id": "service:a@b", "parent_entity_ids": ["host:b"], "service_name": "a", "host_name": "b",
    "source_id": "b|/a.log", "shape": "oslo_text", "severity_number": 9, "severity_text": "INFO", "logger": "a.b",
    "process_id": 7, "body": "GET /é", "raw_line": "2026 GET /é", "template_id": "0011", "miner_version": "m",
    "parameters": ["/é", "200"], "request_id": "req-1", "global_request_id": "", "instance_id": "", "pod_id": "",
    "project_id": "p", "user_id": "u", "http": HTTP, "exception": None, "source_topic": "logs.raw",
    "source_partition": 0, "source_offsets": [70_000], "source_index": 0, "line_count": 1, "attributes": {},
}  # fmt: skip
CHANGES: list[dict[str, Any]] = [
    {}, {"http": None}, {"http": {**HTTP, "duration_seconds": None}}, {"process_id": None}, {"parameters": []},
    {"source_offsets": [70_000, 70_001]}, {"source_offsets": [5]}, {"attributes": {"a": "b"}}, {"event_time": -5},
    {"parent_entity_ids": ()}, {"source_id": "b" * 2 * MAX_RUN_BYTES}, {"parameters": ["x"] * 20_000},
]  # fmt: skip


def columns_of(records: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """By field; a field that one of them leaves to its default is left to it by all."""
    names = [name for name in records[0] if all(name in record for record in records)]
    return {name: [record[name] for record in records] for name in names}


@pytest.mark.parametrize("name", [schema.name for schema in CODEC.schemas])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_writes_what_fastavro_writes(name: str, data: st.DataObject) -> None:
    """Every schema of ours, every kind of value, defaults left out or not: the same bytes."""
    schema = CODEC.schema(name)
    columns = columns_of(data.draw(st.lists(values(schema.parsed, {}), min_size=1, max_size=5)))
    written = [by_fastavro(schema.parsed, record) for record in rows_of(columns)]
    assert CODEC.encode_all(name, columns) == [b"\xc3\x01" + schema.fingerprint + body for body in written]


@settings(deadline=None)
@given(data=st.data())
def test_writes_what_no_schema_of_ours_holds_yet(data: st.DataObject) -> None:
    """What is written at once is right; what is unusual is refused, so that it is written one by one."""
    parsed = parse_schema(SHAPES)
    columns = columns_of(data.draw(st.lists(values(parsed, {}), min_size=1, max_size=5)))
    try:
        written = compile_table_writer(parsed, b"head")(columns)
    except (TypeError, KeyError):
        return
    assert written == [b"head" + by_fastavro(parsed, record) for record in rows_of(columns)]


def test_events_are_written_at_once() -> None:
    """Ordinary ones of every sort, twice: the second time much of them is remembered. Nothing is left to `encode`."""
    schema = CODEC.schema("logs.parsed.v1")
    events = [{**EVENT, **change} for change in CHANGES]
    write = compile_table_writer(schema.parsed, b"")
    for batch in (events, events, events[:1], events[1:2], events[2:3]):
        assert write(columns_of(batch)) == [by_fastavro(schema.parsed, event) for event in batch]
    assert write({name: [] for name in EVENT}) == []


@given(st.lists(LONGS | st.integers(2**13, 2**27) | st.integers(2**27, 2**56), min_size=1, max_size=4))
def test_times_of_any_size(numbers: list[int]) -> None:
    """Each is written the first time as the second."""
    parsed = parse_schema({"type": "record", "name": "N", "fields": [{"name": "event_time", "type": "long"}]})
    write, wanted = compile_table_writer(parsed, b""), [by_fastavro(parsed, {"event_time": n}) for n in numbers]
    one_sized = [number | 1 << 50 for number in numbers if 0 <= number < 1 << 55]
    assert write({"event_time": one_sized}) == [by_fastavro(parsed, {"event_time": number}) for number in one_sized]
    assert write({"event_time": numbers}) == write({"event_time": numbers}) == wanted


@pytest.mark.parametrize(
    ("change", "said"), [*MISFITS, ({"number": False}, "number: bool"), ({"flag": 0}, "flag: int")]
)
def test_a_misfit_is_refused(change: dict[str, Any], said: str) -> None:
    """Among good records, and when its equal is remembered: True for 1, 0 for False."""
    good = {**GOOD, "number": 1, "back": None}
    write = compile_table_writer(parse_schema(SHAPES), b"")
    records = [good, {**good, "number": 0}]
    assert len(write(columns_of(records))) == 2
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError, OverflowError)):
        write(columns_of([*records, {**good, **change}]))


def test_the_codec_names_what_does_not_fit() -> None:
    """One of many, and columns that are not of one length."""
    events = columns_of([EVENT, EVENT])
    with pytest.raises(ValueError, match=r"does not fit logs\.parsed\.v1: http: status"):
        CODEC.encode_all("logs.parsed.v1", {**events, "http": [HTTP, {**HTTP, "status": "200"}]})
    with pytest.raises(ValueError, match="shorter"):
        CODEC.encode_all("logs.parsed.v1", {**events, "body": ["one"]})


def test_remembers_within_bounds() -> None:
    """More runs of fields than are remembered are written all the same."""
    schema = CODEC.schema("logs.parsed.v1")
    write = compile_table_writer(schema.parsed, b"")
    events = [{**EVENT, "process_id": number} for number in range(MAX_RUNS + 10)]
    assert write(columns_of(events)) == [CODEC.encode("logs.parsed.v1", event)[10:] for event in events]


def test_what_it_does_not_know_is_written_one_by_one() -> None:
    """As by `compile_writer`."""
    schema = {"type": "record", "name": "N", "fields": [{"name": "n", "type": "float"}]}
    with pytest.raises(Unsupported):
        compile_table_writer(parse_schema(schema), b"")
