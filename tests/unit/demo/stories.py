"""Hand-made topic contents for the demonstration's tests: small alerts, labels and the story they make."""

from datetime import UTC, datetime
from typing import Any

from moselle.demo import forecasts, placing
from moselle.demo.figures import Measured, Times, tell
from moselle.demo.story import Results, Story
from moselle.demo.watch import Seen

#: Event time zero of these tests: 2026-11-21 06:00:00 UTC, seconds since 1970.
BEGIN = 1795240800


def make_alert(seconds: float, alert_id: str = "a1", **changed: Any) -> dict[str, Any]:
    """A record of alerts.v1 that starts `seconds` after BEGIN and was decided two seconds later."""
    starts_at = round((BEGIN + seconds) * 1e6)
    line = f"{seconds} ERROR nova.compute boom"
    evidence = {"event_time": starts_at, "entity_id": "service:nova-compute@c1", "raw_line": line, "value": None}
    alert: dict[str, Any] = {
        "alert_id": alert_id,
        "revision": 0,
        "status": "firing",
        "starts_at": starts_at,
        "detected_at": starts_at + 2_000_000,
        "entity_id": "service:nova-compute@c1",
        "service": "nova-compute",
        "detector": "log.rules",
        "rule": "error_burst",
        "severity": "critical",
        "score": 0.97,
        "summary": "nova-compute logs more errors than ever",
        "reason": "3 ERROR events in ten seconds, never more than 0 before",
        "evidence": [evidence],
    }
    return alert | changed


def make_label(start: float, end: float, **changed: Any) -> dict[str, Any]:
    """A label as labels.jsonl has it, its times in seconds after BEGIN."""
    label: dict[str, Any] = {
        "kind": "spawn_failure",
        "service": "nova-compute",
        "alarm": True,
        "start": _text(start),
        "end": _text(end),
        "start_epoch": BEGIN + start,
        "end_epoch": BEGIN + end,
        "note": "the driver raises",
        "visible_in": ["logs"],
    }
    return label | changed


def make_seen(*alerts: dict[str, Any]) -> Seen:
    """What a watch has counted: these alerts, 90 of 100 lines in 80 events."""
    seen = Seen(lines_parsed=90, events=80, event_epoch=BEGIN + 1000, rates={BEGIN: 40, BEGIN + 10: 40})  # type: ignore[arg-type]
    seen.dead_letters["logs.raw.dlq"] = 10
    seen.first_alert_epoch = 1060.04
    for alert in alerts:
        seen.alerts[alert["alert_id"], alert["status"], alert["revision"]] = alert
    return seen


def make_story(labels: list[dict[str, Any]], seen: Seen, results: Results | None = None) -> Story:
    """The story of a stream of 1,000 seconds whose first 200 were learnt from and whose first 300 were normal."""
    times = Times(BEGIN, BEGIN + 200, BEGIN + 300, BEGIN + 1000)
    return tell(labels, seen, times, Measured(100, 1000.0, 512.34), results or make_results(), {"machine": "2 cores"})


def make_results(**changed: Any) -> Results:
    """Nothing forecast, nothing placed, no row, unless told otherwise."""
    nothing = {
        "forecasts": forecasts.figures({}, []),
        "placement": placing.figures([], 0),
        "features": {"rows": 0, "parity_mismatches": 0, "per_second": 0.0},
    }
    return Results(**(nothing | changed))


def _text(seconds: float) -> str:
    return datetime.fromtimestamp(BEGIN + seconds, UTC).isoformat().replace("+00:00", "Z")
