"""moselle as a policy: the engine of one replica, fed with records as the topics would bring them.

The very `Placement` that serves: Place with mask, score and ties, Confirm, Release, read back through its own views.
Only Kafka is a list in memory, records are MessagePack instead of Avro, and the clock is the world's.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import msgspec

from services.common.broker.abstract import Output, Record
from services.common.clock import from_micros
from services.common.codec import Codec
from services.common.gen.moselle.placement.v1 import placement_pb2 as pb
from services.common.settings import read_settings
from services.common.topics import ALERTS, ENTITIES, FEATURES, PLACEMENTS, PREDICTIONS
from services.placement.adapters import messages
from services.placement.pipeline import Placement
from services.placement.settings import PlacementSettings
from services.placement.train.physics import WAIT, Alert, Ask, Floats, Seen, Truth

MIB = 2**20
SECOND = 1_000_000
#: The world's start as wall time: any will do.
START = 1_800_000_000 * SECOND
CLUSTER = "simulated"
#: What anomaly says of a host whose signals leave their range: a warning, nearly sure.
SEVERITY, SCORE = "warning", 0.9
MODEL_VERSION = "simulated"


class Forecasts(Protocol):
    """Something that forecasts the nodes' loads from the metrics that a scheduler would have."""

    def take(self, taken_at: float, used: Floats) -> Iterable[Mapping[str, Any]]:
        """Learns (n,) loads of a time and returns records of predictions.v1, their times in seconds of the world.

        Fields: node (row), event_time, valid_until, horizons_seconds, values, confidence, spoken_by.
        """
        ...


class Known(NamedTuple):
    """What reaches the engine; an ablation takes one away."""

    health: bool = True
    forecasts: bool = True
    speed: bool = True


class PlainCodec:
    """Records as MessagePack. What a decision leaves out is as its contract says, as after Avro."""

    def __init__(self) -> None:
        self._encode, self._decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder().decode
        fields = json.loads(Codec().schema(PLACEMENTS.name).source)["fields"]
        self._defaults = {field["name"]: field["default"] for field in fields if "default" in field}

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        return self._encode({**self._defaults, **record} if name == PLACEMENTS.name else record)

    def decode(self, data: bytes | None) -> dict[str, Any]:
        found: dict[str, Any] = self._decode(data or b"")
        return found


