"""What goes in and what comes out, record by record."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.predictor.model.forecasters import SHIPPED
from services.predictor.settings import PredictorSettings
from tests.unit.predictor.streams import SECOND, START, Replica, make_step, steady, wavy


def test_predicts_each_minute_all_horizons_in_one_record() -> None:
    """Ten minutes of steps give a record a minute and target, once a minute's worth of steps is known."""
    made = Replica().take(steady(range(61))).predictions
    assert [(p["event_time"] - START) // (60 * SECOND) for p in made] == list(range(1, 11))
    assert made[0]["target"] == "memory_used_ratio"
    assert made[0]["horizons_seconds"] == list(range(60, 901, 60))
    assert {len(made[0]["values"]), len(made[0]["quantiles"])} == {15}
    assert made[0]["valid_until"] == made[0]["event_time"] + 120 * SECOND


def test_constant_series_goes_on_as_it_is() -> None:
    """What never moved is said not to move, by whoever speaks."""
    last = Replica(artifact=str(SHIPPED)).take(steady(range(400), 0.37)).predictions[-1]
    assert last["values"] == pytest.approx([0.37] * 15)
    assert last["confidence"] > 0.9


def test_interval_holds_the_value_in_order_and_within_bounds() -> None:
    """Lower end, value and upper end ascend; a ratio stays in 0..1; nothing is below zero."""
    for made in Replica(artifact=str(SHIPPED)).take(wavy(range(200))).predictions:
        assert 0.0 <= made["confidence"] <= 1.0
        for value, (low, middle, high) in zip(made["values"], made["quantiles"], strict=True):
            assert 0.0 <= low <= middle == value <= high
            assert made["target"] != "error_ratio" or high <= 1.0


def test_speaker_is_named_with_reason_and_version() -> None:
    """At first persistence speaks and says that nothing was measured; later the figures of all are told."""
    made = [p for p in Replica(artifact=str(SHIPPED)).take(wavy(range(400))).predictions if p["target"] == "cpu_cores"]
    assert made[0]["spoken_by"] == "persistence"
    assert "nothing has been measured" in made[0]["reasons"][0]
    assert made[-1]["spoken_by"] == "lstm"
    assert "persistence" in made[-1]["reasons"][0]
    assert made[-1]["model_version"] != made[0]["model_version"]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1.0, 1e300])
def test_bad_values_count_as_missing(bad: float) -> None:
    """NaN, infinite, negative and absurd values are gaps: filled for a minute, then nothing is said."""
    features = [*steady(range(60)), *steady(range(60, 100), bad)]
    made = Replica().take(features).predictions
    assert max(p["event_time"] for p in made) <= START + 66 * 10 * SECOND
    assert all(math.isfinite(v) for p in made for row in p["quantiles"] for v in row)


wild = st.floats(0, 1e29) | st.sampled_from([0.0, math.nan, math.inf, -1.0, 1e-320, 1e300])


@given(values=st.lists(st.tuples(wild, wild), min_size=20, max_size=80), skips=st.sets(st.integers(0, 79)))
@settings(max_examples=25, deadline=None)
def test_whatever_comes_what_goes_out_is_finite(values: list[tuple[float, float]], skips: set[int]) -> None:
    """Wild values and gaps never stop it, and every number that it says is finite, in order and within bounds."""
    kept = [(n, *pair) for n, pair in enumerate(values) if n not in skips]
    features = [make_step(n, {"latency_seconds": one, "error_ratio": two}) for n, one, two in kept]
    for made in Replica(artifact=str(SHIPPED)).take(features).predictions:
        assert all(0 <= low <= value <= high < math.inf for low, value, high in made["quantiles"])
        assert 0 <= made["confidence"] <= 1


def test_short_gap_widens_the_interval() -> None:
    """Missing steps are taken as unchanged, say so, and make the interval wider."""
    features = steady(range(61))
    whole = Replica().take(features).predictions[-1]
    holed = Replica().take([*features[:57], *features[59:]]).predictions[-1]
    assert _width(holed) > _width(whole)
    assert any("missing" in reason for reason in holed["reasons"])


