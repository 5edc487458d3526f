"""What is said of each source: gaps, late and repeated lines, its clock, lines that were not parsed."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.ingest.core.completeness import MIN_PAUSES, REPEAT_EVENTS, Completeness, Seen
from services.ingest.core.folding import Fold
from services.ingest.core.lines import ParsedLine
from tests.unit.ingest.conftest import NOW, Harness, fluent_bit

BEGIN = datetime(2026, 11, 21, 5, 0, tzinfo=UTC)
SOURCE = "controller-1|/var/log/nova/nova-api.log"


def oslo(seconds: float, what: str = "hello") -> str:
    """A line of nova-api, so many seconds after BEGIN."""
    stamp = (BEGIN + timedelta(seconds=seconds)).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return fluent_bit(f"{stamp} 7 INFO nova.api [None req-1 u p - - d d] {what}")


def row(ingest: Harness, source_id: str = SOURCE) -> dict[str, Any]:
    """What is said of a source once everything that was sent is committed."""
    ingest.wait(1)
    ingest.wait(1)
    rows = {each["source_id"]: each for each in ingest.stage._completeness.rows()}
    return rows[source_id]


def paced(pause: float, number: int = 2 * MIN_PAUSES, start: float = 0.0) -> list[str]:
    return [oslo(start + pause * i, f"line {i}") for i in range(number)]


def test_a_pause_far_above_the_usual_is_a_gap(ingest: Harness) -> None:
    """By the source's own event times: ten minutes of nothing where a line came every ten seconds."""
    ingest.send(*paced(10), *paced(10, start=1000))
    found = row(ingest)
    assert (found["gaps"], found["usual_pause_seconds"]) == (1, 10)
    assert found["longest_gap_seconds"] == 1000 - 10 * (2 * MIN_PAUSES - 1)


def test_a_pause_is_no_gap_before_the_pace_is_known(ingest: Harness) -> None:
    """Two lines an hour apart say nothing of how often a source speaks."""
    ingest.send(oslo(0), oslo(3600), oslo(3605))
    assert (row(ingest)["gaps"], row(ingest)["usual_pause_seconds"]) == (0, None)


def test_a_source_that_slows_down_for_good_gets_a_new_pace(ingest: Harness) -> None:
    """Some gaps at first, then none: what is usual follows."""
    ingest.send(*paced(2, 100), *paced(600, 200, start=1000))
    found = row(ingest)
    assert 1 <= found["gaps"] <= 10
    assert found["usual_pause_seconds"] == 600


def test_lines_far_behind_their_own_source_are_late(ingest: Harness) -> None:
    """Eleven seconds are, nine are not; another source's time plays no part."""
    ingest.send(oslo(100), oslo(91), oslo(89), oslo(101))
    ingest.send(fluent_bit("2026-11-21 04:00:00.000 7 INFO nova [-] x", host="compute-1"))
    assert row(ingest)["late_lines"] == 1
    assert row(ingest, "compute-1|/var/log/nova/nova-api.log")["late_lines"] == 0


def test_a_line_sent_twice_is_counted_and_written_twice(ingest: Harness) -> None:
    """A shipper that starts again sends its last lines once more, in another batch or in the same."""
    lines = paced(0.1, 10)
    ingest.send(*lines)
    ingest.send(*lines[5:], lines[9])
    found = row(ingest)
    assert (found["repeated_events"], found["twin_events"]) == (4, 2)
    assert len(ingest.events) == 16


def test_the_same_words_at_another_time_are_no_repetition(ingest: Harness) -> None:
    """Nor are those of another source."""
    ingest.send(oslo(1), oslo(2), oslo(2).replace("controller-1", "controller-2"))
    assert row(ingest)["repeated_events"] == row(ingest)["twin_events"] == 0


def test_two_shippers_of_one_file_are_not_taken_for_one_that_sends_again(ingest: Harness) -> None:
    """Each line comes twice at its moment; programs do so now and then, and it is counted apart."""
    ingest.send(*(each for each in paced(0.1, 10, start=0.05) for _ in range(2)))
    assert (row(ingest)["repeated_events"], row(ingest)["twin_events"]) == (0, 10)


def test_lines_that_tell_only_the_second_may_be_alike(ingest: Harness) -> None:
    """A probe may come twice in a second. Sent again, the line is behind its source."""
    probe = '1.1.1.1 - - [21/Nov/2026:05:00:{:02d} +0000] "GET / HTTP/1.1" 200 5'
    ingest.send(*(fluent_bit(probe.format(second)) for second in (1, 1, 1, 2)))
    assert row(ingest)["repeated_events"] == row(ingest)["twin_events"] == 0
    ingest.send(fluent_bit(probe.format(1)))
    assert row(ingest)["repeated_events"] == 1


