"""Limits that a forecast will reach."""

import math
from datetime import timedelta

import pytest

from services.predictor.settings import PredictorSettings
from tests.unit.predictor.streams import SECOND, START, Replica, make_step, steady

MINUTE = 60 * SECOND
#: A leak of one percent of the memory a minute, from a third to all of it after 65 minutes.
LEAK = [make_step(n, {"memory_used_ratio": min(0.35 + n / 600, 0.999)}) for n in range(420)]
AFTER = range(420, 540)


def test_leak_is_told_before_the_limit_is_reached() -> None:
    """One alert, well before the memory is at nine tenths, with when and how likely."""
    alerts = Replica().take(LEAK).alerts
    first = alerts[0]
    assert [a["status"] for a in alerts].count("firing") == 1
    assert (first["detector"], first["rule"], first["kind"]) == ("forecast", "memory_used_ratio_limit", "forecast")
    reached_at = START + 330 * 10 * SECOND
    assert 4 * MINUTE <= reached_at - first["detected_at"] <= 15 * MINUTE
    assert "will reach 0.9 in about" in first["summary"]
    assert "90 % interval" in first["reason"]
    assert first["service"] == "host"
    assert first["evidence"][0]["value"] == pytest.approx(0.79, abs=0.06)


def test_alert_becomes_critical_when_it_is_near() -> None:
    """Five minutes before the limit the severity rises, once."""
    alerts = Replica().take(LEAK).alerts
    assert [(a["status"], a["severity"]) for a in alerts] == [("firing", "warning"), ("updated", "critical")]


def test_alert_lasts_while_the_value_is_high_and_ends_when_it_fell() -> None:
    """Above the limit the alert stays open; five quiet minutes after the memory was freed it is resolved."""
    replica = Replica().take([*LEAK, *steady(AFTER, 0.4)])
    last = replica.alerts[-1]
    assert last["status"] == "resolved"
    assert last["detected_at"] >= START + 420 * 10 * SECOND + 5 * MINUTE
    assert replica.alerts[0]["alert_id"] == last["alert_id"]


@pytest.mark.parametrize("value", [0.5, 0.89, 0.95])
def test_steady_value_never_alerts(value: float) -> None:
    """Below the limit nothing rises; what is above it already needs no forecast."""
    assert Replica().take(steady(range(420), value)).alerts == []


def test_flutter_around_the_limit_never_alerts() -> None:
    """A value that jumps to and fro across the limit is no forecast's matter."""
    features = [make_step(n, {"memory_used_ratio": 0.88 + 0.04 * math.sin(n / 2)}) for n in range(420)]
    assert Replica(artifact="").take(features).alerts == []


def test_burst_alone_never_alerts() -> None:
    """A minute of a busy disk, once, is over before anybody could act."""
    features = [make_step(n, {"disk_busy_ratio": 0.97 if 300 <= n < 306 else 0.1}) for n in range(420)]
    assert Replica(artifact="").take(features).alerts == []


def test_target_without_a_limit_never_alerts() -> None:
    """Limits are a setting: without one for the memory nothing is watched."""
    assert Replica(PredictorSettings(limits={})).take(LEAK).alerts == []


def test_open_alert_survives_a_restart() -> None:
    """It does not fire twice, and it is resolved by the one that was restarted."""
    replica = Replica().take(LEAK)
    replica.restart()
    replica.take(steady(AFTER, 0.4))
    assert [a["status"] for a in replica.alerts] == ["firing", "updated", "resolved"]


def test_silent_entity_is_resolved_by_the_wall_clock() -> None:
    """When nothing comes any more for five minutes the alert ends as source_silent, once."""
    replica = Replica().take(LEAK)
    replica.clock.advance(timedelta(minutes=4).total_seconds())
    replica.tick()
    assert replica.alerts[-1]["status"] == "updated"
    replica.clock.advance(timedelta(minutes=2).total_seconds())
    replica.tick()
    replica.tick()
    assert [a["status"] for a in replica.alerts][2:] == ["resolved"]
    assert replica.alerts[-1]["reason"].startswith("source_silent:")
