"""Messages through the real ingest stage; what came of each, and what it cost."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import FakeClock
from services.common.codec import Codec
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.common.topics import LOGS_PARSED, LOGS_RAW, MAX_RECORD_BYTES, METRICS_RAW, METRICS_SAMPLES
from services.ingest import metrics
from services.ingest.core.requests import REQUEST_HEADER
from services.ingest.pipeline import IngestStage
from services.ingest.settings import IngestSettings
from tests.mutations import Message
from tests.unit.ingest.conftest import StoredTemplates

NOW = datetime(2026, 11, 21, 6, 0, tzinfo=UTC)
TOPICS = {"logs": LOGS_RAW.name, "metrics": METRICS_RAW.name}
#: A message's record: topic and offset.
Place = tuple[str, int]
#: A source's saved state: `fold_max_chars`, of up to four bytes each, and more for its cut line.
MAX_STATE_BYTES = 2 * 2**20
#: What must not happen to any message: a defect of ours.
DEFECTS = ("unexpected_error", "unreadable")


@dataclass
class Findings:
    """What went through.

    Attributes:
        reasons: dead letters by reason; `shapes`: events by shape.
        num_dropped: messages all of whose samples were left out and counted, or that came a second time.
        missing: messages of which nothing came.
        defects: messages that met a defect of ours, which the stage survived.
    """

    num_messages: int = 0
    num_bytes: int = 0
    num_dropped: int = 0
    num_events: int = 0
    num_samples: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    shapes: Counter[str] = field(default_factory=Counter)
    missing: list[Message] = field(default_factory=list)
    defects: list[tuple[str, Message]] = field(default_factory=list)


def metric_messages() -> dict[str, int]:
    """Messages of metrics so far, by shape."""
    counted = (sample for metric in metrics.METRIC_MESSAGES.collect() for sample in metric.samples)
    return {each.labels["shape"]: int(each.value) for each in counted if each.name.endswith("_total")}


def _left_out() -> float:
    """Samples that were left out and counted so far."""
    return sum(sample.value for metric in metrics.LEFT_OUT.collect() for sample in metric.samples)


class Fuzzer:
    """A stage that gets messages; `flush` lets open folds go and looks whether each message left a trace."""

    def __init__(self) -> None:
        self.findings = Findings()
        self._clock = FakeClock(NOW)
        self._codec = Codec()
        self._states = {TopicPartition(topic, 0): PartitionState() for topic in TOPICS.values()}
        self._offset = 0
        self._sent: dict[Place, Message] = {}
        self._traced: set[Place] = set()
        self._stage = self._make_stage(self._states)

    def send(self, *messages: Message) -> float:
        """A transaction; returns its CPU seconds. Raises what the stage raises, which is a failure."""
        records = list(map(self._record, messages))
        self._sent.update(((record.topic, record.offset), each) for record, each in zip(records, messages, strict=True))
        self.findings.num_messages += len(messages)
        self.findings.num_bytes += sum(len(message.value) for message in messages)
        began = time.thread_time()
        while records:
            records = records[self._process(self._stage, records) :]
        return time.thread_time() - began

    def cost(self, message: Message) -> float:
        """CPU seconds of the message for a stage that has never seen it."""
        stage = self._make_stage({partition: PartitionState() for partition in self._states})
        record, outputs = self._record(message), Outputs(self._codec.encode, None, self._codec.encode_all)
        began = time.thread_time()
        stage.process([record], outputs)
        return time.thread_time() - began

    def decoder(self, message: Message) -> str:
        """Which decoder the message comes to: the shape of most of its events, its metrics' shape, or a reason."""
        before = metric_messages()
        stage = self._make_stage({partition: PartitionState() for partition in self._states})
        outputs = Outputs(self._codec.encode)
        stage.process([self._record(message)], outputs)
        for seconds in (60, 120):
            stage.tick(self._clock.now() + timedelta(seconds=seconds), list(self._states), outputs)
        read = [each.value for each in outputs.records if each.topic == LOGS_PARSED.name]
        shapes = Counter(self._codec.decode(value)["shape"] for value in read[:1000])
        shapes += Counter(metric_messages()) - Counter(before)
        reasons = [reason for _, reason in outputs.dead_letters]
        return shapes.most_common(1)[0][0] if shapes else f"dead letter {reasons[0]}" if reasons else "nothing"

    def flush(self) -> None:
        """Ends open folds; each message since the last one must have left an event, samples, a dead letter, a count."""
        for _ in range(2):  # a line that was cut in pieces first becomes a fold
            self._clock.advance(60)
            outputs = Outputs(self._codec.encode, None, self._codec.encode_all)
            self._stage.tick(self._clock.now(), list(self._states), outputs)
            self._trace(outputs)
        missing = [message for place, message in self._sent.items() if place not in self._traced]
        vanished = [message for message in missing if not self._is_left_out(message)]
        self.findings.num_dropped += len(missing) - len(vanished)
        self.findings.missing += vanished
        self._sent.clear()
        self._traced.clear()

    def _is_left_out(self, message: Message) -> bool:
        """Whether all of it is harmless, or a receiver's request that came again: nothing is written, it is counted."""
        if REQUEST_HEADER in dict(message.headers or ()):
            message = message._replace(headers=[each for each in message.headers or () if each[0] != REQUEST_HEADER])
        left_out = _left_out()
        stage = self._make_stage({partition: PartitionState() for partition in self._states})
        outputs = Outputs(self._codec.encode, None, self._codec.encode_all)
        stage.process([self._record(message)], outputs)
        return bool(outputs.records) or _left_out() > left_out

    def _make_stage(self, states: dict[TopicPartition, PartitionState]) -> IngestStage:
        stage = IngestStage(IngestSettings(), "fuzz", self._clock, StoredTemplates())
        for partition, state in states.items():
            stage.assign(partition, state)
        return stage

    def _process(self, stage: IngestStage, records: list[Record]) -> int:
        outputs = Outputs(self._codec.encode, None, self._codec.encode_all)
        num_handled = stage.process(records, outputs)
        self._trace(outputs)
        return num_handled

    def _record(self, message: Message) -> Record:
        self._offset += 1
        millis = int(self._clock.now().timestamp() * 1000)
        return Record(TOPICS[message.kind], 0, self._offset, millis, message.key, message.value, message.headers)

    def _trace(self, outputs: Outputs) -> None:
        for state in self._states.values():
            for key, saved in state.take_changes():
                assert saved is None or len(key) + len(saved.payload) < MAX_STATE_BYTES, (key[:100], len(saved.payload))
        for output in outputs.records:
            if output.topic.endswith(".dlq"):
                self._trace_dead_letter(dict(output.headers or ()))
                continue
            assert output.value is not None
            assert len(output.value) < MAX_RECORD_BYTES, (output.topic, len(output.value))
            if output.topic in (LOGS_PARSED.name, METRICS_SAMPLES.name):
                self._trace_record(self._codec.decode(output.value))

    def _trace_dead_letter(self, headers: dict[str, bytes]) -> None:
        reason = headers["moselle.error"].decode()
        place = headers["moselle.source_topic"].decode(), int(headers["moselle.source_offset"])
        self.findings.reasons[reason] += 1
        self._traced.add(place)
        if reason in DEFECTS:
            self.findings.defects.append((headers["moselle.error_detail"].decode(), self._sent[place]))

    def _trace_record(self, record: dict[str, Any]) -> None:
        places = [(record["source_topic"], offset) for offset in record["source_offsets"]]
        self._traced.update(places)
        if "shape" not in record:
            self.findings.num_samples += len(record["series"])
            return
        self.findings.num_events += 1
        self.findings.shapes[record["shape"]] += 1
        if record["shape"] in DEFECTS:
            self.findings.defects.append((record["body"], self._sent[places[0]]))
