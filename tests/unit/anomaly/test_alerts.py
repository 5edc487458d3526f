"""What alerts, what does not, and how an alert lives: the whole stage, one partition."""

from typing import Any

import pytest

from tests.unit.anomaly.streams import (
    HOST,
    SECOND,
    SETTINGS,
    START,
    WITH_TREES,
    Reader,
    free,
    make_api,
    make_compute,
    make_record,
    normal,
    scrapes,
    slow,
    story,
)  # fmt: skip


def firing(reader: Reader) -> list[dict[str, Any]]:
    return [alert for alert in reader.alerts if alert["status"] == "firing"]


def test_normal_operation_is_quiet() -> None:
    """Nothing alerts while everything goes on as it was learnt."""
    reader = Reader().read(normal(0, 600)).tick()
    assert reader.alerts == []


def test_nothing_alerts_while_warming_up() -> None:
    """However wild the first part is: it is what normal means."""
    reader = Reader().read(make_api(second, 30.0 if second > 100 else 0.1) for second in scrapes(0, 195))
    assert reader.alerts == []


def test_memory_that_falls_alerts_for_the_host() -> None:
    """The alert names the host, the value, the edge and what was ever seen."""
    reader = Reader(WITH_TREES).read(normal()).read(story(200, 220, host=free(0.5)))
    [alert] = reader.alerts
    assert (alert["entity_id"], alert["rule"], alert["service"]) == ("host:c1", "resource_pressure", "host")
    assert alert["starts_at"] == START + 200 * SECOND
    assert "memory available on host c1 fell to 49.3 %" in alert["summary"]
    assert "never below 79 %" in alert["summary"]
    assert alert["evidence"][0]["raw_line"] == HOST
    assert alert["labels"]["shares"].startswith("memory_available=1.00")
    assert "half_space_trees=" in alert["labels"]["scores"]


def test_good_news_is_no_alert() -> None:
    """More memory, faster answers: the other direction."""
    better = story(200, 260, host=free(0.99), api=slow(0.001))
    assert Reader().read(normal()).read(better).alerts == []


def test_a_change_too_small_to_matter_is_no_alert() -> None:
    """Far outside everything seen, and yet nothing for a person: two points of memory, a tenth of a second."""
    small = story(200, 260, host=free(0.77), api=slow(0.2))
    assert Reader().read(normal()).read(small).alerts == []


def test_one_bad_scrape_is_no_alert() -> None:
    """Two of the last three must be outside."""
    lone = story(200, 300, api=lambda second: make_api(second, 5.0 if second in (215, 245) else 0.1))
    assert Reader().read(normal()).read(lone).alerts == []


def test_a_process_that_is_gone_alerts_at_once() -> None:
    """Critical, by name, with the first scrape that lacks it."""
    gone = make_compute(200, {"nova-compute-1": 1, "nova-compute-2": 1, "nova-compute-3": 0})
    [alert] = Reader().read(normal()).read([gone]).alerts
    assert (alert["rule"], alert["severity"], alert["service"]) == ("processes_lost", "critical", "nova-compute")
    assert alert["labels"]["members"] == "nova-compute-3"
    assert alert["summary"].startswith("nova-compute-3 on c1 is gone")


def test_a_group_that_is_no_longer_sent_counts_as_gone() -> None:
    """Its series vanish while the scrape goes on; one scrape later that is known."""
    without = story(200, 215, compute=lambda s: make_compute(s, {"nova-compute-1": 1, "nova-compute-2": 1}))
    [alert] = Reader().read(normal()).read(without).alerts
    assert (alert["rule"], alert["labels"]["members"]) == ("processes_lost", "nova-compute-3")


def test_several_signals_of_one_entity_are_one_alert() -> None:
    """Each with its share."""
    reader = Reader().read(normal()).read(story(200, 230, api=slow(5.0, errors=8.0)))
    [alert] = firing(reader)
    assert alert["labels"]["rules"] == "latency,errors"
    shares = dict(part.split("=") for part in alert["labels"]["shares"].split(";"))
    assert set(shares) == {"errors", "latency"}
    assert sum(map(float, shares.values())) == pytest.approx(1, abs=0.02)


