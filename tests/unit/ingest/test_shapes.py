"""Whose a message is, by its wrapper or by its Kafka key."""

import pytest

from services.ingest.core.shapes import recognise

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