def test_lines_without_any_time_are_never_repetitions(ingest: Harness) -> None:
    """Blank lines of one message have nothing that tells them apart."""
    ingest.send("\n\n\nsame\nsame", key=b"h1|/a.log")
    found = row(ingest, "h1|/a.log")
    assert found["repeated_events"] == found["twin_events"] == 0


@pytest.mark.parametrize(("offset", "delay"), [(300, -300), (-90, 90), (0, 0)])
def test_the_median_delay_is_the_offset_of_a_clock(ingest: Harness, offset: int, delay: int) -> None:
    """Ahead of us is below zero; once everything is read, so that our own backlog is no delay."""
    ingest.wait(1)
    for second in range(20):
        moment = (NOW - BEGIN).total_seconds() + second + offset
        ingest.send(oslo(moment + (40 if second == 3 else 0)))
        ingest.wait(1)
    assert row(ingest)["delay_seconds"] == pytest.approx(delay, abs=3)


def test_a_line_from_the_future_does_not_make_the_others_late(ingest: Harness) -> None:
    """One wrong time in a hundred years."""
    ingest.send(oslo(0), oslo(3600 * 24 * 365 * 100), oslo(1), oslo(2))
    assert row(ingest)["late_lines"] == 0


def test_lines_without_header_count_where_others_have_one(ingest: Harness) -> None:
    """A line that no rule folds into another and that says nothing of itself."""
    ingest.send(oslo(0), oslo(1))
    ingest.wait(60)
    ingest.send(fluent_bit("something without a header"))
    found = row(ingest)
    assert (found["lines"], found["unheaded_lines"], found["untimed_lines"]) == (3, 1, 0)


def test_lines_of_records_without_a_key_are_counted(ingest: Harness) -> None:
    """They may be spread over partitions."""
    ingest.send(oslo(0), key=None)
    ingest.send(oslo(1))
    assert (row(ingest)["keyless_lines"], row(ingest)["lines"]) == (1, 2)


def test_what_was_not_committed_is_not_counted(ingest: Harness) -> None:
    """A batch whose transaction failed is done again by a new stage."""
    completeness = Completeness()
    completeness.take(seen(1), 0)
    completeness.begin()
    completeness.take(seen(2), 0)
    completeness.settle(False)
    assert [each["lines"] for each in completeness.rows()] == [2]


def seen(number: int, source: str = "h|/a.log", time: int = 10**15) -> Seen:
    found = Seen()
    lines = [ParsedLine("oslo_text", time + i, "line", f"{time + i}", "", has_header=True) for i in range(number)]
    found.folds[source] = [Fold(line, [i], 0, time, time) for i, line in enumerate(lines)]
    return found


def test_the_number_of_sources_is_bounded() -> None:
    """Those that wrote longest ago go, and it is said how many."""
    completeness = Completeness(max_sources=3)
    for source in ("a|x", "b|x", "c|x", "a|x", "d|x"):
        completeness.take(seen(1, source), 0)
        completeness.settle(False)
    assert [each["source_id"] for each in completeness.rows()] == ["c|x", "a|x", "d|x"]
    assert completeness.num_forgotten == 1


def test_memory_of_repetitions_is_bounded() -> None:
    """The last one or two hundred thousand events of a replica, whoever wrote them."""
    completeness = Completeness()
    for batch in range(6):
        completeness.take(seen(REPEAT_EVENTS // 2, time=10**15 + batch * 10**9), 10**16)
        completeness.settle(False)
    remembered = [*completeness._recent.values(), *completeness._older.values()]
    assert sum(map(len, remembered)) <= 2 * REPEAT_EVENTS


def test_batches_of_any_size_count_the_same() -> None:
    """Quick ways for batches whose times only rise give what the long way gives."""
    chance = random.Random(3)
    times = [10**15 + max(0, i * 900_000 + chance.choice((0, 0, 0, -20_000_000, 70_000_000))) for i in range(400)]
    tables = []
    for size in (1, 7, 400):
        completeness = Completeness()
        for start in range(0, len(times), size):
            batch = Seen()
            lines = [
                ParsedLine("oslo_text", time, "line", f"{time}", "", has_header=True)
                for time in times[start : start + size]
            ]
            batch.folds["h|x"] = [Fold(line, [0], 0, 10**16, 10**16) for line in lines]
            completeness.take(batch, 10**16)
            completeness.settle(False)
        tables.append(completeness.rows())
    assert tables[0] == tables[1] == tables[2]
