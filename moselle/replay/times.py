"""Finds the event time of a log line, and writes another one in its place.

Shifts are whole seconds, so that fractions stay as they are written.
"""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: A time further right belongs to the message. Access lines have theirs behind addresses and counters.
MAX_ISO_START = 80
MAX_ACCESS_START = 250

#: 2026-11-21 05:51:40.389, 2026-11-21T05:51:40,389+01:00, MariaDB's 2026-11-21  5:43:58
ISO = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\d(?:T| {1,2})\d{1,2}:\d\d:\d\d)(?P<fraction>[.,]\d{1,9})?(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
#: uWSGI and asctime: Sat Nov 21 05:51:40 2026
CTIME = re.compile(r"(?P<second>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})")
#: Apache and nginx: 21/Nov/2026:05:51:40 +0000
CLF = re.compile(r"(?P<second>\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d) (?P<zone>[+-]\d{4})")

#: Fields of a JSON record that hold its time; the first that is there gives it, a shift rewrites all.
JSON_TIMES = ("created", "@timestamp", "timestamp", "time", "date", "ts", "asctime")


class FoundTime(NamedTuple):
    """A time in a line. `epoch` is seconds since 1970 UTC; a time without a zone is taken as UTC."""

    epoch: float
    form: str
    match: re.Match[str]


def find_time(line: str) -> FoundTime | None:
    """The event time that a text line names, or None."""
    match = ISO.search(line, 0, MAX_ISO_START + 40)
    if match and match.start() <= MAX_ISO_START:
        epoch = second_epoch("iso", match["second"], match["zone"] or "")
        if epoch is not None:
            fraction = match["fraction"]
            return FoundTime(epoch + float("0." + fraction[1:]) if fraction else epoch, "iso", match)
    for form, pattern in (("ctime", CTIME), ("clf", CLF)):
        match = pattern.search(line, 0, MAX_ACCESS_START)
        if match:
            epoch = second_epoch(form, match["second"], match.groupdict().get("zone") or "")
            if epoch is not None:
                return FoundTime(epoch, form, match)
    return None


@lru_cache(maxsize=4096)
def second_epoch(form: str, second: str, zone: str) -> int | None:
    """Epoch seconds of a written second; None when the calendar has no such time."""
    try:
        return int(PARSE[form](second).replace(tzinfo=parse_zone(zone)).timestamp())
    except (ValueError, OverflowError):
        return None


def parse_iso(second: str) -> datetime:
    return datetime.strptime(second.replace("T", " "), "%Y-%m-%d %H:%M:%S")  # noqa: DTZ007 - the zone comes next


def parse_ctime(second: str) -> datetime:
    _, month, day, clock, year = second.split()
    return parse_iso(f"{year}-{MONTHS.index(month) + 1:02}-{int(day):02} {clock}")


def parse_clf(second: str) -> datetime:
    date, clock = second.split(":", 1)
    day, month, year = date.split("/")
    return parse_iso(f"{year}-{MONTHS.index(month) + 1:02}-{day} {clock}")


def parse_zone(zone: str) -> timezone:
    if not zone or zone == "Z":
        return UTC
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if zone[0] == "-" else offset)


@lru_cache(maxsize=4096)
def shifted_second(form: str, second: str, zone: str, shift_seconds: int) -> str:
    """A written second, moved, in the same form; as it is when it would leave the calendar's years 1 to 9999."""
    epoch = second_epoch(form, second, zone)
    if epoch is None:
        return second
    try:
        moved = datetime.fromtimestamp(epoch + shift_seconds, parse_zone(zone))
    except (ValueError, OverflowError):
        return second
    clock = f"{moved:%H:%M:%S}"
    month = MONTHS[moved.month - 1]
    if form == "ctime":
        weekday = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[moved.weekday()]
        return f"{weekday} {month} {moved.day:2} {clock} {moved.year:04}"
    if form == "clf":
        return f"{moved.day:02}/{month}/{moved.year:04}:{clock}"
    return f"{moved.year:04}-{moved:%m-%d}{'T' if 'T' in second else ' '}{clock}"


def shift_line(line: str, shift_seconds: int) -> str:
    """The line with its time moved; as it is when it names none."""
    found = find_time(line)
    if found is None:
        return line
    start, end = found.match.span("second")
    zone = found.match.groupdict().get("zone") or ""
    return line[:start] + shifted_second(found.form, line[start:end], zone, shift_seconds) + line[end:]


def json_time(record: dict[str, Any]) -> float | None:
    """The event time of a JSON record in epoch seconds, or None."""
    for name in JSON_TIMES:
        value = record.get(name)
        if isinstance(value, str):
            found = find_time(value)
            if found:
                return found.epoch
        elif isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return value / epoch_unit(value)
    return None


def epoch_unit(value: float) -> int:
    """How many of a number's units make a second: epochs come in seconds, milli-, micro- and nanoseconds."""
    return next((unit for unit in (1, 1_000, 1_000_000) if value < 1e11 * unit), 1_000_000_000)


def shift_json(line: str, shift_seconds: int) -> str:
    """A JSON record with all its time fields moved; other lines as text."""
    record = parse_object(line)
    if record is None:
        return shift_line(line, shift_seconds)
    for name in JSON_TIMES:
        value = record.get(name)
        if isinstance(value, str):
            record[name] = shift_line(value, shift_seconds)
        elif isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            record[name] = value + shift_seconds * epoch_unit(value)
    return json.dumps(record, ensure_ascii=False)


def parse_object(line: str) -> dict[str, Any] | None:
    """The JSON object that a line is, or None."""
    if not line.lstrip().startswith("{"):
        return None
    try:
        loaded = orjson.loads(line)
    except ValueError:
        return None
    return loaded if isinstance(loaded, dict) else None


def line_time(line: str) -> float | None:
    """The event time of a line, JSON or text."""
    record = parse_object(line)
    if record is not None:
        return json_time(record)
    found = find_time(line)
    return found.epoch if found else None


PARSE: dict[str, Callable[[str], datetime]] = {"iso": parse_iso, "ctime": parse_ctime, "clf": parse_clf}
