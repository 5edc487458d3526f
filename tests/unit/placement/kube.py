"""Objects of Kubernetes as its API server writes them, and an extender on an engine in memory."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.common.broker.abstract import Output
from services.common.errors import Retryable
from services.placement.adapters.extender import Extender
from services.placement.adapters.messages import raw_request
from services.placement.core.decision import Decision, Fate
from services.placement.core.kube.advice import Adviser, Rules
from services.placement.core.kube.book import PodBook
from services.placement.core.kube.circuit import Circuit
from services.placement.core.kube.desk import Desk
from services.placement.core.kube.follow import NodeFollower, PodFollower
from services.placement.core.kube.nodes import entity_of
from services.placement.core.kube.objects import Pod, read_node, read_pod
from services.placement.core.kube.recorder import Recorder
from services.placement.core.ledger import Entry
from services.placement.core.workload import PlaceRequest
from services.placement.pipeline import Placement
from tests.unit.placement.worlds import START, Cloud

RECORDED = Path(__file__).parent / "recorded_scheduler"
Json = dict[str, Any]


def recorded(kind: str, verb: str) -> bytes:
    """A request body as a kube-scheduler sent it; `names` with nodeCacheCapable, `nodes` without."""
    return (RECORDED / kind / f"{verb}.request.json").read_bytes()


def make_pod(name: str = "p1", uid: str = "", cpu: str = "100m", memory: str = "128Mi", **changes: Any) -> Json:
    """A pending pod; `spec`, `metadata` and `status` are merged."""
    metadata = {"name": name, "namespace": "default", "uid": uid or f"uid-{name}", **changes.pop("metadata", {})}
    container = {"name": "main", "resources": {"requests": {"cpu": cpu, "memory": memory}}}
    return {
        "metadata": metadata,
        "spec": {"containers": [container], **changes.pop("spec", {})},
        "status": {"phase": "Pending", **changes.pop("status", {})},
    }


def bound(pod: Json, node: str, phase: str = "Running") -> Json:
    """The same pod on a node."""
    return {**pod, "spec": {**pod["spec"], "nodeName": node}, "status": {"phase": phase}}


def read(pod: Json) -> Pod:
    return read_pod(json.dumps(pod).encode())


def raw(value: Json) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


def make_node_object(name: str = "n1", cpu: str = "8", memory: str = "16Gi", **changes: Any) -> Json:
    """A ready node; `spec` and `metadata` are merged, `status` replaces allocatable and conditions by key."""
    status = {
        "allocatable": {"cpu": cpu, "memory": memory, "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}],
        "addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": "10.0.0.1"}],
    }
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}, **changes.pop("metadata", {})},
        "spec": changes.pop("spec", {}),
        "status": {**status, **changes.pop("status", {})},
    }


def make_entity(name: str = "n1", **changes: Any) -> Json:
    """The record of entities.v1 of such a node."""
    return entity_of(read_node(json.dumps(make_node_object(name, **changes)).encode()), "default", START)


def ask(pod: Json, names: list[str]) -> bytes:
    """A request body with names."""
    return json.dumps({"Pod": pod, "Nodes": None, "NodeNames": names}).encode()


class Scheduler:
    """A replica's side towards a scheduler, and what it would have written to Kafka."""

    def __init__(self, cloud: Cloud, live_percent: int = 100, engine: Placement | None = None) -> None:
        self.cloud = cloud
        engine = engine or cloud.engine
        self.decisions: list[Decision] = []
        self.fates: list[tuple[str, Fate]] = []
        self.agreements: list[tuple[str, bool]] = []
        self.published: list[tuple[str, Any]] = []
        self._unwritten: list[Callable[[Recorder], None]] = []
        self.reading = engine.reading
        self.book = PodBook(
            self.reading.world.ledger,
            True,
            self._tell,
            15.0,
            lambda mode, agrees: self.agreements.append((mode, agrees)),
        )
        self.reading.pods = self.book
        self.adviser = Adviser(
            self.reading, self.book, Rules(live_percent), lambda: engine.are_alerts_fresh, self._record
        )
        self.circuit = Circuit(cloud.clock, 3, 2.0)
        self.desk = Desk(self.adviser, self.reading.lock, cloud.clock, self.circuit, engine.check_fresh, 0.05)
        self.extender = Extender(self.desk)
        self.pods = PodFollower(self.reading, self.book)
        self.nodes = NodeFollower(self.reading, "default", lambda key, fields: self.published.append((key, fields)))

    def _record(self, request: PlaceRequest, entry: Entry, tell: Callable[[], Decision]) -> None:
        self.decisions.append(tell())
        self._unwritten.append(lambda recorder: recorder.decided(request, entry, tell))

    def _tell(self, entry: Entry, fate: Fate) -> None:
        self.fates.append((entry.request_id, fate))
        self._unwritten.append(lambda recorder: recorder.became(entry, fate))

    def write(self, publish: Callable[[Sequence[Output]], None] | None = None) -> None:
        """What was decided and told goes to Kafka, and all replicas read it."""
        publish = publish or self.cloud.broker.publish
        recorder = Recorder("default", self.cloud.codec, publish, raw_request, self.reading.lock)
        for one in self._unwritten:
            one(recorder)
        recorder.close()
        self._unwritten = []
        self.cloud.turn()

    def filter(self, pod: Json, names: list[str]) -> Json:
        answer = self.extender.answer("filter", ask(pod, names))
        assert answer.status == 200
        found: Json = json.loads(answer.body)
        return found

    def marks(self, pod: Json, names: list[str]) -> dict[str, int]:
        """The marks of prioritize by name."""
        answer = self.extender.answer("prioritize", ask(pod, names))
        assert answer.status == 200
        return {one["Host"]: one["Score"] for one in json.loads(answer.body)}

    def held(self, name: str) -> float:
        """Cores that are held on a node."""
        matrix = self.reading.world.matrix
        return float(matrix.allocated("cpu_cores")[matrix.row_of[f"node:{name}"]]) / 1000

    def see(self, pod: Json, event: str = "MODIFIED") -> None:
        """The API server says so."""
        self.pods.changed(event, raw(pod))


def scheduler(*names: str, live_percent: int = 100, **changes: Any) -> Scheduler:
    """Beside nodes of 8 cores with these names."""
    return Scheduler(Cloud(*(make_entity(name, **changes) for name in names)), live_percent)


class Away:
    """A Kafka that takes nothing."""

    def __call__(self, outputs: Any) -> None:
        raise Retryable("Kafka is away")
