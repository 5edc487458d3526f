"""Forecasts against what came, from hand-made records."""

import math
from typing import Any

from moselle.demo.forecasts import figures, stories

STEP = 10
HOST = "host:c1"


def make_feature(seconds: int, value: float, name: str = "cpu_cores") -> dict[str, Any]:
    """One step of one feature of one host."""
    return {
        "entity_id": HOST, "event_time": seconds * 1_000_000, "feature_set": "metrics.core", "names": [name],
        "values": [value],
    }  # fmt: skip


def make_prediction(seconds: int, value: float, low: float, high: float, horizon: int = 60) -> dict[str, Any]:
    """One horizon of one target."""
    return {
        "entity_id": HOST, "target": "cpu_cores", "event_time": seconds * 1_000_000, "horizons_seconds": [horizon],
        "values": [value], "quantile_levels": [0.05, 0.5, 0.95], "quantiles": [[low, value, high]], "spoken_by": "ewma",
    }  # fmt: skip


def by_key(*records: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {(record["entity_id"], record["target"], record["event_time"]): record for record in records}


def test_errors_are_shares_of_the_series_mean_beside_persistence() -> None:
    """Forecast 3 and last value 2 against 4 that came, mean 3: a third and two thirds."""
    found = figures(by_key(make_prediction(0, 3, 2, 5)), [make_feature(0, 2), make_feature(60, 4)])
    assert (found["mean_absolute_error"], found["mean_absolute_error_persistence"]) == (0.3333, 0.6667)
    assert (found["made"], found["compared"], found["interval_coverage"]) == (1, 1, 1.0)
    assert (found["interval_level"], found["spoken_by"]) == (0.9, {"ewma": 1})


def test_a_value_outside_its_interval_is_not_covered() -> None:
    """Coverage counts what came between the outermost quantiles."""
    found = figures(by_key(make_prediction(0, 3, 2.5, 3.5)), [make_feature(0, 2), make_feature(60, 4)])
    assert found["interval_coverage"] == 0.0


def test_what_has_not_come_is_not_compared() -> None:
    """No actual value, or none that is finite: nothing is invented."""
    found = figures(by_key(make_prediction(0, 3, 2, 5)), [make_feature(0, 2), make_feature(60, math.nan)])
    assert found["made"] == 1
    assert found["compared"] == 0
    assert found["mean_absolute_error"] is None


def test_a_story_shows_the_forecast_at_the_time_it_spoke_of() -> None:
    """Made at 0 for 300 seconds later, drawn at 300."""
    told = stories(by_key(make_prediction(0, 3, 2, 5, 300)), [make_feature(0, 2), make_feature(10, 4)])
    assert [(one.entity_id, one.target) for one in told] == [(HOST, "cpu_cores")]
    assert told[0].points == ((300.0, 3, 2, 5),)
    assert told[0].actual == ((0.0, 2), (10.0, 4))
