"""Messages through the real ingest stage, one at a time; what came of each, and what it cost."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import LOGS_PARSED, LOGS_RAW, MAX_RECORD_BYTES, METRICS_RAW, METRICS_SAMPLES
from services.ingest import metrics
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings
from tests.mutations import Message
from tests.unit.ingest.conftest import StoredTemplates

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
TOPICS = {"logs": LOGS_RAW.name, "metrics": METRICS_RAW.name}
#: What must not happen to any message: a defect of ours.
DEFECTS = ("unexpected_error", "unreadable")


@dataclass
class Findings:
    """What went through.

    Attributes:
        reasons: dead letters by reason; `shapes`: events by shape.
        missing: messages of which nothing came.
        defects: messages that met a defect of ours, which the stage survived.
    """

    num_messages: int = 0
    num_bytes: int = 0
    num_events: int = 0
    num_samples: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    missing: list[Message] = field(default_factory=list)
    defects: list[tuple[str, Message]] = field(default_factory=list)


def _left_out() -> float:
    """Samples that were left out, and requests that came again, counted so far."""
    counters = (metrics.LEFT_OUT, metrics.REPEATED_REQUESTS)
    return sum(sample.value for counter in counters for metric in counter.collect() for sample in metric.samples)


class Fuzzer:
    """A stage that gets messages one by one; `flush` lets open folds go and looks whether each message left a trace."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._clock = FakeClock(NOW)
        self._codec = Codec()
        self._states = {TopicPartition(topic, 0): PartitionState() for topic in TOPICS.values()}
        self._offset = 0
        self._sent: dict[tuple[str, int], Message] = {}
        self._traced: set[tuple[str, int]] = set()
        self._stage = self.fresh_stage()

    def fresh_stage(self) -> IngestStage:
        """A stage that has seen nothing yet."""
        stage = IngestStage(IngestSettings(), "fuzz", self._clock, StoredTemplates())
        for partition, state in self._states.items():
            stage.assign(partition, state)
        return stage

    def send(self, message: Message) -> float:
        """One message, one transaction; returns its CPU seconds. Raises what the stage raises, which is a failure."""
        record = self._record(message)
        self._sent[record.topic, record.offset] = message
        outputs = Outputs(self._codec.encode)
        left_out = _left_out()
        began = time.thread_time()
        self._stage.process([record], outputs)
        seconds = time.thread_time() - began
        if _left_out() > left_out:  # all of it may be harmless: series that ended, metadata
            self._traced.add((record.topic, record.offset))
        self.findings.num_messages += 1
        self.findings.num_bytes += len(message.value)
        self._trace(outputs, message)
        return seconds

    def cost(self, message: Message) -> float:
        """CPU seconds of the message for a stage that has never seen it."""
        stage, outputs = (
            IngestStage(IngestSettings(), "fuzz", self._clock, StoredTemplates()),
            Outputs(self._codec.encode),
        )
        for partition in self._states:
            stage.assign(partition, PartitionState())
        began = time.thread_time()
        stage.process([self._record(message)], outputs)
        return time.thread_time() - began

    def flush(self) -> None:
        """Ends open folds; each message since the last one must have left an event, samples, a dead letter, a count."""
        for _ in range(2):  # a line that was cut in pieces first becomes a fold
            self._clock.advance(60)
            outputs = Outputs(self._codec.encode)
            self._stage.tick(self._clock.now(), list(self._states), outputs)
            self._trace(outputs, None)
        self.findings.missing += [message for place, message in self._sent.items() if place not in self._traced]
        self._sent.clear()
        self._traced.clear()

    def _record(self, message: Message) -> Record:
        self._offset += 1
        millis = int(self._clock.now().timestamp() * 1000)
        return Record(TOPICS[message.kind], 0, self._offset, millis, message.key, message.value, message.headers)

    def _trace(self, outputs: Outputs, message: Message | None) -> None:
        for state in self._states.values():
            state.take_changes()
        for output in outputs.records:
            if output.topic.endswith(".dlq"):
                self._trace_dead_letter(dict(output.headers or ()), message)
                continue
            assert output.value is not None
            assert len(output.value) < MAX_RECORD_BYTES, (output.topic, len(output.value))
            if output.topic in (LOGS_PARSED.name, METRICS_SAMPLES.name):
                self._trace_record(self._codec.decode(output.value), message)

    def _trace_dead_letter(self, headers: dict[str, bytes], message: Message | None) -> None:
        reason = headers["moselle.error"].decode()
        self.findings.reasons[reason] += 1
        self._traced.add((headers["moselle.source_topic"].decode(), int(headers["moselle.source_offset"])))
        if reason in DEFECTS and message is not None:
            self.findings.defects.append((headers["moselle.error_detail"].decode(), message))

    def _trace_record(self, record: dict[str, Any], message: Message | None) -> None:
        self._traced.update((record["source_topic"], offset) for offset in record["source_offsets"])
        if "shape" not in record:
            self.findings.num_samples += len(record["series"])
            return
        self.findings.num_events += 1
        self.findings.shapes[record["shape"]] += 1
        if record["shape"] in DEFECTS and message is not None:
            self.findings.defects.append((record["body"], message))
