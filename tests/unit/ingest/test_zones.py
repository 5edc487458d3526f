"""Time zones: times without one are in their source's, or in the setting's for all others."""

import re
from datetime import UTC, datetime

import pytest

from services.common.errors import SettingsInvalid
from services.common.settings import read_settings
from services.ingest.core.lines import Origin, RawLine
from services.ingest.core.times import TimeParser
from services.ingest.core.zones import TopicParsers
from services.ingest.settings import IngestSettings
from tests.unit.ingest.conftest import Harness

ZONES = {
    "*|/var/log/apache2/*": "UTC", "edge-[12]": "Asia/Tokyo", "topic:legacy.*": "America/New_York",
    "late-*": "Asia/Kolkata", "db-1|mysqld": "Europe/London",
}  # fmt: skip
LINE = "2026-07-01 12:00:00.000 7 INFO nova.compute.manager [-] tick"


def hour(micros: int) -> str:
    """`HH:MM` of a day in UTC."""
    return datetime.fromtimestamp(micros / 1e6, UTC).strftime("%H:%M")


@pytest.mark.parametrize(
    ("host", "path", "topic", "found"),
    [
        ("edge-1", "/var/log/nova/a.log", "logs.raw", "03:00"),
        ("edge-1", "/var/log/apache2/a.log", "logs.raw", "12:00"),
        ("edge-3", "/var/log/nova/a.log", "logs.raw", "10:00"),
        ("edge-1", "/var/log/nova/a.log", "legacy.logs", "03:00"),
        ("compute-1", "/var/log/nova/a.log", "legacy.logs", "16:00"),
        ("late-1", "/var/log/nova/a.log", "legacy.logs", "16:00"),
        ("late-1", "/var/log/nova/a.log", "logs.raw", "06:30"),
    ],
)
def test_the_first_pattern_that_matches_gives_the_zone(host: str, path: str, topic: str, found: str) -> None:
    """Of a host, of its file, of a topic; all others are in the zone of the setting `timezone`."""
    parse = TopicParsers("Europe/Paris", ZONES, {})[topic]
    _, line = parse(RawLine(LINE, Origin(host, path)), 0)
    assert hour(line.event_time) == found


def test_a_syslog_header_tells_whose_clock_it_was() -> None:
    """Also where a relay sent the line under its own name."""
    ingest = Harness(source_timezones={"relay": "Europe/Paris", "edge-1": "Asia/Tokyo"})
    ingest.send("Nov 20 12:00:00 edge-1 app[7]: one", "Nov 20 12:00:00 other app[7]: two", key=b"relay|/var/log/all")
    ingest.wait(60)
    assert [hour(event["event_time"]) for event in ingest.events] == ["03:00", "12:00"]


def test_a_line_in_parts_has_its_sources_zone() -> None:
    """As a whole one has."""
    ingest = Harness(source_timezones=ZONES)
    parts = [f"2026-07-01T12:00:00.0Z stderr {tag} {text}" for tag, text in (("P", LINE[:30]), ("F", LINE[30:]))]
    ingest.send(*parts, key=b"edge-1|/a.log")
    ingest.wait(60)
    ingest.wait(60)
    assert [hour(event["event_time"]) for event in ingest.events] == ["03:00"]


def test_a_pinned_topic_has_its_sources_zones() -> None:
    """What is not of its shape has the time of its record, in the same zone."""
    parse = TopicParsers("UTC", ZONES, {"pinned": "oslo_text"})["pinned"]
    lines = [RawLine(LINE, Origin("edge-1")), RawLine("text", Origin("edge-1"), record_time="2026-07-01 12:00:00")]
    assert [(line.shape, hour(line.event_time)) for _, line in (parse(raw, 0) for raw in lines)] == [
        ("oslo_text", "03:00"), ("plain", "03:00"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("zones", "named"),
    [
        ('{"a":"Mars/Olympus"}', "'Mars/Olympus' is no IANA name"), ('{"topic:":"UTC"}', "names nothing"),
        ('{"":"UTC"}', "names nothing"), ("[1]", "valid dictionary"), ("edge-1=UTC", "wanted JSON"),
    ],
)  # fmt: skip
def test_a_wrong_zone_stops_ingest_at_its_start(zones: str, named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the variable, the value, and what was wanted."""
    monkeypatch.setenv("MOSELLE_INGEST_SOURCE_TIMEZONES", zones)
    with pytest.raises(SettingsInvalid, match=re.escape(named)) as raised:
        read_settings(IngestSettings)
    assert "MOSELLE_INGEST_" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-10-25 01:59:59", "23:59"), ("2026-10-25 02:30:00", "00:30"), ("2026-10-25 03:00:00", "02:00"),
        ("2026-03-29 01:59:59", "00:59"), ("2026-03-29 02:30:00", "01:30"), ("2026-03-29 03:30:00", "01:30"),
    ],
)  # fmt: skip
def test_when_clocks_change(text: str, found: str) -> None:
    """An hour that comes twice is the first one; in one that never comes the clock was not set yet."""
    micros = TimeParser("Europe/Paris").second(text)
    assert micros is not None
    assert hour(micros) == found
