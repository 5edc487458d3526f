"""Which records are wanted."""

from datetime import UTC, datetime
from typing import Any

import pytest

from moselle.selecting import FIRST, KINDS, LAST, moment, select
from services.common.clock import to_micros
from services.common.errors import SettingsInvalid

NOW = datetime(2026, 11, 21, 6, tzinfo=UTC)
MICROS = to_micros(NOW)
EVENT = {
    "event_time": MICROS, "service_name": "placement", "severity_number": 13,
    "entity_id": "service:placement@controller-1", "parent_entity_ids": ["host:controller-1"],
}  # fmt: skip


def wanted(record: dict[str, Any] = EVENT, kind: str = "logs", **chosen: Any) -> bool:
    """Whether a record is selected by these options."""
    options = {"since": None, "until": None, "services": (), "severity": None, "entities": ()} | chosen
    return select(kind, now=NOW, **options).wants(record)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", -90), ("15m", -900), ("2h", -7200), ("1.5d", -129_600), ("2026-11-21T06:00:00Z", 0),
     ("2026-11-21", -21_600), ("2026-11-21T07:00:00+01:00", 0), ("2026-11-21 06:00:01.5", 1.5)],
)  # fmt: skip
def test_times_as_people_write_them(text: str, seconds: float) -> None:
    """RFC 3339, or so long ago; without a zone it is UTC."""
    assert moment(text, NOW, FIRST) == MICROS + seconds * 1_000_000


@pytest.mark.parametrize("text", ["", "soon", "5", "-5m", "5 m", "2026-13-01", "999999999d", "1e3s"])
def test_what_is_no_time(text: str) -> None:
    """It is told, with the forms that are."""
    with pytest.raises(SettingsInvalid, match="RFC 3339"):
        moment(text, NOW, LAST)


def test_everything_is_wanted_when_nothing_is_said() -> None:
    """Before the calendar and after it."""
    assert all(wanted({**EVENT, "event_time": time}) for time in (-1, 0, MICROS, 2**60))


def test_time_is_from_since_up_to_until() -> None:
    """With the first, without the last."""
    span = {"since": "2026-11-21T06:00:00Z", "until": "2026-11-21T06:00:01Z"}
    assert [wanted({**EVENT, "event_time": MICROS + at}, **span) for at in (-1, 0, 999_999, 1_000_000)] == [
        False, True, True, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("severity", "is_wanted"), [("INFO", True), ("warning", True), ("ERROR", False), ("14", False)]
)
def test_severity_is_a_least_one(severity: str, is_wanted: bool) -> None:
    """By name or by OpenTelemetry's number."""
    assert wanted(severity=severity) == is_wanted


def test_severity_of_alerts_has_names_of_its_own() -> None:
    """info, warning, critical."""
    alert = {**EVENT, "starts_at": MICROS, "severity": "warning", "service": "nova-api"}
    assert [wanted(alert, "alerts", severity=each) for each in ("info", "warning", "critical")] == [True, True, False]


@pytest.mark.parametrize(
    ("services", "is_wanted"), [(("placement-api",), True), (("nova-api", "placement"), True), (("nova",), False)]
)
def test_a_service_by_any_of_its_names(services: tuple[str, ...], is_wanted: bool) -> None:
    """One of several; whole names."""
    assert wanted(services=services) == is_wanted


def test_the_service_of_a_sample_is_its_entitys() -> None:
    """A host's samples are of none."""
    assert wanted(kind="samples", services=("placement",))
    assert not wanted({**EVENT, "entity_id": "host:a"}, "samples", services=("placement",))


@pytest.mark.parametrize(
    ("entity", "is_wanted"),
    [("service:placement@controller-1", True), ("host:controller-1", True), ("service:*@controller-?", True),
     ("host:controller", False), ("controller-1", False)],
)  # fmt: skip
def test_an_entity_or_what_it_belongs_to(entity: str, is_wanted: bool) -> None:
    """By id or glob."""
    assert wanted(entities=("host:other", entity)) == is_wanted


def test_a_placement_is_of_its_node() -> None:
    """It has no parents, and its time is that of the decision."""
    placement = {"decided_at": MICROS, "node": "node:n1"}
    assert wanted(placement, "placements", entities=("node:n*",), since="1h")


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [("placements", {"services": ("a",)}), ("samples", {"severity": "ERROR"}), ("logs", {"severity": "BAD"}),
     ("alerts", {"severity": "ERROR"}), ("logs", {"since": "1h", "until": "2h"})],
)  # fmt: skip
def test_what_cannot_be_selected_is_told(kind: str, chosen: dict[str, Any]) -> None:
    """Before anything is read."""
    with pytest.raises(SettingsInvalid):
        wanted(kind=kind, **chosen)


def test_every_kind_has_a_schema_with_its_fields() -> None:
    """What is asked of a record is in its contract."""
    from moselle.tables import arrow_schema, schema_of

    for kind in KINDS.values():
        names = arrow_schema(schema_of(kind.topic)).names
        assert {kind.time, kind.entity} <= set(names)
