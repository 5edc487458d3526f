"""Avro bodies written by straight-line Python: one function for each record of a schema, made once.

fastavro looks at the schema again for every value of every record. Here that is done once; what is
left for a record is to pick its values and to join their bytes. Short texts and numbers come back all the time
(clusters, loggers, templates, counts), so their bytes are remembered.

What a writer takes, it writes as fastavro does, byte for byte. It takes what the schema says and nothing else: fastavro
also cuts floats down to ints, reads a str as a list of letters and writes ints of more than 32 bits.
docs/decisions/018-what-a-line-may-cost.md tells why this exists.

Source: Apache Avro 1.12 specification, "Binary encoding".
"""

from collections.abc import Callable, Mapping
from operator import index, itemgetter
from struct import Struct
from typing import Any

Write = Callable[[Any], bytes]

#: Longer texts seldom come twice.
MAX_REMEMBERED_CHARS = 64
#: Texts that are hardly ever the same again: not looked up at all. A wrong guess costs time and nothing else.
UNIQUE_FIELDS = frozenset({
    "body", "raw_line", "target", "message", "traceback", "text", "first_form", "schema", "request_id", "parameters",
    "event_time", "source_offsets",
})  # fmt: skip
#: A memo is emptied beyond so many values: that is a few megabytes.
MEMO_SIZE = 16_384
pack_double = Struct("<d").pack
#: Fourteen bits of a number as its last one or two bytes, and as two bytes before others.
LAST = [bytes([n]) if n < 128 else bytes([n & 0x7F | 0x80, n >> 7]) for n in range(1 << 14)]
BEFORE = [bytes([n & 0x7F | 0x80, n >> 7 | 0x80]) for n in range(1 << 14)]


class Unsupported(Exception):
    """The schema holds something that no schema of ours has; fastavro writes it."""


class _Integers(dict[int, bytes]):
    """An integer's bytes, zigzag and seven bits a byte; bounded."""

    def __init__(self, bits: int) -> None:
        self._bits = bits

    def __missing__(self, value: int) -> bytes:
        if value.bit_length() >= self._bits and value != -1 << (self._bits - 1):
            raise ValueError(f"{value} has more than {self._bits} bits")
        if len(self) >= MEMO_SIZE:
            self.clear()
        rest = value << 1 if value >= 0 else ~(value << 1)
        written = self[value] = BEFORE[rest & 0x3FFF] + ENDS[rest >> 14] if rest >> 14 else LAST[rest]
        return written


class _Ends(dict[int, bytes]):
    """The upper bits of large numbers: times and offsets that follow each other share them. Bounded."""

    def __missing__(self, rest: int) -> bytes:
        if len(self) >= MEMO_SIZE:
            self.clear()
        written = self[rest] = BEFORE[rest & 0x3FFF] + self[rest >> 14] if rest >> 14 else LAST[rest]
        return written


class _Texts(dict[str, bytes]):
    """A text's length and bytes; short ones are remembered."""

    def __missing__(self, text: str) -> bytes:
        if not isinstance(text, str):
            raise TypeError(f"{type(text).__name__}, wanted str")
        body = text.encode()
        written = LONGS[len(body)] + body
        if len(text) <= MAX_REMEMBERED_CHARS:
            if len(self) >= MEMO_SIZE:
                self.clear()
            self[text] = written
        return written


ENDS, INTS, LONGS, TEXTS = _Ends(), _Integers(32), _Integers(64), _Texts()


def _other_integer(value: Any) -> int:
    """Another library's integer as an int."""
    if isinstance(value, bool):
        raise TypeError("bool, wanted an integer")
    return index(value)


def _other_double(value: Any) -> bytes:
    """An integer or another library's float."""
    if isinstance(value, bool):
        raise TypeError("bool, wanted a number")
    return pack_double(value)


def _bytes(value: Any) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"{type(value).__name__}, wanted bytes")
    return LONGS[len(value)] + value


