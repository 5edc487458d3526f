"""Alerts about a partition itself: no room for entities, troubles that nobody was told of."""

import pytest

from services.common.errors import ArtifactMismatch
from tests.unit.anomaly.streams import PARTITION, SETTINGS, Reader, make_record, normal, slow, story

PLACE = "partition:metrics.samples.v1[0]"
FEW = SETTINGS.model_copy(update={"max_entities": 4})
ONE = SETTINGS.model_copy(update={"alerts_per_day": 1.0})


def crowd(begin: float, num: int, prefix: str = "p") -> list[dict[str, object]]:
    """So many entities, one a second, each once."""
    return [make_record(begin + n, f"pod:x/{prefix}{n}", {"unknown": 1.0}) for n in range(num)]


def test_entities_forgotten_for_room_are_one_alert_until_it_is_over() -> None:
    """However many go; an hour with room for all ends it."""
    reader = Reader(FEW).read(crowd(0, 20))
    assert reader.life == [(PLACE, "no_room", "firing")]
    assert reader.alerts[0]["labels"]["limit"] == "4"
    reader.restart()
    reader.read([make_record(20.0 + 100 * n, "pod:x/p19", {"unknown": 1.0}) for n in range(40)])
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]
    later = reader.read(crowd(5000, 9, "q")).alerts[-1]
    assert (later["status"], later["fingerprint"]) == ("firing", reader.alerts[0]["fingerprint"])
    assert later["alert_id"] != reader.alerts[0]["alert_id"]


def test_with_room_for_all_nothing_is_said() -> None:
    """Up to the limit itself."""
    assert Reader(FEW).read(crowd(0, 4)).alerts == []


def test_what_was_held_back_is_told_after_a_day_without_an_alert() -> None:
    """As information, once, although nothing fires; it lasts a day."""
    reader = Reader(ONE).read(normal()).read(story(200, 230, api=slow(3.0)))
    reader.read(story(230, 800)).read(story(800, 830, api=slow(3.0))).read(story(830, 900))
    reader.read([record for day in (86_000, 90_000, 180_000) for record in story(day, day + 30)])
    said = [alert for alert in reader.alerts if alert["rule"] == "held_back"]
    assert [(alert["severity"], alert["status"]) for alert in said] == [("info", "firing"), ("info", "resolved")]
    assert said[0]["labels"]["held_back"] == "1"
    assert "service:nova-api@c1" in said[0]["labels"]["held_back_worst"]


def test_when_nothing_comes_any_more_they_end() -> None:
    """Nobody knows whether it is over."""
    reader = Reader(FEW).read(crowd(0, 9)).tick(1000, [PARTITION])
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]


@pytest.mark.parametrize(("version", "payload"), [(1, b"\xc1"), (2, b"")])
def test_notices_of_something_else_stop_the_service_with_a_sentence(version: int, payload: bytes) -> None:
    """As all state of it."""
    reader = Reader(FEW).read(crowd(0, 9))
    reader.state.put("policy|notices", payload, version)
    with pytest.raises(ArtifactMismatch, match="otices"):
        reader.restart()
