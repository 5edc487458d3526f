"""Signals that are unusual together: the whole stage, one partition."""

import math
from typing import Any

import numpy as np
import pytest

from services.anomaly.model.together import Course
from services.common.errors import ArtifactMismatch
from tests.unit.anomaly.streams import LATENCY, SECOND, SETTINGS, START, Reader, make_api, make_record, scrapes, slow

ADVISE = SETTINGS.model_copy(update={"unknown_metrics": "alert", "warmup_seconds": 6000.0, "advisers": ()})
ALERT = ADVISE.model_copy(update={"whole": "alert"})
OFF = ADVISE.model_copy(update={"whole": "off"})
NOISE = np.random.default_rng(1).normal(0, 0.02, (4000, 12))
ENTITY = "service:queue@c1"
#: What people did not describe and range novelty finds usual: all stay within -1.2 to 1.2.
BROKEN = (6500.0, 6600.0)


def make_queue(second: float, is_broken: bool = False, num: int = 5, force: float = 1.0) -> dict[str, Any]:
    """Metrics that all follow one wave; broken, the last one turns against it."""
    wave = math.sin(second / 70)
    noise = NOISE[int(second / 5) % len(NOISE)]
    values = {f"m{number}": (1 + number) * (wave + noise[number]) for number in range(num)}
    if is_broken:
        values[f"m{num - 1}"] *= -force
    return make_record(second, ENTITY, values)


def queue(
    begin: float, end: float, *broken: tuple[float, float], num: int = 5, force: float = 1.0
) -> list[dict[str, Any]]:
    return [make_queue(s, any(first <= s < last for first, last in broken), num, force) for s in scrapes(begin, end)]


def test_a_relation_that_breaks_alerts_though_every_value_is_usual() -> None:
    """With the shares, the values against what is usual, since when, and what to do."""
    reader = Reader(ALERT).read(queue(0, 7000, BROKEN))
    assert reader.life[0] == (ENTITY, "unusual_together", "firing")
    assert reader.life[-1] == (ENTITY, "unusual_together", "resolved")
    alert = reader.alerts[0]
    assert START + 6500 * SECOND <= alert["starts_at"] < START + 6600 * SECOND
    assert alert["labels"]["shares"].startswith("m4=")
    assert "unusual_together=" in alert["labels"]["scores"]
    assert "m4" in alert["summary"]
    assert "usually" in alert["reason"]
    assert alert["evidence"][0]["raw_line"] == "m4"
    assert 0.5 < alert["score"] < 1


@pytest.mark.parametrize("settings", [ADVISE, OFF])
def test_otherwise_it_decides_nothing(settings: Any) -> None:
    """Its score is only shown in alerts that others raise."""
    assert Reader(settings).read(queue(0, 7000, BROKEN)).alerts == []
    loud = [make_queue(s, True, force=50.0) for s in scrapes(6000, 6040)]
    alert = Reader(settings).read([*queue(0, 6000), *loud]).alerts[0]
    assert alert["rule"] == "out_of_range"
    assert ("unusual_together=" in alert["labels"]["scores"]) == (settings is ADVISE)


def make_slow_queue(second: float, latency: float = 0.1) -> dict[str, Any]:
    """The same with a metric that people described; slow, it is broken too."""
    record = make_queue(second, is_broken=latency > 0.1, force=5.0)
    return {**record, "series": [*record["series"], LATENCY], "values": [*record["values"], latency]}


def test_it_joins_the_alert_that_is_open() -> None:
    """One alert, of both rules, under the name of the first."""
    steady = [make_slow_queue(s) for s in scrapes(0, 6500)]
    reader = Reader(ALERT).read([*steady, *(make_slow_queue(s, 3.0) for s in scrapes(6500, 6700))]).tick(1000)
    assert len({alert["alert_id"] for alert in reader.alerts}) == 1
    assert set(reader.alerts[-1]["labels"]["rules"].split(",")) == {"latency", "unusual_together"}


def test_what_nobody_described_alerts_only_together() -> None:
    """Where that is heard, being out of its own range is no alert beside it."""
    loud = [make_queue(s, True, force=50.0) for s in scrapes(6000, 6100)]
    reader = Reader(ALERT).read([*queue(0, 6000), *loud]).tick(1000)
    assert {rule for _, rule, _ in reader.life} == {"unusual_together"}


def test_a_line_farther_out_alerts_less() -> None:
    """The line is drawn by how rarely people want to hear of it."""
    slight = queue(0, 7000, (6500.0, 6600.0), force=-0.7)
    often = Reader(ALERT.model_copy(update={"whole_quiet_days": 0.1})).read(slight)
    assert often.life
    assert Reader(ALERT.model_copy(update={"whole_quiet_days": 1e6})).read(slight).alerts == []


