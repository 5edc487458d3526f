"""Times of lines and shippers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.core.times import TimeParser, epoch_micros

NOON = 1_795_262_400_000_000  # 2026-11-21T12:00:00Z


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("2026-11-21T12:00:00Z", NOON),
        ("2026-11-21T13:00:00+01:00", NOON),
        ("2026-11-21T13:00:00.25+0100", NOON + 250_000),
        ("2026-11-21 12:00:00,007", NOON + 7_000),
        ("2026-11-21T12:00:00.123456789Z", NOON + 123_456),
    ],
)
def test_iso_times_are_utc_microseconds(text: str, micros: int) -> None:
    """Zones are honoured, fractions are cut to microseconds."""
    assert TimeParser().iso(text) == micros


def test_a_time_without_zone_is_in_the_set_zone() -> None:
    """Berlin's noon in November is eleven o'clock UTC."""
    assert TimeParser("Europe/Berlin").second("2026-11-21 12:00:00") == NOON - 3_600_000_000


@pytest.mark.parametrize("text", ["2026-02-31 00:00:00", "0000-01-01 00:00:00", "yesterday"])
def test_what_is_no_time_is_none(text: str) -> None:
    """Impossible dates fall back to the next source of a time."""
    assert TimeParser().second(text) is None


def test_syslog_takes_the_nearest_year() -> None:
    """On New Year's Day a line of 31 December is of last year."""
    parser = TimeParser()
    new_year = parser.iso("2027-01-01T00:00:05Z")
    assert new_year is not None
    assert parser.syslog("Dec 31 23:59:59", new_year) == new_year - 6_000_000


def test_access_and_uwsgi_times() -> None:
    """Apache's brackets carry a zone, uWSGI's do not."""
    assert TimeParser().access("21/Nov/2026:13:00:00 +0100") == NOON
    assert TimeParser().access("21/Nov/2026 12:00:00") == NOON
    assert TimeParser().ctime("Sat Nov 21 12:00:00 2026") == NOON


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_epoch_units_are_told_apart_by_size(factor: int) -> None:
    """Seconds, milli-, micro- and nanoseconds give the same time."""
    assert epoch_micros(NOON // 1_000_000 * factor) == NOON


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans())
def test_any_field_gives_a_time_or_none(value: object) -> None:
    """NaN, infinity, negative and huge numbers are no times."""
    found = TimeParser().field(value)
    assert found is None or 0 <= found < 2**63
