"""What NovaCron is told follows from what is known: forecasts, alerts, inventory, by the formulas as stated."""

import math
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.placement.core.dwcp.given import GIB as GIBIBYTE
from services.placement.core.dwcp.given import size
from services.placement.core.dwcp.patterns import shape
from services.placement.core.dwcp.precopy import DOWNTIME_SECONDS, MOST_ROUNDS, compressor, pre_copy
from services.placement.core.dwcp.routes import PROCESSES, ROUTES, decode
from services.placement.core.dwcp.scaling import fair_shares
from services.placement.errors import InvalidRequest
from tests.unit.placement.dwcp import QUESTIONS, make_cloud
from tests.unit.placement.worlds import (
    GIB,
    SECOND,
    Cloud,
    make_alert,
    make_features,
    make_node,
    make_prediction,
    make_workload,
)

Ask = Callable[..., Any]


def ask(cloud: Cloud, path: str, **changes: Any) -> Any:
    """The answer to a good question with some fields changed."""
    route = ROUTES[path]
    question = decode(msgspec.json.encode({**QUESTIONS[path], **changes}), route.asked, path)
    return cloud.engine.ask(lambda known: route.work(known, question))


def process(cloud: Cloud, service: str, method: str, **data: Any) -> Any:
    """The data of an answer through the envelope."""
    route = PROCESSES[service, method]
    question = decode(msgspec.json.encode(data), route.asked, service)
    return cloud.engine.ask(lambda known: route.work(known, question))


def test_demand_is_the_nodes_forecast() -> None:
    """Its values up to the asked horizon and its own confidence, under each of the node's names."""
    cloud = Cloud(make_node(aliases=["c1.example.org"]))
    cloud.say(make_prediction())
    for name in ("host:n1", "n1", "c1.example.org"):
        answer = ask(cloud, "/predict/resources", resource_id=name)
        assert (answer.prediction, answer.confidence) == ([0.3, 0.5], 0.8)
    assert ask(cloud, "/predict/resources", prediction_horizon=5).prediction == [0.3]


def test_confidence_falls_with_what_the_forecast_does_not_cover() -> None:
    """Fifteen minutes of an hour are a quarter of it."""
    answer = ask(make_cloud(), "/predict/resources", prediction_horizon=60)
    assert answer.confidence == pytest.approx(0.8 / 4)
    assert "15 of the 60 minutes" in answer.reason


def test_without_a_forecast_confidence_is_zero() -> None:
    """The newest measurement where there is one, else nothing: an empty list, which NovaCron passes over."""
    cloud = make_cloud()
    measured = ask(cloud, "/predict/resources", metrics={"memory_usage": 0.5})
    assert (measured.prediction, measured.confidence) == ([0.4], 0.0)
    for changes in ({"resource_id": "n3"}, {"resource_id": "nowhere"}, {"metrics": {"disk_usage": 0.5}}):
        answer = ask(cloud, "/predict/resources", **changes)
        assert (answer.prediction, answer.confidence, bool(answer.reason)) == ([], 0.0, True)


def test_what_is_on_its_way_counts_as_demand() -> None:
    """A workload of four of eight cores that was just placed adds half to the forecast."""
    cloud = Cloud(make_node())
    cloud.say(make_prediction())
    cloud.place("r1", make_workload(cpu=4))
    assert ask(cloud, "/predict/resources").prediction == [pytest.approx(0.8), 1.0]


def test_an_old_forecast_is_none() -> None:
    """After its valid_until it is not used; an older record does not replace a newer one."""
    cloud = Cloud(make_node())
    cloud.say(make_prediction(second=10), make_prediction(values=[0.9, 0.9]))
    assert ask(cloud, "/predict/resources").prediction == [0.3, 0.5]
    cloud.turn(301)
    assert ask(cloud, "/predict/resources").prediction == []


