"""The short way that the most usual lines take leads where the long one does."""

from datetime import datetime

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.common.errors import InvalidMessage
from services.ingest.core.headers import parse_context, parse_oslo
from services.ingest.core.lines import Origin, RawLine
from services.ingest.core.parsing import LineParser
from services.ingest.core.payload import decode
from services.ingest.core.shapes import read_lines, recognise
from services.ingest.core.times import TimeParser

KEY = "h1|nova-api.log"
VALUES = st.one_of(
    st.sampled_from([
        "", "a line", "\ud800", "a\nb\n", '{"msg":"x","level":30}', "2026-11-21T06:12:13.1Z stdout F x", "x" * 300, "é",
    ]).map(lambda text: orjson.dumps(text.encode(errors="replace").decode())),
    st.sampled_from([
        b"1795240300.0", b"1795240300", b"-0", b"1e400", b"1e3", b"01", b"1.", b"184467440737095516160", b"true",
        b"null", b"NaN", b'"2026-11-21"', b'"\\ud800"', b'"\\ud83d\\ude00"', b'"\\u0000"', b'"\xff"', b'"\xed\xa0\x80"',
        b'"a\tb"', b'"a\x00b"', b'"a\x7fb"', b'"\\x"', b"[]", b"{}", b"",
    ]),
)  # fmt: skip
FIELDS = st.tuples(st.sampled_from([b"date", b"host", b"path", b"log", b"l\\u006fg", b"stream", b"x", b""]), VALUES)
USUAL = {b"date": b"1795240300.0", b"host": b'"h1"', b"path": b'"nova-api.log"', b"log": b'"a line"'}


def object_of(fields: list[tuple[bytes, bytes]]) -> bytes:
    """An object in JSON, or what is nearly one."""
    return b"{" + b",".join(b'"%s":%s' % field for field in fields) + b"}"


def lines_or_reason(value: bytes) -> list[RawLine] | str:
    """What a value is made of by way of its text."""
    try:
        return recognise(decode(value), KEY)
    except InvalidMessage as error:
        return error.reason


@given(
    st.lists(FIELDS, max_size=3).map(lambda fields: list((USUAL | dict(fields)).items()) + fields),
    st.sampled_from([b"", b" ", b"\n", b"x", b"\x00", b"\xff", b'{"date":1}']),
)
@example(list(USUAL.items()), b"")
def test_a_tailed_record_is_read_as_any_other(fields: list[tuple[bytes, bytes]], behind: bytes) -> None:
    """Whatever is odd in it: repeated fields, others, numbers, escapes and bytes that are none, something behind."""
    value = object_of(fields) + behind
    try:
        lines: list[RawLine] | str = read_lines(value, KEY)
    except InvalidMessage as error:
        lines = error.reason
    assert repr(lines) == repr(lines_or_reason(value))  # 1 and 1.0 are not the same time


@given(st.binary(max_size=40))
def test_any_bytes_behind_a_date_are_read_as_any_other(rest: bytes) -> None:
    """What only begins like such a record."""
    value = b'{"date":' + rest
    if not isinstance(expected := lines_or_reason(value), str):
        assert read_lines(value, KEY) == expected


@given(st.from_regex(r"[0-9]{4}-[0-1][0-9]-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9]", fullmatch=True))
def test_seconds_are_those_of_the_calendar(text: str) -> None:
    """As strptime reads them; a 61st second is none."""
    try:
        wanted: datetime | None = datetime.strptime(f"{text} +0000", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        wanted = None
    found = TimeParser().second(text)
    if wanted is None or not 1970 <= wanted.year < 2200:
        assert found is None
    else:
        assert found == wanted.timestamp() * 1_000_000


@pytest.mark.parametrize("stamp", ["Sat Nov 21 06:09:40 2026", "Sat Nov 31 06:09:40 2026", "21 Nov"])
def test_a_time_is_the_same_when_it_is_met_again(stamp: str) -> None:
    """What was read is remembered."""
    times = TimeParser()
    assert times.ctime(stamp) == times.ctime(stamp) == times.ctimes[stamp]


ID = st.sampled_from(["req-a", "req-b1_2", "req-", "req-$", "None", "-", "u1", "p1", "default", "", "req-c]", "x\ny"])


@given(
    st.lists(ID, max_size=7).map(" ".join),
    st.sampled_from(["", "[instance: 4b44f4fe] ", "[instance: 4b44f4fe]"]),
    st.sampled_from(["it failed", "", "[x] y", '10.0.0.1 "GET / HTTP/1.1" status: 200 len: 1 time: 0.25', "a\nb"]),
)
def test_a_header_is_read_alike_with_and_without_its_objects(block: str, instance: str, text: str) -> None:
    """What a line says of its request, instance and message."""
    line = f"2026-11-21 06:12:12.862 24053 ERROR nova.compute.manager [{block}] {instance}{text}"
    header = parse_oslo(line)
    assert header is not None
    _, parsed = LineParser(TimeParser()).parse(RawLine(line, Origin()), 0)
    asked = (parsed.request_id, parsed.global_request_id, parsed.user_id, parsed.project_id)
    assert asked == header.ids == parse_context(header.context)
    assert (parsed.has_context, parsed.body) == (header.context is not None, header.body)
    written = (parsed.process_id, parsed.severity_text, parsed.severity_number, parsed.logger, parsed.program)
    assert written == header.writer == (24053, "ERROR", 17, "nova.compute.manager", "nova")
    assert (parsed.instance_id, parsed.stamp) == (header.instance_id, line[:23])
