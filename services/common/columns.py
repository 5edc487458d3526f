"""Avro bodies of many records at once, given as columns: for each field the values of all records.

Record by record, Python's own steps from field to field cost more than the writing itself. Here a field of all records
is one loop in C; fields that come again together, such as who wrote a line, are looked up together; and only the last
join is made for each record. What is written is byte for byte what `encoding.py` writes, which stays in charge of
everything unusual: for values of other types than the schema's own, and for fields left to their defaults, this writer
raises. The records shall then be written one by one, where a misfit is named.

docs/decisions/018-what-a-line-may-cost.md tells why this exists.

Source: Apache Avro 1.12 specification, "Binary encoding".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain, groupby, repeat
from operator import itemgetter
from struct import pack, unpack
from typing import Any

from services.common.encoding import (
    BEFORE,
    INTS,
    LAST,
    LONGS,
    MAX_REMEMBERED_CHARS,
    MEMO_SIZE,
    PRIMITIVES,
    TEXTS,
    UNIQUE_FIELDS,
    Compiler,
    Write,
    marks,
    pack_double,
)

Values = Sequence[Any]
Columns = Mapping[str, Values]
WriteTable = Callable[[Columns], list[bytes]]
#: For each value of a column its bytes, in one part or several. An endless part is the same for all.
_Parts = list[Iterable[bytes]]
_WriteColumn = Callable[[Values], _Parts]
_WriteColumns = Callable[[Sequence[Values]], _Parts]

#: Fields that come again together are remembered up to so many bytes, so many times: a few megabytes.
MAX_RUN_BYTES = 8 * MAX_REMEMBERED_CHARS
MAX_RUNS = 4096
_NONE = type(None)
_INT, _FLOAT, _DICT = frozenset((int,)), frozenset((float,)), frozenset((dict,))
_INT_OR_NONE, _LIST = frozenset((int, _NONE)), frozenset((list, tuple))
#: The lowest 13 bits of a number that is not negative: with its sign, two bytes before others.
_LOW_BITS = 0x1FFF
_LOW = BEFORE[::2]


class _Counts(dict[int, bytes]):
    """How many items a list holds; nothing for none, since what ends a list says that too. Bounded."""

    def __missing__(self, number: int) -> bytes:
        written = LONGS[number] if number else b""
        if number < MEMO_SIZE:
            self[number] = written
        return written


class _Lengths(dict[int, str]):
    """The bytes of a text's length as characters. Bounded."""

    def __missing__(self, number: int) -> str:
        written = LONGS[number].decode("latin-1")
        if number < MEMO_SIZE:
            self[number] = written
        return written


class _Run(dict[tuple[Any, ...], bytes]):
    """The bytes of neighbouring fields by their values; bounded."""

    def __init__(self, writes: list[Write]) -> None:
        self._writes = writes

    def __missing__(self, values: tuple[Any, ...]) -> bytes:
        written = b"".join([write(value) for write, value in zip(self._writes, values, strict=True)])
        if len(written) <= MAX_RUN_BYTES:
            if len(self) >= MAX_RUNS:
                self.clear()
            self[values] = written
        return written


_COUNTS, _LENGTHS = _Counts(), _Lengths()


def rows_of(columns: Columns) -> Iterable[dict[str, Any]]:
    """The same records one by one. Raises ValueError when the columns are not of one length."""
    return (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))


def compile_table_writer(schema: Any, header: bytes) -> WriteTable:
    """The function that writes records, each as the header and its body, by a schema as fastavro has parsed it.

    It raises whatever it meets where a value is not of the type that the schema's usually has.

    Raises:
        Unsupported: as `compile_writer`.
    """
    compiler = Compiler()
    compiler.writer(schema)  # so that its records are known by their names
    names = [field["name"] for field in schema["fields"]]
    write_fields = _fields(compiler, schema["fields"])

    def write(columns: Columns) -> list[bytes]:
        lengths = set(map(len, columns.values()))
        if len(lengths) != 1:
            raise ValueError(f"columns of {sorted(lengths)} values, wanted one length")
        if lengths == {0}:
            return []
        return _joined([repeat(header), *write_fields([columns[name] for name in names])])

    return write


def _joined(parts: _Parts) -> list[bytes]:
    return list(map(b"".join, zip(*parts, strict=False)))  # some have no end