def _width(made: dict[str, Any]) -> float:
    return float(made["quantiles"][0][2] - made["quantiles"][0][0])


def test_long_gap_begins_the_lookback_anew() -> None:
    """After two minutes without a step the past is not looked at, and a minute must pass before the next forecast."""
    features = [*steady(range(60), 0.2), *steady(range(72, 100), 0.8)]
    after = [p for p in Replica().take(features).predictions if p["event_time"] >= START + 72 * 10 * SECOND]
    assert after[0]["event_time"] == START + 78 * 10 * SECOND
    assert after[0]["values"] == [0.8] * 15


def test_other_feature_sets_are_left_alone() -> None:
    """Log features are not the predictor's, and no dead letters."""
    replica = Replica().take([make_step(n, {"cpu_cores": 1.0}, feature_set="logs.host") for n in range(30)])
    assert (replica.predictions, replica.dead) == ([], [])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feature_set_version": 2}, "feature_set_version"),
        ({"step_seconds": 30}, "step_seconds"),
        ({"values": [1.0]}, "not_a_feature_vector"),
        ({"names": None}, "not_a_feature_vector"),
        ({"event_time": None}, "not_a_feature_vector"),
        ({"values": ["a", "b"]}, "not_a_feature_vector"),
    ],
)
def test_unreadable_vectors_are_dead_letters(changes: dict[str, Any], reason: str) -> None:
    """Another version or step, fields of another form: each is refused by name, and the next one is read."""
    bad = {**make_step(30, {"cpu_cores": 1.0, "error_ratio": 0.0}), **changes}
    replica = Replica().take([*steady(range(30)), bad, *steady(range(31, 61))])
    assert replica.dead == [reason]
    assert len(replica.predictions) == 10


def test_repeated_and_late_steps_change_nothing() -> None:
    """Faust is at least once: what was seen already, or is older than the last step, is dropped."""
    features = wavy(range(130))
    again = [*features[:70], *features[40:70], *features[60:], *features[100:]]
    assert Replica().take(again).predictions == Replica().take(features).predictions


def test_one_wild_clock_is_not_believed_and_three_are() -> None:
    """A step a day ahead is ignored; when three follow each other there, the entity's time goes on from them."""
    day = 8640
    lone = [*steady(range(30)), *steady([day]), *steady(range(30, 61))]
    assert len(Replica().take(lone).predictions) == 10
    leap = Replica().take([*steady(range(30)), *steady(range(day, day + 40))]).predictions
    assert leap[-1]["event_time"] >= START + (day + 30) * 10 * SECOND


def test_clock_that_is_set_back_is_believed_after_a_while() -> None:
    """Thirty steps far in the past that follow each other are the entity's new time."""
    back = Replica().take([*steady(range(9000, 9030)), *steady(range(100))]).predictions
    assert back[-1]["event_time"] == START + 96 * 10 * SECOND


def test_quietest_entities_are_forgotten_when_there_are_too_many() -> None:
    """Memory and state stay bounded; those that still speak are kept."""
    replica = Replica(PredictorSettings(max_entities=20))
    for number in range(60):
        replica.take(steady(range(number, number + 8), entity_id=f"host:h{number}"))
    assert 10 <= len([key for key, _ in replica.state.items() if key.startswith("steps|")]) <= 20
    assert replica.state.get("steps|host:h59") is not None


def test_state_of_an_entity_is_small() -> None:
    """Nine targets of an entity cost less than 64 KiB a minute, and a step less than 4 KiB."""
    replica = Replica(artifact=str(SHIPPED))
    targets = PredictorSettings().targets
    replica.take([make_step(n, dict.fromkeys(targets, 0.5)) for n in range(300)], batch=10)
    sizes = {key: len(saved.payload) for key, saved in replica.state.items()}
    assert sizes["past|host:c1"] < 64 * 1024
    assert sizes["steps|host:c1"] < 4 * 1024
