"""The extender as a process: a scheduler's conversation over one connection, a real Kafka, replicas, kills."""

import http.client
import json
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from moselle.stack.process import free_port, spawn, stop
from moselle.stack.topics import create_topics
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.schemas import SchemaRegistry
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS
from tests.apiserver import FakeApiServer
from tests.polling import poll_until
from tests.unit.placement.kube import RECORDED, bound, make_node_object, make_pod, recorded

TOPICS = (ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS, SCHEMAS)
NAMES = json.loads(recorded("names", "filter"))["NodeNames"]


class Replica:
    """One process on a port that stays the same over restarts, and one keep-alive connection to it."""

    def __init__(self, bootstrap: str, cluster: str, folder: Path, kubeconfig: str, live_percent: int = 100) -> None:
        self.port = free_port()
        self._log = folder / f"placement-{self.port}.log"
        self._env = {
            **os.environ,
            "MOSELLE_KAFKA_BOOTSTRAP": bootstrap,
            "MOSELLE_CLUSTER": cluster,
            "MOSELLE_GRPC_PORT": "0",
            "MOSELLE_PLACEMENT_KUBERNETES": kubeconfig,
            "MOSELLE_PLACEMENT_EXTENDER_PORT": str(self.port),
            "MOSELLE_PLACEMENT_EXTENDER_LIVE_PERCENT": str(live_percent),
            "MOSELLE_PLACEMENT_OUTCOME_PATIENCE_SECONDS": "0.5",
        }
        self.start()

    def start(self) -> None:
        self._process: Popen[bytes] = spawn([sys.executable, "-m", "services.placement"], self._log, env=self._env)
        poll_until(self.is_ready, f"the extender is ready; see {self._log}")
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def send(self, verb: str, body: bytes, method: str = "POST") -> tuple[int, bytes, dict[str, str]]:
        """Status, body and headers of the answer, over the one connection."""
        self.connection.request(method, f"/{verb}", body, {"Content-Type": "application/json"})
        response = self.connection.getresponse()
        return response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}

    def ask(self, verb: str, pod: dict[str, Any]) -> Any:
        body = json.dumps({"Pod": pod, "Nodes": None, "NodeNames": NAMES}).encode()
        status, answer, _ = self.send(verb, body)
        assert status == 200
        return json.loads(answer)

    def best(self, pod: dict[str, Any]) -> str:
        self.ask("filter", pod)
        marks = self.ask("prioritize", pod)
        return str(max(marks, key=lambda one: one["Score"])["Host"])

    def kill(self) -> None:
        self.connection.close()
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        self.connection.close()
        stop(self._process, signal.SIGTERM, 20)


class World:
    """Twenty nodes behind an API server, a Kafka, and replicas."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.cluster = f"it-{uuid.uuid4().hex[:8]}"
        self._bootstrap, self._folder = bootstrap, folder
        create_topics(bootstrap, TOPICS, 4)
        self.broker, self.codec = KafkaBroker(bootstrap), Codec()
        registry = SchemaRegistry(self.broker, self.codec)
        registry.publish_own()
        registry.close()
        self.api = FakeApiServer(page_size=7)
        for name in NAMES:
            self.api.put("nodes", make_node_object(name, cpu="32", memory="128Gi"))
        self.kubeconfig = self.api.kubeconfig(folder)
        self.replicas: list[Replica] = []

    def start(self, live_percent: int = 100) -> Replica:
        made = Replica(self._bootstrap, self.cluster, self._folder, self.kubeconfig, live_percent)
        self.replicas.append(made)
        return made

    def records(self, topic: str) -> list[dict[str, Any]]:
        """This cluster's records of a topic, oldest first within a key."""
        found = [
            self.codec.decode(record.value)
            for number in range(self.broker.num_partitions(topic))
            for record in self.broker.read_to_end(topic, number)
            if record.value is not None
        ]
        return [fields for fields in found if fields["cluster"] == self.cluster]

    def outcomes(self) -> dict[str, list[str]]:
        """What is recorded of each pod: modes of decisions, then outcomes."""
        found: dict[str, list[str]] = {}
        for fields in self.records(PLACEMENTS.name):
            found.setdefault(fields["workload"], []).append(fields["outcome"] or fields["mode"])
        return found

    def close(self) -> None:
        for replica in self.replicas:
            replica.stop()
        self.api.close()
        self.broker.close()


