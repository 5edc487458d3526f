"""Finding and moving the time of a line."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moselle.replay.times import find_time, line_time, shift_json, shift_line

EPOCH = datetime(2026, 11, 21, 5, 51, 40, tzinfo=UTC).timestamp()

LINES = {
    "2026-11-21 05:51:40.250 24193 INFO nova.api [-] up": EPOCH + 0.25,
    "2026-11-21T05:51:40,250+00:00 h nova: up": EPOCH + 0.25,
    "2026-11-21T06:51:40+01:00 h nova: up": EPOCH,
    "2026-11-21  5:51:40 0 [Note] Starting MariaDB": EPOCH,
    "nova-api.log.1.2017-05-16_13:53:08 2026-11-21 05:51:40.500 25746 INFO x": EPOCH + 0.5,
    "[pid: 1|app: 0|req: 2/5] 127.0.0.1 () {30 vars in 540 bytes} [Sat Nov 21 05:51:40 2026] GET /v3 => ok": EPOCH,
    '10.0.0.1 - - [21/Nov/2026:06:51:40 +0100] "GET / HTTP/1.1" 200': EPOCH,
    '{"created": 1795240300.25, "message": "x", "asctime": "2026-11-21 05:51:40"}': EPOCH + 0.25,
    '{"@timestamp": "2026-11-21T05:51:40.250Z"}': EPOCH + 0.25,
    '{"time": 1795240300250}': EPOCH + 0.25,
}


@pytest.mark.parametrize(("line", "epoch"), LINES.items())
def test_times_of_known_forms_are_found(line: str, epoch: float) -> None:
    """Each form of the world's logs gives its event time, UTC where it names no zone."""
    assert line_time(line) == pytest.approx(epoch, abs=1e-6)


@pytest.mark.parametrize(
    "line", ["", "  File x, line 3", "2026-13-41 05:51:40 no such day", "x" * 90 + " 2026-11-21 05:51:40 y"]
)
def test_other_lines_have_no_time(line: str) -> None:
    """A continuation, an impossible date, and a date far inside the text are no event time."""
    assert find_time(line) is None


@pytest.mark.parametrize("line", [line for line in LINES if not line.startswith("{")])
def test_a_shift_moves_the_time_and_nothing_else(line: str) -> None:
    """A line moved by a day and back is the same line, but for MariaDB's blank-padded hour."""
    there = shift_line(line, 86_400)
    assert line_time(there) == pytest.approx((line_time(line) or 0) + 86_400, abs=1e-6)
    assert shift_line(there, -86_400) == line.replace("  5:", " 05:")


def test_a_shift_moves_all_times_of_a_json_record() -> None:
    """created and asctime move together, milliseconds by milliseconds, and the rest stays."""
    line = '{"created": 1795240300.5, "asctime": "2026-11-21 05:51:40", "time": 1795240300500, "msg": "2 of 3"}'
    assert json.loads(shift_json(line, 3600)) == {
        "created": 1795243900.5,
        "asctime": "2026-11-21 06:51:40",
        "time": 1795243900500,
        "msg": "2 of 3",
    }


@given(st.text(max_size=200), st.integers(-(10**6), 10**6))
def test_no_text_breaks_it(line: str, shift_seconds: int) -> None:
    """Any text either has a time or has none, and can be shifted: what has none stays as it is."""
    time, shifted = line_time(line), shift_json(line, shift_seconds)
    assert time is None or isinstance(time, float | int)
    assert find_time(line) is not None or shifted == line or line.lstrip().startswith("{")


@pytest.mark.parametrize("shift_seconds", [10**6, -(10**6)])
@pytest.mark.parametrize("second", ["9999-12-31 23:59:59", "0001-01-01 00:00:00"])
def test_a_time_at_the_calendar_s_end_keeps_its_form(second: str, shift_seconds: int) -> None:
    """Moved, with a year of four digits, or left as it is where the calendar ends."""
    moved = shift_line(f"{second}.000 1 INFO a [-] x", shift_seconds)
    assert len(moved) == len(f"{second}.000 1 INFO a [-] x")
    assert moved.endswith(".000 1 INFO a [-] x")