def test_network_demand_is_a_share_of_the_inventorys_bandwidth() -> None:
    """62.5 MB/s of 1,000 Mb/s are a half."""
    cloud = make_cloud()
    cloud.say(make_prediction(target="network_io_bytes_per_second", values=[62.5e6, 125e6]))
    assert ask(cloud, "/predict/resources", metrics={"network_usage": 0.5}).prediction == [0.5, 1.0]


def test_the_clusters_demand_is_in_percent_and_counts_silent_nodes_as_unknown() -> None:
    """One of three equal nodes is forecast: its peak, and a third of its confidence."""
    answer = process(make_cloud(), "resource_prediction", "predict_demand", node_id="distributed_cluster")
    assert answer.predictions == [pytest.approx(50.0)]
    assert answer.confidence == pytest.approx(0.8 / 3)


@pytest.mark.parametrize(
    ("metrics", "score", "is_anomaly"),
    [
        ({"cpu_usage": 0.9}, 0.5, True), ({"latency_p99": 3000.0}, 0.75, True), ({"error_rate": 0.0}, 0.0, False),
        ({"prev_cpu_usage": 0.99}, 0.0, False), ({}, 0.0, False),
    ],
)  # fmt: skip
def test_a_metric_on_its_line_scores_a_half(metrics: dict[str, float], score: float, is_anomaly: bool) -> None:
    """x / (x + line), the highest counts; what has no line says nothing."""
    answer = ask(make_cloud(), "/detect/anomaly", metrics=metrics)
    assert (answer.anomaly_score, answer.is_anomaly) == (pytest.approx(score), is_anomaly)
    assert answer.confidence == float(bool(metrics) and "prev_cpu_usage" not in metrics)


def test_a_node_that_stands_out_of_all_is_an_anomaly() -> None:
    """0.7 is below every line, and far from eight nodes at 0.1."""
    cloud = Cloud(*(make_node(f"n{number}") for number in range(8)))
    cloud.say(*(make_features(f"host:n{number}", cpu_used_ratio=0.1) for number in range(8)))
    answer = ask(cloud, "/detect/anomaly", metrics={"cpu_usage": 0.7})
    assert (answer.is_anomaly, answer.anomaly_type) == (True, "cpu_usage")
    assert not ask(cloud, "/detect/anomaly", metrics={"cpu_usage": 0.15}).is_anomaly


def test_alerts_on_a_node_are_its_anomalies() -> None:
    """For the node that is named, and for the cluster with a time that Go reads."""
    cloud = make_cloud()
    assert ask(cloud, "/detect/anomaly", resource_id="n2", metrics=None).anomaly_score == 1.0
    assert not ask(cloud, "/detect/anomaly", resource_id="n1", metrics=None).is_anomaly
    answer = process(cloud, "anomaly_detection", "detect", resource_id="distributed_cluster")
    (alert,) = answer.anomalies
    assert (alert.severity, alert.anomaly_type, alert.context["node_id"]) == ("critical", "error_burst", "host:n2")
    assert alert.timestamp.endswith("Z")


def test_the_host_to_move_to_is_the_one_that_place_would_take() -> None:
    """Not the sick one, and named as the question named it; not the source; none when none has room."""
    cloud = make_cloud()
    answer = ask(cloud, "/predict/migration")
    assert (answer.recommended_host, answer.migration_score > 0.5) == ("n3", True)
    assert 0 < answer.confidence < 1
    for changes in (
        {"target_hosts": ["n1"]}, {"target_hosts": ["nowhere"]}, {"target_hosts": None},
        {"vm_metrics": {"memory_gb": 64}},
    ):  # fmt: skip
        none = ask(cloud, "/predict/migration", **changes)
        assert (none.recommended_host, none.confidence, len(none.reasons)) == ("", 0.0, 1)


def test_a_move_takes_as_long_as_pre_copy_says() -> None:
    """2 GiB over what is free of both nodes' networks: 125 MB/s less 25 MB/s."""
    answer = ask(make_cloud(), "/predict/migration")
    assert answer.prediction_time == pytest.approx(2 * GIB / 100e6)
    assert answer.cost_analysis["operational_savings"] == 0.0


