"""Times as lines and shippers write them, to microseconds since 1970 UTC.

The rules: a line's own time wins, then a field of the shipper's, then Kafka's. A time without a zone is in the zone
of its source (`zones.py`): of an hour that comes twice it is the first, and in an hour that is left out the clock was
not set yet. A time that a line states is never corrected, however far from now it lies: a wrong clock is
for the watermarks of its source to deal with, and a replay of last year's logs must keep its times. What cannot be a
time (31 February, year 0) counts as none.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

MICROS = 1_000_000
#: 2200-01-01: later numbers are not seconds, or not times.
MAX_SECONDS = 7_258_118_400
_DAY_MICROS = 86_400 * MICROS
#: 29 February comes back after eight years at most.
_YEARS_BACK = 9
_MEMO_SIZE = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MONTHS = {name: i for i, name in enumerate("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), start=1)}
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))? ?(Z|[+-]\d\d:?\d\d)?$",
    re.ASCII,
)
_ACCESS = re.compile(r"(\d\d)/([A-Z][a-z]{2})/(\d{4})[: ](\d\d):(\d\d):(\d\d)(?: ([+-]\d{4}))?$", re.ASCII)
_CTIME = re.compile(r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})$", re.ASCII)
_SYSLOG = re.compile(r"([A-Z][a-z]{2}) +(\d{1,2}) (\d\d:\d\d:\d\d)$", re.ASCII)
#: Epoch times as texts: OpenTelemetry's JSON and the journal write numbers so.
_DIGITS = re.compile(r"\d{9,19}(?:\.\d{1,9})?$", re.ASCII)


class EventTime(NamedTuple):
    """Microseconds since 1970 UTC, and where they are from: `line`, `record` or `transport`."""

    micros: int
    source: str


def fraction_micros(digits: str | None) -> int:
    """`346` after the point is 346000 microseconds."""
    if digits is None:
        return 0
    return int(digits) * 1000 if len(digits) == 3 else int((digits + "000000")[:6])


class _Memo(dict[str, int | None]):
    """What texts were read as: the last few thousand."""

    def __init__(self, read: Callable[[str], int | None]) -> None:
        self._read = read

    def __missing__(self, text: str) -> int | None:
        if len(self) >= _MEMO_SIZE:
            self.clear()
        found = self[text] = self._read(text)
        return found


class TimeParser:
    """Reads times; remembers the last few thousand seconds it saw, since lines share them.

    Args:
        timezone: IANA name of the zone of times that name none.

    Attributes:
        seconds, ctimes: what `second` and `ctime` answer, by text, for where a call would cost too much.
    """

    def __init__(self, timezone: str = "UTC") -> None:
        self._zone = ZoneInfo(timezone)
        self.seconds = _Memo(self._wall)
        self.ctimes = _Memo(self._ctime)

    def second(self, text: str) -> int | None:
        """`2026-11-21 06:12:12`, with a blank or `T`, without zone, to microseconds; None when it is no time."""
        return self.seconds[text]

    def iso(self, text: str) -> int | None:
        """ISO 8601 with or without zone and fraction; None when it is none."""
        found = _ISO.match(text)
        if found is None:
            return None
        day, clock, fraction, zone = found.groups()
        if zone is None:
            micros = self.second(f"{day} {clock}")
        else:
            micros = self._zoned(f"{day} {clock}", zone)
        return None if micros is None else micros + fraction_micros(fraction)

    def access(self, text: str) -> int | None:
        """`21/Nov/2026:06:13:21 +0000`, as Apache and eventlet write it."""
        found = _ACCESS.match(text)
        if found is None:
            return None
        day, month, year, hour, minute, second, zone = found.groups()
        wall = f"{year}-{_MONTHS.get(month, 0):02d}-{day} {hour}:{minute}:{second}"
        return self._zoned(wall, zone) if zone else self.second(wall)

    def ctime(self, text: str) -> int | None:
        """`Sat Nov 21 06:09:40 2026`, as uWSGI writes it."""
        return self.ctimes[text]

    def _ctime(self, text: str) -> int | None:
        found = _CTIME.match(text)
        if found is None:
            return None
        month, day, hour, minute, second, year = found.groups()
        return self.second(f"{year}-{_MONTHS.get(month, 0):02d}-{int(day):02d} {hour}:{minute}:{second}")

    def syslog(self, text: str, near_micros: int) -> int | None:
        """`Nov 21 06:12:12`, with the year that `without_year` finds."""
        found = _SYSLOG.match(text)
        if found is None:
            return None
        month, day, clock = found.groups()
        return self.without_year(_MONTHS.get(month, 0), int(day), clock, near_micros)

    def without_year(self, month: int, day: int, clock: str, near_micros: int) -> int | None:
        """A time without a year: the last one that is no more than a day after `near_micros`.

        So a line of 31 December that comes in January, or is replayed in November, is of the year before; a day is
        what zones and wrong clocks may take. `clock` is `HH:MM:SS`.
        """
        year = (_EPOCH + timedelta(microseconds=near_micros + _DAY_MICROS)).year
        for each in range(year, max(1969, year - _YEARS_BACK), -1):
            micros = self.second(f"{each}-{month:02d}-{day:02d} {clock}")
            if micros is not None and micros <= near_micros + _DAY_MICROS:
                return micros
        return None

    def field(self, value: object) -> int | None:
        """A shipper's field: epoch seconds, milliseconds, micro- or nanoseconds by size, or ISO 8601."""
        if isinstance(value, str):
            micros = self.iso(value)
            return micros if micros is not None else _digits_micros(value)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        return epoch_micros(value)

    def _wall(self, text: str) -> int | None:
        try:
            moment = datetime.fromisoformat(text).replace(tzinfo=self._zone)
            return _checked((moment - _EPOCH) // timedelta(microseconds=1))
        except (ValueError, OverflowError):
            return None

    def _zoned(self, wall: str, zone: str) -> int | None:
        try:
            moment = datetime.fromisoformat(wall).replace(tzinfo=UTC)
        except ValueError:
            return None
        return _checked((moment - _EPOCH) // timedelta(microseconds=1) - _offset_micros(zone))


def epoch_micros(value: int | float) -> int | None:
    """Epoch seconds (or milli-, micro-, nanoseconds, told apart by size) to microseconds; None when it is no time."""
    if not 0 <= value < MAX_SECONDS * 1e9:  # also refuses NaN and infinity
        return None
    for unit in (1, 1_000, 1_000_000):
        if value < MAX_SECONDS * unit:
            return round(value * (MICROS // unit))
    return int(value) // 1_000


def _digits_micros(text: str) -> int | None:
    if _DIGITS.match(text) is None:
        return None
    return epoch_micros(float(text) if "." in text else int(text))


def _checked(micros: int) -> int | None:
    return micros if 0 <= micros < MAX_SECONDS * MICROS else None


def _offset_micros(zone: str) -> int:
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[-2:])
    return (-minutes if zone[0] == "-" else minutes) * 60 * MICROS
