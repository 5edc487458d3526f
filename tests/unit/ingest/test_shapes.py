"""Whose a message is, by its wrapper or by its Kafka key."""

import gzip

import orjson
import pytest

from services.common.errors import SettingsInvalid
from services.ingest.core.pinned import check_topic_shapes
from services.ingest.core.shapes import recognise
from tests.unit.ingest.conftest import Harness

OSLO_JSON = (
    '{"message":"m","msg":"m","args":[],"levelname":"ERROR","name":"oslo.messaging","created":1.0,"hostname":"h0"}'
)


@pytest.mark.parametrize(
    ("text", "key", "host", "path"),
    [
        (OSLO_JSON, "h1|nova-api.json.log", "h1", "nova-api.json.log"),
        (OSLO_JSON, "", "h0", ""),
        (OSLO_JSON, "some-random-key", "h0", ""),
        ("a plain line", "h1|/var/log/nova/nova-api.log", "h1", "/var/log/nova/nova-api.log"),
        ("a plain line", "h1|", "", ""),
        ("a plain line", "\x00\x01|\x02 \x03", "", ""),
        ('{"date":1.0,"host":"h2","path":"x.log","log":"a"}', "h1|y.log", "h2", "x.log"),
    ],
)
def test_the_documented_key_tells_the_source_of_what_does_not_say_it(text: str, key: str, host: str, path: str) -> None:
    """`host|file` stands in for what the record leaves open; its own words come first, other keys tell nothing."""
    (line,) = recognise(text, key)
    assert (line.origin.host, line.origin.path) == (host, path)


OSLO = "2026-11-21 06:12:12.862 7 ERROR nova.api [-] refused"


@pytest.mark.parametrize(
    ("pinned", "value", "shape"),
    [
        ("plain", OSLO, "plain"),
        ("oslo_text", OSLO, "oslo_text"),
        ("oslo_text", '{"log":"x"}', "plain"),
        ("klog", OSLO, "plain"),
        ("rsyslog_plain", f"<34>Nov 21 06:12:12 h nova-api: {OSLO}", "oslo_text"),
        ("rsyslog_plain", OSLO, "plain"),
        ("json", '{"log":"x"}', "plain"),
        ("fluent_bit", orjson.dumps({"log": OSLO, "date": 1}).decode(), "oslo_text"),
        ("vector", orjson.dumps([{"message": "x", "source_type": "file"}]).decode(), "vector"),
    ],
)
def test_a_pinned_topic_has_one_shape(pinned: str, value: str, shape: str, make_ingest: type[Harness]) -> None:
    """Other shapes are text there; what a wrapper wraps is read as ever."""
    ingest = make_ingest(topic_shapes={"logs.raw": pinned})
    ingest.send(value)
    ingest.wait(60)
    assert [event["shape"] for event in ingest.events] == [shape]


@pytest.mark.parametrize(
    ("pins", "names"),
    [({"logs.raw": "nonsense"}, "otlp_json"), ({"elsewhere": "json"}, "not read"), ({"logs.raw": "influx"}, "pins")],
)
def test_a_pin_that_cannot_be_is_refused_at_start(pins: dict[str, str], names: str) -> None:
    """The message says what it may be."""
    with pytest.raises(SettingsInvalid, match=names):
        check_topic_shapes(pins, ["logs.raw"], ["metrics.raw"])


def test_pins_that_can_be_are_taken() -> None:
    """Logs and metrics have their own names."""
    check_topic_shapes({"logs.raw": "otlp_proto", "metrics.raw": "otlp_proto"}, ["logs.raw"], ["metrics.raw"])


def test_a_packed_request_of_opentelemetry_is_read(make_ingest: type[Harness]) -> None:
    """As the collector sends it with compression within the message."""
    request = {"resourceLogs": [{"scopeLogs": [{"logRecords": [{"severityNumber": 9, "body": {"stringValue": "x"}}]}]}]}
    ingest = make_ingest()
    ingest.send(gzip.compress(orjson.dumps(request)))
    assert [(event["shape"], event["body"]) for event in ingest.events] == [("otlp_json", "x")]


@pytest.mark.parametrize(
    "value", ["[]", "{}", "[{}]", "[1]", '{"resourceLogs":[]}', '{"resourceLogs":[{"scopeLogs":7}]}', "null"]
)
def test_json_that_says_nothing_is_text(value: str, make_ingest: type[Harness]) -> None:
    """Text that decodes is never a dead letter."""
    ingest = make_ingest()
    ingest.send(value)
    assert [(event["shape"], event["line_count"]) for event in ingest.events] == [("plain", 1)]


@pytest.mark.parametrize(
    ("value", "body"),
    [
        ("\ufeff2026-11-21 05:54:50.568 7 INFO nova.compute [-] Ready", "Ready"),
        ('\ufeff{"log": "Ready", "date": 1}', "Ready"),
        ("<165>1 2026-11-21T05:54:50.003Z c1 nova - ID47 - \ufeffReady", "Ready"),
    ],
)
def test_a_byte_order_mark_is_no_part_of_a_text(value: str, body: str, make_ingest: type[Harness]) -> None:
    """Programs of Windows and syslog's senders write it."""
    ingest = make_ingest()
    ingest.send(value)
    ingest.wait(10)
    assert [event["body"] for event in ingest.events] == [body]
