"""Placement through gRPC from another process: latency of single decisions, decisions a second in batches.

Beside them, in the same run, on the same machine: a bare gRPC round trip to the same process (its health check), and
one record acknowledged by the same Kafka, since a decision is answered when Kafka has it.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from moselle.stack.process import free_port, spawn, stop
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.gen.moselle.placement.v1 import placement_pb2_grpc
from services.common.schemas import SchemaRegistry
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS
from tests.polling import poll_until
from tests.unit.placement.worlds import GIB, make_alert, make_features, make_node, make_prediction, make_workload

pytestmark = [pytest.mark.bench, pytest.mark.timeout(400)]
NUM_CALLS = 1500
BATCH = 500
CLUSTER = "bench"


def fill(bootstrap: str, num_nodes: int) -> None:
    """Nodes of 64 cores with loads and forecasts, every fiftieth with an alert."""
    create_topics(bootstrap, (ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS), 4)
    broker, codec = KafkaBroker(bootstrap), Codec()
    SchemaRegistry(broker, codec).publish_own()
    outputs = []
    for number in range(num_nodes):
        node = make_node(f"n{number}", cpu=512, memory=2**40, capacity={"disk_bytes": 2.0**42})
        entity = node["entity_id"]
        records = [
            (ENTITIES.name, f"{entity}|inventory", node),
            (FEATURES.name, entity, make_features(entity, cpu_used_ratio=number % 7 / 10, memory_used_ratio=0.3)),
            (PREDICTIONS.name, entity, make_prediction(entity, values=[0.1, number % 5 / 10])),
        ]
        records += [(ALERTS.name, entity, make_alert(entity, severity="warning"))] if number % 50 == 0 else []
        outputs += [
            Output(topic, key.encode(), codec.encode(topic, {**record, "cluster": CLUSTER}))
            for topic, key, record in records
        ]
    broker.publish(outputs)
    broker.close()


@pytest.fixture(params=[1_000, 10_000])
def served(
    request: pytest.FixtureRequest, kafka_bootstrap: str, tmp_path: Path
) -> Iterator[tuple[grpc.Channel, psutil.Process]]:
    """A serving process with so many nodes; they add up over the parameters."""
    fill(kafka_bootstrap, request.param)
    port = free_port()
    env = {**os.environ, "MOSELLE_KAFKA_BOOTSTRAP": kafka_bootstrap, "MOSELLE_CLUSTER": CLUSTER}
    env |= {"MOSELLE_GRPC_PORT": str(port), "MOSELLE_PLACEMENT_FEATURES_VALID_SECONDS": "3600"}
    process = spawn([sys.executable, "-m", "services.placement"], tmp_path / "log", env=env)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]) as made:
        poll_until(lambda: is_serving(made), "placement serves")
        yield made, psutil.Process(process.pid)
    stop(process)


def is_serving(channel: grpc.Channel) -> bool:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
    except grpc.RpcError:
        return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def timed(calls: int, call: Callable[[int], object]) -> list[float]:
    """Milliseconds of each call, one after the other, after some to warm up."""
    for number in range(100):
        call(-1 - number)
    found = []
    for number in range(calls):
        began = time.perf_counter()
        call(number)
        found.append((time.perf_counter() - began) * 1e3)
    return found


def show(what: str, milliseconds: Sequence[float]) -> None:
    cuts = statistics.quantiles(milliseconds, n=100)
    print(f"{what:<44} p50 {cuts[49]:7.2f} ms   p95 {cuts[94]:7.2f} ms   p99 {cuts[98]:7.2f} ms")


@contextmanager
def rate(what: str, decisions: int, process: psutil.Process) -> Iterator[None]:
    """Prints how many decisions were made a second, by the clock and by processor time of the service."""
    began, used = time.perf_counter(), cpu_seconds(process)
    yield
    wall, cpu = time.perf_counter() - began, cpu_seconds(process) - used
    print(f"{what:<44} {decisions / wall:7.0f} decisions/s   {decisions / cpu:7.0f} a second of processor time")


def cpu_seconds(process: psutil.Process) -> float:
    """What the process has used of processors, all threads; on a busy machine this says more than the clock."""
    times = process.cpu_times()
    return float(times.user + times.system)


def test_latency_and_throughput(served: tuple[grpc.Channel, psutil.Process], kafka_bootstrap: str) -> None:
    """Prints the figures; they depend on the machine: only that every decision is made is asserted."""
    channel, process = served
    stub = placement_pb2_grpc.PlacementStub(channel)
    run = time.time_ns()
    scored = stub.Score(pb.ScoreRequest(workload=make_workload())).scores
    print(f"\n{len(scored)} nodes, load average {os.getloadavg()[0]:.1f}")

    def place(number: int) -> pb.Decision:
        request = pb.PlaceRequest(request_id=f"{run}-{number}", workload=make_workload(cpu=0.1, memory=GIB // 64))
        return stub.Place(request).decision

    quick = KafkaBroker(kafka_bootstrap, extra={"linger.ms": 0})
    record = Output(PREDICTIONS.name, b"nobody", None)
    health = health_pb2_grpc.HealthStub(channel)
    show("bare gRPC round trip (health)", timed(NUM_CALLS, lambda n: health.Check(health_pb2.HealthCheckRequest())))
    show("one record acknowledged by Kafka", timed(NUM_CALLS, lambda n: quick.publish([record])))
    workload = make_workload(cpu=0.1, memory=GIB // 64)
    show("Score of ten nodes (no record)", timed(NUM_CALLS, lambda n: stub.Score(
        pb.ScoreRequest(workload=workload, nodes=[one.node for one in scored[:10]], with_reasons=True))))  # fmt: skip
    show("Place, recorded in Kafka", timed(NUM_CALLS, place))
    assert place(0).mode == pb.MODE_LIVE
    with ThreadPoolExecutor(8) as pool, rate("Place, 8 callers", NUM_CALLS, process):
        assert all(one.node for one in pool.map(place, range(NUM_CALLS, 2 * NUM_CALLS)))
    with rate(f"PlaceBatch of {BATCH}", 6 * BATCH, process):
        for number in range(6):
            request = pb.PlaceBatchRequest(request_id=f"{run}-b{number}", workloads=[workload] * BATCH)
            assert all(one.node for one in stub.PlaceBatch(request).decisions)
    quick.close()
