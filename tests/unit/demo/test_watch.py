"""What a watch counts of each topic."""

from typing import Any

from moselle.demo.watch import Json, Seen, first_evidence
from services.common.broker.abstract import Record
from tests.unit.demo.stories import BEGIN, make_alert


def see(seen: Seen, topic: str, content: Json, offset: int = 0) -> None:
    """Adds one record that holds `content`."""
    seen.add(Record(topic, 0, offset, 1_000_500, None, b"x"), lambda _: content)


def make_event(**changed: Any) -> Json:
    """The fields of a log event that are counted."""
    event = {"line_count": 3, "event_time": (BEGIN + 17) * 1_000_000, "severity_number": 9, "event_time_source": "line"}
    return event | changed


def test_events_count_by_their_lines_and_their_ten_seconds() -> None:
    """A folded traceback is one event of several lines."""
    seen = Seen()
    see(seen, "logs.parsed.v1", make_event())
    see(seen, "logs.parsed.v1", make_event(line_count=1, severity_number=17), offset=1)
    assert (seen.events, seen.lines_parsed) == (2, 4)
    assert (seen.rates[BEGIN + 10], seen.error_rates[BEGIN + 10]) == (2, 1)
    assert seen.event_epoch == BEGIN + 17


def test_the_stream_clock_follows_only_times_that_lines_state() -> None:
    """A line without a time of its own has the transport's, which is today."""
    seen = Seen()
    see(seen, "logs.parsed.v1", make_event(event_time_source="transport"))
    assert seen.event_epoch == 0


def test_an_alert_record_counts_once() -> None:
    """Consumers know a record by (alert_id, status, revision); the first one's time on the topic stays."""
    seen = Seen()
    see(seen, "alerts.v1", make_alert(5))
    see(seen, "alerts.v1", make_alert(5), offset=1)
    see(seen, "alerts.v1", make_alert(5, status="resolved", revision=1), offset=2)
    assert len(seen.alerts) == 2
    assert seen.first_alert_epoch == 1000.5


def test_dead_letters_count_by_their_topic() -> None:
    """Whatever their bytes are."""
    seen = Seen()
    see(seen, "logs.raw.dlq", {})
    see(seen, "metrics.raw.dlq", {})
    assert seen.dead_letters == {"logs.raw.dlq": 1, "metrics.raw.dlq": 1}


def test_the_first_evidence_of_a_metric_shows_its_value() -> None:
    """A line stands alone; a sample has its value; without evidence the summary stands in."""
    sample = {**make_alert(5)["evidence"][0], "raw_line": "load1", "value": 7.5}
    assert first_evidence(make_alert(5, evidence=[sample])) == "load1 = 7.5"
    assert first_evidence(make_alert(5, evidence=[], summary="s")) == "s"
