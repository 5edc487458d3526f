"""Avro single-object encoding, with schemas found by fingerprint in `schemas.v1`.

On the wire: 0xC3 0x01, the schema's CRC-64-AVRO fingerprint (8 bytes, little endian), the Avro body. Times stay the
integers they are on the wire, microseconds since 1970 UTC: converting each to a datetime would cost more than decoding.

Source: Apache Avro 1.12 specification, "Single-object encoding" and "Parsing Canonical Form".
"""

import io
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

from services.common.columns import Columns, WriteTable, compile_table_writer, rows_of
from services.common.encoding import Unsupported, Write, compile_writer
from services.common.errors import InvalidMessage, SettingsInvalid

MARKER = b"\xc3\x01"
HEADER_BYTES = 10
#: The name of the schema that describes schemas. It is frozen, so that any reader can read any writer's schemas.
SCHEMAS = "schemas.v1"

Json = dict[str, Any]


class Schema(NamedTuple):
    """One version of one schema."""

    name: str
    fingerprint: bytes
    source: str
    parsed: Any


def schema_folder() -> Path:
    """`proto/avro`: within this package where it was installed from a wheel, else beside `services/`."""
    places = [Path(__file__).parent / "proto" / "avro", Path(__file__).parents[2] / "proto" / "avro"]
    for folder in places:
        if folder.is_dir():
            return folder
    raise SettingsInvalid(
        f"no schemas in {places[0]} nor in {places[1]}: this installation is not whole; install Moselle again"
    )


def read_schema(name: str, source: str) -> Schema:
    """Parses one schema from its JSON text.

    Raises:
        InvalidMessage: the text is no Avro schema.
    """
    try:
        loaded = json.loads(source)
        canonical = to_parsing_canonical_form(loaded)
        # A fresh dict for names: two versions of a schema define the same record names.
        parsed = parse_schema(without_logical_types(loaded), named_schemas={})
    except Exception as error:
        raise InvalidMessage("invalid_schema", f"{name}: {error}") from error
    return Schema(name, wire_fingerprint(canonical), source, parsed)


def wire_fingerprint(canonical: str) -> bytes:
    """The 8 bytes that stand in the header for a schema in parsing canonical form."""
    return bytes.fromhex(fingerprint(canonical, "CRC-64-AVRO"))


