"""How alerts, features and forecasts reach nodes, fade, and change decisions."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.placement.core.decision import Decision
from services.placement.core.factors import weighing
from tests.unit.placement.worlds import (
    SECOND,
    START,
    Cloud,
    contributions,
    make_alert,
    make_features,
    make_node,
    make_prediction,
    make_workload,
)

CONTROLLER = "host:controller-1"
GROUP = "service:nova-compute@controller-1"


def compute(number: int, **changes: Any) -> dict[str, Any]:
    """A compute host as a recorded folder gives it."""
    name = f"compute-{number}"
    return make_node(name, parent_entity_ids=[CONTROLLER], aliases=[f"nova-{name}"], **changes)


def health(cloud: Cloud) -> dict[str, float]:
    matrix = cloud.engine._world.matrix
    return {node: round(float(value), 3) for node, value in zip(matrix.ids, matrix.signal("health"), strict=True)}


def weight(factor: str) -> float:
    """Of a factor in the profile that is taken when none is named."""
    found = weighing("balanced")
    return float(found.weights[[one.name for one in found.factors].index(factor)])


def text_of(decision: Decision, factor: str) -> str:
    assert decision.chosen is not None
    return next(reason.text for reason in decision.chosen.reasons if reason.factor == factor)


def test_an_alert_is_avoided_and_named_first() -> None:
    """The first reason names the node that was avoided, the rule and the alert."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    cloud.say(make_alert("host:n1"))
    decision = cloud.place()
    assert decision.node == "host:n2"
    assert decision.chosen is not None
    assert decision.chosen.reasons[0].factor == "health"
    assert "host:n1: critical error_burst on host:n1 (alert a1)" in decision.chosen.reasons[0].text


def test_members_narrow_an_alert_to_the_nodes_that_they_name() -> None:
    """The alert is of the program on the controller; its member is the alias of one node."""
    cloud = Cloud(compute(1), compute(2), compute(3))
    cloud.say(make_alert(GROUP, parent_entity_ids=[CONTROLLER], labels={"members": "nova-compute-3"}))
    assert health(cloud) == {"host:compute-1": 1, "host:compute-2": 1, "host:compute-3": 0}


@pytest.mark.parametrize("entity_id", [CONTROLLER, GROUP])
def test_a_shared_trouble_counts_half_for_each(entity_id: str) -> None:
    """Of the host that the nodes are on, or of the program that they all run, without members that name one."""
    cloud = Cloud(compute(1), compute(2), make_node("n9"))
    cloud.say(make_alert(entity_id, labels={"members": "something-else"}))
    assert health(cloud) == {"host:compute-1": 0.5, "host:compute-2": 0.5, "host:n9": 1}


def test_a_neighbours_trouble_is_nobodys() -> None:
    """Another service on the shared host says nothing of the nodes."""
    cloud = Cloud(compute(1))
    cloud.say(make_alert("service:keystone@controller-1", parent_entity_ids=[CONTROLLER]))
    assert health(cloud) == {"host:compute-1": 1}


def test_a_service_on_a_node_is_the_nodes_trouble() -> None:
    """Its parent is the node itself."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    cloud.say(make_alert("service:nova-compute@n1", parent_entity_ids=["host:n1"], severity="warning", score=0.5))
    assert health(cloud) == {"host:n1": 0.55, "host:n2": 1}


def test_an_alert_fades_once_it_is_over() -> None:
    """Half after each half-life of 300 s, and in the end it is forgotten."""
    cloud = Cloud(make_node())
    cloud.say(make_alert())
    cloud.turn(1000)
    assert health(cloud) == {"host:n1": 0}
    cloud.say(make_alert(status="resolved", revision=1))
    cloud.turn(300)
    assert health(cloud) == {"host:n1": 0.5}
    cloud.turn(3000)
    assert health(cloud) == {"host:n1": 1}
    assert cloud.engine._world.alerts.troubled == set()


def test_a_firing_alert_without_news_fades_after_an_hour() -> None:
    """A detector that is gone shuts no node out for good."""
    cloud = Cloud(make_node())
    cloud.say(make_alert())
    cloud.turn(3600 + 300)
    assert health(cloud) == {"host:n1": pytest.approx(0.5, abs=0.01)}


def test_an_older_revision_changes_nothing() -> None:
    """A repeated firing record after the resolution is known already."""
    cloud = Cloud(make_node())
    cloud.say(make_alert(status="resolved", revision=1), make_alert())
    cloud.turn(300)
    assert health(cloud)["host:n1"] == pytest.approx(0.5, abs=0.01)


def test_an_alert_before_its_node_finds_it_later() -> None:
    """The inventory came after the alert."""
    cloud = Cloud()
    cloud.say(make_alert("host:n1"))
    cloud.put_node(make_node("n1"))
    cloud.turn()
    assert health(cloud) == {"host:n1": 0}


def test_load_and_forecast_decide_between_equal_nodes() -> None:
    """The idle one is chosen, and the reason says who forecasts what."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    cloud.say(
        make_features("host:n1", cpu_used_ratio=0.9, memory_used_ratio=0.2),
        make_features("host:n2", cpu_used_ratio=0.1, memory_used_ratio=0.2),
        make_prediction("host:n1", values=[0.5, 0.95]),
        make_prediction("host:n2", values=[0.1, 0.2]),
    )
    decision = cloud.place()
    assert decision.node == "host:n2"
    assert text_of(decision, "cpu_forecast").startswith("20% of the processors busy")
    assert "in 15 min (lstm, confidence 0.80)" in text_of(decision, "cpu_forecast")


