"""Avro single-object encoding with schemas found by fingerprint."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.broker.memory import MemoryBroker
from services.common.clock import FakeClock
from services.common.codec import Codec, wire_fingerprint
from services.common.errors import InvalidMessage
from services.common.schemas import SchemaRegistry

CODEC = Codec()
FEEDBACK = {"subject_id": "a", "verdict": "right", "given_at": 1_795_241_380_000_000, "cluster": "c"}


def test_fingerprint_is_the_specification_s() -> None:
    """The Avro specification's own example: "int" has 0x7275d51a3f395c8f, little endian on the wire."""
    assert wire_fingerprint('"int"') == (0x7275D51A3F395C8F).to_bytes(8, "little")


def test_decodes_what_it_encoded() -> None:
    """Defaults are filled in, times stay integers."""
    codec = Codec()
    record = codec.decode(codec.encode("feedback.v1", FEEDBACK))
    texts = dict.fromkeys(("fingerprint", "given_by", "comment", "entity_id", "detector"), "")
    times = dict.fromkeys(("silence_until", "starts_at", "ends_at"))
    assert record == FEEDBACK | texts | times | {"rules": [], "signals": []}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_an_invalid_message(data: bytes) -> None:
    """Nothing but InvalidMessage comes out of foreign bytes, behind a good header too."""
    for candidate in (data, CODEC.encode("feedback.v1", FEEDBACK)[:10] + data):
        assert outcome(CODEC, candidate) in {"read", "not_avro_single_object", "unknown_schema", "avro_body_invalid"}


def outcome(codec: Codec, data: bytes) -> str:
    try:
        codec.decode(data)
    except InvalidMessage as error:
        return error.reason
    return "read"


def newer_codec(tmp_path: Path) -> Codec:
    """A program whose feedback schema has one field more."""
    for path in Path("proto/avro").glob("*.avsc"):
        (tmp_path / path.name).write_text(path.read_text())
    newer = json.loads((tmp_path / "feedback.v1.avsc").read_text())
    newer["fields"].append({"name": "mood", "type": "string", "default": "calm", "doc": "New."})
    (tmp_path / "feedback.v1.avsc").write_text(json.dumps(newer))
    return Codec(tmp_path)


def test_reads_a_newer_writer_through_schemas_v1(tmp_path: Path) -> None:
    """An additive newer schema is found by its fingerprint, and its new field left out."""
    broker = MemoryBroker({"schemas.v1": 1})
    older, newer = Codec(), newer_codec(tmp_path)
    data = newer.encode("feedback.v1", FEEDBACK | {"mood": "cross"})
    SchemaRegistry(broker, older, FakeClock())
    with pytest.raises(InvalidMessage, match="unknown_schema"):
        older.decode(data)
    SchemaRegistry(broker, newer, FakeClock()).publish_own()
    assert "mood" not in older.decode(data)


def test_reads_an_older_writer(tmp_path: Path) -> None:
    """A field that an older writer did not know gets its default."""
    broker = MemoryBroker({"schemas.v1": 1})
    older, newer = Codec(), newer_codec(tmp_path)
    SchemaRegistry(broker, older, FakeClock()).publish_own()
    SchemaRegistry(broker, newer, FakeClock())
    assert newer.decode(older.encode("feedback.v1", FEEDBACK))["mood"] == "calm"


def test_publishes_each_schema_once() -> None:
    """A second start adds nothing."""
    broker = MemoryBroker({"schemas.v1": 1})
    first = SchemaRegistry(broker, Codec(), FakeClock()).publish_own()
    assert first == len(Codec().schemas)
    assert SchemaRegistry(broker, Codec(), FakeClock()).publish_own() == 0
