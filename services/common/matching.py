"""The one function that matches alerts against labelled faults, for demonstrations and every evaluation.

Found: an alert starts (event time) between the fault's start and 30 s after its end. Named: one of those names the
fault's service, or `host` for a fault of the host. `seconds_to_detect` runs from the fault's start to the alert's
`detected_at`, the source's watermark at the decision.

An alert of severity info (a drift, the budget's summary) tells and wakes nobody: it finds no fault and is no false
alarm.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from services.common.clock import to_micros
from services.common.entities import program_name, split_service

SECOND = 1_000_000
#: Effects of a fault may trail: retries, time-outs.
TRAIL_MICROS = 30 * SECOND


class Fault(NamedTuple):
    """One labelled period; times in microseconds UTC. `is_alarm` is false where a detector must stay quiet."""

    kind: str
    service: str
    start: int
    end: int
    is_alarm: bool = True
    visible_in: tuple[str, ...] = ()

    @classmethod
    def from_label(cls, label: Mapping[str, Any], shift_micros: int = 0) -> "Fault":
        """A line of labels.jsonl; `shift_micros` is added to its times when the replay was shifted."""
        start, end = (to_micros(datetime.fromisoformat(label[name])) + shift_micros for name in ("start", "end"))
        visible = tuple(label.get("visible_in", ()))
        return cls(label["kind"], label["service"], start, end, bool(label.get("alarm", True)), visible)

    def holds(self, moment: int) -> bool:
        """Whether an alert that starts then is this fault's."""
        return self.start <= moment <= self.end + TRAIL_MICROS


def match_alerts(
    records: Iterable[Mapping[str, Any]], faults: Sequence[Fault], fit_end: int, stream_end: int
) -> dict[str, Any]:
    """The figures of demo-report.json that come from alerts and labels.

    Args:
        records: records of alerts.v1 in any order, repeated ones too; times in microseconds.
        faults: all labelled periods, those without alarm too.
        fit_end: where fitting ends, microseconds; the normal part goes on until the first fault starts.
        stream_end: event time of the stream's end.

    Returns:
        faults (one object per alarm fault), injected, found, named, found_by_chance, injected_visible_in_logs,
        found_visible_in_logs, alerts, alerts_unmatched, false_alarms_normal, false_alarms_benign.
    """
    alerts = _one_per_alert(records)
    alarms = sorted((fault for fault in faults if fault.is_alarm), key=lambda fault: fault.start)
    benign = [fault for fault in faults if not fault.is_alarm]
    unmatched = [alert for alert in alerts if not any(fault.holds(alert["starts_at"]) for fault in alarms)]
    in_benign = [
        alert for alert in unmatched if any(fault.start <= alert["starts_at"] <= fault.end for fault in benign)
    ]
    in_normal = [alert for alert in unmatched if alert not in in_benign and alert["starts_at"] >= fit_end]
    rows = [_fault_row(fault, alerts) for fault in alarms]
    visible = [row for row in rows if "logs" in row["visible_in"]]
    return {
        "faults": rows,
        "injected": len(rows),
        "found": _count(rows, "found"),
        "named": _count(rows, "named"),
        "found_by_chance": found_by_chance(alerts, faults, fit_end, stream_end),
        "injected_visible_in_logs": len(visible),
        "found_visible_in_logs": _count(visible, "found"),
        "alerts": len(alerts),
        "alerts_unmatched": len(unmatched),
        "false_alarms_normal": len(in_normal),
        "false_alarms_benign": len(in_benign),
    }


def match_by_detector(records: Iterable[Mapping[str, Any]], faults: Sequence[Fault]) -> dict[str, dict[str, int]]:
    """What each detector family did: the alarm faults that it found and named, and its alerts that match none.

    An alert on which several families spoke counts for each of them.
    """
    alerts = _one_per_alert(records)
    alarms = [fault for fault in faults if fault.is_alarm]
    names = sorted({name for alert in alerts for name in detectors_of(alert)})
    return {name: _detector_row([a for a in alerts if name in detectors_of(a)], alarms) for name in names}


