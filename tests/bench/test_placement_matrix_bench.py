"""Placement in memory, no gRPC and no Kafka: what a row of the matrix and a decision cost. Lowest of several rounds."""

import time
from collections.abc import Callable

import pytest

from services.common.topics import FEATURES, PLACEMENTS
from services.placement.adapters import messages
from services.placement.core.decision import to_record
from services.placement.settings import PlacementSettings
from tests.unit.placement.worlds import (
    CODEC,
    GIB,
    START,
    Cloud,
    make_alert,
    make_features,
    make_node,
    make_prediction,
    make_request,
    make_workload,
)

pytestmark = [pytest.mark.bench, pytest.mark.timeout(400)]
ROUNDS = 100


def make_cloud(num_nodes: int) -> Cloud:
    """Nodes with loads and forecasts, every fiftieth with an alert."""
    nodes = [make_node(f"n{number}", cpu=512, memory=2**40) for number in range(num_nodes)]
    cloud = Cloud(*nodes, settings=PlacementSettings(features_valid_seconds=3600))
    for number, node in enumerate(nodes):
        cloud.say_quietly(make_features(node["entity_id"], cpu_used_ratio=number % 7 / 10, memory_used_ratio=0.3))
        cloud.say_quietly(make_prediction(node["entity_id"], values=[0.1, number % 5 / 10]))
        if number % 50 == 0:
            cloud.say_quietly(make_alert(node["entity_id"], severity="warning"))
    cloud.turn()
    return cloud


def lowest(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Microseconds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - began)
    return best * 1e6


@pytest.mark.parametrize("num_nodes", [1_000, 10_000])
def test_a_row_and_a_decision(num_nodes: int) -> None:
    """Prints microseconds; they depend on the machine: only that something is decided is asserted."""
    cloud = make_cloud(num_nodes)
    engine = cloud.engine
    world, matrix = engine._world, engine._world.matrix
    names = matrix.ids[: max(100, num_nodes // 10)]
    request = make_request("q", make_workload(cpu=0.1, memory=GIB // 64))
    record = make_features("host:n7", cpu_used_ratio=0.5, memory_used_ratio=0.3)
    raw = CODEC.encode(FEATURES.name, record)

    def set_rows() -> None:
        for name in names:
            matrix.set_signal(name, "cpu_load", 0.5, START, 2e18)

    def update(number: int) -> None:
        for name in names[:number]:
            matrix.set_signal(name, "cpu_load", 0.5, START, 2e18)
        world.scores.ask(request.workload, request.profile)

    decision, _ = world.decide(request, engine._now(), True)
    assert decision.node
    figures = {
        "one row's signal": lowest(set_rows) / len(names),
        "a record of features.v1: read, both signals": lowest(
            lambda: world.put_features(CODEC.decode(raw), START, engine._now())
        ),
        "scores after one row": lowest(lambda: update(1)),
        "scores after a tenth of the rows, each": lowest(lambda: update(len(names))) / len(names),
        "deciding, scores up to date": lowest(lambda: world.decide(request, engine._now(), True)),
        "encoding the record": lowest(lambda: CODEC.encode(PLACEMENTS.name, to_record(decision, request, "default"))),
        "the answer": lowest(lambda: messages.decision(decision).SerializeToString()),
        "what is done four times a second": lowest(lambda: world.refresh(engine._now()), 20),
    }
    print(f"\n{num_nodes} nodes")
    for what, microseconds in figures.items():
        print(f"{what:<48} {microseconds:9.2f} us")
