"""Whatever lies on the raw topics: an event or a dead letter, never an exception, through the real encoding."""

import gzip
import sys
from typing import Any

import orjson
import pytest

from services.common.broker.abstract import Record
from services.ingest.core.naming import name
from services.ingest.core.secrets import is_secret_name
from tests.unit.ingest.conftest import CODEC, Harness, fluent_bit

MIB = 1024 * 1024
#: What one output may take: Kafka's topics are made for records of 4 MiB.
MAX_OUTPUT_BYTES = 4 * MIB
HEAD = "2026-11-21 06:12:12.862 24053 ERROR nova.compute.manager [None req-a u p - - d d] "
OSLO = '{{"message":"m","msg":"%s","levelname":"INFO","name":"n","args":{}}}'
NESTED = "[" * 1015 + "]" * 1015  # orjson reads up to 1024

LOG_VALUES = {
    "one line of a mebibyte": b"word 12 " * (MIB // 8),
    "a mebibyte of one letter": b"x" * MIB,
    "a mebibyte of one letter behind a header": HEAD.encode() + b"x" * MIB,
    "a mebibyte of quotes": b'"' * MIB,
    "a mebibyte of blanks": b" " * MIB,
    "a mebibyte of zero bytes": b"\0" * MIB,
    "zero bytes in a line": (HEAD + "a\0b").encode(),
    "JSON too deep to be read": b"[" * MIB,
    "objects too deep to be read": b'{"log":' * 100_000,
    "arguments too deep to be shown": OSLO.format(f'["a",{NESTED}]').encode(),
    "a context too deep to be shown": ('{"log":"x","kubernetes":' + NESTED + "}").encode(),
    "facility too deep to be shown": ('{"message":"m","facility":' + NESTED + "}").encode(),
    "huge numbers": ('{"log":"x","date":' + "9" * 400 + "}").encode(),
    "numbers that are none": b'{"log":"x","date":NaN,"a":Infinity}',
    "a date of the far future": b'{"log":"x","date":1000000000000000000}',
    "a date before time": b'{"log":"x","date":-1e308}',
    "a huge process": b'{"message":"m","procid":123456789012345678901234567890,"host":"h"}',
    "half a pair": rb'{"log":"a\ud800b","host":"\ud800","path":"\udfff"}',
    "half a pair in a key": rb'{"log":"a","\ud800":1,"kubernetes":{"pod_name":"\ud800"}}',
    "half a pair in bytes": b"a\xed\xa0\x80 and much that can be read",
    "wrappers in wrappers": orjson.dumps({"log": fluent_bit(fluent_bit(fluent_bit(fluent_bit("x"))))}),
    "names that are objects": b'{"log":"x","host":{},"path":[],"stream":{"a":1},"date":{}}',
    "year 0": b"0000-01-01 00:00:00.000 1 INFO a.b [-] x",
    "year 9999": b"9999-12-31 23:59:59.999 1 INFO a.b [-] x",
    "the 61st second": b"2026-12-31 23:59:61.999 1 INFO a.b [-] x",
    "syslog of 29 February": b"Feb 29 06:12:12 host1 cron: hi",
    "a wild status": b'1.1.1.1 "GET / HTTP/1.1" 999 5',
    "a gzip bomb": gzip.compress(b"\0" * (20 * MIB)),
    "an end of gzip": gzip.compress(b"x")[:5],
    "an empty object": b"{}",
    "nothing": b"",
}

METRIC_VALUES = {
    "deep tags": ('{"name":"a","tags":{"t":' + NESTED + '},"fields":{"value":1}}').encode(),
    "deep rubbish": NESTED.encode(),
    "huge numbers": ('{"name":"a","fields":{"value":' + "9" * 400 + "}}").encode(),
    "numbers that are none": b'{"name":"a","fields":{"value":NaN}}',
    "far in the future": b'{"name":"a","fields":{"value":1},"timestamp":1000000000000000000}',
    "half a pair": rb'{"name":"\ud800","fields":{"value":1}}',
    "a long name": orjson.dumps({"name": "a" * MIB, "fields": {"value": 1}}),
    "a long host": orjson.dumps({"name": "a", "tags": {"host": "h" * MIB}, "fields": {"value": 1}}),
}


def outcomes(ingest: Harness) -> int:
    """How many events, samples and dead letters there are."""
    return len(ingest.events) + len(ingest.of("metrics.samples.v1")) + len(ingest.dead)


def check(topic: str, value: bytes) -> None:
    """Twice in one batch between ordinary lines: each of the three is there, and nothing is a defect or too large."""
    ingest = Harness()
    ingest.send(value, value, topic=topic)
    ingest.send(fluent_bit("an ordinary line"))
    ingest.wait(60)
    assert outcomes(ingest) == 3
    assert "unexpected_error" not in ingest.dead
    assert "unreadable" not in {event["shape"] for event in ingest.events}
    assert max(len(CODEC.encode(name, record)) for name, record in ingest.written) < MAX_OUTPUT_BYTES


@pytest.mark.parametrize("what", LOG_VALUES)
def test_any_log_value_is_an_event_or_a_dead_letter(what: str) -> None:
    """As the first and as a later record of its batch."""
    check("logs.raw", LOG_VALUES[what])


@pytest.mark.parametrize("what", METRIC_VALUES)
def test_any_metric_value_is_a_sample_or_a_dead_letter(what: str) -> None:
    """As the first and as a later record of its batch."""
    check("metrics.raw", METRIC_VALUES[what])


@pytest.mark.parametrize(
    "value",
    [
        b"\n" * MIB,
        gzip.compress(b"a\n" * (8 * MIB)),
        orjson.dumps({"log": "\n" * MIB}),
        (orjson.dumps({"log": "\n" * 1000}) + b"\n") * 101,
    ],
    ids=["as it is", "packed", "escaped", "wrapped"],
)
def test_a_value_of_too_many_lines_is_a_dead_letter(value: bytes, ingest: Harness) -> None:
    """A small record must not become millions of events in one transaction."""
    ingest.send(value, b"fine")
    assert (ingest.dead, ingest.num_lines) == (["too_many_lines"], 1)


@pytest.mark.parametrize("topic", ["logs.raw", "metrics.raw"])
@pytest.mark.parametrize("millis", [-1, 0, 10**18, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("key", [None, b"", bytes(range(256)), b"\xff" * 1000, b"k\0"])
def test_any_time_and_key_of_a_record_is_taken(topic: str, millis: int, key: bytes | None, ingest: Harness) -> None:
    """The wall time stands in for what is no time; the key keeps sources apart whatever its bytes."""
    values: dict[str, Any] = {
        "logs.raw": b"Feb 29 06:12:12 host1 cron: hi",
        "metrics.raw": b'{"name":"a","fields":{"value":1}}',
    }
    ingest.process([Record(topic, 0, offset, millis, key, values[topic], None) for offset in range(2)])
    assert (outcomes(ingest), ingest.dead) == (2, [])


def test_what_is_remembered_of_a_name_is_short(ingest: Harness) -> None:
    """Memos keep the beginning of names and keys; thousands of ten megabytes would be tens of gigabytes."""
    large = "n" * MIB
    key, fields = (
        large.encode(),
        {"log": "x", "host": large, "path": large, "kubernetes": {"pod_name": large}, large: 1},
    )
    before = sys.getrefcount(large), sys.getrefcount(key)
    ingest.process([Record("logs.raw", 0, 0, 10**12, key, orjson.dumps(fields))])
    name(large), is_secret_name(large)
    assert (sys.getrefcount(large), sys.getrefcount(key)) == before