def detectors_of(alert: Mapping[str, Any]) -> list[str]:
    """The families that spoke on an alert: those that its labels list, else the one that raised it."""
    listed = str(alert.get("labels", {}).get("detectors", ""))
    return [name for name in listed.split(",") if name] or [str(alert["detector"])]


def _detector_row(alerts: Sequence[Mapping[str, Any]], alarms: Sequence[Fault]) -> dict[str, int]:
    rows = [_fault_row(fault, alerts) for fault in alarms]
    unmatched = [alert for alert in alerts if not any(fault.holds(alert["starts_at"]) for fault in alarms)]
    return {"found": _count(rows, "found"), "named": _count(rows, "named"), "unmatched": len(unmatched)}


def is_alarm(alert: Mapping[str, Any]) -> bool:
    """Whether an alert wants somebody's attention; those of severity info only tell."""
    return alert.get("severity") != "info"


def _one_per_alert(records: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each alarm once: its last revision for the names, the firing record for the time of detection."""
    latest: dict[str, dict[str, Any]] = {}
    for record in sorted(records, key=lambda record: int(record["revision"])):
        held = latest.get(record["alert_id"])
        first = min(record["detected_at"], held["detected_at"]) if held else record["detected_at"]
        latest[record["alert_id"]] = {**record, "detected_at": first}
    return sorted(filter(is_alarm, latest.values()), key=lambda alert: (alert["starts_at"], alert["alert_id"]))


def _fault_row(fault: Fault, alerts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    own = [alert for alert in alerts if fault.holds(alert["starts_at"])]
    naming = [alert for alert in own if names(alert, fault.service)]
    first = min(own, key=lambda alert: int(alert["detected_at"]), default=None)
    return {
        "kind": fault.kind,
        "service": fault.service,
        "start": fault.start,
        "end": fault.end,
        "visible_in": list(fault.visible_in),
        "found": bool(own),
        "named": bool(naming),
        "seconds_to_detect": (first["detected_at"] - fault.start) / SECOND if first else None,
        "alert_id": (naming or [first])[0]["alert_id"] if first else None,
        "num_alerts": len(own),
    }


def names(alert: Mapping[str, Any], service: str) -> bool:
    """Whether the alert names the service: by its `service` field, or as the program of its own entity."""
    if service == "host":
        return bool(alert["service"] == "host" or alert["entity_id"].startswith("host:"))
    wanted = program_name(service)
    own = split_service(alert["entity_id"])
    return program_name(alert["service"] or "?") == wanted or (own is not None and program_name(own[0]) == wanted)


def found_by_chance(
    alerts: Sequence[Mapping[str, Any]], faults: Sequence[Fault], fit_end: int, stream_end: int
) -> float:
    """How many faults alerts at the normal part's rate would find: the sum of 1 - exp(-rate x window).

    The rate is that of the alerts which start after fitting and outside every labelled period with its trail.
    """
    windows = sorted((fault.start, fault.end + (TRAIL_MICROS if fault.is_alarm else 0)) for fault in faults)
    quiet = max(0, stream_end - fit_end) - _covered(windows, fit_end, stream_end)
    outside = [
        alert for alert in alerts
        if fit_end <= alert["starts_at"] <= stream_end and not any(a <= alert["starts_at"] <= b for a, b in windows)
    ]  # fmt: skip
    rate = len(outside) / quiet if quiet > 0 else 0.0
    alarms = (fault for fault in faults if fault.is_alarm)
    return round(sum(1 - math.exp(-rate * (fault.end + TRAIL_MICROS - fault.start)) for fault in alarms), 3)


def _covered(windows: Sequence[tuple[int, int]], begin: int, end: int) -> int:
    """How much of begin..end the windows (sorted by start) cover, overlaps once."""
    covered, reached = 0, begin
    for start, stop in windows:
        low, high = max(start, reached), min(stop, end)
        covered += max(0, high - low)
        reached = max(reached, high)
    return covered


def _count(rows: Sequence[Mapping[str, Any]], name: str) -> int:
    return sum(1 for row in rows if row[name])