def test_the_host_speaks_for_nodes_that_nobody_measures() -> None:
    """A node without samples of its own has those of the machine that it is on, and the reason says so."""
    cloud = Cloud(compute(1))
    cloud.say(make_features(CONTROLLER, cpu_used_ratio=0.25), make_prediction(CONTROLLER))
    assert f"said of {CONTROLLER}" in text_of(cloud.place("r1"), "cpu_load")
    cloud.say(make_features("host:compute-1", second=10, cpu_used_ratio=0.75))
    assert "said of" not in text_of(cloud.place("r2"), "cpu_load")


def test_nan_and_old_words_are_unknown_and_unknown_is_neutral() -> None:
    """NaN says nothing; a feature that nobody renewed falls silent; an unknown factor counts half its weight."""
    cloud = Cloud(make_node())
    cloud.say(make_features(cpu_used_ratio=math.nan, memory_used_ratio=0.0))
    assert contributions(cloud.place("r1"))["cpu_load"] == 0.5 * weight("cpu_load")
    assert contributions(cloud.place("r2"))["memory_load"] == weight("memory_load")
    cloud.turn(121)
    assert contributions(cloud.place("r3"))["memory_load"] == 0.5 * weight("memory_load")


def test_staleness_is_the_age_of_the_oldest_word_that_counted() -> None:
    """By event time: a word about a minute ago that came just now is a minute old."""
    cloud = Cloud(make_node())
    cloud.say(make_features(second=-60, cpu_used_ratio=0.5))
    assert cloud.place("r1").staleness_seconds == pytest.approx(60, abs=0.1)
    assert Cloud(make_node()).place("r1").staleness_seconds == 0


def test_a_burst_is_spread_over_equal_nodes() -> None:
    """What was just placed counts before any metric shows it."""
    cloud = Cloud(*(make_node(f"n{number}", cpu=64, memory=2**38) for number in range(4)))
    counts = {f"host:n{number}": 0 for number in range(4)}
    for number in range(20):
        counts[cloud.place(f"r{number}").node] += 1
    assert set(counts.values()) == {5}


def test_other_peoples_clusters_are_left_alone() -> None:
    """Records of another cluster change nothing."""
    cloud = Cloud(make_node())
    cloud.say(make_alert(cluster="elsewhere"))
    cloud.put_node(make_node("n2", cluster="elsewhere"))
    cloud.turn()
    assert health(cloud) == {"host:n1": 1}


@given(score=st.floats(), severity=st.sampled_from(["info", "warning", "critical", "?"]), age=st.integers(-1000, 10**9))
def test_health_is_a_share_whatever_an_alert_says(score: float, severity: str, age: int) -> None:
    """Odd scores, severities and clocks stay within 0..1."""
    from services.placement.core.health import Alert, Decay, impact

    alert = Alert.from_record(make_alert(score=score, severity=severity, status="resolved"), START)
    assert 0 <= impact(alert, Decay(), START + age * SECOND) <= 1


def test_power_and_price_decide_where_a_profile_asks_for_them() -> None:
    """Facts of the inventory: watts for PROFILE_POWER, price for PROFILE_COST."""
    cheap = make_node("n1", capacity={"cost_per_hour": 0.1, "idle_watts": 100.0, "peak_watts": 500.0})
    green = make_node("n2", capacity={"cost_per_hour": 0.9, "idle_watts": 50.0, "peak_watts": 100.0})
    cloud = Cloud(cheap, green)
    assert cloud.place("r1", is_shadow=True, profile=5).node == "host:n2"
    assert cloud.place("r2", is_shadow=True, profile=6).node == "host:n1"


def test_consolidation_fills_a_node_before_it_opens_another() -> None:
    """The second workload joins the first."""
    cloud = Cloud(make_node("n1"), make_node("n2"))
    first = cloud.place("r1", make_workload(cpu=4, memory=2**33), profile=4)
    cloud.engine.confirm("r1", first.node, 0)
    assert cloud.place("r2", profile=4).node == first.node