class WorldClock:
    """Shows the world's seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._start = from_micros(START)

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None: ...


class Loop:
    """Topics of one process: what is published is read at the next refresh. A broker and a view in one."""

    def __init__(self, clock: WorldClock) -> None:
        self._clock = clock
        self._waiting: deque[Record] = deque()
        self._apply: Callable[[Record], None] = lambda record: None
        self._offset = 0

    def open_view(self, topics: Sequence[str], apply: Callable[[Record], None]) -> "Loop":
        self._apply = apply
        return self

    def publish(self, outputs: Sequence[Output]) -> None:
        now_ms = START // 1000 + round(self._clock.seconds * 1000)
        for one in outputs:
            self._waiting.append(Record(one.topic, 0, self._offset, now_ms, one.key, one.value))
            self._offset += 1

    def refresh(self, timeout_seconds: float = 0.0) -> int:
        number = len(self._waiting)
        while self._waiting:
            self._apply(self._waiting.popleft())
        return number

    def close(self) -> None: ...


class Moselle:
    """The engine in a world.

    Args:
        make_forecasts: of a number of nodes; None when nobody forecasts.
    """

    def __init__(
        self,
        known: Known | None = None,
        make_forecasts: Callable[[int], Forecasts] | None = None,
        settings: PlacementSettings | None = None,
    ) -> None:
        self._known = known or Known()
        self._make_forecasts = make_forecasts if self._known.forecasts else None
        self._clock = WorldClock()
        self._loop = Loop(self._clock)
        self._codec = PlainCodec()
        self.engine = Placement(
            settings or read_settings(PlacementSettings), CLUSTER, self._clock, self._codec, self._loop.publish,
            self._loop.open_view, messages.read_place_request,
        )  # fmt: skip
        self._forecasts: Forecasts | None = None
        self._refusals: dict[int, int] = {}

    def begin(self, seen: Seen, truth: Truth) -> None:
        """Publishes the inventory. The truth is not kept."""
        self._seen = seen
        self._row_of = {_name(row): row for row in range(seen.num_nodes)}
        self._forecasts = self._make_forecasts(seen.num_nodes) if self._make_forecasts else None
        for row in range(seen.num_nodes):
            speed = float(seen.speed[row]) if self._known.speed else None
            self._say(ENTITIES.name, f"{_name(row)}|inventory", _entity(row, seen, speed))
        self.engine.open_views()
        self._turn()

    def place(self, ask: Ask) -> int:
        self._turn()
        decision = self.engine.place(_request(ask, self._request_id(ask)))
        if not decision.node:
            # Asked again it is another question: a request_id that is repeated gets the recorded answer.
            self._refusals[ask.number] = self._refusals.get(ask.number, 0) + 1
            return WAIT
        # As an orchestrator that binds some milliseconds later: the decision was read back by then.
        self._loop.refresh()
        self.engine.confirm(decision.request_id, decision.node, decision.node_version)
        return self._row_of[decision.node]

    def ended(self, ask: Ask, node: int) -> None:
        self._clock.seconds = self._seen.now
        self.engine.release(self._request_id(ask), "completed", "", 0)
        self._refusals.pop(ask.number, None)

    def _request_id(self, ask: Ask) -> str:
        return f"pod-{ask.number}-{self._refusals.get(ask.number, 0)}"

    def metrics(self, taken_at: float, used: Floats) -> None:
        at = _micros(taken_at)
        for row, share in enumerate(used.tolist()):
            self._say(FEATURES.name, _name(row), _features(row, at, share))
        if self._forecasts is not None:
            for said in self._forecasts.take(taken_at, used):
                self._say(PREDICTIONS.name, _name(said["node"]), _prediction(said))

    def alert(self, alert: Alert) -> None:
        if self._known.health:
            self._say(ALERTS.name, f"f{alert.number}", _alert(alert))

    def _say(self, topic: str, key: str, record: Mapping[str, Any]) -> None:
        self._clock.seconds = self._seen.now
        self._loop.publish([Output(topic, key.encode(), self._codec.encode(topic, record))])

    def _turn(self) -> None:
        """Time passes, and the engine reads what has come."""
        self._clock.seconds = self._seen.now
        self.engine.turn(0.0)


def _name(row: int) -> str:
    return f"node:n{row}"


def _micros(seconds: float) -> int:
    return START + round(seconds * SECOND)


def _request(ask: Ask, request_id: str) -> Any:
    requests = pb.Resources(cpu_cores=ask.cpu / 1000, memory_bytes=int(ask.memory) * MIB)
    workload = pb.Workload(workload_id=request_id, requests=requests)
    return messages.place_request(pb.PlaceRequest(request_id=request_id, workload=workload, num_alternatives=1))


def _entity(row: int, seen: Seen, speed: float | None) -> dict[str, Any]:
    capacity = {"cpu_cores": seen.cpu_capacity / 1000, "memory_bytes": seen.memory_capacity * MIB}
    if speed is not None:
        capacity["relative_speed"] = speed
    return {
        "entity_id": _name(row), "source": "inventory", "cluster": CLUSTER, "kind": "node", "name": f"n{row}",
        "updated_at": START, "parent_entity_ids": [], "aliases": [], "labels": {}, "capacity": capacity,
    }  # fmt: skip


def _features(row: int, at: int, share: float) -> dict[str, Any]:
    return {
        "event_time": at, "step_seconds": 10, "ingest_time": at, "cluster": CLUSTER, "entity_id": _name(row),
        "feature_set": "metrics.core", "feature_set_version": 1, "names": ["cpu_used_ratio"], "values": [share],
    }  # fmt: skip


def _prediction(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "cluster": CLUSTER, "entity_id": _name(said["node"]), "target": "cpu_used_ratio",
        "event_time": _micros(said["event_time"]), "valid_until": _micros(said["valid_until"]),
        "horizons_seconds": said["horizons_seconds"], "values": said["values"], "confidence": said["confidence"],
        "spoken_by": said["spoken_by"], "step_seconds": 10, "model_version": MODEL_VERSION,
    }  # fmt: skip


def _alert(alert: Alert) -> dict[str, Any]:
    return {
        "cluster": CLUSTER, "fingerprint": f"f{alert.number}", "alert_id": f"a{alert.number}",
        "starts_at": _micros(alert.time), "detected_at": _micros(alert.time), "published_at": _micros(alert.time),
        "service": "", "detector": "metrics", "kind": "anomaly", "threshold": 0.5, "summary": "", "reason": "",
        "model_version": MODEL_VERSION, "revision": 0 if alert.is_firing else 1,
        "status": "firing" if alert.is_firing else "resolved",
        "entity_id": _name(alert.node), "parent_entity_ids": [], "severity": SEVERITY, "score": SCORE,
        "rule": "out_of_range", "labels": {},
    }  # fmt: skip