@given(st.floats(1e6, 1e12), st.floats(1e5, 1e11), st.floats(0.0, 0.999))
def test_pre_copy_adds_up_its_rounds(memory: float, rate: float, ratio: float) -> None:
    """The closed form is the sum of the rounds, and what is left takes as long as it says."""
    found = pre_copy(memory, rate, ratio * rate)
    rounds = [memory / rate * ratio**number for number in range(found.rounds + 1)]
    assert found.seconds == pytest.approx(math.fsum(rounds), rel=1e-6)
    assert found.downtime_seconds == pytest.approx(rounds[-1], rel=1e-6, abs=1e-12)
    assert 1 <= found.rounds <= MOST_ROUNDS
    assert found.converges == (found.downtime_seconds <= DOWNTIME_SECONDS * (1 + 1e-9))


def test_memory_that_changes_faster_than_the_link_calls_for_post_copy() -> None:
    """The strategy by the dirty rate; without one it stays live, below the orchestrator's line of 0.8."""
    cloud = make_cloud()
    vm, network = {"memory_size": "4GB"}, {"source_node": "n1", "destination_node": "n3"}
    unknown = ask(cloud, "/optimize/migration_strategy", vm_data=vm, network_data=network)
    assert (unknown.type, unknown.confidence) == ("live", 0.75)
    for dirty, kind in ((1e6, "pre-copy"), (2e8, "post-copy")):
        found = ask(cloud, "/optimize/migration_strategy", vm_data={**vm, "dirty_rate": dirty}, network_data=network)
        assert (found.type, found.confidence, found.bandwidth_allocation) == (kind, 1.0, 100e6)
    nothing = ask(cloud, "/optimize/migration_strategy", vm_data=vm, network_data={})
    assert (nothing.bandwidth_allocation, nothing.memory_iterations, nothing.confidence > 0.5) == (0.0, 0.0, False)


def test_compression_keeps_up_with_the_link() -> None:
    """The slower the link the stronger; none for what is packed already."""
    assert [compressor(rate).name for rate in (30e6, 90e6, 400e6, 700e6, 2e9)] == [
        "gzip", "gzip", "zstd", "lz4", "none",
    ]  # fmt: skip
    packed = ask(make_cloud(), "/optimize/compression", data_profile={"type": "video", "bandwidth": 30e6})
    assert (packed.type, packed.level) == ("none", 0.0)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("4GB", (4 * GIBIBYTE, True)), ("512 MiB", (2.0**29, True)), ("large", (50 * GIBIBYTE, False)),
        ("", (None, False)), ("huge", (None, False)), ("9" * 400, (None, False)), ("-4GB", (None, False)),
        ("999999999999999TB", (None, False)),
    ],
)  # fmt: skip
def test_sizes_are_read_as_novacron_writes_them(words: str, expected: tuple[float | None, bool]) -> None:
    """Units by 1024, NovaCron's own words, and nothing else."""
    assert size(words) == expected


def test_a_path_goes_around_a_sick_node() -> None:
    """Both ways have two hops; n2 has lost its health."""
    topology = {"connections": {"n1": ["n2", "n3"], "n2": ["x"], "n3": ["x"]}}
    cloud = make_cloud()
    assert ask(cloud, "/predict/optimal_path", dest_node="x", network_topology=topology).path == ["n1", "n3", "x"]
    assert ask(cloud, "/predict/optimal_path", dest_node="y", network_topology=topology).path == []
    direct = ask(cloud, "/predict/optimal_path", network_topology=None)
    assert (direct.path, direct.confidence) == (["n1", "n3"], 0.0)


