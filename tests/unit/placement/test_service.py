"""The gRPC side in one process: too many requests, and what is unknown, get a code and a sentence."""

import math
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from moselle.place import Tls, ask
from services.common.broker.abstract import Output
from services.common.errors import Retryable
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.gen.moselle.placement.v1 import placement_pb2_grpc
from services.common.grpc import NO_TLS, GrpcServer
from services.common.grpc import Tls as ServerTls
from services.placement.adapters.service import FULL_NAME, PlacementService, add_to_server
from tests.certificates import make_certificates, needs_openssl
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.placement.worlds import Cloud, make_node, make_workload

TOO_MANY = [pb.Workload()] * 1001


def node(name: str = "node:n1", cpu: float = 4.0, **changes: Any) -> pb.InventoryNode:
    """A node as an orchestrator names it."""
    return pb.InventoryNode(node=name, capacity={"cpu_cores": cpu, "memory_bytes": 2.0**34}, **changes)


class Served:
    """An engine behind a port, with one worker and room for two requests; publishing can be held up."""

    def __init__(self, tls: ServerTls = NO_TLS) -> None:
        self.may_publish = threading.Event()
        self.may_publish.set()
        self.cloud = Cloud(make_node(cpu=100, memory=2**40))
        self._publish = self.cloud.engine._publish
        self.cloud.engine._publish = self._hold_up
        service = (add_to_server, PlacementService(self.cloud.engine), FULL_NAME)
        self.server = GrpcServer("127.0.0.1", 0, [service], max_workers=1, max_requests=2, tls=tls)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.server.port}")
        self.stub = placement_pb2_grpc.PlacementStub(self.channel)

    def _hold_up(self, outputs: Sequence[Output]) -> None:
        self.may_publish.wait(TIMEOUT_SECONDS)
        self._publish(outputs)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.may_publish.set()
    made.channel.close()
    made.server.close()


def test_requests_beyond_the_limit_are_refused_at_once(served: Served) -> None:
    """One is answered, one waits, the others are told to come again; what was taken is answered."""
    served.may_publish.clear()
    calls = [
        served.stub.Place.future(
            pb.PlaceRequest(request_id=f"r{number}", workload=make_workload()), timeout=TIMEOUT_SECONDS
        )
        for number in range(10)
    ]
    poll_until(lambda: sum(call.done() for call in calls) >= 8, "eight that are ended before anything was published")
    refused = [call for call in calls if call.done()]
    served.may_publish.set()
    assert [call.code() for call in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED] * 8
    assert all(call.result().decision.node for call in calls if call not in refused)


