"""demo-report.json from hand-made topic contents."""

from moselle.demo.figures import latest_alerts
from tests.unit.demo.stories import make_alert, make_label, make_seen, make_story

FIELDS = [
    "faults", "injected", "found", "named", "found_by_chance", "injected_visible_in_logs", "found_visible_in_logs",
    "alerts", "alerts_unmatched", "false_alarms_normal", "false_alarms_benign", "seconds_to_first_alert",
    "lines_published", "lines_parsed", "dead_letters", "peak_memory_mb", "forecasts", "placement", "features",
    "by_detector",
]  # fmt: skip
FAULT_FIELDS = [
    "kind", "service", "start", "end", "visible_in", "found", "named", "seconds_to_detect", "alert_id",
]  # fmt: skip


def test_the_report_has_exactly_its_fields() -> None:
    """Scripts rely on these names, no more and no fewer."""
    report = make_story([make_label(400, 440)], make_seen(make_alert(405))).report
    assert list(report) == FIELDS
    assert list(report["faults"][0]) == FAULT_FIELDS


def test_a_found_and_named_fault_is_told_with_its_delay() -> None:
    """The delay runs from the fault's start to the decision; times are RFC 3339."""
    fault = make_story([make_label(400, 440)], make_seen(make_alert(405))).report["faults"][0]
    assert (fault["start"], fault["end"]) == ("2026-11-21T06:06:40.000Z", "2026-11-21T06:07:20.000Z")
    assert (fault["found"], fault["named"], fault["seconds_to_detect"], fault["alert_id"]) == (True, True, 7.0, "a1")


def test_counts_come_from_the_topics() -> None:
    """Lines, dead letters, memory and the first alert are what was seen."""
    report = make_story([], make_seen(make_alert(405))).report
    assert (report["lines_published"], report["lines_parsed"], report["dead_letters"]) == (100, 90, 10)
    assert (report["seconds_to_first_alert"], report["peak_memory_mb"]) == (60.0, 512.3)


def test_alerts_outside_every_fault_are_told_apart() -> None:
    """One in the normal part, one in the harmless surge; neither finds the fault."""
    surge = make_label(600, 640, kind="surge", service="clients", alarm=False, visible_in=[])
    story = make_story([make_label(400, 440), surge], make_seen(make_alert(250), make_alert(610, "a2")))
    report = story.report
    assert (report["found"], report["alerts_unmatched"]) == (0, 2)
    assert (report["false_alarms_normal"], report["false_alarms_benign"]) == (1, 1)
    assert [period.kind for period in story.harmless] == ["surge"]
    assert len(story.unmatched) == 2


def test_an_alert_counts_once_however_often_it_was_updated() -> None:
    """Its last word before the resolution is shown, dated by its first."""
    updated = make_alert(405, status="updated", revision=1, detected_at=9, summary="worse")
    resolved = make_alert(405, status="resolved", revision=2, detected_at=10, summary="over")
    seen = make_seen(resolved, updated, make_alert(405))
    (alert,) = latest_alerts(seen)
    assert (alert["summary"], alert["detected_at"]) == ("worse", make_alert(405)["detected_at"])
    assert make_story([make_label(400, 440)], seen).report["alerts"] == 1


def test_without_any_alert_nothing_is_invented() -> None:
    """No alert, no time of a first one, no delay."""
    seen = make_seen()
    seen.first_alert_epoch = None
    report = make_story([make_label(400, 440)], seen).report
    assert report["seconds_to_first_alert"] is None
    assert report["faults"][0]["seconds_to_detect"] is None


def test_each_detector_is_told_apart() -> None:
    """An alert on which two families spoke counts for both, one of a single family for that."""
    both = make_alert(405, labels={"detectors": "log.rules,metric.anomaly"})
    alone = make_alert(800, "a2", detector="metric.anomaly")
    report = make_story([make_label(400, 440)], make_seen(both, alone)).report
    assert report["by_detector"] == {
        "log.rules": {"found": 1, "named": 1, "unmatched": 0},
        "metric.anomaly": {"found": 1, "named": 1, "unmatched": 1},
    }