def without_logical_types(schema: Any) -> Any:
    """The same schema with plain longs for times."""
    if isinstance(schema, dict):
        return {key: without_logical_types(value) for key, value in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [without_logical_types(item) for item in schema]
    return schema


def make_writer(schema: Schema) -> Write:
    """The fastest writer of a schema's bodies that there is: ours, or fastavro's for what ours does not know."""
    try:
        return compile_writer(schema.parsed)
    except Unsupported:

        def write(record: Mapping[str, Any]) -> bytes:
            buffer = io.BytesIO()
            try:
                schemaless_writer(buffer, schema.parsed, record)
            except (TypeError, OverflowError, AttributeError) as error:
                raise ValueError(str(error)) from error
            return buffer.getvalue()

        return write


def make_table_writer(schema: Schema) -> WriteTable:
    """What writes many records of a schema at once, headers included; it raises where they must be written singly."""
    try:
        return compile_table_writer(schema.parsed, MARKER + schema.fingerprint)
    except Unsupported:

        def refuse(columns: Columns) -> list[bytes]:
            raise TypeError(f"{schema.name} is written record by record")

        return refuse


class Codec:
    """Encodes with this program's schemas; decodes what any version wrote.

    Args:
        folder: where the .avsc files are; the repository's by default.
        learn: called with a fingerprint that is not known; may wait, and shall call `add_source` for what it finds.
    """

    def __init__(self, folder: Path | None = None, learn: Callable[[bytes], None] | None = None) -> None:
        self.learn = learn
        self._by_name: dict[str, Schema] = {}
        self._by_fingerprint: dict[bytes, Schema] = {}
        self._lock = threading.Lock()
        for path in sorted((folder or schema_folder()).glob("*.avsc")):
            schema = read_schema(path.name.removesuffix(".avsc"), path.read_text())
            self._by_name[schema.name] = schema
            self._by_fingerprint[schema.fingerprint] = schema
        #: Of the schemas that were written so far: making one takes milliseconds.
        self._writers: dict[str, tuple[bytes, Write]] = {}
        self._table_writers: dict[str, WriteTable] = {}

    @property
    def schemas(self) -> list[Schema]:
        """This program's own schemas, sorted by name."""
        return [self._by_name[name] for name in sorted(self._by_name)]

    def schema(self, name: str) -> Schema:
        """This program's schema of that name; KeyError when there is none."""
        return self._by_name[name]

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """The bytes on the wire of `record` by the schema `name`.

        Raises:
            ValueError: the record does not fit the schema: our mistake, not a sender's.
        """
        header, write = self._writers.get(name) or self._make_writer(name)
        try:
            return header + write(record)
        except ValueError as error:
            raise ValueError(f"a record does not fit {name}: {error}") from error

    def encode_all(self, name: str, columns: Columns) -> list[bytes]:
        """The same of many records, given as columns: a list of values for each field, all of them as long.

        Raises:
            ValueError: as `encode`, should one of them not fit.
        """
        write = self._table_writers.get(name) or self._make_table_writer(name)
        try:
            return write(columns)
        except Exception:  # one that does not fit, or that is unusual: `encode` knows
            return [self.encode(name, record) for record in rows_of(columns)]

    def decode(self, data: bytes | None) -> Json:
        """The record that `data` holds, as this program's schema of that name has it.

        Raises:
            InvalidMessage: no single-object encoding, an unknown schema, or a body that does not fit it.
        """
        return self.decode_named(data)[1]

    def decode_named(self, data: bytes | None) -> tuple[str, Json]:
        """The same, with the name of its schema."""
        if data is None or data[:2] != MARKER or len(data) < HEADER_BYTES:
            raise InvalidMessage("not_avro_single_object", f"first bytes {bytes(data or b'')[:10]!r}")
        writer = self._find(data[2:HEADER_BYTES])
        reader = self._by_name.get(writer.name)
        buffer = io.BytesIO(data)
        buffer.seek(HEADER_BYTES)
        try:
            if reader is None or reader is writer:
                record = schemaless_reader(buffer, writer.parsed, None)
            else:
                record = schemaless_reader(buffer, writer.parsed, reader.parsed)
        except Exception as error:  # fastavro raises whatever the bytes lead it to
            raise InvalidMessage("avro_body_invalid", f"{writer.name}: {type(error).__name__}: {error}") from error
        if not isinstance(record, dict):
            raise InvalidMessage("avro_body_invalid", f"{writer.name}: not a record")
        return writer.name, record

    def add_source(self, name: str, source: str) -> None:
        """Takes another writer's schema, so that `decode` reads what it wrote. Invalid ones are refused.

        Raises:
            InvalidMessage: no Avro schema.
        """
        schema = read_schema(name, source)
        with self._lock:
            self._by_fingerprint.setdefault(schema.fingerprint, schema)

    def _make_writer(self, name: str) -> tuple[bytes, Write]:
        schema = self._by_name[name]
        self._writers[name] = MARKER + schema.fingerprint, make_writer(schema)
        return self._writers[name]

    def _make_table_writer(self, name: str) -> WriteTable:
        schema = self._by_name[name]
        self._table_writers[name] = make_table_writer(schema)
        return self._table_writers[name]

    def _find(self, wanted: bytes) -> Schema:
        found = self._by_fingerprint.get(wanted)
        if found is None and self.learn is not None:
            self.learn(wanted)
            found = self._by_fingerprint.get(wanted)
        if found is None:
            raise InvalidMessage("unknown_schema", f"fingerprint {wanted.hex()} is not in {SCHEMAS}")
        return found