def _fields(compiler: Compiler, fields: list[dict[str, Any]]) -> _WriteColumns:
    """What writes the columns of a record's fields."""
    steps: list[tuple[slice, _WriteColumns]] = []
    at = 0
    for comes_again, group in groupby(fields, _comes_again):
        together = list(group)
        if comes_again and len(together) > 1:
            steps.append((slice(at, at + len(together)), _run(compiler, together)))
        else:
            columns = [_column(compiler, field["type"], field["name"]) for field in together]
            steps += [(slice(at + i, at + i + 1), partial(_alone, write)) for i, write in enumerate(columns)]
        at += len(together)
    return lambda columns: [part for where, write in steps for part in write(columns[where])]


def _alone(write: _WriteColumn, columns: Sequence[Values]) -> _Parts:
    return write(columns[0])


def _comes_again(field: dict[str, Any]) -> bool:
    """Whether its values are likely to come again, together with its neighbours'.

    A long is more often a time or a count, unless it may be absent, as a process is.
    """
    kind = _bare(field["type"])
    if field["name"] in UNIQUE_FIELDS:
        return False
    is_list_of_texts = isinstance(kind, dict) and kind["type"] == "array" and kind["items"] == "string"
    return kind in ("string", "int", ["null", "int"], ["null", "long"]) or is_list_of_texts


def _run(compiler: Compiler, fields: list[dict[str, Any]]) -> _WriteColumns:
    kinds = [_bare(field["type"]) for field in fields]
    known = _Run([compiler.writer(kind) for kind in kinds]).__getitem__
    keys = [_key_of(kind) for kind in kinds]
    return lambda columns: [
        map(known, zip(*[key(values) for key, values in zip(keys, columns, strict=True)], strict=True))
    ]


def _key_of(kind: Any) -> Callable[[Values], Iterable[Any]]:
    """What makes a column's values such that equal ones have equal bytes: True equals 1, and is not written."""
    if kind == "string":
        return iter
    if isinstance(kind, dict):
        return lambda values: map(tuple, _checked(values, _LIST))
    types = _INT if kind == "int" else _INT_OR_NONE
    return lambda values: _checked(values, types)


def _bare(kind: Any) -> Any:
    """A primitive type by its name, whether or not the schema has it within braces."""
    return kind["type"] if isinstance(kind, dict) and kind["type"] in PRIMITIVES else kind


def _checked(values: Values, types: frozenset[type]) -> Values:
    if not types.issuperset(map(type, values)):
        raise TypeError(f"{sorted({type(value).__name__ for value in values})}, wanted {types}")
    return values


def _column(compiler: Compiler, kind: Any, name: str) -> _WriteColumn:
    """What writes a column of a type; the name says whether its values ever come again."""
    if isinstance(kind, list):
        other = next(branch for branch in kind if branch != "null")
        return partial(_nullable, *marks(kind), _column(compiler, other, name))
    write = compiler.writer(kind)
    kind = _bare(kind)
    if isinstance(kind, dict):
        return _nested(compiler, kind, name, write)
    is_unique = name in UNIQUE_FIELDS
    known: dict[str, _WriteColumn] = {
        "string": _unique_texts if is_unique else _texts,
        "int": partial(_integers, INTS.__getitem__),
        "long": _unique_integers if is_unique else partial(_integers, LONGS.__getitem__),
        "double": _doubles,
    }
    return known.get(kind, partial(_each, write))


def _nested(compiler: Compiler, kind: dict[str, Any], name: str, write: Write) -> _WriteColumn:
    if kind["type"] == "array":
        if kind["items"] == "string":
            return _lists_of_texts
        return partial(_lists, _column(compiler, kind["items"], name), write)
    if kind["type"] == "map":
        return partial(_maps, write)
    if kind["type"] == "record" and len(kind["fields"]) > 1:
        pick = itemgetter(*[field["name"] for field in kind["fields"]])
        return partial(_records, pick, _fields(compiler, kind["fields"]))
    return partial(_each, write)


def _each(write: Write, values: Values) -> _Parts:
    return [map(write, values)]


def _texts(values: Values) -> _Parts:
    return [map(TEXTS.__getitem__, values)]


def _unique_texts(values: Values) -> _Parts:
    texts = list(map(str.encode, values))
    return [map(LONGS.__getitem__, map(len, texts)), texts]


