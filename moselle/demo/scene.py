"""What is going on right now, as the terminal shows it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from moselle.demo.lag import Progress
from moselle.demo.story import Json
from moselle.demo.watch import Seen, clock_text, first_evidence
from services.common.matching import Fault

_GROUP_PREFIX = "moselle-"


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """One service: how many records a second it takes, how many it is behind; None while nothing is known."""

    name: str
    is_ready: bool
    per_second: float | None = None
    lag: int | None = None


@dataclass(frozen=True, slots=True)
class AlertLine:
    """An alert as it fired, with the line that caused it. `text` is its plain one-line form."""

    alert_id: str
    starts_at: str
    service: str
    rule: str
    severity: str
    summary: str
    raw_line: str

    @property
    def text(self) -> str:
        return f"{self.starts_at} {self.severity} {self.service} {self.rule}: {self.summary}"


@dataclass(frozen=True, slots=True)
class FaultRow:
    """A fault as it passes. `state`: ahead, now, found, missed."""

    kind: str
    service: str
    state: str
    seconds_to_detect: float | None = None


@dataclass
class Scene:
    """The state of the demonstration.

    Attributes:
        phase: what it does, in words.
        elapsed_seconds: since the command.
        share: how much of the stream has been parsed, 0 to 1.
        event_clock: the stream's own time, as text; empty before.
        published, parsed: lines.
        features, forecasts, placed: feature vectors, predictions and decisions so far.
    """

    phase: str = "starting"
    elapsed_seconds: float = 0.0
    share: float = 0.0
    event_clock: str = ""
    published: int = 0
    parsed: int = 0
    dead_letters: int = 0
    memory_mb: float = 0.0
    features: int = 0
    features_per_second: float = 0.0
    forecasts: int = 0
    placed: int = 0
    services: Sequence[ServiceRow] = ()
    alerts: Sequence[AlertLine] = ()
    faults: Sequence[FaultRow] = field(default_factory=tuple)


def alert_lines(seen: Seen) -> list[AlertLine]:
    """Every alert as it fired, in the order of arrival."""
    return [_alert_line(alert) for (_, status, _), alert in seen.alerts.items() if status == "firing"]


def _alert_line(alert: Json) -> AlertLine:
    return AlertLine(
        alert["alert_id"],
        clock_text(alert["starts_at"]),
        alert["service"],
        alert["rule"],
        alert["severity"],
        one_line(alert["summary"]),
        one_line(first_evidence(alert)),
    )


def one_line(text: str) -> str:
    """Text of a log, fit for a terminal: no control characters, which could steer it."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def fault_rows(faults: Iterable[Fault], seen: Seen) -> list[FaultRow]:
    """Each fault against what has been seen so far."""
    return [_fault_row(fault, seen) for fault in faults if fault.is_alarm]


def _fault_row(fault: Fault, seen: Seen) -> FaultRow:
    own = [alert for alert in seen.alerts.values() if fault.holds(alert["starts_at"])]
    if own:
        delay = (min(alert["detected_at"] for alert in own) - fault.start) / 1e6
        return FaultRow(fault.kind, fault.service, "found", delay)
    now = round(seen.event_epoch * 1e6)
    state = "ahead" if now < fault.start else "now" if fault.holds(now) else "missed"
    return FaultRow(fault.kind, fault.service, state)


def service_rows(
    services: Iterable[Json], progress: Iterable[Progress], before: Mapping[str, int], seconds: float
) -> list[ServiceRow]:
    """The services with their groups' progress.

    Args:
        services: as `moselle status --json` lists them.
        before: what each group had consumed `seconds` ago.
    """
    by_group = {entry.group: entry for entry in progress}
    rows = []
    for service in services:
        group = by_group.get(f"{_GROUP_PREFIX}{service['name']}")
        if group is None:
            rows.append(ServiceRow(service["name"], service["ready"]))
        else:
            gained = group.consumed - before.get(group.group, group.consumed)
            rows.append(ServiceRow(service["name"], service["ready"], gained / seconds if seconds else None, group.lag))
    return rows
