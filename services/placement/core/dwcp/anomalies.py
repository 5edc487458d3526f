"""Whether something is wrong: /detect/anomaly, anomaly_detection/detect and /analyze/anomalies.

Of a node that is named: its alerts. Of metrics that came along: each against a line, score = x / (x + line), so that
0.5 lies on the line. Lines are NovaCron's own (scheduler_ai_fallback.go, DetectAnomalies) and, for processor and memory
use, how far it stands out of all nodes' present loads: the modified z-score 0.6745 (x - median) / MAD with its line at
3.5 (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993).
"""

import statistics
from collections.abc import Iterator

import numpy as np
from msgspec import Struct, field

from services.placement.core.dwcp.demand import NEVER, ModelInfo
from services.placement.core.dwcp.given import MAX_NAMES, amount, check_rows
from services.placement.core.dwcp.known import Known, moment
from services.placement.core.health import Alert

#: NovaCron's thresholds: shares of 1; milliseconds for latency_p99.
LINES = {
    "cpu_usage": 0.90, "memory_usage": 0.95, "disk_usage": 0.85, "network_usage": 0.80, "error_rate": 0.05,
    "latency_p99": 1000.0,
}  # fmt: skip
_OUTLIER_LINE = 3.5
#: Fewer nodes than this have no usual load, and no spread of loads counts as smaller than this.
_FEWEST_NODES, _LEAST_SPREAD = 8, 0.05
_ON_THE_LINE = 0.5
#: Of our severities, what NovaCron calls them.
_SEVERITIES = {"critical": "critical", "warning": "medium", "info": "low"}
_MOST_ALERTS = 100
#: A migration's own lines: QEMU copies in rounds; later rounds must send what was rewritten in the downtime allowed.
_DOWNTIME_SECONDS = 30.0
_EARLY_ROUNDS = 3


class Asked(Struct):
    """A question of scheduler.go, which names no node: its resource_id is always `node_metrics`."""

    resource_id: str = ""
    metrics: dict[str, float] | None = None
    sensitivity: float = 0.1


class Anomaly(Struct):
    """The answer; `confidence` is 0 when nothing of it could be judged."""

    resource_id: str = ""
    is_anomaly: bool = False
    anomaly_score: float = 0.0
    anomaly_type: str = ""
    affected_metrics: list[str] = field(default_factory=list)
    severity: str = "normal"
    recommendations: list[str] = field(default_factory=list)
    timestamp: str = NEVER
    confidence: float = 0.0
    reason: str = "nothing is known"


class _Finding(Struct):
    score: float
    name: str
    words: str


def detect(known: Known, asked: Asked) -> Anomaly:
    """The answer to the scheduler: the worst finding decides."""
    metrics = asked.metrics or {}
    check_rows("metrics", metrics, MAX_NAMES)
    row = known.row(asked.resource_id)
    judged = [*_of_metrics(known, metrics), *(_of_alerts(known, row) if row is not None else ())]
    wrong = sorted((one for one in judged if one.score >= _ON_THE_LINE), key=lambda one: -one.score)
    score = max((one.score for one in judged), default=0.0)
    could_judge = len({one.name for one in judged}) + (row is not None)
    return Anomaly(
        asked.resource_id,
        bool(wrong),
        score,
        wrong[0].name if wrong else "",
        [one.name for one in wrong],
        _severity(score),
        [one.words for one in wrong],
        known.timestamp,
        1.0 if could_judge else 0.0,
        "" if could_judge else "the resource is no node here and no metric has a line",
    )


def _of_metrics(known: Known, metrics: dict[str, float]) -> Iterator[_Finding]:
    for name, line in LINES.items():
        value = amount("metrics", metrics, name)
        if value is not None:
            yield _Finding(value / (value + line), name, f"{name} is {value:.4g}, and {line:g} is NovaCron's line")
    for resource in ("cpu", "memory"):
        value = amount("metrics", metrics, f"{resource}_usage")
        if value is not None:
            yield from _against_all(known, resource, value)


def _against_all(known: Known, resource: str, value: float) -> Iterator[_Finding]:
    loads = known.world.matrix.signal(f"{resource}_load")
    loads = loads[~np.isnan(loads)]
    if len(loads) < _FEWEST_NODES:
        return
    usual = float(np.median(loads))
    spread = max(float(np.median(np.abs(loads - usual))) / 0.6745, _LEAST_SPREAD)
    far = max(0.0, (value - usual) / spread)
    words = f"{resource}_usage is {value:.2f} while {len(loads)} nodes have {usual:.2f} in the middle"
    yield _Finding(far / (far + _OUTLIER_LINE), f"{resource}_usage", words)


def _of_alerts(known: Known, row: int) -> Iterator[_Finding]:
    if (lost := 1 - known.health(row)) > 0:
        words = "; ".join(alert.words for _, alert in known.alerts(row)[:3])
        yield _Finding(lost, "alerts", f"{known.world.matrix.ids[row]} has lost {lost:.0%} of its health: {words}")


