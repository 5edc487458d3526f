"""What the figures of sources mean, and how they are shown."""

from typing import Any

from services.ingest.adapters.sources import source_pages
from services.ingest.core.completeness import Completeness
from services.ingest.core.source_page import as_html
from services.ingest.core.source_report import judged, merge, percent, seconds
from tests.unit.ingest.test_completeness import seen

MINUTE = 60_000_000


def make_row(source_id: str, **changes: Any) -> dict[str, Any]:
    completeness = Completeness()
    completeness.take(seen(1, source_id), 10**15)
    completeness.settle(False)
    return {**completeness.rows()[0], **changes}


def notes(row: dict[str, Any]) -> list[str]:
    return next(each["notes"] for each in judged([row]) if each["source_id"] == row["source_id"])


def test_the_worst_source_comes_first() -> None:
    """One that has fallen silent outweighs clocks, and clocks outweigh late lines."""
    rows = [
        make_row("fine|x"), make_row("late|x", late_lines=1), make_row("clock|x", delay_seconds=-300.0),
        make_row("silent|x", last_event_time=10**15 - 20 * MINUTE, gap_seconds=60.0),
    ]  # fmt: skip
    assert [row["source_id"] for row in judged(rows)] == ["silent|x", "clock|x", "late|x", "fine|x"]


def test_silence_is_measured_by_the_event_times_of_the_others() -> None:
    """A replay of last year's logs makes nobody silent."""
    rows = [make_row("a|x", gap_seconds=60.0), make_row("b|x", gap_seconds=60.0, last_event_time=10**15 - 2 * MINUTE)]
    found = {row["source_id"]: row["notes"] for row in judged(rows)}
    assert found == {"a|x": [], "b|x": ["silent for 2 min"]}


def test_a_source_without_any_header_misses_none() -> None:
    """Unparsed are lines among parsed ones; where none has a header, those without any time."""
    assert notes(make_row("a|x", lines=10, unheaded_lines=10)) == []
    assert notes(make_row("a|x", lines=10, unheaded_lines=5)) == ["50 % not parsed"]
    assert notes(make_row("a|x", lines=10, unheaded_lines=10, untimed_lines=10)) == ["100 % not parsed"]


def test_a_source_is_behind_by_what_the_others_need() -> None:
    """All an hour behind are a replay, or a slow shipper of all; one alone has a wrong clock. Ahead is always wrong."""
    others = [make_row(f"{name}|x", delay_seconds=3600.0) for name in "abc"]
    rows = judged([*others, make_row("d|x", delay_seconds=7200.0), make_row("e|x", delay_seconds=-2.0)])
    assert {row["source_id"]: row["notes"] for row in rows if row["notes"]} == {
        "d|x": ["2.0 h behind"], "e|x": ["clock 2.0 s ahead"],
    }  # fmt: skip


def test_replicas_add_up() -> None:
    """A source that moved, or is spread over partitions, is one row."""
    one = make_row("a|x", lines=3, delay_seconds=1.0, last_ingest_time=1)
    other = make_row("a|x", lines=4, last_event_time=10**15 + MINUTE, delay_seconds=9.0, last_ingest_time=2)
    (found,) = merge([[one], [other]])
    assert (found["lines"], found["last_event_time"], found["delay_seconds"]) == (7, 10**15 + MINUTE, 9.0)


def test_figures_are_written_as_people_say_them() -> None:
    """Three digits at most, with their unit."""
    assert [seconds(value) for value in (0.04, 9.9, 45, 600, 9000, 500_000)] == [
        "0.0 s", "9.9 s", "45 s", "10 min", "2.5 h", "6 d",
    ]  # fmt: skip
    assert [percent(value) for value in (0, 0.0001, 0.025, 0.4)] == ["0", "<0.1 %", "2.5 %", "40 %"]


def test_a_name_cannot_break_the_page() -> None:
    """Sources are named by whoever ships."""
    page = as_html(judged([make_row("<script>|/a&b")]), "About.").decode()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_the_page_is_there_before_anything_was_read() -> None:
    """Both forms."""
    pages = source_pages(Completeness(), 3)
    assert b"Nothing has been read yet" in pages["/sources"]().body
    assert pages["/sources.json"]().body == b'{"replica":3,"forgotten":0,"sources":[]}'