def test_the_command_asks_past_a_proxy(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy knows nothing of this machine's ports."""
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert ask(f"127.0.0.1:{served.server.port}", pb.PlaceRequest(request_id="r", workload=make_workload())).node


@needs_openssl
def test_the_command_shows_its_certificate(tmp_path: Path) -> None:
    """With mTLS it is answered; without a certificate of its own it is told that nobody answers."""
    make_certificates(tmp_path, "server", "client")
    served = Served(ServerTls(*(str(tmp_path / name) for name in ("server.pem", "server.key", "ca.pem"))))
    address, request = f"127.0.0.1:{served.server.port}", pb.PlaceRequest(request_id="r", workload=make_workload())
    ca, own = tmp_path / "ca.pem", (tmp_path / "client.pem", tmp_path / "client.key")
    assert ask(address, request, Tls(ca, *own)).node
    with pytest.raises(Retryable, match="did not answer"):
        ask(address, request, Tls(ca))
    served.channel.close()
    served.server.close(0)


@pytest.mark.parametrize(
    ("method", "request_", "code", "words"),
    [
        ("Place", pb.PlaceRequest(workload=pb.Workload(workload_id="w")), "INVALID_ARGUMENT", "request_id is empty"),
        ("Confirm", pb.ConfirmRequest(request_id="r", node="n"), "NOT_FOUND", "'r'"),
        ("Confirm", pb.ConfirmRequest(request_id="r"), "INVALID_ARGUMENT", "node is empty"),
        ("Release", pb.ReleaseRequest(request_id="r"), "NOT_FOUND", "'r'"),
        ("Release", pb.ReleaseRequest(request_id="r", outcome=9), "INVALID_ARGUMENT", "outcome 9"),
        ("Release", pb.ReleaseRequest(request_id="r", event_time_micros=-1), "INVALID_ARGUMENT", "event_time_micros"),
        ("Score", pb.ScoreRequest(workload=make_workload(cpu=-1)), "INVALID_ARGUMENT", "cpu_cores is -1"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[node("n1")]), "INVALID_ARGUMENT", "give kind:name"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[node(cpu=-1)]), "INVALID_ARGUMENT",
         "cpu_cores of node:n1 is -1"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[node(cpu=math.nan)]), "INVALID_ARGUMENT", "is nan"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[pb.InventoryNode(node="node:n1")]), "INVALID_ARGUMENT",
         "no capacity"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[node(), node()]), "INVALID_ARGUMENT", "named twice"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[node()], removed_nodes=["node:n1"]), "INVALID_ARGUMENT",
         "named twice"),
        ("UpsertInventory", pb.UpsertInventoryRequest(source="a|b"), "INVALID_ARGUMENT", "without |"),
        ("UpsertInventory", pb.UpsertInventoryRequest(nodes=[node(labels={"x": "y" * 70_000})]), "INVALID_ARGUMENT",
         "give at most 65536"),
        ("PlaceBatch", pb.PlaceBatchRequest(request_id="b", workloads=TOO_MANY), "INVALID_ARGUMENT", "1001 entries"),
        ("PlaceBatch", pb.PlaceBatchRequest(request_id="b", workloads=[pb.Workload()]), "INVALID_ARGUMENT", "is empty"),
    ],
)  # fmt: skip
def test_wrong_calls_get_a_code_and_a_sentence(
    served: Served, method: str, request_: object, code: str, words: str
) -> None:
    """What was wrong, and with what value."""
    with pytest.raises(grpc.RpcError, match=words) as refused:
        getattr(served.stub, method)(request_, timeout=TIMEOUT_SECONDS)
    assert refused.value.code().name == code  # type: ignore[attr-defined]


def test_a_batch_is_answered_in_its_own_order(served: Served) -> None:
    """An empty one too."""
    workloads = [make_workload(workload_id=f"w{number}", priority=number / 10) for number in range(3)]
    answer = served.stub.PlaceBatch(pb.PlaceBatchRequest(request_id="b", workloads=workloads), timeout=TIMEOUT_SECONDS)
    assert [one.workload_id for one in answer.decisions] == ["w0", "w1", "w2"]
    assert not served.stub.PlaceBatch(pb.PlaceBatchRequest(request_id="c"), timeout=TIMEOUT_SECONDS).decisions


def test_an_orchestrators_nodes_are_in_the_inventory_when_it_is_answered(served: Served) -> None:
    """Recorded in entities.v1; replacing removes only what the same source said before."""
    served.cloud.engine._publish = served._publish

    def upsert(*names: str, **fields: Any) -> tuple[int, int]:
        request = pb.UpsertInventoryRequest(source="k8s", nodes=[node(name) for name in names], **fields)
        answer = served.stub.UpsertInventory(request, timeout=TIMEOUT_SECONDS)
        served.cloud.turn()
        return answer.num_published, answer.num_removed

    def known() -> list[str]:
        return sorted(served.cloud.engine._world.matrix.ids)

    assert upsert("node:a", "node:b", "node:c") == (3, 0)
    assert known() == ["host:n1", "node:a", "node:b", "node:c"]
    assert upsert(removed_nodes=["node:a", "node:unknown"]) == (0, 1)
    assert known() == ["host:n1", "node:b", "node:c"]
    assert upsert("node:d", is_replacing=True) == (1, 2)
    assert known() == ["host:n1", "node:d"]
    row = served.cloud.engine._world.matrix.infos[served.cloud.engine._world.matrix.row_of["node:d"]]
    assert row.capacity == {"cpu_cores": 4.0, "memory_bytes": 2.0**34}