def test_an_alert_is_resolved_once_it_has_been_inside_for_a_while() -> None:
    """By event time, and only when nothing is outside any more."""
    reader = Reader().read(normal()).read(story(200, 300, api=slow(5.0, until=240)))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]
    assert reader.alerts[-1]["ends_at"] == START + 235 * SECOND


def test_the_same_trouble_soon_after_alerts_only_when_worse() -> None:
    """Within the refractory time an equal value is old news; a worse one is not."""
    reader = Reader().read(normal()).read(story(200, 260, api=slow(5.0, until=230)))
    assert len(firing(reader.read(story(260, 290, api=slow(4.0))))) == 1
    assert len(firing(reader.read(story(290, 300, api=slow(50.0))))) == 2


def test_an_anomaly_does_not_become_the_norm() -> None:
    """After a long alert the same value alerts again."""
    reader = Reader().read(normal()).read(story(200, 700, api=slow(5.0, until=500)))
    reader.read(story(700, 720, api=slow(5.0)))
    assert len(firing(reader)) == 2


def test_a_level_that_lasts_is_accepted() -> None:
    """After relearn_seconds the alert ends, and the new level is what later values are held against."""
    reader = Reader().read(normal()).read(story(200, 1200, api=slow(5.0)))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]
    reader.read(story(1200, 1220, api=slow(50.0)))
    assert len(firing(reader)) == 2


def test_a_jump_inside_the_margin_widens_the_range_only_a_little() -> None:
    """What is nearly outside teaches slowly: a value that was inside does not make a worse one normal."""
    reader = Reader().read(normal()).read(story(200, 260, host=free(0.76)))
    assert reader.alerts == []
    assert len(firing(reader.read(story(260, 280, host=free(0.70))))) == 1


def test_an_entity_that_comes_late_warms_up_by_itself() -> None:
    """It is not judged by what its host has lived through."""
    late = story(400, 520, compute=lambda s: make_compute(s, {"nova-compute-9": 1 if s < 500 else 0}))
    assert Reader().read(story(0, 400, compute=None)).read(late).alerts == []


def test_a_signal_that_comes_late_warms_up_by_itself() -> None:
    """A process group that appears once its entity is warm: one more, then two, then a lasting loss."""
    grown = {"nova-compute-1": 1.0, "nova-compute-2": 1.0, "nova-compute-3": 1.0}

    def with_late(second: float) -> dict[str, Any]:
        return make_compute(second, {**grown, "nova-compute-4": 1 if second < 310 else 2 if second < 700 else 0})

    reader = Reader().read(normal()).read(story(200, 695, compute=with_late))
    assert reader.alerts == []
    assert [a["labels"]["members"] for a in reader.read(story(700, 705, compute=with_late)).alerts] == [
        "nova-compute-4"
    ]


def test_records_in_any_batches_give_the_same_alerts() -> None:
    """One at a time or all at once."""
    records = [*normal(), *story(200, 300, api=slow(5.0, until=240))]
    whole, single = Reader().read(records), Reader()
    for record in records:
        single.read([record])
    assert single.life == whole.life
    assert single.saved == whole.saved


def test_unknown_metrics_alert_only_when_told_to() -> None:
    """By default they are learnt and silent."""
    series = 'some_vendors_gauge{host="c1"}'
    records = [make_record(s, "host:c1", {series: 5.0 + s % 2 if s < 200 else 900.0}) for s in scrapes(0, 250)]
    assert Reader().read(records).alerts == []
    loud = Reader(SETTINGS.model_copy(update={"unknown_metrics": "alert"})).read(records)
    assert [rule for _, rule, _ in loud.life] == ["out_of_range"]
