"""NovaCron's HTTP facade from another process: latency of each route, and the scheduler's pattern of 3,000 calls.

Beside them, in the same run, on the same connection: the service's answer to a path that it does not know, which is
what HTTP alone costs.
"""

import http.client
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from moselle.stack.process import free_port, spawn, stop
from tests.bench.test_placement_bench import CLUSTER, cpu_seconds, fill, timed
from tests.polling import poll_until
from tests.unit.placement.dwcp import PROCESS_READS, QUESTIONS

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]
NUM_NODES = 1000
NUM_CALLS = 300
RESOURCES = ("cpu", "memory", "network")


class Caller:
    """One connection that stays open, as Go's client keeps it; and the process at its other end."""

    def __init__(self, port: int, process: psutil.Process) -> None:
        self.process = process
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def post(self, path: str, body: bytes) -> dict[str, Any]:
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        found: dict[str, Any] = json.loads(self._connection.getresponse().read())
        return found

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def caller(kafka_bootstrap: str, tmp_path: Path) -> Iterator[Caller]:
    """A serving process with a thousand nodes, each measured and forecast, every fiftieth with an alert."""
    fill(kafka_bootstrap, NUM_NODES)
    port = free_port()
    env = {**os.environ, "MOSELLE_KAFKA_BOOTSTRAP": kafka_bootstrap, "MOSELLE_CLUSTER": CLUSTER}
    env |= {"MOSELLE_PLACEMENT_FACADE_PORT": str(port), "MOSELLE_PLACEMENT_FEATURES_VALID_SECONDS": "3600"}
    process = spawn([sys.executable, "-m", "services.placement"], tmp_path / "log", env=env)
    poll_until(lambda: _num_nodes(port) >= NUM_NODES, "the facade knows all nodes")
    made = Caller(port, psutil.Process(process.pid))
    yield made
    made.close()
    stop(process)


def show(what: str, milliseconds: list[float]) -> None:
    """The least says what it costs when nobody else computes."""
    cuts = statistics.quantiles(milliseconds, n=100)
    least = min(milliseconds)
    print(f"{what:<46} least {least:6.2f}   p50 {cuts[49]:6.2f}   p95 {cuts[94]:6.2f}   p99 {cuts[98]:6.2f} ms")


def _num_nodes(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/health")
        return int(json.load(connection.getresponse())["num_nodes"])
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def test_latency_of_each_route(caller: Caller) -> None:
    """Prints the figures; they depend on the machine: only that each is answered is asserted."""
    print(f"\n{NUM_NODES} nodes, load average {os.getloadavg()[0]:.1f}")
    show("HTTP alone: a path that is not there", timed(NUM_CALLS, lambda number: caller.post("/nothing", b"{}")))
    for path, question in QUESTIONS.items():
        body = json.dumps(question).encode()
        assert "error" not in caller.post(path, body)
        show(path, timed(NUM_CALLS, lambda number, path=path, body=body: caller.post(path, body)))
    for service, method in PROCESS_READS:
        data = {"node_id": "distributed_cluster", "resource_id": "distributed_cluster", "goals": ["energy"]}
        body = json.dumps({"id": "1", "service": service, "method": method, "data": data}).encode()
        show(f"{service}/{method}", timed(NUM_CALLS, lambda number, body=body: caller.post("/api/v1/process", body)))


def test_the_schedulers_3000_calls(caller: Caller) -> None:
    """One placement of NovaCron: every node and resource, one after the other, on one connection."""
    bodies = [
        json.dumps({"resource_id": f"n{node}", "metrics": {f"{name}_usage": 0.5}, "prediction_horizon": 60}).encode()
        for node in range(NUM_NODES) for name in RESOURCES
    ]  # fmt: skip
    began, used = time.perf_counter(), cpu_seconds(caller.process)
    milliseconds = timed(len(bodies), lambda number: caller.post("/predict/resources", bodies[number]))
    cpu = (cpu_seconds(caller.process) - used) / (len(bodies) + 100) * 1e3
    print(f"\nload average {os.getloadavg()[0]:.1f}")
    show(f"{len(bodies)} calls of /predict/resources", milliseconds)
    print(f"all of them {sum(milliseconds) / 1e3:.2f} s; the service's processor time {cpu:.2f} ms a call, in "
          f"{time.perf_counter() - began:.1f} s")  # fmt: skip
    assert len(milliseconds) == NUM_NODES * len(RESOURCES)
