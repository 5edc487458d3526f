"""The Avro schemas say what DESIGN says, each field with its meaning."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema
from fastavro.schema import fingerprint, to_parsing_canonical_form

from moselle.generators.avro import nested_records, read_schemas
from services.common.topics import all_topics

ROOT = Path(__file__).parents[2]
SCHEMAS = read_schemas(ROOT)
#: Readers have this schema built in: with another one they could read nobody's schemas.
FROZEN_SCHEMAS_V1 = "df1cbfe74ea3ec7e"
#: Words that end the name of a field that holds a moment.
TIME_ENDINGS = ("_time", "_at", "_until", "_start", "first_seen")

every_schema = pytest.mark.parametrize("name", SCHEMAS)


def fields(name: str) -> list[dict[str, Any]]:
    return [field for record in nested_records(SCHEMAS[name]) for field in record["fields"]]


def test_the_topics_and_the_files_name_the_same_schemas() -> None:
    """Each topic's schema is a file, and each file is a topic's schema."""
    assert {topic.schema for topic in all_topics() if topic.schema} == set(SCHEMAS)


def test_a_topic_is_named_as_its_schema() -> None:
    """A reader finds the schema of a topic by the topic's name; only states share one."""
    named = {topic.name: topic.schema for topic in all_topics() if topic.schema}
    assert all(schema in (name, "state.v1") for name, schema in named.items())


@every_schema
def test_it_parses(name: str) -> None:
    """fastavro takes the schema as it stands."""
    assert parse_schema(json.loads((ROOT / "proto" / "avro" / f"{name}.avsc").read_text()))


@every_schema
def test_every_record_and_field_says_what_it_means(name: str) -> None:
    """Each doc is a sentence."""
    docs = [item.get("doc", "") for item in [*nested_records(SCHEMAS[name]), *fields(name)]]
    assert all(doc.endswith(".") for doc in docs), docs


@every_schema
def test_field_names_are_snake_case(name: str) -> None:
    """Fields are lower case words with underscores."""
    names = [field["name"] for field in fields(name)]
    assert [text for text in names if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", text)] == []


@every_schema
def test_times_are_microseconds(name: str) -> None:
    """A field named as a moment is timestamp-micros, and nothing is another kind of time."""
    text = json.dumps(SCHEMAS[name])
    assert set(re.findall(r'"logicalType": "([^"]+)"', text)) <= {"timestamp-micros"}
    moments = [field for field in fields(name) if field["name"].endswith(TIME_ENDINGS)]
    assert [field["name"] for field in moments if "timestamp-micros" not in json.dumps(field["type"])] == []


@every_schema
def test_a_default_is_of_its_fields_type(name: str) -> None:
    """Null stands first where it is the default, as Avro demands."""
    nullable = [field for field in fields(name) if isinstance(field["type"], list) and "default" in field]
    assert [field["name"] for field in nullable if field["default"] is not None or field["type"][0] != "null"] == []


def test_the_schema_of_schemas_is_frozen() -> None:
    """Its fingerprint never changes: every reader of every version has it built in."""
    assert fingerprint(to_parsing_canonical_form(SCHEMAS["schemas.v1"]), "CRC-64-AVRO") == FROZEN_SCHEMAS_V1
