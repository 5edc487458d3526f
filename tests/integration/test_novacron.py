"""The HTTP facade of a placement process, asked by Go code that asserts as NovaCron's does, and by a crowd."""

import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from moselle.stack.process import free_port
from services.common.topics import ALERTS, PREDICTIONS
from tests.integration.test_placement import Cloud
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.placement.worlds import make_alert, make_node, make_prediction

PROGRAM = Path(__file__).parent / "novacron"
CROWD = 1000


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Where the facade of the replica listens."""
    port = free_port()
    monkeypatch.setenv("MOSELLE_PLACEMENT_FACADE_PORT", str(port))
    return port


@pytest.fixture
def cloud(port: int, kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """A replica with a forecast node and a sick one."""
    made = Cloud(kafka_bootstrap, tmp_path, monkeypatch)
    try:
        made.publish_nodes(*(make_node(name, capacity={"bandwidth_mbps": 1000.0}) for name in ("n1", "n2")))
        made.start()
        made.say(PREDICTIONS.name, make_prediction(made.node("n1")))
        made.say(ALERTS.name, make_alert(made.node("n2")))
        poll_until(lambda: ask(port, made.node("n1"))["confidence"] > 0, "the forecast is known")
        yield made
    finally:
        made.close()


def ask(port: int, node: str) -> dict[str, float]:
    """One question about a node, on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    question = {"resource_id": node, "metrics": {"cpu_usage": 0.5}, "prediction_horizon": 15}
    connection.request("POST", "/predict/resources", json.dumps(question), {"Content-Type": "application/json"})
    found: dict[str, float] = json.load(connection.getresponse())
    connection.close()
    return found


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed: NovaCron's side cannot be compiled")
def test_go_code_that_asserts_never_panics(cloud: Cloud, port: int, tmp_path: Path) -> None:
    """Every question of the scheduler, the integration layer and the orchestrator, good, strange and refused."""
    program = tmp_path / "asks"
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod"}
    subprocess.run(["go", "build", "-o", program, "."], cwd=PROGRAM, env=environment, check=True)
    arguments = [program, f"http://127.0.0.1:{port}", cloud.node("n1"), cloud.node("n2")]
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert (ended.returncode, ended.stderr[:2000]) == (0, "")
    assert int(ended.stdout.split()[0]) > 50


def test_a_crowd_of_connections_is_turned_away(cloud: Cloud, port: int) -> None:
    """A thousand at once: gRPC and those inside are served meanwhile, and everybody when the crowd has left."""
    inside = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    inside.request("GET", "/health")
    inside.getresponse().read()
    with ExitStack() as crowd:
        for _ in range(CROWD):
            crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS))
        assert cloud.replicas[0].place(f"{cloud.name}-1").node == cloud.node("n1")
        inside.request("GET", "/health")
        assert inside.getresponse().status == 200
    inside.close()
    poll_until(lambda: ask(port, cloud.node("n1"))["confidence"] == 0.8, "a new connection is served")
