"""Records as files: parquet with the types of their Avro contract, or JSON lines."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

from moselle.packed import ENDINGS, line_writer
from moselle.reading import converter
from services.common.codec import Codec
from services.common.errors import SettingsInvalid

#: A row group: so many rows, or sooner when their texts are long.
ROWS, CHARS = 10_000, 16_000_000
_PLAIN = {"string": "string", "int": "int32", "long": "int64", "double": "float64", "float": "float32",
          "boolean": "bool_", "bytes": "binary"}  # fmt: skip

Record = dict[str, Any]


class Sink(Protocol):
    """Where records go."""

    def write(self, record: Record) -> None: ...


@contextmanager
def open_sink(path: Path | None, schema: str) -> Iterator[Sink]:
    """A file by the ending of its name, None for JSON lines on standard output. It is there when all is written.

    Args:
        schema: the Avro schema of the records, JSON text.

    Raises:
        SettingsInvalid: the name has another ending, the file is there, or cannot be written.
    """
    name = "" if path is None else path.name
    plain = next((name.removesuffix(ending) for ending in ENDINGS if name.endswith(ending)), name)
    if path is not None and not plain.endswith((".parquet", ".jsonl")):
        raise SettingsInvalid(
            f"{path}: wanted a name that ends in .parquet, .jsonl, .jsonl.gz, .jsonl.xz or .jsonl.zst"
        )
    if plain.endswith(".parquet") and plain != name:
        raise SettingsInvalid(f"{path}: parquet is compressed inside, wanted a name that ends in .parquet")
    with line_writer(path) as file:
        if plain.endswith(".parquet"):
            with Parquet(file, schema) as parquet:
                yield parquet
        else:
            yield JsonLines(file, schema)


class JsonLines:
    """One JSON object a line, the fields of the contract, times as RFC 3339; NaN and infinities are null."""

    def __init__(self, file: Any, schema: str) -> None:
        self._file = file
        self._fields = [field["name"] for field in json.loads(schema)["fields"]]
        self._convert = converter(schema)

    def write(self, record: Record) -> None:
        shown = self._convert({name: record[name] for name in self._fields if record.get(name) is not None})
        row = {name: shown.get(name) for name in self._fields}
        self._file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


class Parquet:
    """Row groups, written as soon as they are full; each column may be null."""

    def __init__(self, file: Any, schema: str) -> None:
        import pyarrow.parquet

        self._arrow = pyarrow
        self.schema = arrow_schema(schema)
        self._writer = pyarrow.parquet.ParquetWriter(file, self.schema, compression="zstd")
        self._rows: list[Record] = []
        self._chars = 0

    def __enter__(self) -> "Parquet":
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def write(self, record: Record) -> None:
        self._rows.append(record)
        self._chars += _size(record)
        if len(self._rows) >= ROWS or self._chars >= CHARS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(self._arrow.Table.from_pylist(self._rows, schema=self.schema))
            self._rows, self._chars = [], 0


def _size(record: Mapping[str, Any]) -> int:
    """Roughly what a row costs: its texts and the lengths of its lists."""
    return sum(
        len(value) * (32 if isinstance(value, list) else 1)
        for value in record.values()
        if isinstance(value, str | list | bytes)
    )


def arrow_schema(schema: str) -> Any:
    """The Arrow schema of an Avro record: the same names, times as timestamps of UTC in microseconds."""
    try:
        import pyarrow
    except ImportError:
        raise SettingsInvalid("parquet needs pyarrow: pip install 'moselle[tools]'") from None
    named: dict[str, Any] = {}
    fields = json.loads(schema)["fields"]
    return pyarrow.schema([pyarrow.field(field["name"], _arrow_type(field["type"], named)) for field in fields])


def _arrow_type(avro: Any, named: dict[str, Any]) -> Any:
    import pyarrow

    if isinstance(avro, list):
        return _arrow_type(next(branch for branch in avro if branch != "null"), named)
    if isinstance(avro, str):
        return named[avro] if avro in named else getattr(pyarrow, _PLAIN[avro])()
    if str(avro.get("logicalType", "")).startswith("timestamp-micros"):
        return pyarrow.timestamp("us", tz="UTC")
    if avro["type"] == "record":
        fields = [pyarrow.field(field["name"], _arrow_type(field["type"], named)) for field in avro["fields"]]
        named[avro["name"]] = pyarrow.struct(fields)
        return named[avro["name"]]
    if avro["type"] == "array":
        return pyarrow.list_(_arrow_type(avro["items"], named))
    if avro["type"] == "map":
        return pyarrow.map_(pyarrow.string(), _arrow_type(avro["values"], named))
    if avro["type"] == "enum":
        return pyarrow.string()
    return _arrow_type(avro["type"], named)


def schema_of(topic: str) -> str:
    """The newest Avro schema of a topic's records, JSON text."""
    return Codec().schema(topic).source
