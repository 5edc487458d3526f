"""A small harness around the stage: records in, dicts out, validated against the Avro schemas."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.columns import Columns
from services.common.stage import Encode, Outputs
from services.common.state import PartitionState
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings

LOGS = TopicPartition("logs.raw", 0)
METRICS = TopicPartition("metrics.raw", 0)
NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
CODEC = Codec()


class StoredTemplates:
    """logs.templates.v1 as a list."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def start(self, apply: Callable[[dict[str, Any]], None]) -> None:
        for record in self.records:
            apply(record)

    def refresh(self) -> None: ...

    def close(self) -> None: ...


class Harness:
    """An ingest stage with its committed state, which `restart` keeps and everything else loses."""

    def __init__(self, **settings: Any) -> None:
        self.settings = IngestSettings(**settings)
        self.clock = FakeClock(NOW)
        self.templates = StoredTemplates()
        self.states = {LOGS: PartitionState(), METRICS: PartitionState()}
        self.written: list[tuple[str, dict[str, Any]]] = []
        self.dead: list[str] = []
        self.offset = 0
        self.restart()

    def restart(self) -> None:
        """As after kill -9: a fresh stage from the committed state."""
        self.stage = IngestStage(self.settings, "test", self.clock, self.templates)
        for partition, state in self.states.items():
            self.states[partition] = PartitionState(dict(state.items()))
            self.stage.assign(partition, self.states[partition])

    def records(
        self, values: Sequence[bytes | None], topic: str = "logs.raw", key: bytes | None = b"k"
    ) -> list[Record]:
        """Raw records with rising offsets."""
        first, self.offset = self.offset, self.offset + len(values)
        millis = int(NOW.timestamp() * 1000)
        return [Record(topic, 0, first + i, millis, key, value) for i, value in enumerate(values)]

    def send(self, *values: bytes | str | None, topic: str = "logs.raw", key: bytes | None = b"k") -> None:
        """One batch."""
        encoded = [value.encode() if isinstance(value, str) else value for value in values]
        self.process(self.records(encoded, topic, key))

    def process(self, records: Sequence[Record], encode: Encode | None = None) -> None:
        """One transaction, committed; `encode` stands in for the codec."""
        outputs = Outputs(self.encode, None, self.encode_all) if encode is None else Outputs(encode)
        self.stage.process(records, outputs)
        self._commit(outputs)

    def wait(self, seconds: float) -> None:
        """Wall time passes and nothing comes."""
        self.clock.advance(seconds)
        outputs = Outputs(self.encode, None, self.encode_all)
        self.stage.tick(self.clock.now(), list(self.states), outputs)
        self._commit(outputs)

    def of(self, topic: str) -> list[dict[str, Any]]:
        """What was written to a topic."""
        return [record for name, record in self.written if name == topic]

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.of("logs.parsed.v1")

    @property
    def num_lines(self) -> int:
        return sum(event["line_count"] for event in self.events)

    def encode(self, name: str, record: Mapping[str, Any]) -> bytes:
        """Encodes, and keeps what a reader would see."""
        data = CODEC.encode(name, record)
        self.written.append((name, CODEC.decode(data)))
        return data

    def encode_all(self, name: str, columns: Columns) -> list[bytes]:
        """The same of many."""
        encoded = CODEC.encode_all(name, columns)
        self.written += [(name, CODEC.decode(data)) for data in encoded]
        return encoded

    def _commit(self, outputs: Outputs) -> None:
        for state in self.states.values():
            state.take_changes()
        self.templates.records += self.of("logs.templates.v1")[len(self.templates.records) :]
        self.dead += [reason for (_, reason), number in outputs.dead_letters.items() for _ in range(number)]


def fluent_bit(line: str, path: str = "/var/log/nova/nova-api.log", host: str = "controller-1") -> str:
    """A line as Fluent Bit sends it."""
    return orjson.dumps({"date": 1795241380.5, "host": host, "path": path, "log": line}).decode()


@pytest.fixture
def ingest() -> Harness:
    """A fresh ingest."""
    return Harness()


@pytest.fixture
def make_ingest() -> type[Harness]:
    """Ingest with settings of the test's own."""
    return Harness


@pytest.fixture
def wrap() -> Callable[..., str]:
    """A line as Fluent Bit sends it."""
    return fluent_bit