def _severity(score: float) -> str:
    """NovaCron's words, by the steps of its Python engine."""
    steps = ((0.8, "critical"), (0.6, "high"), (0.4, "medium"), (0.2, "low"))
    return next((word for line, word in steps if score > line), "normal")


class DataPoint(Struct):
    """One measurement."""

    value: float = 0.0
    timestamp: str = ""


class ProcessAsked(Struct):
    """A question of integration_layer.go."""

    resource_id: str = ""
    metric_type: str = ""
    data_points: list[DataPoint] | None = None
    sensitivity: float = 0.1


class ProcessAlert(Struct):
    """One anomaly; `severity` is critical, high, medium or low."""

    timestamp: str
    anomaly_type: str
    severity: str
    score: float
    description: str
    affected_metrics: list[str] = field(default_factory=list)
    recommendations: list[str] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)


class ProcessAnomalies(Struct):
    """The answer: alerts on a node or on all of them; the baseline is of the data points that came along."""

    anomalies: list[ProcessAlert] = field(default_factory=list)
    overall_score: float = 0.0
    baseline: dict[str, float] = field(default_factory=dict)
    model_info: ModelInfo = field(default_factory=ModelInfo)
    confidence: float = 0.0
    reason: str = "nothing is known"


def process(known: Known, asked: ProcessAsked) -> ProcessAnomalies:
    """The answer through the envelope: at most a hundred alerts, worst first."""
    points = asked.data_points or []
    check_rows("data_points", points)
    row = known.row(asked.resource_id)
    if row is None and not known.is_cluster(asked.resource_id):
        why = f"no node of the inventory is called {asked.resource_id[:200]!r}"
        return ProcessAnomalies(baseline=_baseline(points), reason=why)
    world = known.world
    troubled = (known.row(node) for node in world.alerts.troubled)
    rows = [one for one in troubled if one is not None] if row is None else [row]
    found = [(impact, alert, world.matrix.ids[one]) for one in rows for impact, alert in known.alerts(one)]
    found.sort(key=lambda each: (-each[0], each[1].fingerprint, each[2]))
    return ProcessAnomalies(
        [_told(*each) for each in found[:_MOST_ALERTS]],
        min(1.0, found[0][0]) if found else 0.0,
        _baseline(points),
        ModelInfo(training_data="alerts.v1"),
        1.0,
        "",
    )


def _told(impact: float, alert: Alert, node: str) -> ProcessAlert:
    severity = _SEVERITIES.get(alert.severity, "medium")
    return ProcessAlert(
        moment(alert.heard_at),
        alert.rule,
        "high" if severity == "medium" and impact >= _ON_THE_LINE else severity,
        impact,
        f"{alert.words}{', over' if alert.is_over else ''}",
        [],
        [f"place nothing new on {node} until it is over"],
        {"node_id": node, "entity_id": alert.entity_id, "alert_id": alert.alert_id},
    )


def _baseline(points: list[DataPoint]) -> dict[str, float]:
    values = [point.value for point in points]
    if not values:
        return {}
    return {"mean": statistics.fmean(values), "min": min(values), "max": max(values), "num_points": float(len(values))}


class MigrationAsked(Struct):
    """A question of orchestrator.go about a migration that runs."""

    metrics: dict[str, object] | None = None


class MigrationAlert(Struct):
    """One anomaly; `severity` is critical, warning or info."""

    type: str
    severity: str
    message: str
    confidence: float
    recommendations: list[str] = field(default_factory=list)


class MigrationAnomalies(Struct):
    """The answer."""

    anomalies: list[MigrationAlert] = field(default_factory=list)


def migration(known: Known, asked: MigrationAsked) -> MigrationAnomalies:
    """What the migration's own counters show: it stands still, or it rewrites memory faster than it is sent.

    Confidence is 1 for what is counted and 0.75 for convergence, since the dirty rate itself is not told.
    """
    given = asked.metrics or {}
    rate, pages = amount("metrics", given, "transfer_rate"), amount("metrics", given, "dirty_pages")
    rounds, lasts = amount("metrics", given, "iterations"), amount("metrics", given, "duration")
    found = []
    if rate == 0 and lasts is not None and lasts > _DOWNTIME_SECONDS:
        words = f"nothing is transferred after {lasts:.0f} s"
        advice = ["look at the network between source and destination"]
        found.append(MigrationAlert("stalled", "critical", words, 1.0, advice))
    if rate and pages and rounds is not None and rounds > _EARLY_ROUNDS and pages * 4096 / rate > _DOWNTIME_SECONDS:
        seconds = pages * 4096 / rate
        words = f"after {rounds:.0f} rounds {pages:.0f} dirty pages are left, {seconds:.0f} s at the present rate"
        advice = ["allow more bandwidth", "consider post-copy"]
        found.append(MigrationAlert("convergence", "warning", words, 0.75, advice))
    return MigrationAnomalies(found)
