"""A recorded folder as the derived topics would hold it: the real ingest, run in this process without a broker.

Training and evaluation read from here, so that they see exactly what the stream gives.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from moselle.replay.files import LineFile, find_sources
from moselle.replay.merge import NO_TIME, Options, Shipment, merge
from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.settings import read_settings
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import EMBEDDED_PARTITIONS, LOGS_RAW, METRICS_RAW
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings

Derived = tuple[str, dict[str, Any]]

#: Event seconds for each second of the stand-in wall clock, and how much of them makes a batch.
SPEED = 15.0
BATCH_SECONDS = 0.75
#: Wall seconds after the last line, in steps, until ingest holds nothing back any more.
_DRAIN_STEPS, _DRAIN_SECONDS = 60, 0.2


class NoTemplates:
    """Nobody else mines."""

    def start(self, apply: Any) -> None:
        pass

    def refresh(self) -> None:
        pass

    def close(self) -> None:
        pass


def derived_records(
    paths: Path | Iterable[Path], cluster: str = "default", until_seconds: float | None = None
) -> Iterator[Derived]:
    """(topic, record) of everything that ingest writes for recorded files, in the order in which it writes it.

    Args:
        paths: files or folders, as `moselle replay` takes them.
        until_seconds: only the first so many seconds of event time; None for all.

    Raises:
        SettingsInvalid: a path is not there, or there is nothing to read.
    """
    found = find_sources([paths] if isinstance(paths, Path) else list(paths), "text")
    shipments = merge([(source, LineFile(source.path)) for source in found.sources], Options())
    ingest = OfflineIngest(cluster)
    begin: float | None = None
    for shipment in shipments:
        if shipment.order != NO_TIME:
            if begin is None:
                begin = shipment.order
                ingest.begin(begin)
            if until_seconds is not None and shipment.order >= begin + until_seconds:
                break
        yield from ingest.take(shipment)
    yield from ingest.drain()


class OfflineIngest:
    """Ingest's own stage, fed by hand."""

    def __init__(self, cluster: str) -> None:
        self._clock = FakeClock()
        self._stage = IngestStage(read_settings(IngestSettings), cluster, self._clock, NoTemplates())
        self._partitions = [
            TopicPartition(topic.name, number)
            for topic in (LOGS_RAW, METRICS_RAW)
            for number in range(EMBEDDED_PARTITIONS)
        ]
        for partition in self._partitions:
            self._stage.assign(partition, PartitionState())
        self._offsets = dict.fromkeys(self._partitions, 0)
        self._batch: list[Record] = []
        self._written: list[Derived] = []
        self._batch_began = NO_TIME

    def begin(self, epoch: float) -> None:
        """Sets the wall clock to a day after the first event: later than all of them, and the same in each run."""
        now = datetime.fromtimestamp(epoch, UTC) + timedelta(days=1)
        self._clock.advance((now - self._clock.now()).total_seconds())

    def take(self, shipment: Shipment) -> Iterator[Derived]:
        """One message in; what a whole batch gave out."""
        if shipment.order - self._batch_began >= BATCH_SECONDS:
            if self._batch_began != NO_TIME:
                self._clock.advance((shipment.order - self._batch_began) / SPEED)
            self._turn()
            self._batch_began = shipment.order
        partition = TopicPartition(shipment.topic, zlib.crc32(shipment.key) % EMBEDDED_PARTITIONS)
        now_ms = int(self._clock.now().timestamp() * 1000)
        self._batch.append(Record(*partition, self._offsets[partition], now_ms, shipment.key, shipment.value))
        self._offsets[partition] += 1
        yield from self._take_written()

    def drain(self) -> Iterator[Derived]:
        """What is left when nothing comes any more."""
        for _ in range(_DRAIN_STEPS):
            self._turn()
            self._clock.advance(_DRAIN_SECONDS)
        self._stage.close()
        yield from self._take_written()

    def _turn(self) -> None:
        outputs = Outputs(self._keep)
        if self._batch:
            self._stage.process(self._batch, outputs)
            self._batch = []
        self._stage.tick(self._clock.now(), self._partitions, outputs)

    def _keep(self, topic: str, record: Mapping[str, Any]) -> bytes:
        self._written.append((topic, dict(record)))
        return b""

    def _take_written(self) -> Iterator[Derived]:
        written, self._written = self._written, []
        yield from written
