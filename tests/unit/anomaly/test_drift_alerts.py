"""The alert of kind drift: once, with since when and from what to what, until it is learnt."""

from services.anomaly.model.drift_alerts import Drifted, DriftState, drifted, relearnt
from services.common.alerts import Subject
from services.common.codec import Codec

HOUR = 3_600_000_000
NOW = 1_795_241_380_000_000
SUBJECT = Subject("c", "host:c1", (), "host")


def make_drift(signal: str = "memory_available", **fields: object) -> Drifted:
    """Memory that halved five hours ago."""
    known = Drifted(signal, "memory available", "ratio", False, NOW - 5 * HOUR, 0.5, 0.25, 7.0)
    return known._replace(**fields)  # type: ignore[arg-type]


def test_it_says_since_when_and_from_what_to_what() -> None:
    """One `firing` record of kind drift and severity info, which alerts.v1 takes."""
    [record] = drifted(DriftState(), SUBJECT, [make_drift()], NOW, NOW)
    assert (record["status"], record["kind"], record["severity"], record["rule"]) == (
        "firing",
        "drift",
        "info",
        "drift",
    )
    assert record["starts_at"] == NOW - 5 * HOUR
    assert "lies at 25 % since 2026-11-21 01:09 UTC, 50 % before" in record["summary"]
    assert 0.5 < record["score"] < 1
    assert Codec().encode("alerts.v1", record)


def test_a_second_signal_joins_the_same_alert() -> None:
    """An update that names both, not another alert."""
    state = DriftState()
    [first] = drifted(state, SUBJECT, [make_drift()], NOW, NOW)
    [second] = drifted(state, SUBJECT, [make_drift("cpu_busy", words="processors at work", unit="")], NOW + 9, NOW)
    assert (second["status"], second["alert_id"], second["revision"]) == ("updated", first["alert_id"], 1)
    assert second["labels"]["signals"] == "memory_available,cpu_busy"


def test_it_is_resolved_once_when_all_are_learnt_anew() -> None:
    """The first of two signals that is learnt ends nothing."""
    state = DriftState()
    drifted(state, SUBJECT, [make_drift(), make_drift("cpu_busy")], NOW, NOW)
    assert relearnt(state, ["cpu_busy"], NOW + 1, NOW) == []
    [record] = relearnt(state, ["memory_available"], NOW + 2, NOW)
    assert (record["status"], record["revision"]) == ("resolved", 1)
    assert relearnt(state, ["memory_available"], NOW + 3, NOW) == []


def test_what_drifts_on_does_not_go_on_speaking() -> None:
    """Updates end after five; nothing drifting says nothing."""
    state = DriftState()
    said = [drifted(state, SUBJECT, [make_drift(after=0.2)], NOW + at, NOW) for at in range(20)]
    assert sum(len(records) for records in said) == 6
    assert drifted(state, SUBJECT, [], NOW, NOW) == []


def test_a_new_drift_is_a_new_alert() -> None:
    """After the first was resolved, also when it is said to have begun before."""
    state = DriftState()
    [first] = drifted(state, SUBJECT, [make_drift()], NOW, NOW)
    relearnt(state, ["memory_available"], NOW + 1, NOW)
    [second] = drifted(state, SUBJECT, [make_drift()], NOW + 2, NOW)
    assert second["status"] == "firing"
    assert second["alert_id"] != first["alert_id"]
