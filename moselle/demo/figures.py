"""From what the topics held to demo-report.json and the story around it. Pure: no topic, no clock, no file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from moselle.demo.story import FaultStory, Json, Period, Results, Story
from moselle.demo.watch import Seen
from services.common.clock import from_micros
from services.common.matching import Fault, is_alarm, match_alerts, match_by_detector

FAULT_FIELDS = (
    "kind", "service", "start", "end", "visible_in", "found", "named", "seconds_to_detect", "alert_id",
)  # fmt: skip
MATCHED_FIELDS = (
    "injected", "found", "named", "found_by_chance", "injected_visible_in_logs", "found_visible_in_logs", "alerts",
    "alerts_unmatched", "false_alarms_normal", "false_alarms_benign",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Times:
    """The stream's event times, seconds since 1970 UTC."""

    start: float
    fit_until: float
    normal_end: float
    end: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What is not read off alerts and labels.

    Attributes:
        lines_published: records of the raw log topics.
        started_epoch: when the command was given, seconds since 1970.
        peak_memory_mb: the most that all processes held together, MiB.
    """

    lines_published: int
    started_epoch: float
    peak_memory_mb: float


def tell(
    labels: Sequence[Json], seen: Seen, times: Times, measured: Measured, results: Results, setup: Mapping[str, str]
) -> Story:
    """The whole story of one demonstration."""
    faults = [Fault.from_label(label) for label in labels]
    matched = match_alerts(seen.alerts.values(), faults, _micros(times.fit_until), _micros(times.end))
    alerts = latest_alerts(seen)
    notes = {
        (label["kind"], fault.start): str(label.get("note", "")) for label, fault in zip(labels, faults, strict=True)
    }
    return Story(
        report=report(matched, seen, measured, results, match_by_detector(seen.alerts.values(), faults)),
        faults=tuple(_fault_story(row, alerts, notes) for row in matched["faults"]),
        harmless=tuple(
            Period(fault.kind, fault.start / 1e6, fault.end / 1e6) for fault in faults if not fault.is_alarm
        ),
        normal=Period("normal", times.start, times.normal_end),
        fit_until=times.fit_until,
        alerts=tuple(alerts),
        unmatched=tuple(alert for alert in alerts if is_alarm(alert) and not _is_matched(alert, faults)),
        rates=dict(seen.rates),
        error_rates=dict(seen.error_rates),
        results=results,
        setup=setup,
    )


def report(matched: Json, seen: Seen, measured: Measured, results: Results, by_detector: Json) -> Json:
    """demo-report.json, field by field; `matched` and `by_detector` are the matcher's answers."""
    return {
        "faults": [_fault_row(row) for row in matched["faults"]],
        **{name: matched[name] for name in MATCHED_FIELDS},
        "seconds_to_first_alert": _seconds_to_first_alert(seen, measured),
        "lines_published": measured.lines_published,
        "lines_parsed": seen.lines_parsed,
        "dead_letters": sum(seen.dead_letters.values()),
        "peak_memory_mb": round(measured.peak_memory_mb, 1),
        "forecasts": dict(results.forecasts),
        "placement": dict(results.placement),
        "features": dict(results.features),
        "by_detector": by_detector,
    }


def latest_alerts(seen: Seen) -> list[Json]:
    """Each alert once, by the time it was decided: its last word before the resolution, dated by its first."""
    found: dict[str, Json] = {}
    for alert in sorted(seen.alerts.values(), key=lambda alert: int(alert["revision"])):
        first = found.get(alert["alert_id"])
        if first is None:
            found[alert["alert_id"]] = alert
        elif alert["status"] != "resolved":
            found[alert["alert_id"]] = {**alert, "detected_at": first["detected_at"]}
    return sorted(found.values(), key=lambda alert: (alert["detected_at"], alert["alert_id"]))


def _fault_row(row: Json) -> Json:
    chosen = {name: row[name] for name in FAULT_FIELDS}
    for name in ("start", "end"):
        chosen[name] = f"{from_micros(row[name]):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    return chosen


def _fault_story(row: Json, alerts: Sequence[Json], notes: Mapping[tuple[str, int], str]) -> FaultStory:
    fault = Fault(row["kind"], row["service"], row["start"], row["end"])
    return FaultStory(
        kind=fault.kind,
        service=fault.service,
        note=notes[fault.kind, fault.start],
        start=fault.start / 1e6,
        end=fault.end / 1e6,
        visible_in=tuple(row["visible_in"]),
        alerts=tuple(alert for alert in alerts if fault.holds(alert["starts_at"])),
        named=row["named"],
        seconds_to_detect=row["seconds_to_detect"],
    )


def _is_matched(alert: Json, faults: Sequence[Fault]) -> bool:
    return any(fault.is_alarm and fault.holds(alert["starts_at"]) for fault in faults)


def _seconds_to_first_alert(seen: Seen, measured: Measured) -> float | None:
    if seen.first_alert_epoch is None:
        return None
    return round(seen.first_alert_epoch - measured.started_epoch, 1)


def _micros(seconds: float) -> int:
    return round(seconds * 1_000_000)


def table_rows(story: Story) -> list[tuple[str, ...]]:
    """The closing table of the terminal, as text: fault, service, visible in, found, named, seconds, alerts."""
    return [
        (
            fault.kind.replace("_", " "),
            fault.service,
            ", ".join(fault.visible_in),
            "yes" if fault.found else "no",
            "yes" if fault.named else "no",
            "" if fault.seconds_to_detect is None else f"{fault.seconds_to_detect:.1f}",
            str(len(fault.alerts)),
        )
        for fault in story.faults
    ]