def test_network_conditions_say_what_nobody_measures() -> None:
    """Free bytes a second and latency by inventory and features; loss and jitter are listed as unknown."""
    found = ask(make_cloud(), "/analyze/network_conditions")
    assert (found.bandwidth, found.latency, found.congestion_level) == (100e6, 2.0, 0.2)
    assert (found.unknown, found.confidence) == (["packet_loss", "jitter"], pytest.approx(4 / 6))
    nowhere = ask(make_cloud(), "/analyze/network_conditions", node_id="nowhere")
    assert (nowhere.bandwidth, nowhere.confidence) == (0.0, 0.0)


def test_failure_risk_is_the_health_that_is_missing() -> None:
    """A sick end is a sure failure, as is memory that does not fit; two strangers say nothing."""
    cloud = make_cloud()
    for params, risk, confidence in (
        ({"source_node": "n1", "destination_node": "n3"}, 0.0, 1.0),
        ({"source_node": "n1", "destination_node": "n2"}, 1.0, 1.0),
        ({"source_node": "n1", "dest_node": "n3", "memory_size": "64GB"}, 1.0, 1.0),
        ({"source_node": "x", "destination_node": "y"}, 0.5, 0.0),
    ):
        found = ask(cloud, "/predict/failure_risk", migration_params=params)
        assert (found.risk, found.confidence) == (pytest.approx(risk), confidence)


def test_a_migration_that_does_not_converge_is_told() -> None:
    """Dirty pages that take longer than the downtime allowed after several rounds; one that stands still."""
    cloud = make_cloud()
    assert [one.type for one in ask(cloud, "/analyze/anomalies").anomalies] == ["convergence"]
    still = ask(cloud, "/analyze/anomalies", metrics={"transfer_rate": 0, "duration": 60})
    assert [(one.type, one.severity) for one in still.anomalies] == [("stalled", "critical")]
    assert ask(cloud, "/analyze/anomalies", metrics={"transfer_rate": 1e9, "iterations": 1}).anomalies == []
    (change,) = ask(cloud, "/recommend/adjustments").recommendations
    assert (change.parameter, change.recommended_value, change.confidence) == (
        "bandwidth_limit",
        90_000 * 4096 / 30,
        0.75,
    )


def test_past_migrations_are_counted_by_pair() -> None:
    """Frequency, share that succeeded, mean seconds of those."""
    rows = [
        {"source_node": "a", "destination_node": "b", "success": good, "duration": 60e9}
        for good in (True, False, False)
    ]
    (found,) = ask(make_cloud(), "/analyze/patterns", historical_data=rows).patterns
    assert (found.pattern, found.frequency, found.avg_duration) == ("a to b", 3.0, 60.0)
    assert (found.success_rate, len(found.recommendations)) == (pytest.approx(1 / 3), 1)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.5 + 0.4 * math.sin(n * math.pi / 6) for n in range(72)], "periodic"),
        ([0.01 * n for n in range(40)], "trending"), ([0.4] * 40, "steady_state"),
        ([0.9 if n in (3, 19, 24) else 0.05 for n in range(40)], "bursty"), ([0.5], "unknown"), ([], "unknown"),
    ],
)  # fmt: skip
def test_planted_patterns_are_found(values: list[float], kind: str) -> None:
    """Each by its own line; few samples give little confidence."""
    found = shape(values)
    assert found.kind == kind
    assert 0.0 <= found.confidence <= 1.0
    assert kind != "periodic" or found.period == 12


@given(st.lists(st.floats(-1e300, 1e300), max_size=80))
def test_any_series_has_a_finite_shape(values: list[float]) -> None:
    """Whatever the numbers are."""
    found = msgspec.structs.asdict(shape(values))
    assert all(math.isfinite(value) for value in found.values() if isinstance(value, float))


