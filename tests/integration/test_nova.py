"""The weigher and the filter under Nova's own handlers, against a real gRPC server with the real engine.

Nova lives in an environment of its own (`make nova-env`), or in the system's Python (Debian's python3-nova).
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from services.common.grpc import GrpcServer
from services.common.metrics import GRPC_REQUESTS
from services.placement.adapters.service import FULL_NAME, PlacementService, add_to_server
from tests.unit.placement.worlds import Cloud, make_alert, make_node

ROOT = Path(__file__).parents[2]
ASKS = Path(__file__).parent / "nova" / "asks.py"
SCORE = f"/{FULL_NAME}/Score"
HOSTS = ["compute-1", "compute-2", "compute-3"]


@cache
def nova_python() -> str:
    """A Python with Nova and gRPC; empty when there is none."""
    for python in (os.environ.get("MOSELLE_NOVA_PYTHON", ""), str(ROOT / ".venv-nova" / "bin" / "python"), "python3"):
        try:
            found = subprocess.run([python, "-c", "import nova.conf, grpc"], capture_output=True, check=False)
        except OSError:
            continue
        if found.returncode == 0:
            return python
    return ""


@pytest.fixture
def address() -> Iterator[str]:
    """Placement with three hosts: the second is sick, the third is closed."""
    cloud = Cloud(
        make_node("compute-1"), make_node("compute-2", labels={"topology.kubernetes.io/region": "eu"}),
        make_node("compute-3", labels={"moselle.io/unschedulable": "true"}),
    )  # fmt: skip
    cloud.say(make_alert("host:compute-2"))
    server = GrpcServer("127.0.0.1", 0, [(add_to_server, PlacementService(cloud.engine), FULL_NAME)])
    yield f"127.0.0.1:{server.port}"
    server.close()


def ask(address: str, hosts: list[str] = HOSTS, **about: Any) -> dict[str, Any]:
    """What Nova makes of a request."""
    if not nova_python():
        pytest.skip("no Python with nova and grpcio: `make nova-env`, or name one in MOSELLE_NOVA_PYTHON")
    question = json.dumps({"address": address, "hosts": hosts, **about})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [nova_python(), ASKS, question], capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def num_scores() -> float:
    """Questions that placement has answered."""
    return float(GRPC_REQUESTS.labels(SCORE, "OK")._value.get())


def test_a_sick_host_comes_last_and_a_closed_one_does_not_come(address: str) -> None:
    """By one question for filter and weigher together; a host that nobody knows stands between."""
    before = num_scores()
    found = ask(address, [*HOSTS, "stranger"], options={"timeout_seconds": 10.0, "weight_multiplier": 1.0})
    assert found["order"] == ["compute-1", "stranger", "compute-2"]
    assert found["weights"]["compute-1"] - found["weights"]["compute-2"] > 0.25
    assert num_scores() == before + 1


def test_extra_specs_of_the_flavor_are_constraints(address: str) -> None:
    """A region of the flavor leaves the host that lies there."""
    found = ask(address, options={"timeout_seconds": 10.0}, extra_specs={"moselle:required_regions": "eu"})
    assert found["passed"] == ["compute-2"]


@pytest.mark.parametrize("extra", [{"moselle:max_latency_ms": "soon"}, {"moselle:profile": "x"},
                                   {"moselle:min_uptime_ratio": "-1"}])  # fmt: skip
def test_a_wrong_extra_spec_changes_nothing(extra: dict[str, str], address: str) -> None:
    """It is logged; every host passes, and all weigh the same."""
    found = ask(address, options={"timeout_seconds": 10.0}, extra_specs=extra)
    assert (found["passed"], set(found["weights"].values())) == (HOSTS, {0.0})


@pytest.mark.parametrize("is_hanging", [False, True])
def test_a_moselle_that_is_gone_changes_nothing(is_hanging: bool) -> None:
    """Twenty requests while nobody listens, or somebody who never answers: all pass with 0.0, in Nova's order."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if not is_hanging:
            server.close()
        found = ask(f"127.0.0.1:{port}", times=20, options={"reuse_seconds": 0.0})
    assert (found["passed"], found["order"], set(found["weights"].values())) == (HOSTS, HOSTS, {0.0})


def test_it_works_under_eventlet(address: str) -> None:
    """Nova-scheduler may run with everything patched."""
    found = ask(address, eventlet=True, options={"timeout_seconds": 10.0})
    assert found["order"] == ["compute-1", "compute-2"]
