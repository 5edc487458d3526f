"""Reads recorded samples through the real stage, without a broker."""

import json
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from services.anomaly.pipeline import AnomalyStage
from services.anomaly.settings import AnomalySettings
from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import METRICS_SAMPLES

BATCH = 200


class Replay:
    """A stage that reads records of metrics.samples.v1, ticking after each batch.

    Args:
        states: the saved state of each partition to go on from; it is copied. New ones when None.
        make_stage: the stage, or one that also notes what it sees.

    Attributes:
        records: the alert records so far.
        num_records, num_samples, seconds: how much was read, and the CPU seconds that process and tick took.
        state_bytes: bytes put into the partitions' states so far, keys included.
    """

    def __init__(
        self,
        settings: AnomalySettings,
        num_partitions: int = 1,
        states: Sequence[PartitionState] | None = None,
        make_stage: type[AnomalyStage] = AnomalyStage,
    ) -> None:
        self._settings = settings
        self._clock = FakeClock(datetime(2100, 1, 1, tzinfo=UTC))
        self._held: dict[bytes, Mapping[str, Any]] = {}
        self._stage = make_stage(settings, lambda value: self._held[value or b""], self._clock)
        self._partitions = [TopicPartition(METRICS_SAMPLES.name, number) for number in range(num_partitions)]
        self.states = [PartitionState(dict(state.items())) for state in states or [PartitionState()] * num_partitions]
        self.records: list[dict[str, Any]] = []
        self.num_records, self.num_samples, self.state_bytes, self.seconds = 0, 0, 0, 0.0
        for partition, state in zip(self._partitions, self.states, strict=True):
            self._stage.assign(partition, state)

    def read(self, samples: Iterable[Mapping[str, Any]], batch: int = BATCH) -> "Replay":
        """Reads on."""
        waiting: list[Record] = []
        for record in samples:
            key = str(self.num_records % (2 * batch)).encode()
            self._held[key] = record
            place = zlib.crc32(record["entity_id"].encode()) % len(self._partitions)
            waiting.append(Record(METRICS_SAMPLES.name, place, self.num_records, 0, None, key))
            self.num_records += 1
            self.num_samples += len(record["series"])
            if len(waiting) >= batch:
                self._take(waiting)
                waiting = []
        self._take(waiting)
        return self

    def finish(self) -> "Replay":
        """Lets the wall time pass after which open alerts end."""
        self._clock.advance(self._settings.source_silent_seconds + 1)
        self._take([])
        return self

    def _take(self, records: Sequence[Record]) -> None:
        outputs = Outputs(_encode)
        began = time.process_time()
        self._stage.process(records, outputs)
        self._stage.tick(self._clock.now(), self._partitions, outputs)
        self.seconds += time.process_time() - began
        for state in self.states:
            self.state_bytes += sum(len(key) + len(saved.payload) for key, saved in state.take_changes() if saved)
        self.records += [json.loads(output.value or b"") for output in outputs.records]


def _encode(_: str, record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode()
