"""CloudEvents attributes as Kafka headers."""

from services.common.cloudevents import event_headers


def test_every_required_attribute_is_there_once() -> None:
    """id, source, type and version by the binding's names; the time is RFC 3339 UTC with microseconds."""
    headers = event_headers("a:firing:0", "/moselle/cloud/log.rules", "moselle.alert.firing.v1", 1_000_001)
    assert headers == [
        ("ce_id", b"a:firing:0"),
        ("ce_source", b"/moselle/cloud/log.rules"),
        ("ce_type", b"moselle.alert.firing.v1"),
        ("ce_specversion", b"1.0"),
        ("ce_time", b"1970-01-01T00:00:01.000001Z"),
        ("content-type", b"application/avro"),
    ]