def _integers(known: Callable[[int], bytes], values: Values) -> _Parts:
    return [map(known, _checked(values, _INT))]


def _unique_integers(values: Values) -> _Parts:
    """Times and offsets: worked out, since a memo would not have them."""
    least, most = min(_checked(values, _INT)), max(values)
    if least >= 1 << 27 and most < 1 << 55 and _num_bytes(least) == _num_bytes(most):
        return [_spread(values, _num_bytes(most))]
    if least >= 1 << 13 and most < 1 << 27:
        return [[_LOW[value & _LOW_BITS] for value in values], [LAST[value >> 13] for value in values]]
    return [map(LONGS.__getitem__, values)]


def _num_bytes(value: int) -> int:
    return (value.bit_length() + 7) // 7


def _spread(values: Values, num_bytes: int) -> tuple[bytes, ...]:
    """Numbers of so many bytes each, up to eight, all at once: as one number of 64 bits for each of them.

    Their groups of seven bits are moved apart in three steps: halves, quarters, eighths of the 64 bits.
    """
    number = len(values)

    def all_of(bits: int) -> int:
        return int.from_bytes(bits.to_bytes(8, "little") * number, "little")

    bits = int.from_bytes(pack(f"<{number}Q", *values), "little") << 1
    bits = bits & all_of(0x0FFF_FFFF) | (bits & all_of(0x00FF_FFFF_F000_0000)) << 4
    bits = bits & all_of(0x3FFF_0000_3FFF) | (bits & all_of(0x0FFF_C000_0FFF_C000)) << 2
    bits = bits & all_of(0x7F_007F_007F_007F) | (bits & all_of(0x3F80_3F80_3F80_3F80)) << 1
    bits |= all_of(0x8080_8080_8080_8080 & (1 << 8 * (num_bytes - 1)) - 1)  # but for the last: more follow
    return unpack(f"{num_bytes}s{8 - num_bytes}x" * number, bits.to_bytes(8 * number, "little"))


def _doubles(values: Values) -> _Parts:
    return [map(pack_double, _checked(values, _FLOAT))]


def _nullable(null: bytes, other: bytes, write: _WriteColumn, values: Values) -> _Parts:
    types = set(map(type, values))
    if _NONE not in types:
        return [repeat(other), *write(values)]
    if len(types) == 1:
        return [repeat(null)]
    written = iter(_joined([repeat(other), *write([value for value in values if value is not None])]))
    return [[null if value is None else next(written) for value in values]]


def _lists_of_texts(values: Values) -> _Parts:
    lengths = list(map(len, _checked(values, _LIST)))
    texts = list(chain.from_iterable(values))
    items = _ascii_items(texts, lengths) if "".join(texts).isascii() else _items(texts, lengths)
    return [map(_COUNTS.__getitem__, lengths), items, repeat(b"\0")]


def _items(texts: list[str], lengths: list[int]) -> list[bytes]:
    written = list(map(TEXTS.__getitem__, texts))
    return [b"".join(written[where]) for where in _slices(lengths)]


def _ascii_items(texts: list[str], lengths: list[int]) -> list[bytes]:
    """Such texts are their own UTF-8: with their lengths, as characters, they are encoded once for a whole list."""
    items = [""] * (2 * len(texts))
    items[::2] = map(_LENGTHS.__getitem__, map(len, texts))
    items[1::2] = texts
    return ["".join(items[where]).encode("latin-1") for where in _slices([2 * length for length in lengths])]


def _slices(lengths: list[int]) -> Iterable[slice]:
    ends = list(accumulate(lengths))
    return map(slice, [0, *ends[:-1]], ends)


def _lists(write_items: _WriteColumn, write: Write, values: Values) -> _Parts:
    if set(map(len, _checked(values, _LIST))) == {1}:
        return [repeat(b"\2"), *write_items([value for (value,) in values]), repeat(b"\0")]
    return [map(write, values)]


def _maps(write: Write, values: Values) -> _Parts:
    return [map(write, values)] if any(_checked(values, _DICT)) else [repeat(b"\0")]


def _records(pick: Callable[[Any], tuple[Any, ...]], write_fields: _WriteColumns, values: Values) -> _Parts:
    return write_fields(list(zip(*map(pick, _checked(values, _DICT)), strict=True)))
