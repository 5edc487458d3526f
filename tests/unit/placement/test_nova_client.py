"""The part of Nova's plug-ins that needs no Nova: one question for all hosts, a deadline, a breaker."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from services.common.clock import FakeClock
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.gen.moselle.placement.v1 import placement_pb2_grpc
from services.common.grpc import GrpcServer
from services.placement.adapters.service import FULL_NAME, add_to_server
from services.placement.nova.client import Breaker, Client, Verdict
from services.placement.nova.request import profile, workload

NOVA = Path(__file__).parents[3] / "services" / "placement" / "nova"


class Placement(placement_pb2_grpc.PlacementServicer):
    """Scores hosts by the number in their names; does as it is told; counts."""

    def __init__(self) -> None:
        self.asked: list[pb.ScoreRequest] = []
        self.code: grpc.StatusCode | None = None

    def Score(self, request: pb.ScoreRequest, context: grpc.ServicerContext) -> pb.ScoreResponse:
        self.asked.append(request)
        if self.code is not None:
            context.abort(self.code, "as told")
        scores = [
            pb.NodeScore(node=name, score=int(name[-1]) / 10, is_feasible=True) if name[-1].isdigit()
            else pb.NodeScore(node=name, failed_constraints=["unknown_node"])
            for name in request.nodes
        ]  # fmt: skip
        return pb.ScoreResponse(scores=scores)


class World:
    """A server, and a client of it with a clock."""

    def __init__(self, **settings: Any) -> None:
        self.placement = Placement()
        self.server = GrpcServer("127.0.0.1", 0, [(add_to_server, self.placement, FULL_NAME)])
        self.clock = FakeClock()
        plain = {
            "address": f"127.0.0.1:{self.server.port}", "timeout_seconds": 10.0, "max_failures": 2,
            "retry_after_seconds": 10.0, "reuse_seconds": 1.0, "profile": "balanced", "node_kind": "host",
            "ca_file": "",
        }  # fmt: skip
        self.client = Client(SimpleNamespace(**{**plain, **settings}), self.clock.monotonic)

    def ask(self, *names: str, **spec: Any) -> dict[int, Verdict]:
        return self.client.verdicts([make_host(name) for name in names], make_spec(**spec))


def make_host(name: str) -> SimpleNamespace:
    return SimpleNamespace(host=name, nodename=f"{name}.example.org")


def make_spec(extra_specs: dict[str, str] | None = None, **changes: Any) -> SimpleNamespace:
    flavor = {"vcpus": 2, "memory_mb": 2048, "root_gb": 10, "extra_specs": extra_specs}
    return SimpleNamespace(flavor=SimpleNamespace(**flavor), project_id="p", **changes)


Open = Callable[..., World]


@pytest.fixture
def open_world() -> Iterator[Open]:
    """Makes servers; they end with the test."""
    worlds: list[World] = []

    def make(**settings: Any) -> World:
        worlds.append(World(**settings))
        return worlds[-1]

    yield make
    for world in worlds:
        world.server.close(0.1)


def test_all_hosts_are_one_question(open_world: Open) -> None:
    """Each by its node's name and its own; those that placement does not know are missing."""
    world = open_world()
    found = world.ask("c1", "c2", "stranger")
    assert {place: verdict.score for place, verdict in found.items()} == {0: 0.1, 1: 0.2}
    (asked,) = world.placement.asked
    assert list(asked.nodes)[:2] == ["host:c1.example.org", "host:c1"]


def test_an_answer_serves_the_same_question_for_a_while(open_world: Open) -> None:
    """Also for fewer hosts; not for another flavor, nor for a host that it has not."""
    world = open_world()
    world.ask("c1", "c2")
    assert world.ask("c2")[0].score == 0.2
    assert len(world.placement.asked) == 1
    world.ask("c3")
    world.ask("c3", extra_specs={"moselle:max_latency_ms": "5"})
    world.clock.advance(1.5)
    world.ask("c3")
    assert len(world.placement.asked) == 4


def test_after_some_failures_nobody_is_asked_for_a_while(open_world: Open) -> None:
    """Two time-outs at most in ten seconds, however many requests come; then one tries."""
    world = open_world(reuse_seconds=0.0)
    world.placement.code = grpc.StatusCode.UNAVAILABLE
    assert [world.ask("c1") for _ in range(9)] == [{}] * 9
    assert len(world.placement.asked) == 2
    world.clock.advance(10.1)
    assert [world.ask("c1") for _ in range(3)] == [{}] * 3
    assert len(world.placement.asked) == 3
    world.placement.code = None
    world.clock.advance(10.1)
    assert all(world.ask("c1") for _ in range(3))
    assert len(world.placement.asked) == 6


def test_a_refused_question_leaves_the_others_alone(open_world: Open) -> None:
    """One flavor that placement refuses does not shut the others out."""
    world = open_world(reuse_seconds=0.0)
    world.placement.code = grpc.StatusCode.INVALID_ARGUMENT
    assert [world.ask("c1") for _ in range(5)] == [{}] * 5
    world.placement.code = None
    assert world.ask("c1")


def test_whatever_goes_wrong_is_an_empty_answer(open_world: Open) -> None:
    """A spec of another shape, an extra spec that is no number, a certificate that is not there."""
    world = open_world()
    assert world.client.verdicts([make_host("c1")], object()) == {}
    assert world.client.verdicts([object()], make_spec()) == {}
    assert world.ask("c1", extra_specs={"moselle:max_latency_ms": "soon"}) == {}
    assert open_world(ca_file="missing.pem").ask("c1") == {}
    assert world.placement.asked == []


def test_a_flavor_becomes_a_workload() -> None:
    """Units, and the extra specs with our prefix; the disk may be anybody's."""
    extra = {"moselle:required_regions": "eu, us", "moselle:min_security_level": "3", "hw:cpu_policy": "dedicated",
             "moselle:max_cost_per_hour": "0.5", "moselle:profile": "power"}  # fmt: skip
    found = workload(make_spec(extra))
    assert (found.requests.cpu_cores, found.requests.memory_bytes) == (2, 2 * 2**30)
    assert found.requests.disk_bytes == 0
    assert list(found.constraints.required_regions) == ["eu", "us"]
    assert (found.constraints.min_security_level, found.constraints.max_cost_per_hour) == (3, 0.5)
    assert not found.constraints.HasField("max_latency_ms")
    assert (profile(make_spec(extra), "balanced"), profile(make_spec(), "cost")) == (pb.PROFILE_POWER, pb.PROFILE_COST)


def test_an_open_breaker_lets_one_in_when_its_time_is_over() -> None:
    """The others wait for what comes of it."""
    clock = FakeClock()
    breaker = Breaker(1, 5.0, clock.monotonic)
    assert breaker.may_ask()
    assert breaker.failed()
    assert not breaker.may_ask()
    clock.advance(5.1)
    assert [breaker.may_ask() for _ in range(3)] == [True, False, False]
    breaker.succeeded()
    assert breaker.may_ask()


def test_the_plug_ins_need_nothing_of_the_service() -> None:
    """Stubs, themselves, gRPC, Nova, Oslo and the standard library."""
    allowed = ("services.common.gen.moselle.placement", "services.placement.nova", "grpc", "nova", "oslo_config")
    for path in NOVA.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [one.name for one in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name.startswith(allowed) or name.partition(".")[0] in sys.stdlib_module_names, (path.name, name)
