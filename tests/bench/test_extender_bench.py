"""The extender's share of a pod: both calls of a real scheduler, at 1,000 nodes, over one connection to a process.

Beside them, in the same run: a bare round trip to the same port, which is what HTTP costs by itself here.
"""

import http.client
import json
import os
import random
import socket
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from moselle.stack.process import free_port, spawn, stop
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.schemas import SchemaRegistry
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS
from tests.apiserver import FakeApiServer
from tests.polling import poll_until
from tests.unit.placement.kube import make_node_object, recorded
from tests.unit.placement.worlds import make_features, make_prediction

pytestmark = [pytest.mark.bench, pytest.mark.timeout(400)]
NUM_NODES, NUM_CANDIDATES, NUM_PODS, NUM_WARM = 1_000, 420, 1_000, 100
CLUSTER = "bench-extender"
NAMES = [f"node-{number:04}" for number in range(NUM_NODES)]


@pytest.fixture
def served(kafka_bootstrap: str, tmp_path: Path) -> Iterator[tuple[int, psutil.Process]]:
    """The port of a process that follows 1,000 nodes with loads and forecasts."""
    create_topics(kafka_bootstrap, (ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS), 4)
    broker, codec = KafkaBroker(kafka_bootstrap), Codec()
    SchemaRegistry(broker, codec).publish_own()
    outputs = []
    api = FakeApiServer(page_size=500)
    for number, name in enumerate(NAMES):
        api.put("nodes", make_node_object(name, cpu="32", memory="128Gi"))
        features = make_features(f"node:{name}", cpu_used_ratio=number % 7 / 10, memory_used_ratio=0.3)
        prediction = make_prediction(f"node:{name}", values=[0.1, number % 5 / 10])
        for topic, record in ((FEATURES.name, features), (PREDICTIONS.name, prediction)):
            outputs.append(Output(topic, f"node:{name}".encode(), codec.encode(topic, {**record, "cluster": CLUSTER})))
    broker.publish(outputs)
    broker.close()
    port = free_port()
    env = {
        **os.environ,
        "MOSELLE_KAFKA_BOOTSTRAP": kafka_bootstrap,
        "MOSELLE_CLUSTER": CLUSTER,
        "MOSELLE_GRPC_PORT": "0",
        "MOSELLE_PLACEMENT_KUBERNETES": api.kubeconfig(tmp_path),
        "MOSELLE_PLACEMENT_EXTENDER_PORT": str(port),
        "MOSELLE_PLACEMENT_EXTENDER_LIVE_PERCENT": "100",
        "MOSELLE_PLACEMENT_FEATURES_VALID_SECONDS": "3600",
    }
    process = spawn([sys.executable, "-m", "services.placement"], tmp_path / "log", env=env)
    poll_until(lambda: is_ready(port), "the extender is ready")
    yield port, psutil.Process(process.pid)
    stop(process)
    api.close()


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Client:
    """One keep-alive connection, with as little of its own as Python can do."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        self._socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        got = self._socket.recv(1 << 20)
        assert got.startswith(b"HTTP/1.1 200")
        while b"\r\n\r\n" not in got:
            got += self._socket.recv(1 << 20)
        begin = got.index(b"\r\n\r\n") + 4
        length = int(got[:begin].lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(got) < begin + length:
            got += self._socket.recv(1 << 20)
        return got[begin:]

    def timed(self, method: str, path: str, body: bytes = b"") -> float:
        """Milliseconds."""
        began = time.perf_counter()
        self.request(method, path, body)
        return (time.perf_counter() - began) * 1e3

    def close(self) -> None:
        self._socket.close()


def show(what: str, milliseconds: Sequence[float]) -> None:
    cuts = statistics.quantiles(milliseconds, n=100)
    low = min(milliseconds)
    print(f"{what:<40} min {low:6.2f}   p50 {cuts[49]:6.2f}   p95 {cuts[94]:6.2f}   p99 {cuts[98]:6.2f} ms")


def bodies() -> Iterator[bytes]:
    """A recorded question about pods with other UIDs and other samples of 420 nodes, at 500 pods a second at most."""
    question = json.loads(recorded("names", "filter"))
    draw = random.Random(7)
    for number in range(NUM_WARM + NUM_PODS):
        question["Pod"]["metadata"]["uid"] = f"{draw.getrandbits(128):032x}"
        question["Pod"]["metadata"]["name"] = f"pod-{number:05}"
        question["NodeNames"] = draw.sample(NAMES, NUM_CANDIDATES)
        yield json.dumps(question, separators=(",", ":")).encode()


def test_both_calls_of_a_pod(served: tuple[int, psutil.Process]) -> None:
    """Prints the figures; they depend on the machine: only that every question is answered in full is asserted."""
    port, process = served
    client = Client(port)
    floor = [client.timed("GET", "/readyz") for _ in range(NUM_PODS)]
    rows, used = [], process.cpu_times()
    for body in bodies():
        rows.append((client.timed("POST", "/filter", body), client.timed("POST", "/prioritize", body)))
        time.sleep(0.002)
    spent = process.cpu_times()
    rows = rows[NUM_WARM:]
    print(f"\n{NUM_NODES} nodes, {NUM_CANDIDATES} candidates, {len(body)} bytes, load average {os.getloadavg()[0]:.1f}")
    show("bare HTTP round trip", floor)
    show("filter", [row[0] for row in rows])
    show("prioritize", [row[1] for row in rows])
    show("both calls of a pod", [sum(row) for row in rows])
    cpu = (spent.user + spent.system - used.user - used.system) / (NUM_PODS + NUM_WARM)
    print(f"processor time of the process a pod, records and the rest included: {cpu * 1e3:.2f} ms")
    answers = [json.loads(client.request("POST", "/prioritize", body)) for _ in range(20)]
    client.close()
    neutral = sum(len({one["Score"] for one in answer}) == 1 for answer in answers)
    print(f"{neutral} of {len(answers)} more were neutral: too late on this machine")
    assert all(len(answer) == NUM_CANDIDATES for answer in answers)
