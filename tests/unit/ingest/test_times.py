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


YEARS = {"2027-01-01T00:00:05Z": 2026, "2026-12-31T23:59:50Z": 2026, "2026-11-21T06:00:00Z": 2025}


@pytest.mark.parametrize("now", YEARS)
def test_a_time_without_a_year_is_never_of_the_future(now: str) -> None:
    """31 December at midnight is of last year in January and in November; a clock may be a day ahead."""
    parser = TimeParser()
    near = parser.iso(now)
    assert near is not None
    expected = parser.iso(f"{YEARS[now]}-12-31T23:59:59Z")
    assert parser.without_year(12, 31, "23:59:59", near) == expected
    assert parser.syslog("Dec 31 23:59:59", near) == expected


def test_29_february_is_of_a_leap_year() -> None:
    """Years that lack the day are passed over; what no year has is no time."""
    parser = TimeParser()
    near = parser.iso("2026-11-21T06:00:00Z")
    assert near is not None
    assert parser.without_year(2, 29, "00:00:00", near) == parser.iso("2024-02-29T00:00:00Z")
    assert parser.without_year(2, 30, "00:00:00", near) is None


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1795262400", NOON),
        ("1795262400.25", NOON + 250_000),
        ("1795262400000000123", NOON),
        ("12", None),
        ("9" * 30, None),
    ],
)
def test_epoch_times_may_be_texts(text: str, micros: int | None) -> None:
    """OpenTelemetry's JSON and the journal write numbers so; a short number is none."""
    assert TimeParser().field(text) == micros


@pytest.mark.parametrize("text", ["2026-10-25 02:30:00", "2026-03-29 02:30:00"])
def test_hours_that_a_zone_has_twice_or_not_at_all_are_times(text: str) -> None:
    """The first of two; what does not exist is read as if the clock had not been changed yet."""
    berlin, utc = TimeParser("Europe/Berlin").second(text), TimeParser().second(text)
    assert berlin is not None
    assert utc is not None
    assert berlin == utc - (2 if "-10-" in text else 1) * 3_600_000_000


@pytest.mark.parametrize("text", ["1971-01-01 00:00:00", "2199-12-31 23:59:59"])
def test_times_far_away_stay_as_they_are(text: str) -> None:
    """A replay of old logs keeps its times, and a wrong clock is for the watermark of its source."""
    micros = TimeParser().iso(text)
    assert micros is not None
    assert epoch_micros(micros // 1_000_000) == micros


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
