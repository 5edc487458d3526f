"""CloudEvents 1.0 attributes as Kafka headers, binary content mode, the same for every record that consumers read.

Source: CloudEvents 1.0.2, Kafka protocol binding, section 3.2.
"""

from functools import lru_cache

from services.common.clock import from_micros


def event_headers(event_id: str, source: str, event_type: str, micros: int) -> list[tuple[str, bytes]]:
    """The attributes of one record.

    Args:
        event_id: unique within the source; the same when the record is written again.
        source: a URI reference, e.g. /moselle/<cluster>/placement.
        event_type: e.g. moselle.alert.firing.v1.
        micros: when it happened, microseconds since 1970 UTC.
    """
    return [
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_time", _iso(micros)),
        ("content-type", b"application/avro"),
    ]


@lru_cache(maxsize=64)
def _iso(micros: int) -> bytes:
    """Records that are made together often share their time."""
    return from_micros(micros).isoformat(timespec="microseconds").replace("+00:00", "Z").encode()