def test_scaling_follows_the_rule_of_the_horizontal_autoscaler() -> None:
    """use / 0.7, and nothing within a tenth of it; confidence by samples, 0 for a single reading."""
    cloud = make_cloud()
    (up,) = ask(cloud, "/optimize/scaling").decisions
    assert (up["action"], up["target_value"], up["confidence"]) == ("scale_up", pytest.approx(0.95 / 0.7), 0.0)
    assert ask(cloud, "/optimize/scaling", current_resources={"cpu_usage": 72.0}).decisions == []
    rows = [{"cpu_usage": 0.2}] * 30
    (down,) = ask(cloud, "/optimize/scaling", current_resources={"cpu_usage": 0.1}, historical_data=rows).decisions
    assert (down["action"], down["confidence"]) == ("scale_down", 1.0)


def test_the_cluster_is_scaled_only_on_forecasts_of_half_of_it() -> None:
    """NovaCron carries out every action, so one forecast of three says nothing, two of three do."""
    cloud = make_cloud()
    assert process(cloud, "predictive_scaling", "predict_scaling").scaling_actions == []
    cloud.say(make_prediction("host:n2", values=[0.9, 0.9]), make_prediction("host:n1", second=1, values=[0.9, 0.9]))
    (action,) = process(cloud, "predictive_scaling", "predict_scaling").scaling_actions
    assert (action.action, action.resource, action.target_capacity) == ("scale_up", "cpu", pytest.approx(0.9 / 0.7))


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1e6), min_size=1, max_size=9), st.floats(1e-3, 1e6))
def test_shares_are_max_min_fair(demands: dict[str, float], total: float) -> None:
    """Nobody gets more than he asks, all together not more than there is, and who gets less has the largest share."""
    shares = fair_shares(demands, total)
    assert sum(shares.values()) <= total * (1 + 1e-9)
    assert all(shares[name] <= demand for name, demand in demands.items())
    short = [shares[name] for name, demand in demands.items() if shares[name] < demand * (1 - 1e-9)]
    assert all(one >= max(shares.values()) * (1 - 1e-6) for one in short)


def test_what_helps_the_cluster_names_sick_hot_and_idle_nodes() -> None:
    """Sick ones first, with their alert; idle ones only when power is a goal."""
    cloud = make_cloud()
    cloud.say(make_prediction("host:n3", values=[0.95, 0.95]))
    found = ask(cloud, "/optimize/performance").optimizations
    assert [(one.type, one.target, one.priority) for one in found] == [
        ("migration", "host:n2", 1), ("load_balancing", "host:n3", 2), ("energy_optimization", "cluster", 3),
    ]  # fmt: skip
    plain = process(cloud, "performance_optimization", "optimize_cluster", goals=["balance_load"])
    assert [one.type for one in plain.recommendations] == ["migration", "load_balancing"]
    assert plain.risk_assessment.overall_risk == pytest.approx(1 / 3)


def test_a_negative_number_is_refused() -> None:
    """With the field's name."""
    with pytest.raises(InvalidRequest, match=r"qos_requirements\.total_bandwidth is -1"):
        ask(make_cloud(), "/optimize/bandwidth", qos_requirements={"total_bandwidth": -1.0})


def test_bandwidth_comes_from_the_inventory_when_nobody_tells() -> None:
    """Two nodes of 1,000 Mb/s; without either nothing is shared out."""
    found = ask(make_cloud(), "/optimize/bandwidth", qos_requirements=None)
    assert (found.total_bandwidth, found.bandwidth_allocation) == (2000.0, {"n1": 400.0, "n2": 400.0})
    none = ask(make_cloud(), "/optimize/bandwidth", traffic_data=[{"source": "x"}], qos_requirements={})
    assert (none.bandwidth_allocation, none.confidence) == ({}, 0.0)


def test_a_resolved_alert_fades_from_the_answers() -> None:
    """Health comes back as it does for Place."""
    cloud = make_cloud()
    cloud.say({**make_alert("host:n2"), "status": "resolved", "revision": 1, "ends_at": 0})
    cloud.turn(3000 + 1 / SECOND)
    assert ask(cloud, "/detect/anomaly", resource_id="n2", metrics=None).anomaly_score < 0.01