def _boolean(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError(f"{type(value).__name__}, wanted bool")
    return b"\x01" if value else b"\x00"


def _no_value(value: Any) -> bytes:
    if value is not None:
        raise TypeError(f"{type(value).__name__}, wanted None")
    return b""


#: What the generated code calls, by the names that it uses.
_NAMES: dict[str, Any] = {
    "INTS": INTS, "LONGS": LONGS, "TEXTS": TEXTS, "text": TEXTS.__getitem__, "double": pack_double,
    "other_double": _other_double, "other_integer": _other_integer, "write_bytes": _bytes,
    "write_boolean": _boolean, "no_value": _no_value, "Mapping": Mapping,
}  # fmt: skip
#: Type to the expression of a value's bytes; `{0}` is a name.
PRIMITIVES = {
    "null": "no_value({0})",
    "boolean": "write_boolean({0})",
    "int": "INTS[{0} if {0}.__class__ is int else other_integer({0})]",
    "long": "LONGS[{0} if {0}.__class__ is int else other_integer({0})]",
    "double": "(double({0}) if {0}.__class__ is float else other_double({0}))",
    "string": "TEXTS[{0}]",
    "bytes": "write_bytes({0})",
}
_ARRAY = """
def {name}(values):
    if values.__class__ is not list and not isinstance(values, tuple):
        raise TypeError(f"{{type(values).__name__}}, wanted a list")
    if len(values) == 1:
        x, = values
        return b"\\2" + {item} + b"\\0"
    return LONGS[len(values)] + b"".join({items}) + b"\\0" if values else b"\\0"
"""
_MAP = """
def {name}(values):
    if values.__class__ is not dict and not isinstance(values, Mapping):
        raise TypeError(f"{{type(values).__name__}}, wanted a mapping")
    return LONGS[len(values)] + b"".join({items}) + b"\\0" if values else b"\\0"
"""
_RECORD = """
def {name}(record):
    try:
        {values}, = {name}_fields.pick(record)
    except (KeyError, TypeError):
        {values}, = {name}_fields.pick({name}_fields.complete(record))
    try:
        return b"".join(({written},))
    except Exception as error:
        raise {name}_fields.misfit(({values},)) from error
"""


class _Fields:
    """What a record's function needs to know of its fields."""

    def __init__(self, fields: list[dict[str, Any]], writes: list[Write]) -> None:
        self._names = [field["name"] for field in fields]
        self._writes = writes
        self._defaults = dict(filter(None, map(_default, fields)))
        self.pick = itemgetter(*self._names) if len(fields) > 1 else lambda record: (record[self._names[0]],)
        for name, value in self._defaults.items():
            try:
                writes[self._names.index(name)](value)
            except Exception as error:
                raise Unsupported(f"the default of {name}") from error

    def complete(self, record: Any) -> dict[str, Any]:
        """The record with its defaults."""
        if not isinstance(record, Mapping):
            raise ValueError(f"{type(record).__name__}, wanted a record")
        whole = {**self._defaults, **record}
        missing = [name for name in self._names if name not in whole]
        if missing:
            raise ValueError(f"{missing[0]}: no value and no default")
        return whole

    def misfit(self, values: tuple[Any, ...]) -> ValueError:
        """Says which value does not fit."""
        for name, value, write in zip(self._names, values, self._writes, strict=True):
            try:
                write(value)
            except Exception as error:
                return ValueError(f"{name}: {error}")
        return ValueError("its values changed while they were written")


def _default(field: dict[str, Any]) -> tuple[str, Any] | None:
    """A field's name and default; null where the type has it and no default is named, as in fastavro."""
    if "default" not in field and "null" not in field["type"]:
        return None
    value: Any = field.get("default")
    return field["name"], value.encode("latin-1") if field["type"] == "bytes" else value


def marks(branches: list[Any]) -> tuple[bytes, bytes]:
    """What says in a union of null and one type that the value is null, and that it is not."""
    return (b"\0", b"\2") if branches[0] == "null" else (b"\2", b"\0")


class Compiler:
    """Writes the functions of one schema, each once, under names that no field can have."""

    def __init__(self) -> None:
        self._globals = dict(_NAMES)
        self._functions: dict[str, str] = {}

    def expression(self, schema: Any) -> str:
        """Python for the bytes of a value of this type; `{0}` stands for the value's name."""
        if isinstance(schema, list):
            return self._union(schema)
        kind = schema["type"] if isinstance(schema, dict) else schema
        if kind in PRIMITIVES:
            return PRIMITIVES[kind]
        name = schema["name"] if kind == "record" else kind
        if name in self._functions:
            return self._functions[name] + "({0})"
        if kind == "record":
            return self._record(schema)
        if kind == "array":
            item = self.expression(schema["items"]).format("x")
            items = "map(text, values)" if item == "TEXTS[x]" else f"[{item} for x in values]"
            return self._define(_ARRAY, item=item, items=items)
        if kind == "map":
            item = self.expression(schema["values"]).format("x")
            return self._define(_MAP, items=f"[TEXTS[k] + {item} for k, x in values.items()]")
        raise Unsupported(f"type {kind}")

    def writer(self, schema: Any) -> Write:
        """The function for a value of this type."""
        write: Write = eval(f"lambda v: {self.expression(schema).format('v')}", self._globals)
        return write

    def _union(self, branches: list[Any]) -> str:
        others = [branch for branch in branches if branch != "null"]
        if len(branches) != 2 or len(others) != 1:
            raise Unsupported("a union of other than null and one type")
        null, other = marks(branches)
        return f"({null!r} if {{0}} is None else {other!r} + {self.expression(others[0])})"

    def _record(self, schema: dict[str, Any]) -> str:
        name = self._functions[schema["name"]] = f"write_{len(self._functions)}"
        expressions = [self._field(field) for field in schema["fields"]]
        values = [f"v{number}" for number in range(len(expressions))]
        written = ", ".join(each.format(value) for each, value in zip(expressions, values, strict=True))
        self._run(_RECORD.format(name=name, values=", ".join(values), written=written))
        writes = [eval(f"lambda v: ({each.format('v')})", self._globals) for each in expressions]
        self._globals[f"{name}_fields"] = _Fields(schema["fields"], writes)
        return name + "({0})"

    def _field(self, field: dict[str, Any]) -> str:
        if field["type"] == "string" and field["name"] in UNIQUE_FIELDS:
            return "LONGS[len(b := {0}.encode())], b"
        return self.expression(field["type"])

    def _define(self, source: str, **parts: str) -> str:
        name = self._functions[f"#{len(self._functions)}"] = f"write_{len(self._functions)}"
        self._run(source.format(name=name, **parts))
        return name + "({0})"

    def _run(self, source: str) -> None:
        exec(source, self._globals)


def compile_writer(schema: Any) -> Write:
    """The function that writes a record's body, by a schema as fastavro has parsed it.

    It raises ValueError, with the field's name, for a record that does not fit.

    Raises:
        Unsupported: the schema is no record, or holds a type, a union or a default that is not known here.
    """
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise Unsupported("not a record")
    compiler = Compiler()
    write: Write = eval(compiler.expression(schema).removesuffix("({0})"), compiler._globals)
    return write
