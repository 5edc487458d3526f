"""Versions of the schemas read each other's records, so that services upgrade and roll back one at a time."""

import copy
import io
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.utils import generate_many

from moselle.generators.avro import read_schemas
from moselle.generators.evolution import incompatibilities, publish, unpublished, versions

ROOT = Path(__file__).parents[2]
SCHEMAS = read_schemas(ROOT)
NUM_RECORDS = 20
#: Each version beside the next one; the last one beside what the tree holds now.
PAIRS = [
    pytest.param(name, older, newer, id=f"{name}-{number}")
    for name, schema in SCHEMAS.items()
    for published in [[*versions(ROOT, name), schema]]
    for number, (older, newer) in enumerate(itertools.pairwise(published), start=1)
]


def parsed(schema: Any) -> Any:
    return parse_schema(copy.deepcopy(schema), named_schemas={}, _write_hint=False)


def carry(record: Any, writer: Any, reader: Any) -> Any:
    """The record as a reader of another version gets it."""
    buffer = io.BytesIO()
    schemaless_writer(buffer, parsed(writer), record)
    buffer.seek(0)
    return schemaless_reader(buffer, parsed(writer), parsed(reader))


def samples(schema: Any) -> list[Any]:
    """Records with a value in every field, the same ones in every run."""
    random.seed(7)
    return list(generate_many(parsed(schema), NUM_RECORDS))


def field_names(schema: Any) -> set[str]:
    return {field["name"] for field in schema["fields"]}


def test_every_schema_is_published() -> None:
    """A changed schema without a new version fails here: python -m moselle.generate --publish."""
    assert unpublished(ROOT) == []


@pytest.mark.parametrize(("name", "older", "newer"), PAIRS)
def test_neighbouring_versions_follow_the_rule(name: str, older: Any, newer: Any) -> None:
    """Fields came with a default, went with a default, and kept their types."""
    assert incompatibilities(older, newer) == []


@pytest.mark.parametrize(("name", "older", "newer"), PAIRS)
def test_each_version_reads_what_its_neighbour_wrote(name: str, older: Any, newer: Any) -> None:
    """Records written by either version arrive whole in the fields that both have."""
    for writer, reader in ((older, newer), (newer, older)):
        for record in samples(writer):
            got, same = carry(record, writer, reader), carry(record, writer, writer)
            assert set(got) == field_names(reader)
            assert shared(got, same) == shared(same, got)


def shared(value: Any, other: Any) -> Any:
    """`value` without the fields that `other` lacks, at any depth."""
    if isinstance(value, dict) and isinstance(other, dict):
        return {key: shared(value[key], other[key]) for key in value if key in other}
    if isinstance(value, list) and isinstance(other, list) and len(value) == len(other):
        return [shared(*pair) for pair in zip(value, other, strict=True)]
    return value


def alert_schema(**changes: Any) -> Any:
    """The alert's schema with fields replaced, added, or (None) taken away."""
    schema = copy.deepcopy(SCHEMAS["alerts.v1"])
    kept = [field for field in schema["fields"] if field["name"] not in changes]
    schema["fields"] = kept + [{"name": name, "doc": "New.", **field} for name, field in changes.items() if field]
    return schema


def test_a_new_field_with_a_default_is_fine_both_ways() -> None:
    """Old readers skip it, new readers fill it in."""
    older, newer = SCHEMAS["alerts.v1"], alert_schema(num_events={"type": "long", "default": 3})
    assert incompatibilities(older, newer) == []
    assert carry(samples(older)[0], older, newer)["num_events"] == 3
    assert "num_events" not in carry(samples(newer)[0], newer, older)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_events": {"type": "long"}}, "Alert.num_events is new and has no default; give it one"),
        ({"summary": None}, "Alert.summary is gone and had no default; keep it"),
        ({"score": {"type": "string"}}, "Alert.score changed its type"),
        ({"labels": {"type": {"type": "map", "values": "long"}, "default": {}}}, "Alert.labels[] changed its type"),
    ],
)
def test_a_change_that_breaks_a_reader_is_named(changes: dict[str, Any], problem: str) -> None:
    """Each forbidden change gets a sentence with the field and the remedy."""
    problems = incompatibilities(SCHEMAS["alerts.v1"], alert_schema(**changes))
    assert len(problems) == 1
    assert problem in problems[0]


def tree_with(tmp_path: Path, current: Any, *published: Any) -> Path:
    """A tree that holds one schema and its versions."""
    folder = tmp_path / "proto" / "avro" / "versions" / "alerts.v1"
    folder.mkdir(parents=True)
    (tmp_path / "proto" / "avro" / "alerts.v1.avsc").write_text(json.dumps(current))
    for number, schema in enumerate(published, start=1):
        (folder / f"{number}.avsc").write_text(json.dumps(schema))
    return tmp_path


def test_better_words_need_no_new_version(tmp_path: Path) -> None:
    """A doc may change; the bytes do not."""
    current = copy.deepcopy(SCHEMAS["alerts.v1"]) | {"doc": "In other words."}
    assert unpublished(tree_with(tmp_path, current, SCHEMAS["alerts.v1"])) == []


def test_a_changed_schema_is_published_as_the_next_version(tmp_path: Path) -> None:
    """It is seen as unpublished, and its file is numbered one higher."""
    newer = alert_schema(num_events={"type": "long", "default": 0})
    root = tree_with(tmp_path, newer, SCHEMAS["alerts.v1"])
    assert unpublished(root) == ["alerts.v1"]
    assert [str(path) for path in publish(root)] == ["proto/avro/versions/alerts.v1/2.avsc"]


def test_a_breaking_schema_is_not_published(tmp_path: Path) -> None:
    """Publishing refuses with the reason."""
    root = tree_with(tmp_path, alert_schema(summary=None), SCHEMAS["alerts.v1"])
    with pytest.raises(ValueError, match=r"does not follow its version 1: Alert\.summary is gone"):
        publish(root)
