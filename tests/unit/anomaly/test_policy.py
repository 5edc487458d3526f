"""A stage with a budget: what it holds back and tells, which past alerts it names, which runbook it gives."""

from msgspec.structs import replace

from services.anomaly.model.past import MAX_PROGRAMS
from services.anomaly.model.policy import Policy
from services.common.alerts import Finding, Subject, fire
from services.common.state import PartitionState
from tests.unit.anomaly.streams import HOST, SECOND, SETTINGS, START, Reader, make_record, normal, slow, story

ONE = SETTINGS.model_copy(update={"alerts_per_day": 1.0})


def twice(reader: Reader) -> Reader:
    """The API is slow for a while, twice, ten minutes apart."""
    reader.read(normal()).read(story(200, 230, api=slow(3.0)))
    reader.read(story(230, 800)).read(story(800, 830, api=slow(3.0))).read(story(830, 900))
    return reader


def test_without_a_budget_nothing_is_held_back() -> None:
    """Both troubles alert, and the second names the first as like it."""
    first, second = [alert for alert in twice(Reader()).alerts if alert["status"] == "firing"]
    assert "similar" not in first["labels"]
    assert second["labels"]["similar"].startswith(f"{first['alert_id']}=")
    assert "held_back" not in second["labels"]


def test_a_budget_of_one_is_one_alert() -> None:
    """The second trouble of the day is held back, and an alert that could not fire is neither updated nor resolved."""
    reader = twice(Reader(ONE))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"]


def test_a_budget_lives_through_a_restart() -> None:
    """A new process holds back as the old one would."""
    reader = Reader(ONE).read(normal()).read(story(200, 230, api=slow(3.0))).read(story(230, 800))
    reader.restart()
    reader.read(story(800, 830, api=slow(3.0)))
    assert len(reader.alerts) == 2


def test_past_alerts_are_known_after_a_restart() -> None:
    """The second alert names the first."""
    reader = Reader().read(normal()).read(story(200, 230, api=slow(3.0))).read(story(230, 800))
    reader.restart()
    reader.read(story(800, 830, api=slow(3.0)))
    assert reader.alerts[0]["alert_id"] in reader.alerts[-1]["labels"]["similar"]


def test_a_rule_has_its_own_runbook() -> None:
    """That of its rule, else the one for all."""
    settings = SETTINGS.model_copy(update={"runbook_url": "https://all", "runbooks": {"latency": "https://latency"}})
    [alert] = Reader(settings).read(normal()).read(story(200, 220, api=slow(3.0))).alerts[:1]
    assert (alert["rule"], alert["runbook_url"]) == ("latency", "https://latency")
    [alert] = (
        Reader(settings.model_copy(update={"runbooks": {}}))
        .read(normal())
        .read(story(200, 220, api=slow(3.0)))
        .alerts[:1]
    )
    assert alert["runbook_url"] == "https://all"


def test_a_strange_name_in_an_alert_harms_nothing() -> None:
    """An unknown metric with semicolons and equals signs in its labels alerts, ends, and is remembered."""
    name = 'odd{a="1;b=2;",host="c1"}'
    settings = SETTINGS.model_copy(update={"unknown_metrics": "alert"})
    reader = Reader(settings)
    reader.read(make_record(5.0 * n, "host:c1", {name: 1.0 + n % 3, HOST: 4e9}) for n in range(60))
    for begin in (60, 200):
        reader.read(make_record(5.0 * n, "host:c1", {name: 90.0, HOST: 4e9}) for n in range(begin, begin + 10))
        reader.read(make_record(5.0 * n, "host:c1", {name: 2.0, HOST: 4e9}) for n in range(begin + 10, begin + 100))
    assert [status for _, _, status in reader.life] == ["firing", "resolved"] * 2
    assert reader.alerts[0]["starts_at"] >= START + 300 * SECOND


def test_what_is_remembered_is_bounded_in_the_state_too() -> None:
    """A program that is forgotten for another one leaves no key behind."""
    policy, state = Policy(None, {}, ""), PartitionState()
    for number in range(MAX_PROGRAMS + 3):
        finding = Finding("metric.anomaly", "latency", "anomaly", number, "warning", 0.6, 0.5, "s", "r")
        finding = replace(finding, labels={"shares": "latency=1.00"})
        policy.ended(fire(Subject("c", f"service:p{number}@c1", (), f"p{number}"), finding, number, 20.0))
        policy.save(state)
    assert len(dict(state.items())) == MAX_PROGRAMS
