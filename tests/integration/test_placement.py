"""Placement as a process: a real client, a real Kafka, kills and restarts, two replicas."""

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from moselle import inventory
from moselle.placement_check import placements_of, violations
from moselle.stack.process import free_port, spawn, stop
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.clock import SystemClock, to_micros
from services.common.codec import Codec
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.gen.moselle.placement.v1 import placement_pb2_grpc
from services.common.schemas import SchemaRegistry
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.placement.worlds import GIB, SECOND, make_alert, make_node, make_prediction, make_workload

TOPICS = (ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS)
SERVICE = "moselle.placement.v1.Placement"


class Replica:
    """One process of placement on ports that stay the same over restarts."""

    def __init__(
        self,
        bootstrap: str,
        cluster: str,
        folder: Path,
        number: int,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self._credentials = credentials
        self.address = f"127.0.0.1:{free_port()}"
        self._log = folder / f"placement-{number}.log"
        self._env = {
            **os.environ,
            "MOSELLE_KAFKA_BOOTSTRAP": bootstrap,
            "MOSELLE_CLUSTER": cluster,
            "MOSELLE_GRPC_PORT": self.address.rpartition(":")[2],
            "MOSELLE_REPLICA": str(number),
        }
        self._channel: grpc.Channel | None = None
        self.start()

    def start(self) -> None:
        self._process: Popen[bytes] = spawn([sys.executable, "-m", "services.placement"], self._log, env=self._env)
        options = [("grpc.initial_reconnect_backoff_ms", 100)]
        self.channel = (
            grpc.insecure_channel(self.address, options=options)
            if self._credentials is None
            else grpc.secure_channel(self.address, self._credentials, options=options)
        )
        self.stub = placement_pb2_grpc.PlacementStub(self.channel)
        poll_until(self.is_serving, f"placement serves; see {self._log}")

    def is_serving(self) -> bool:
        try:
            request = health_pb2.HealthCheckRequest(service=SERVICE)
            answer = health_pb2_grpc.HealthStub(self.channel).Check(request, timeout=10)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    def kill(self) -> None:
        self.channel.close()
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self.channel.close()
        stop(self._process, signal.SIGTERM, 20)

    def place(self, request_id: str, **workload: Any) -> pb.Decision:
        request = pb.PlaceRequest(request_id=request_id, workload=make_workload(**workload))
        return self.stub.Place(request, timeout=TIMEOUT_SECONDS).decision


class Cloud:
    """A cluster of its own on the shared broker: no other test's records count in it."""

    def __init__(self, bootstrap: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.name = f"it-{uuid.uuid4().hex[:8]}"
        self.bootstrap = bootstrap
        self._folder = folder
        monkeypatch.setenv("MOSELLE_CLUSTER", self.name)
        create_topics(bootstrap, TOPICS, 4)
        self.broker = KafkaBroker(bootstrap)
        self.codec = Codec()
        registry = SchemaRegistry(self.broker, self.codec)
        registry.publish_own()
        registry.close()
        self.replicas: list[Replica] = []

    def start(self) -> Replica:
        self.replicas.append(Replica(self.bootstrap, self.name, self._folder, len(self.replicas)))
        return self.replicas[-1]

    def start_as(self, credentials: grpc.ChannelCredentials) -> Replica:
        """A replica that is asked with a certificate."""
        self.replicas.append(Replica(self.bootstrap, self.name, self._folder, len(self.replicas), credentials))
        return self.replicas[-1]

    def publish_nodes(self, *nodes: dict[str, Any]) -> None:
        self.nodes = [{**node, "entity_id": f"{node['entity_id']}-{self.name}"} for node in nodes]
        inventory.publish(self.bootstrap, self.nodes)

    def node(self, name: str) -> str:
        return f"host:{name}-{self.name}"

    def say(self, topic: str, record: dict[str, Any]) -> None:
        now = to_micros(SystemClock().now())
        times = {name: now for name in ("event_time", "starts_at", "detected_at") if name in record}
        times |= {"valid_until": now + 300 * SECOND} if "valid_until" in record else {}
        record = {**record, **times, "cluster": self.name, "fingerprint": f"{self.name}-{record['entity_id']}"}
        self.broker.publish([Output(topic, record["entity_id"].encode(), self.codec.encode(topic, record))])

    def placements(self) -> list[dict[str, Any]]:
        """This cluster's records of placements.v1."""
        records = [
            self.codec.decode(record.value)
            for number in range(self.broker.num_partitions(PLACEMENTS.name))
            for record in self.broker.read_to_end(PLACEMENTS.name, number)
        ]
        return [record for record in records if record["cluster"] == self.name]

    def close(self) -> None:
        for replica in self.replicas:
            replica.stop()
        self.broker.close()


@pytest.fixture
def cloud(kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Three equal nodes, and nothing that runs yet."""
    made = Cloud(kafka_bootstrap, tmp_path, monkeypatch)
    try:
        made.publish_nodes(*(make_node(name, cpu=4) for name in ("n1", "n2", "n3")))
        yield made
    finally:
        made.close()


def status_of(call: grpc.RpcError) -> tuple[str, str]:
    return call.code().name, call.details()  # type: ignore[attr-defined]


def test_a_killed_replica_comes_back_with_all_that_it_promised(cloud: Cloud) -> None:
    """Same decision for the same id, reservations kept, confirmed and released workloads as they were."""
    replica = cloud.start()
    first = [replica.place(f"{cloud.name}-{number}", cpu=2) for number in range(4)]
    confirm = pb.ConfirmRequest(request_id=first[0].request_id, node=first[0].node, node_version=first[0].node_version)
    assert replica.stub.Confirm(confirm).is_still_feasible
    assert replica.stub.Release(pb.ReleaseRequest(request_id=first[1].request_id)).was_reserved
    replica.kill()
    replica.start()
    again = [replica.place(f"{cloud.name}-{number}", cpu=2) for number in range(4)]
    assert [one.SerializeToString() for one in again] == [one.SerializeToString() for one in first]
    rest = [bool(replica.place(f"{cloud.name}-x{number}", cpu=2).node) for number in range(4)]
    assert rest == [True, True, True, False]
    assert violations(cloud.nodes, placements_of(cloud.placements())) == []


def test_alerts_and_forecasts_change_where_workloads_go(cloud: Cloud) -> None:
    """A node with an alert is avoided and named first; of the others the one with the lower forecast is taken."""
    replica = cloud.start()
    cloud.say(ALERTS.name, make_alert(cloud.node("n1")))
    for name, value in (("n2", 0.9), ("n3", 0.1)):
        cloud.say(PREDICTIONS.name, make_prediction(cloud.node(name), values=[value], horizons_seconds=[300]))

    def is_known() -> bool:
        request = pb.ScoreRequest(workload=make_workload(), with_reasons=True)
        scores = {one.node: one for one in replica.stub.Score(request).scores}
        values = {r.factor: r.value for one in scores.values() for r in one.reasons if one.node == cloud.node("n1")}
        return values["health"] == 0 and len({round(one.score, 6) for one in scores.values()}) == 3

    poll_until(is_known, "alert and forecasts are in the matrix")
    decision = replica.place(f"{cloud.name}-1")
    assert (decision.node, decision.mode) == (cloud.node("n3"), pb.MODE_LIVE)
    assert f"{cloud.node('n1')}: critical error_burst" in decision.reasons[0].text
    (record,) = cloud.placements()
    assert (record["node"], record["mode"], record["reasons"][0]["factor"]) == (decision.node, "live", "health")
    explained = replica.stub.Explain(pb.ExplainRequest(request_id=decision.request_id, node=cloud.node("n1")))
    assert explained.compared.reasons[0].factor == "health"


def test_two_replicas_share_what_is_there(cloud: Cloud) -> None:
    """Each fills what the other leaves; a watcher of one hears of the other's decisions."""
    one, other = cloud.start(), cloud.start()
    watch = other.stub.WatchDecisions(pb.WatchDecisionsRequest(from_micros=1), timeout=TIMEOUT_SECONDS)
    for number in range(3):
        decision = one.place(f"{cloud.name}-{number}", cpu=4)
        assert decision.node
        assert next(watch).decision.request_id == decision.request_id
    full = other.place(f"{cloud.name}-x", cpu=4)
    assert not full.node
    assert full.infeasible.exclusions[0].constraint == "cpu_request_fits"
    assert "at most 0 cpu_cores free" in full.infeasible.remedy
    again = other.place(f"{cloud.name}-0", cpu=4)
    assert again.node


def test_the_frame_answers_as_grpc_expects(cloud: Cloud) -> None:
    """Health, reflection, and status codes with sentences."""
    replica = cloud.start()
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    (listed,) = reflection_pb2_grpc.ServerReflectionStub(replica.channel).ServerReflectionInfo(asked)
    assert SERVICE in [service.name for service in listed.list_services_response.service]
    with pytest.raises(grpc.RpcError) as negative:
        replica.place("r", cpu=-1)
    assert status_of(negative.value)[0] == "INVALID_ARGUMENT"
    assert "cpu_cores is -1" in status_of(negative.value)[1]
    with pytest.raises(grpc.RpcError) as large:
        replica.place("r", labels={"x": "y" * 70_000})
    assert "give at most 65536" in status_of(large.value)[1]
    with pytest.raises(grpc.RpcError) as unknown:
        replica.stub.Explain(pb.ExplainRequest(request_id="nobody"))
    assert status_of(unknown.value)[0] == "NOT_FOUND"


def test_the_inventory_follows_the_command(cloud: Cloud) -> None:
    """A node that is removed gets nothing any more; --replace removes what a new file lacks."""
    replica = cloud.start()

    def nodes() -> list[str]:
        request = pb.ScoreRequest(workload=make_workload(memory=GIB))
        return [one.node.partition("-")[0] for one in replica.stub.Score(request).scores]

    assert nodes() == ["host:n1", "host:n2", "host:n3"]
    inventory.remove(cloud.bootstrap, [cloud.node("n1")])
    poll_until(lambda: nodes() == ["host:n2", "host:n3"], "the removed node is gone")
    assert inventory.publish(cloud.bootstrap, cloud.nodes[2:], is_replacing=True)[0] == 1
    poll_until(lambda: nodes() == ["host:n3"], "only the node of the new file is left")
