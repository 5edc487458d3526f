"""Alerts against labelled faults, by hand-made cases. Times in seconds, times a million."""

from typing import Any

import pytest

from services.common.matching import Fault, match_alerts, names

S = 1_000_000
#: Normal until 1000, fitting until 720; a fault 1000-1040, a benign period 1100-1140, a host fault 1200-1240.
FAULTS = [
    Fault("api_down", "nova-api", 1000 * S, 1040 * S, True, ("logs",)),
    Fault("surge", "clients", 1100 * S, 1140 * S, False),
    Fault("disk", "host", 1200 * S, 1240 * S, True, ("metrics",)),
]


def alert(starts_at: float, service: str = "x", entity: str = "service:x@c1", **more: Any) -> dict[str, Any]:
    """One record of an alert."""
    base = {"alert_id": f"{entity}{starts_at}", "revision": 0, "starts_at": int(starts_at * S)}
    return {**base, "detected_at": int((starts_at + 1) * S), "service": service, "entity_id": entity, **more}


def match(*records: dict[str, Any]) -> dict[str, Any]:
    """The figures for the faults above."""
    return match_alerts(records, FAULTS, fit_end=720 * S, stream_end=1300 * S)


@pytest.mark.parametrize(("second", "is_found"), [(999.9, False), (1000, True), (1070, True), (1070.1, False)])
def test_found_from_start_to_thirty_seconds_after_the_end(second: float, is_found: bool) -> None:
    """Only an alert that starts within the window finds its fault."""
    assert match(alert(second))["faults"][0]["found"] is is_found


def test_named_by_service_or_by_own_entity() -> None:
    """The culprit may be the alert's service field or the program of its entity, ordinals ignored."""
    assert match(alert(1001, "nova-api"))["named"] == 1
    assert match(alert(1001, "rabbitmq", "service:nova-api@c1"))["named"] == 1
    assert match(alert(1001, "rabbitmq"))["named"] == 0
    assert names(alert(0, "nova-compute-3"), "nova-compute")


def test_a_host_fault_is_named_by_host() -> None:
    """Either the service `host` or an alert of a host entity."""
    assert match(alert(1201, "host"))["named"] == 1
    assert match(alert(1201, "?", "host:c1"))["named"] == 1
    assert match(alert(1201, "nova-api"))["named"] == 0


def test_seconds_to_detect_run_to_the_first_detection() -> None:
    """From the fault's start to the earliest `detected_at`, of firing records, not of updates."""
    first = alert(1002, detected_at=1005 * S)
    update = {**first, "revision": 1, "detected_at": 1030 * S}
    assert match(update, first)["faults"][0]["seconds_to_detect"] == 5.0


def test_repeated_records_count_once() -> None:
    """Doing a record twice changes nothing."""
    record = alert(1001)
    assert match(record, record, {**record, "revision": 1})["alerts"] == 1


def test_what_only_informs_finds_nothing_and_is_no_false_alarm() -> None:
    """A drift within a fault's window does not find it, and one in the normal part is not held against anybody."""
    figures = match(alert(1001, "nova-api", severity="info"), alert(800, severity="info"))
    assert (figures["alerts"], figures["found"], figures["alerts_unmatched"]) == (0, 0, 0)


def test_false_alarms_by_where_they_start() -> None:
    """After fitting and in gaps: normal; in a period without alarm: benign; both match no fault."""
    figures = match(alert(800), alert(1090), alert(1120), alert(1001))
    assert (figures["alerts_unmatched"], figures["false_alarms_normal"], figures["false_alarms_benign"]) == (3, 2, 1)


def test_visible_in_logs_is_counted_apart() -> None:
    """Only faults whose labels say logs."""
    figures = match(alert(1001), alert(1201))
    assert (figures["injected"], figures["found"]) == (2, 2)
    assert (figures["injected_visible_in_logs"], figures["found_visible_in_logs"]) == (1, 1)


def test_nothing_by_chance_without_false_alarms() -> None:
    """The rate outside the windows is zero, so chance finds nothing."""
    assert match(alert(1001))["found_by_chance"] == 0.0


def test_many_false_alarms_would_find_everything() -> None:
    """At one alert a second outside, chance alone finds both faults."""
    assert match(*(alert(second) for second in range(720, 1000)))["found_by_chance"] > 1.9


def test_found_by_chance_is_the_poisson_sum() -> None:
    """One alert in 400 quiet seconds, two windows of 70 s: 2 x (1 - exp(-70/400))."""
    assert match(alert(800))["found_by_chance"] == pytest.approx(0.321, abs=0.001)


def test_labels_are_read_and_shifted() -> None:
    """A line of labels.jsonl becomes a fault; a shifted replay shifts it."""
    label = {
        "kind": "k",
        "service": "s",
        "start": "1970-01-01T00:00:10Z",
        "end": "1970-01-01T00:00:20Z",
        "alarm": False,
    }
    assert Fault.from_label(label, shift_micros=S) == Fault("k", "s", 11 * S, 21 * S, False)
