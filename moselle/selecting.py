"""What `moselle extract` can take, and which records of it are wanted. Nothing here reads anything."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from services.common.alerts import SEVERITIES
from services.common.clock import to_micros
from services.common.entities import canonical_program, split_service
from services.common.errors import SettingsInvalid
from services.common.topics import ALERTS, FEATURES, LOGS_PARSED, METRICS_SAMPLES, PLACEMENTS, PREDICTIONS
from services.ingest.core.severity import NUMBERS

Json = Mapping[str, Any]
_RELATIVE = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
#: Before and after everything.
FIRST, LAST = -(2**62), 2**62


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of record.

    Attributes:
        topic: where Kafka has it; its schema is the kind's.
        table: where the database has it; empty for nowhere.
        time: the field that --since and --until mean.
        entity: the field that --entity means.
        service: how a record names its service; None where none does.
        severity: how bad a record is, as a number; None where none says.
    """

    name: str
    topic: str
    table: str
    time: str = "event_time"
    entity: str = "entity_id"
    service: Callable[[Json], str] | None = None
    severity: Callable[[Json], int] | None = None


def _service_of_entity(record: Json) -> str:
    found = split_service(record["entity_id"])
    return found[0] if found else ""


KINDS = {
    kind.name: kind
    for kind in (
        Kind(
            "logs", LOGS_PARSED.name, "", service=lambda record: str(record["service_name"]),
            severity=lambda record: int(record["severity_number"]),
        ),
        Kind("samples", METRICS_SAMPLES.name, "scrapes", service=_service_of_entity),
        Kind("features", FEATURES.name, "features", service=_service_of_entity),
        Kind(
            "alerts", ALERTS.name, "alerts", "starts_at", service=lambda record: str(record["service"]),
            severity=lambda record: SEVERITIES.index(record["severity"]) if record["severity"] in SEVERITIES else -1,
        ),
        Kind("predictions", PREDICTIONS.name, "predictions", service=_service_of_entity),
        Kind("placements", PLACEMENTS.name, "placements", "decided_at", "node"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records of a kind are wanted: all that is said must hold; of several services or entities, one.

    Attributes:
        since, until: microseconds; since <= time < until.
        services: programs, by any of their names.
        least_severity: as the kind's `severity` says it.
        entities: ids or globs of the entity itself or of one that it belongs to.
    """

    kind: Kind
    since: int = FIRST
    until: int = LAST
    services: frozenset[str] = frozenset()
    least_severity: int | None = None
    entities: tuple[str, ...] = ()

    def wants(self, record: Json) -> bool:
        """Whether a record is selected."""
        kind = self.kind
        if not self.since <= record[kind.time] < self.until:
            return False
        if self.services and (kind.service is None or canonical_program(kind.service(record)) not in self.services):
            return False
        if self.least_severity is not None and (kind.severity is None or kind.severity(record) < self.least_severity):
            return False
        return not self.entities or self._is_of_them(record)

    def _is_of_them(self, record: Json) -> bool:
        names = (record[self.kind.entity], *record.get("parent_entity_ids", ()))
        return any(fnmatchcase(name, entity) for name in names for entity in self.entities)


def select(
    kind: str, since: str | None, until: str | None, services: Sequence[str], severity: str | None,
    entities: Sequence[str], now: datetime,
) -> Selection:  # fmt: skip
    """A selection as a person types it.

    Raises:
        SettingsInvalid: a time or severity is none, or this kind of record has none.
    """
    chosen = KINDS[kind]
    if services and chosen.service is None:
        raise SettingsInvalid(f"{kind} name no service: leave --service out, or choose with --entity")
    bounds = moment(since, now, FIRST), moment(until, now, LAST)
    if bounds[0] >= bounds[1]:
        raise SettingsInvalid(f"--since {since} is not before --until {until}: nothing lies between them")
    least = None if severity is None else least_severity(chosen, severity)
    programs = frozenset(map(canonical_program, services))
    return Selection(chosen, *bounds, programs, least, tuple(entities))


def moment(text: str | None, now: datetime, default: int) -> int:
    """RFC 3339, or so long before now (`90s`, `15m`, `2h`, `7d`), as microseconds. A time without a zone is UTC.

    Raises:
        SettingsInvalid: it is neither.
    """
    if text is None:
        return default
    found = _RELATIVE.fullmatch(text)
    try:
        if found:
            return to_micros(now - timedelta(**{_UNITS[found[2]]: float(found[1])}))
        parsed = datetime.fromisoformat(text)
        return to_micros(parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise SettingsInvalid(
            f"{text!r} is no time: wanted RFC 3339 such as 2026-11-21T06:00:00Z, or 90s, 15m, 2h, 7d for so long ago"
        ) from None


def least_severity(kind: Kind, text: str) -> int:
    """The number behind a name such as WARNING for logs, or warning for alerts.

    Raises:
        SettingsInvalid: there is no such severity, or the kind has none.
    """
    if kind.severity is None:
        raise SettingsInvalid(f"{kind.name} have no severity: leave --severity out")
    if kind.name == "alerts":
        if text.lower() not in SEVERITIES:
            raise SettingsInvalid(f"--severity {text!r}: alerts have one of {', '.join(SEVERITIES)}")
        return SEVERITIES.index(text.lower())
    number = int(text) if text.isascii() and text.isdigit() else NUMBERS.get(text.upper(), 0)
    if not 1 <= number <= 24:
        raise SettingsInvalid(f"--severity {text!r}: logs have TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL or 1 to 24")
    return number