@pytest.fixture
def world(kafka_bootstrap: str, tmp_path: Path) -> Iterator[World]:
    made = World(kafka_bootstrap, tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize("kind", ["names", "nodes"])
def test_a_recorded_conversation_goes_over_one_connection(world: World, kind: str) -> None:
    """As a real scheduler sent it: HTTP/1.1, Content-Length, the connection stays, every field there."""
    replica = world.start()
    for verb in ("filter", "prioritize") * 5:
        status, body, headers = replica.send(verb, recorded(kind, verb))
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["content-length"] == str(len(body))
        assert "connection" not in headers
    head = (RECORDED / kind / "filter.request.head").read_text()
    assert "HTTP/1.1" in head
    assert len({one["Host"] for one in json.loads(body)}) == 20
    # The nodes that the watch saw are in the inventory for everybody else.
    poll_until(lambda: len(world.records(ENTITIES.name)) == 20, "the nodes are published")


def test_what_was_decided_and_what_became_of_it_is_recorded(world: World) -> None:
    """Two replicas follow the same pods; each outcome stands in the topic once, also after the decider died."""
    first, second = world.start(), world.start()
    best = first.best(make_pod("p1"))
    assert second.best(make_pod("p2")) in NAMES
    for number, name in enumerate(("p1", "p2")):
        world.api.put("pods", bound(make_pod(name), best if number == 0 else NAMES[0]))
    poll_until(lambda: [len(one) for one in world.outcomes().values()] == [2, 2], "both pods are bound")
    first.kill()
    world.api.delete("pods", "p1")
    poll_until(lambda: "completed" in world.outcomes()["pod:default/p1"], "another replica tells the end")
    assert world.outcomes()["pod:default/p2"][1:] == ["bound"]
    first.start()
    assert first.best(make_pod("p3")) in NAMES


def test_shadow_decides_without_a_say(world: World) -> None:
    """Equal marks, and a record of mode shadow with the node that we would have taken and where it went."""
    replica = world.start(live_percent=0)
    marks = replica.ask("prioritize", make_pod("p1"))
    assert len({one["Score"] for one in marks}) == 1
    world.api.put("pods", bound(make_pod("p1"), NAMES[3]))
    poll_until(lambda: world.outcomes().get("pod:default/p1") == ["shadow", "bound"], "the outcome is recorded")
    record = next(one for one in world.records(PLACEMENTS.name) if one["outcome"])
    assert record["bound_node"] == f"node:{NAMES[3]}"
    assert record["node"].startswith("node:")


def test_bad_requests_leave_the_connection_and_the_service_alone(world: World) -> None:
    """Wrong verbs, wrong methods, broken and giant bodies: a sentence each, and the next question is answered."""
    replica = world.start()
    assert replica.send("nothing", b"{}")[0] == 404
    assert replica.send("filter", b"", "GET")[0] == 405
    assert replica.send("filter", b"{")[0] == 400
    status, body, _ = replica.send("filter", b" " * 17_000_000)
    assert (status, b"too large" in body) == (413, True)
    replica.connection.close()
    assert replica.best(make_pod("p1")) in NAMES


def test_an_api_server_that_is_away_holds_no_pod_up(world: World) -> None:
    """What was known stays for a while, and a scheduler is never refused."""
    replica = world.start()
    world.api.refuse(True)
    assert replica.ask("filter", make_pod("p1"))["NodeNames"] == NAMES
    assert len(replica.ask("prioritize", make_pod("p1"))) == 20
