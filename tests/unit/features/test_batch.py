"""Features of recorded data: counters, gaps, wild values, repeats."""

import math
from collections.abc import Mapping
from typing import Any

import pytest

from services.features.core.batch import feature_records
from tests.unit.features.samples import HOST, SCRAPED_BYTES, SERVICE, make_rates, make_samples, value_of

NETWORK = "network_io_bytes_per_second"


def metric_values(name: str, *records: Mapping[str, Any]) -> list[float]:
    """One feature of `metrics.core` at each step."""
    found = feature_records(("metrics.samples.v1", record) for record in records)
    return [value_of(record, name) for record in found if record["feature_set"] == "metrics.core"]


def scrapes(*points: tuple[float, float]) -> list[dict[str, Any]]:
    return [make_samples(seconds, {SCRAPED_BYTES: value}) for seconds, value in points]


def test_a_counter_becomes_a_rate_from_its_last_sample_before_the_step() -> None:
    """100 bytes in the 10 s from the first step's sample to the second's."""
    first, second = metric_values(NETWORK, *scrapes((5, 1000), (15, 1100)))
    assert math.isnan(first)
    assert second == 10.0


def test_a_reset_counter_began_anew_at_zero() -> None:
    """30 after 1000 is a growth of 30, not of -970."""
    assert metric_values(NETWORK, *scrapes((5, 1000), (15, 30)))[1] == 3.0


def test_a_rate_does_not_reach_over_a_long_gap() -> None:
    """After more than five minutes without a sample the counter begins anew."""
    near, far = (
        metric_values(NETWORK, *scrapes((5, 0), (295, 2900)))[1],
        metric_values(NETWORK, *scrapes((5, 0), (315, 3100)))[1],
    )
    assert near == 10.0
    assert math.isnan(far)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_not_finite_is_no_sample(value: float) -> None:
    """The rate reaches over it, and it opens no step of its own."""
    assert metric_values(NETWORK, *scrapes((5, 1000), (15, value), (25, 1200)))[1] == 10.0


def test_an_entity_of_unknown_metrics_has_no_vector() -> None:
    """What no feature knows is ignored."""
    assert metric_values(NETWORK, make_samples(5, {"my_own_metric": 1.0})) == []


def test_of_two_samples_for_one_time_the_first_counts() -> None:
    """A scrape that arrives twice changes nothing, whatever it says the second time."""
    once = metric_values(NETWORK, *scrapes((5, 1000), (15, 1100)))
    twice = metric_values(NETWORK, *scrapes((5, 1000), (15, 1100), (15, 9999)))
    assert once[1] == twice[1]


def test_idle_processors_are_not_busy() -> None:
    """Two processors, one busy for half of the ten seconds."""
    names = [f'node_cpu_seconds_total{{cpu="{n}",mode="{mode}"}}' for n in "01" for mode in ("idle", "user")]
    before, after = (
        dict(zip(names, (0.0, 0.0, 0.0, 0.0), strict=True)),
        dict(zip(names, (5.0, 5.0, 10.0, 0.0), strict=True)),
    )
    records = make_samples(5, before), make_samples(15, after)
    assert metric_values("cpu_cores", *records)[1] == 0.5
    assert metric_values("cpu_used_ratio", *records)[1] == 0.25


def test_latency_is_weighted_by_requests() -> None:
    """Nine requests of 0.1 s and one of 1.1 s take 0.2 s each."""
    labels = '{service="nova-api"}'
    latency, requests = f"openstack_api_latency_seconds_mean{labels}", f"openstack_api_requests{labels}"
    records = (
        make_samples(1, {latency: 0.1, requests: 9}, SERVICE),
        make_samples(6, {latency: 1.1, requests: 1}, SERVICE),
    )
    assert metric_values("latency_seconds", *records)[0] == pytest.approx(0.2)
    assert metric_values("requests_per_second", *records)[0] == 1.0


def test_errors_are_a_part_of_requests_and_nothing_without_any() -> None:
    """2 of 8 failed; in the next step nobody asked."""
    errors, requests = "openstack_api_errors", "openstack_api_requests"
    records = make_samples(5, {errors: 2, requests: 8}, SERVICE), make_samples(15, {errors: 0, requests: 0}, SERVICE)
    first, second = metric_values("error_ratio", *records)
    assert first == 0.25
    assert math.isnan(second)


def test_memory_needs_both_of_its_terms() -> None:
    """All memory without what is available would say that everything is used."""
    total, available = "node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes"
    records = make_samples(5, {total: 100.0, available: 40.0}), make_samples(15, {total: 100.0})
    first, second = metric_values("memory_used_bytes", *records)
    assert first == 60.0
    assert math.isnan(second)


def test_rolling_features_look_back_five_minutes() -> None:
    """The mean forgets what lies more than 300 s back."""
    used = [make_samples(10 * n + 5, {"process_resident_memory_bytes": 100.0 if n else 10_000.0}) for n in range(31)]
    means = metric_values("memory_used_bytes_mean_5m", *used)
    assert means[29] > 100.0
    assert means[30] == 100.0


def test_silent_steps_count_as_zero_in_log_features() -> None:
    """20 events, then nothing for two steps, then 40: a mean of 60 in 40 s."""
    records = [("logs.rates.v1", make_rates(0, 20)), ("logs.rates.v1", make_rates(30, 40))]
    found = [record for record in feature_records(records) if record["feature_set"] == "logs"]
    assert [value_of(record, "events_per_second_mean_5m") for record in found] == [2.0, 1.5]


def test_a_hosts_log_features_are_its_services_added_up() -> None:
    """Two services of a host in one step, one of them in two increments."""
    rates = [make_rates(0, 3), make_rates(0, 4), make_rates(0, 5, "service:neutron@compute-1")]
    found = list(feature_records(("logs.rates.v1", record) for record in rates))
    host = next(record for record in found if record["feature_set"] == "logs.host")
    assert host["entity_id"] == HOST
    assert value_of(host, "num_lines") == 12.0
    assert value_of(host, "num_services") == 2.0
