"""Samples that nobody should send, and that come all the same."""

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.anomaly.streams import (
    CPU,
    ERRORS,
    LATENCY,
    SECOND,
    SETTINGS,
    Reader,
    make_api,
    make_compute,
    make_host,
    make_record,
    normal,
    procs,
    scrapes,
    slow,
    story,
)  # fmt: skip


def test_what_is_no_record_of_samples_is_a_dead_letter() -> None:
    """Unreadable, of another topic, or with more series than values."""
    lopsided = {**make_api(0), "values": [1.0]}
    reader = Reader().read([b"\xff", json.dumps({"event_time": 1}).encode(), lopsided])
    assert reader.dead_letters == 3


def test_nan_and_infinities_teach_and_raise_nothing() -> None:
    """A sample that is not finite is as good as not sent."""
    strange = [make_api(s, value) for s, value in zip(scrapes(200, 215), (math.nan, math.inf, -math.inf), strict=True)]
    reader = Reader().read(normal()).read(strange)
    assert reader.alerts == []
    assert len(reader.read(story(215, 230, api=slow(5.0))).alerts) == 1


def test_repeated_records_change_nothing() -> None:
    """Each twice, or all once more: the same alerts, the same state."""
    records = [*normal(), *story(200, 230, api=slow(5.0))]
    once, twice = Reader().read(records), Reader().read(record for record in records for _ in range(2))
    assert twice.saved == once.saved
    assert twice.life == once.life
    assert once.read(records[-20:]).life == twice.life


def test_a_repeated_sample_with_another_value_changes_nothing() -> None:
    """The first one counts."""
    one, two = Reader().read(normal()), Reader().read(normal())
    two.read([make_api(195, 99.0)])
    assert one.saved == two.saved


def test_late_samples_are_not_judged() -> None:
    """A series takes nothing older than its newest."""
    reader = Reader().read(normal(0, 300)).read([make_api(s, 50.0) for s in scrapes(250, 290)])
    assert reader.alerts == []


def test_records_of_one_time_may_come_apart() -> None:
    """A signal is complete when as many of its series have come as the scrape before had."""

    def halves(second: float) -> list[dict[str, Any]]:
        whole = make_host(second)
        names, values = whole["series"], whole["values"]
        return [
            {**whole, "series": names[:1], "values": values[:1]},
            {**whole, "series": names[1:], "values": values[1:]},
        ]

    reader = Reader().read(record for s in scrapes(0, 200) for record in halves(s))
    assert reader.alerts == []
    assert len(reader.read(make_host(s, 0.4) for s in scrapes(200, 215)).alerts) == 1


def test_a_counter_that_begins_anew_is_no_anomaly() -> None:
    """A reboot: the counter falls to nothing and grows on."""
    after = story(200, 260, host=lambda s: {**make_host(s), "values": [80e9, 100e9, 0.5 * (s - 200)]})
    assert Reader().read(normal()).read(after).alerts == []


def test_a_gap_makes_no_rate() -> None:
    """Over ten minutes without samples a counter tells nothing; the next scrape it does."""
    reader = Reader().read(make_record(s, "host:c1", {CPU: 0.5 * s}) for s in scrapes(0, 200))
    reader.read([make_record(900, "host:c1", {CPU: 1e9}), make_record(905, "host:c1", {CPU: 1e9 + 2.5})])
    assert reader.alerts == []


def test_a_time_far_ahead_is_not_believed() -> None:
    """One sample of next year moves no clock and judges nothing."""
    future = make_api(200 + 365 * 86_400, 99.0)
    reader = Reader().read(normal()).read([future]).read(normal(200, 300))
    assert reader.alerts == []


def test_a_clock_that_is_set_back_begins_anew() -> None:
    """An hour back for good: after fifty samples the new time is believed, and alerts work again."""
    reader = Reader().read(normal(4000, 4600)).read(normal(0, 400))
    reader.read(story(400, 430, api=slow(5.0)))
    assert reader.life == [("service:nova-api@c1", "latency", "firing")]


def test_too_many_series_are_counted_and_not_learnt() -> None:
    """The limit holds, and what is known goes on."""
    flood = [make_record(s, "host:c1", {f"flood_{n}": 1.0 for n in range(3000)}) for s in (0, 5)]
    reader = Reader().read(flood).tick()
    assert max(len(payload) for _, payload in reader.saved.values()) < 600_000


def test_too_many_series_are_one_alert_until_they_are_over() -> None:
    """It names the entity, the limit and the setting; other alerts of the entity go on beside it."""
    reader = Reader(SETTINGS.model_copy(update={"max_signals": 10})).read(normal())
    flood = [make_record(s, "service:nova-api@c1", {f"id_{s}_{n}": 1.0 for n in range(9)}) for s in scrapes(200, 260)]
    reader.read(sorted([*normal(200, 260), *flood], key=lambda record: record["event_time"]))
    [alert] = reader.alerts
    assert (alert["entity_id"], alert["rule"], alert["severity"]) == ("service:nova-api@c1", "cardinality", "warning")
    assert "at most 10" in alert["reason"]
    assert "MOSELLE_ANOMALY_MAX_SIGNALS" in alert["reason"]
    reader.restart()
    assert reader.read(story(260, 275, api=slow(5.0))).life[1:] == [("service:nova-api@c1", "latency", "firing")]
    assert ("service:nova-api@c1", "cardinality", "resolved") in reader.read(normal(275, 700)).life


VALUES = st.dictionaries(
    st.sampled_from([LATENCY, ERRORS, CPU, procs("nova-compute-1"), procs(""), "", "{", 'a{b="', "weird\n{}=,"]),
    st.floats(), max_size=5,
)  # fmt: skip
RECORDS = st.builds(
    make_record,
    st.floats(-1e6, 1e6), st.sampled_from(["host:c1", "service:nova-api@c1", "pod:a/b", "", "::", "x"]), VALUES,
    job=st.sampled_from(["", "node"]), parent_entity_ids=st.sampled_from([[], ["host:c1"], ["?"]]),
)  # fmt: skip


@settings(max_examples=25, deadline=None)
@given(records=st.lists(RECORDS, max_size=40))
def test_whatever_comes_nothing_is_raised_and_state_survives(records: list[dict[str, Any]]) -> None:
    """Wild names, values and times in any order, before and after a restart."""
    reader = Reader().read(normal(0, 10)).read(records).tick()
    reader.restart()
    reader.read([make_compute(15), make_host(20)]).tick(400)
    assert reader.dead_letters == 0


def test_times_at_the_ends_of_the_calendar_are_survived() -> None:
    """Microseconds as large and small as Avro can write."""
    odd = [{**make_api(0), "event_time": time} for time in (-(2**63), 2**63 - 1, 0, 5 * SECOND)]
    assert Reader().read(odd).tick().dead_letters == 0
