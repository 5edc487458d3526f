"""The compiled Avro writer: fastavro's bytes for whatever fits, ValueError for whatever does not."""

import io
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.codec import Codec
from services.common.encoding import MEMO_SIZE, Unsupported, compile_writer

CODEC = Codec()
INTS, LONGS = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
#: Lone surrogates are no UTF-8: both writers refuse them.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)
PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(), "boolean": st.booleans(), "int": INTS | st.integers(-70, 70), "long": LONGS | INTS,
    "double": st.floats() | st.integers(-(2**53), 2**53), "string": TEXTS, "bytes": st.binary(max_size=80),
}  # fmt: skip
POINT = {"type": "record", "name": "Point", "fields": [{"name": "x", "type": "int"}, {"name": "y", "type": "double"}]}
SHAPES = {
    "type": "record", "name": "Shapes", "fields": [
        {"name": "flag", "type": "boolean"}, {"name": "first", "type": POINT},
        {"name": "rest", "type": {"type": "array", "items": "Point"}},
        {"name": "back", "type": ["long", "null"], "default": 7},
        {"name": "by_name", "type": {"type": "map", "values": {"type": "array", "items": ["null", "Point"]}}},
        {"name": "number", "type": "int", "default": 3},
        {"name": "letters", "type": {"type": "array", "items": "string"}},
        {"name": "nothing", "type": ["null", "double"]},
    ],
}  # fmt: skip


def values(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    """What fits a parsed schema; fields with a default are sometimes left out."""
    if isinstance(schema, list):
        return st.one_of([values(branch, named) for branch in schema])
    kind = schema["type"] if isinstance(schema, dict) else schema
    if kind == "array":
        return st.lists(values(schema["items"], named), max_size=3)
    if kind == "map":
        return st.dictionaries(TEXTS, values(schema["values"], named), max_size=3)
    if kind == "record":
        named[schema["name"]] = schema
        fields = {field["name"]: values(field["type"], named) for field in schema["fields"]}
        # fastavro cannot write the default of bytes, which the specification gives as text.
        optional = {f["name"] for f in schema["fields"] if "default" in f and f["type"] != "bytes"}
        return st.fixed_dictionaries(
            {name: each for name, each in fields.items() if name not in optional},
            optional={name: fields[name] for name in optional},
        )
    return PRIMITIVES[kind] if kind in PRIMITIVES else values(named[kind], named)


def by_fastavro(parsed: Any, record: Any) -> bytes:
    buffer = io.BytesIO()
    schemaless_writer(buffer, parsed, record)
    return buffer.getvalue()


@pytest.mark.parametrize("name", [schema.name for schema in CODEC.schemas])
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_writes_what_fastavro_writes(name: str, data: st.DataObject) -> None:
    """Every schema of ours, every kind of value, defaults left out or not: the same bytes."""
    parsed = CODEC.schema(name).parsed
    record = data.draw(values(parsed, {}))
    assert compile_writer(parsed)(record) == by_fastavro(parsed, record)


@settings(deadline=None)
@given(data=st.data())
def test_writes_what_no_schema_of_ours_holds_yet(data: st.DataObject) -> None:
    """Booleans, a null that comes second, a record by its name, unions within arrays within maps."""
    parsed = parse_schema(SHAPES)
    record = data.draw(values(parsed, {}))
    assert compile_writer(parsed)(record) == by_fastavro(parsed, record)


@given(LONGS)
def test_numbers_of_any_size(number: int) -> None:
    """Each is written the first time as the second."""
    parsed = parse_schema({"type": "record", "name": "N", "fields": [{"name": "n", "type": "long"}]})
    write = compile_writer(parsed)
    assert write({"n": number}) == write({"n": number}) == by_fastavro(parsed, {"n": number})


def test_remembers_within_bounds() -> None:
    """More texts and numbers than a memo holds are written all the same."""
    schema = {"type": "record", "name": "N", "fields": [{"name": "n", "type": "long"}, {"name": "s", "type": "string"}]}
    parsed = parse_schema(schema)
    write = compile_writer(parsed)
    for number in range(0, (MEMO_SIZE + 10) * 20_000, 20_000):
        assert write({"n": number, "s": str(number)})
    assert write({"n": 5, "s": "5"}) == by_fastavro(parsed, {"n": 5, "s": "5"})


GOOD = {
    "flag": True, "first": {"x": 1, "y": 1.5}, "rest": [{"x": 2, "y": 0.5}], "by_name": {"a": [None]}, "letters": ["a"],
    "nothing": None,
}  # fmt: skip
MISFITS = [
    ({"flag": 1}, "flag: int"), ({"flag": None}, "flag"), ({"first": None}, "first"), ({"first": {"x": 1}}, "first: y"),
    ({"first": {"x": 2**31, "y": 0.0}}, "first: x"), ({"rest": [5]}, "rest"), ({"rest": None}, "rest: NoneType"),
    ({"rest": "ab"}, "rest: str"), ({"back": 2**63}, "back"), ({"back": -(2**63) - 1}, "back"), ({"back": "5"}, "back"),
    ({"number": None}, "number"), ({"number": 1.0}, "number"), ({"number": True}, "number: bool"),
    ({"number": [1]}, "number"), ({"by_name": {1: []}}, "by_name: int"), ({"by_name": ["a"]}, "by_name: list"),
    ({"letters": [b"a"]}, "letters: bytes"), ({"letters": ["\udc80"]}, "letters"), ({"letters": [["a"]]}, "letters"),
    ({"nothing": True}, "nothing: bool"), ({"nothing": "1.5"}, "nothing"), ({"nothing": 10**400}, "nothing"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "said"), MISFITS)
def test_a_misfit_is_named(change: dict[str, Any], said: str) -> None:
    """ValueError, with the field's name, and the type where that is what is wrong."""
    write = compile_writer(parse_schema(SHAPES))
    assert write(GOOD)
    with pytest.raises(ValueError, match=f"^{said}"):
        write({**GOOD, **change})


@pytest.mark.parametrize("record", [{}, {**GOOD, "flag": ...}, None, "record", ["flag"], 5])
def test_no_record_at_all(record: Any) -> None:
    """A missing field without a default, and what is no mapping."""
    with pytest.raises(ValueError, match=r"flag|wanted a record"):
        compile_writer(parse_schema(SHAPES))(record)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_the_codec_says_which_schema_was_missed(data: st.DataObject) -> None:
    """One field of a good record with a value of no type at all."""
    name = data.draw(st.sampled_from([schema.name for schema in CODEC.schemas]))
    record = data.draw(values(CODEC.schema(name).parsed, {}))
    field = data.draw(st.sampled_from([field["name"] for field in CODEC.schema(name).parsed["fields"]]))
    with pytest.raises(ValueError, match=f"does not fit {name}: {field}"):
        CODEC.encode(name, {**record, field: object()})


@pytest.mark.parametrize(
    "kind", [{"type": "fixed", "name": "F", "size": 2}, "float", ["null", "int", "string"], ["string"]]
)
def test_what_it_does_not_know_is_left_to_fastavro(kind: Any) -> None:
    """No schema of ours has these; one that gets them is still written."""
    with pytest.raises(Unsupported):
        compile_writer(parse_schema({"type": "record", "name": "N", "fields": [{"name": "n", "type": kind}]}))