def test_the_same_again_within_a_day_is_no_news() -> None:
    """A lesser one neither; the next day it is."""
    again = (7500.0, 7560.0)
    reader = Reader(ALERT).read(queue(0, 8500, BROKEN, again))
    assert [status for _, _, status in reader.life].count("firing") == 1


def test_a_line_needs_a_thousand_scores() -> None:
    """One that one in a thousand exceeds cannot be drawn from fewer: until then nothing is said."""
    settings = ALERT.model_copy(update={"warmup_seconds": 2000.0})
    assert Reader(settings).read(queue(0, 3000, (2500.0, 2600.0))).alerts == []


def test_a_quiet_day_later_it_is_news_again() -> None:
    """What was a day ago bars nothing."""
    course = Course()
    for time in range(5):
        course.follow(0.9, time * SECOND, True, 5)
        course.running = 0.9
    for time in range(5, 12):
        course.follow(0.1, time * SECOND, False, 5)
    course.score = 0.8
    assert not course.is_worse(3600 * SECOND, is_open=False)
    assert course.is_worse(90_000 * SECOND, is_open=False)


def test_good_news_is_no_alert() -> None:
    """An API that answers at once: of its two signals none lies on its bad side."""
    fast = [make_api(s, 0.03) for s in scrapes(200, 400)]
    assert Reader(SETTINGS.model_copy(update={"whole": "alert"})).read([*queue_api(0, 200), *fast]).alerts == []


def queue_api(begin: float, end: float) -> list[dict[str, Any]]:
    return [make_api(s) for s in scrapes(begin, end)]


def test_few_signals_are_judged_each_by_itself() -> None:
    """Nobody has to be outside in two of three scrapes: a range that was left is news once."""
    reader = Reader(SETTINGS.model_copy(update={"whole": "alert"}))
    reader.read([*queue_api(0, 200), *[slow(0.5, until=205)(s) for s in scrapes(200, 300)]])
    assert reader.life == [
        ("service:nova-api@c1", "unusual_together", "firing"),
        ("service:nova-api@c1", "unusual_together", "resolved"),
    ]


def test_when_signals_come_all_is_learnt_anew() -> None:
    """Nothing is said while they warm up; after that their relation to the others is known too."""
    later = (12500.0, 12600.0)
    reader = Reader(ALERT).read([*queue(0, 6000), *queue(6000, 12500, num=10)])
    assert reader.alerts == []
    reader.restart()
    reader.read(queue(12500, 12600, later, num=10))
    assert [rule for _, rule, _ in reader.life] == ["unusual_together"]
    assert reader.alerts[0]["labels"]["shares"].startswith("m9=")


def test_restarts_and_batches_change_nothing() -> None:
    """Rows, names and how the score went are state."""
    records = queue(0, 6800, BROKEN)
    steady, cut = Reader(ALERT).read(records), Reader(ALERT)
    for begin in range(0, len(records), 187):
        cut.read(records[begin : begin + 187])
        cut.restart()
    assert cut.life == steady.life
    assert cut.saved == steady.saved


@pytest.mark.parametrize("part", ["names", "course", "rows"])
def test_broken_state_stops_what_may_alert_and_restarts_what_advises(part: str) -> None:
    """It must not alert with half of what it knew."""
    for settings in (ALERT, ADVISE):
        reader = Reader(settings).read(queue(0, 100))
        key = f"together.{part}|{ENTITY}"
        saved = dict(reader.state.items())
        reader.state.put(key, b"\xc1", saved[key].version)
        if settings is ALERT:
            with pytest.raises(ArtifactMismatch, match="learn anew"):
                reader.restart()
        else:
            reader.restart()
            assert reader.read(queue(100, 200)).alerts == []


def test_switched_off_it_leaves_no_state() -> None:
    """Nor does it hold any row."""
    reader = Reader(ALERT).read(queue(0, 100))
    reader._settings = OFF
    reader.restart()
    reader.read(queue(100, 105))
    assert not any(key.startswith("together.") for key in reader.saved)


def test_a_scrape_in_two_records_is_judged_once() -> None:
    """As soon as as many signals came as the time before."""
    course = Course()
    assert course.is_complete(1, 10, 3)
    assert not course.is_complete(1, 10, 2)
    assert not course.is_complete(1, 20, 3)
    assert course.is_complete(1, 20, 2)
    assert not course.is_complete(1, 30, 4)
    assert course.is_complete(1, 40, 4)
    assert not course.is_complete(1, 30, 1)
    assert course.is_complete(2, 40, 1)
