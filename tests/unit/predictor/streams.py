"""Small streams of feature vectors and a stage that reads them, for the predictor's tests."""

import copy
import json
import math
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.predictor.model.forecasters import make_forecasters
from services.predictor.pipeline import PredictorStage
from services.predictor.settings import PredictorSettings

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
PARTITION = TopicPartition("features.v1", 0)
SETTINGS = PredictorSettings()


def make_step(step: int, values: Mapping[str, float], entity_id: str = "host:c1", **changes: Any) -> dict[str, Any]:
    """One record of features.v1, `step` steps of ten seconds after START; name only what matters."""
    record = {
        "event_time": START + step * 10 * SECOND, "step_seconds": 10, "ingest_time": 0, "cluster": "cloud",
        "entity_id": entity_id, "parent_entity_ids": [], "feature_set": "metrics.core", "feature_set_version": 1,
        "names": list(values), "values": list(values.values()),
    }  # fmt: skip
    return {**record, **changes}


def steady(
    steps: Iterable[int], value: float = 0.5, target: str = "memory_used_ratio", **more: Any
) -> list[dict[str, Any]]:
    """The same value at each step."""
    return [make_step(step, {target: value}, **more) for step in steps]


def wavy(steps: Iterable[int], entity_id: str = "host:c1", seed: int = 3) -> list[dict[str, Any]]:
    """Several targets with rhythm and noise; a few values are missing."""
    dice = random.Random(f"{seed}{entity_id}")
    found = []
    for step in steps:
        load = 2 + math.sin(step / 6) + dice.gauss(0, 0.2)
        values = {"cpu_cores": load, "memory_used_bytes": 4e9 + 1e7 * step, "error_ratio": float(dice.random() < 0.1)}
        if dice.random() < 0.1:
            values["cpu_cores"] = math.nan
        found.append(make_step(step, values, entity_id))
    return found


class Replica:
    """A predictor with its partition's state, which can be dropped and made again from what it committed."""

    def __init__(self, settings: PredictorSettings = SETTINGS, artifact: str = "none") -> None:
        self._settings = settings
        self._forecasters = make_forecasters(artifact, settings.horizons_seconds, settings.targets)
        self._offset = 0
        self.clock = FakeClock()
        self.state = PartitionState()
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.dead: list[str] = []
        self.restart()

    def restart(self) -> None:
        """As after kill -9: nothing but the saved state is left."""
        self.state = PartitionState(dict(self.state.items()))
        self.stage = PredictorStage(self._settings, _decode, self.clock, self._forecasters)
        self.stage.assign(PARTITION, self.state)

    def take(self, features: Sequence[Mapping[str, Any]], batch: int = 100) -> "Replica":
        """Processes records in batches."""
        for begin in range(0, len(features), batch):
            records = [self._record(fields) for fields in features[begin : begin + batch]]
            outputs = Outputs(self._keep)
            self.stage.process(records, outputs)
            self.dead += [reason for _, reason in outputs.dead_letters.elements()]
        return self

    def tick(self) -> None:
        """One tick with everything read."""
        self.stage.tick(self.clock.now(), [PARTITION], Outputs(self._keep))

    def _record(self, fields: Mapping[str, Any]) -> Record:
        self._offset += 1
        return Record(*PARTITION, self._offset, 0, b"", json.dumps(fields).encode())

    def _keep(self, topic: str, record: Mapping[str, Any]) -> bytes:
        self.written.append((topic, copy.deepcopy(dict(record))))
        return b""

    @property
    def predictions(self) -> list[dict[str, Any]]:
        return [record for topic, record in self.written if topic == "predictions.v1"]

    @property
    def alerts(self) -> list[dict[str, Any]]:
        return [record for topic, record in self.written if topic == "alerts.v1"]


def _decode(value: bytes | None) -> dict[str, Any]:
    try:
        fields = json.loads(value or b"")
    except ValueError as error:
        raise InvalidMessage("not_json", str(error)) from error
    if not isinstance(fields, dict):
        raise InvalidMessage("not_json", "no object")
    return fields
