"""A placement engine on the in-memory broker, and small nodes, workloads and records for its tests."""

from collections.abc import Sequence
from typing import Any

from services.common.broker.abstract import Output
from services.common.broker.memory import MemoryBroker
from services.common.clock import FakeClock, from_micros, to_micros
from services.common.codec import Codec
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS
from services.placement.adapters import messages
from services.placement.core.decision import Decision
from services.placement.core.reading import TOPICS
from services.placement.core.workload import PlaceRequest
from services.placement.pipeline import Placement
from services.placement.settings import PlacementSettings

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
GIB = 2**30
SETTINGS = PlacementSettings()
#: Reading the schemas costs more than a whole test.
CODEC = Codec()


def make_node(name: str = "n1", cpu: float = 8, memory: float = 16 * GIB, **changes: Any) -> dict[str, Any]:
    """A record of entities.v1; further amounts and facts by `capacity`."""
    capacity = {"cpu_cores": float(cpu), "memory_bytes": float(memory), **changes.pop("capacity", {})}
    record = {
        "entity_id": f"host:{name}", "source": "inventory", "cluster": "default", "kind": "host", "name": name,
        "updated_at": START, "parent_entity_ids": [], "aliases": [], "labels": {}, "capacity": capacity,
    }  # fmt: skip
    return {**record, **changes}


def make_workload(cpu: float = 1, memory: int = GIB, **changes: Any) -> pb.Workload:
    """A workload; `constraints` and the rest by name."""
    resources = pb.Resources(cpu_cores=cpu, memory_bytes=memory, **changes.pop("resources", {}))
    return pb.Workload(**{"workload_id": "w1", "requests": resources, **changes})


def make_request(request_id: str = "r1", workload: pb.Workload | None = None, **changes: Any) -> PlaceRequest:
    """A request as the engine gets it."""
    return messages.place_request(
        pb.PlaceRequest(request_id=request_id, workload=workload or make_workload(), **changes)
    )


def make_batch(request_id: str, workloads: Sequence[pb.Workload]) -> list[PlaceRequest]:
    """A batch as the engine gets it."""
    return messages.batch_requests(pb.PlaceBatchRequest(request_id=request_id, workloads=workloads))


def make_alert(entity_id: str = "host:n1", **changes: Any) -> dict[str, Any]:
    """A firing, critical, certain alert."""
    record = {
        "fingerprint": f"f-{entity_id}", "alert_id": "a1", "revision": 0, "status": "firing", "starts_at": START,
        "detected_at": START, "published_at": START, "cluster": "default", "entity_id": entity_id,
        "parent_entity_ids": [], "service": "", "detector": "log.rules", "rule": "error_burst", "kind": "errors",
        "severity": "critical", "score": 1.0, "threshold": 0.5, "summary": "s", "reason": "r", "labels": {},
        "model_version": "m",
    }  # fmt: skip
    return {**record, **changes}


def make_features(entity_id: str = "host:n1", second: float = 0, **values: float) -> dict[str, Any]:
    """A feature vector with these values."""
    return {
        "event_time": START + round(second * SECOND), "step_seconds": 10, "ingest_time": START, "cluster": "default",
        "entity_id": entity_id, "feature_set": "metrics.core", "feature_set_version": 1, "names": list(values),
        "values": list(values.values()),
    }  # fmt: skip


def make_prediction(entity_id: str = "host:n1", second: float = 0, **changes: Any) -> dict[str, Any]:
    """A forecast of a half-busy processor for the next 5 and 15 minutes, valid for 5 minutes."""
    at = START + round(second * SECOND)
    record = {
        "event_time": at, "cluster": "default", "entity_id": entity_id, "target": "cpu_used_ratio", "step_seconds": 10,
        "horizons_seconds": [300, 900], "values": [0.3, 0.5], "confidence": 0.8, "spoken_by": "lstm",
        "model_version": "m", "valid_until": at + 300 * SECOND,
    }  # fmt: skip
    return {**record, **changes}


class Cloud:
    """One Kafka's worth of topics in memory, a clock, and replicas of placement on them."""

    def __init__(
        self, *nodes: dict[str, Any], settings: PlacementSettings = SETTINGS, clock: FakeClock | None = None
    ) -> None:
        self.clock = clock or FakeClock(from_micros(START))
        self.broker = MemoryBroker(dict.fromkeys(TOPICS, 2), lambda: to_micros(self.clock.now()) // 1000)
        self.codec = CODEC
        self.settings = settings
        self.replicas: list[Placement] = []
        for node in nodes:
            self.put_node(node)
        self.engine = self.start()

    def start(self) -> Placement:
        """One more replica, or the same one after a restart: it knows what the topics say."""
        engine = Placement(
            self.settings, "default", self.clock, self.codec, self.broker.publish, self.broker.open_view,
            messages.read_place_request,
        )  # fmt: skip
        engine.open_views()
        engine.turn(0.0)
        self.replicas.append(engine)
        return engine

    def write(self, topic: str, key: str, record: dict[str, Any] | None) -> None:
        """Writes one record."""
        value = None if record is None else self.codec.encode(topic, record)
        self.broker.publish([Output(topic, key.encode(), value)])

    def put_node(self, record: dict[str, Any]) -> None:
        self.write(ENTITIES.name, f"{record['entity_id']}|{record['source']}", record)

    def say(self, *records: dict[str, Any]) -> None:
        """Writes alerts, features and forecasts, and lets every replica read them."""
        for record in records:
            self.say_quietly(record)
        self.turn()

    def say_quietly(self, record: dict[str, Any]) -> None:
        """The same of one, which nobody reads before the next turn."""
        topic = ALERTS if "fingerprint" in record else PREDICTIONS if "target" in record else FEATURES
        key = record.get("fingerprint") or f"{record['entity_id']}|{record.get('target', '')}"
        self.write(topic.name, key, record)

    def turn(self, seconds: float = 0.0) -> None:
        """Time passes, and every replica reads what has come."""
        self.clock.advance(max(seconds, 1e-3))
        for engine in self.replicas:
            engine._refreshed_at = float("-inf")
            engine.turn(0.0)

    def place(self, request_id: str = "r1", workload: pb.Workload | None = None, **changes: Any) -> Decision:
        return self.engine.place(make_request(request_id, workload, **changes))

    def placements(self) -> list[dict[str, Any]]:
        """The records of placements.v1."""
        records = [record for number in range(2) for record in self.broker.read_to_end(PLACEMENTS.name, number)]
        return [self.codec.decode(record.value) for record in records]


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions are equal, unknown values included."""
    return messages.decision(one).SerializeToString() == messages.decision(other).SerializeToString()


def contributions(decision: Decision) -> dict[str, float]:
    """What each factor added to the chosen node's score."""
    assert decision.chosen is not None
    return {reason.factor: reason.contribution for reason in decision.chosen.reasons}
