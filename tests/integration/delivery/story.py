"""Ingest as processes over a real Kafka, and what came of each line that was sent."""

import http.client
import json
import os
import signal
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import confluent_kafka as ck

from moselle.stack.process import free_port, spawn, stop
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output, Record
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.errors import Retryable
from services.common.topics import LOGS_PARSED, LOGS_RATES, LOGS_RAW, Topic, dead_letter_topic
from tests.polling import TIMEOUT_SECONDS, poll_until

#: Kafka's least; a replica that left is missed after this long.
SESSION_TIMEOUT_MS = 6000
NUM_PARTITIONS = 4
GROUP = "moselle-ingest"
HEADER = "2026-11-21 06:{minute:02d}:{second:02d}.{milli:03d} {pid} {level} nova.compute.manager "
CONTEXT = "[None req-1 u p - - d d] "

Json = dict[str, Any]
#: A line's raw record: (partition, offset).
Place = tuple[int, int]


def line(number: int, what: str = "", level: str = "INFO", pid: int = 7, context: str = CONTEXT) -> str:
    """An oslo.log line of its own time; ten minutes of them before the times begin again."""
    minute, second = divmod(number // 1000 % 600, 60)
    header = HEADER.format(minute=minute, second=second, milli=number % 1000, pid=pid, level=level)
    return header + context + (what or f"Took {number} seconds to spawn the instance")


def shipped(text: str, host: str, path: str = "/var/log/nova/nova-compute.log") -> bytes:
    """A line as Fluent Bit sends it."""
    return json.dumps({"date": 1795241380.5, "host": host, "path": path, "log": text}).encode()


class Replica:
    """`python -m services.ingest` with a number.

    Args:
        settings: further environment.
    """

    def __init__(self, bootstrap: str, folder: Path, topic: str, number: int = 0, **settings: str) -> None:
        self._port = free_port()
        self._log = folder / f"ingest-{number}.log"
        self._env = os.environ | {
            "MOSELLE_KAFKA_BOOTSTRAP": bootstrap, "MOSELLE_REPLICA": str(number), "MOSELLE_HTTP_PORT": str(self._port),
            "MOSELLE_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS), "MOSELLE_INGEST_LOG_TOPICS": json.dumps([topic]),
            **settings,
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        """Starts it, or another one in its place."""
        self._process = spawn([sys.executable, "-m", "services.ingest"], self._log, self._env)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """As a deployment does it."""
        stop(self._process, signal.SIGTERM, 20)

    @property
    def is_alive(self) -> bool:
        """Whether the process that was started last still runs."""
        return self._process.poll() is None

    def metric(self, name: str) -> float:
        """The sum of a metric's values; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except (OSError, http.client.HTTPException):
            return 0.0
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.partition("{")[0].split(" ")[0] == name)

    def wait_until_reading(self, num_partitions: int = 1) -> None:
        """Returns when it has so many partitions at least, of logs and metrics."""
        poll_until(
            lambda: self.metric("moselle_kernel_assigned_partitions") >= num_partitions, f"partitions of {self._log}"
        )


@dataclass
class Outcome:
    """What is committed.

    Attributes:
        events: of logs.parsed.v1; `letters`: their dead letters.
        rates: of logs.rates.v1 for the same entities.
    """

    events: list[Json] = field(default_factory=list)
    letters: list[Record] = field(default_factory=list)
    rates: list[Json] = field(default_factory=list)

    @property
    def num_lines(self) -> int:
        return sum(event["line_count"] for event in self.events) + len(self.letters)

    def places(self) -> Counter[Place]:
        """How often each raw record is the origin of an event's line or of a dead letter."""
        found = Counter((e["source_partition"], offset) for e in self.events for offset in e["source_offsets"])
        return found + Counter(_origin(letter) for letter in self.letters)

    def reasons(self) -> dict[Place, str]:
        """Why each dead letter is one."""
        return {_origin(letter): _headers(letter)["moselle.error"] for letter in self.letters}

    def doubled(self) -> list[tuple[int, int, int]]:
        """Events that are there more than once, by partition, first offset and index within its record."""
        names = Counter((e["source_partition"], e["source_offsets"][0], e["source_index"]) for e in self.events)
        return [name for name, number in names.items() if number > 1]


class Story:
    """A raw topic of the test's own on a running Kafka, and what becomes of it."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.bootstrap = bootstrap
        self.topic = f"it-{name}.raw"
        raw: Topic = replace(LOGS_RAW, name=self.topic)
        create_topics(bootstrap, [raw, dead_letter_topic(raw)], NUM_PARTITIONS, 1)
        self.broker = KafkaBroker(bootstrap)
        self.published: Counter[int] = Counter()
        self._codec = Codec()
        self._begin = {(topic, part): self.broker.end_offset(topic, part) for topic, part in self._outputs()}

    def _outputs(self) -> Iterator[tuple[str, int]]:
        for topic in (LOGS_PARSED.name, LOGS_RATES.name):
            yield from ((topic, part) for part in range(self.broker.num_partitions(topic)))

    def publish(self, values: Sequence[bytes | None], partition: int, key: bytes | None = b"k") -> None:
        """Sends records to a partition; retries nothing, so call it only while Kafka is there."""
        self.broker.publish([Output(self.topic, key, value, None, partition) for value in values])
        self.published[partition] += len(values)

    def progress(self) -> dict[int, int]:
        """The committed offset of each partition, at one moment."""
        consumer = ck.Consumer({"bootstrap.servers": self.bootstrap, "group.id": GROUP, "log_level": 0})
        try:
            parts = [ck.TopicPartition(self.topic, part) for part in range(NUM_PARTITIONS)]
            return {place.partition: max(0, place.offset) for place in consumer.committed(parts, timeout=10)}
        except ck.KafkaException:
            return {}
        finally:
            consumer.close()

    def num_read(self) -> int:
        """Records whose transaction is committed."""
        return sum(self.progress().values())

    def wait_until_read(self, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        """Returns when every record is."""
        total = self.published.total()
        poll_until(lambda: self.num_read() >= total, f"{total} records of {self.topic} read", timeout_seconds)

    @property
    def sent(self) -> set[Place]:
        """Every record that was published."""
        return {(part, offset) for part, number in self.published.items() for offset in range(number)}

    def outcome(self, timeout_seconds: float = TIMEOUT_SECONDS) -> Outcome:
        """What came of all records, once the last fold is closed."""
        self.wait_until_read(timeout_seconds)
        return poll_until(self._complete, f"every record of {self.topic} in an event or dead letter", timeout_seconds)

    def _complete(self) -> Outcome | None:
        try:
            outcome = self.committed()
        except Retryable:
            return None
        return outcome if outcome.places().keys() >= self.sent else None

    def committed(self) -> Outcome:
        """Everything of this story that is committed by now."""
        events = [event for event in self._records(LOGS_PARSED.name) if event["source_topic"] == self.topic]
        entities = {event["entity_id"] for event in events}
        rates = [rate for rate in self._records(LOGS_RATES.name) if rate["entity_id"] in entities]
        letters = [r for part in range(NUM_PARTITIONS) for r in self.broker.read_to_end(f"{self.topic}.dlq", part)]
        return Outcome(events, letters, rates)

    def _records(self, topic: str) -> Iterator[Json]:
        for part in range(self.broker.num_partitions(topic)):
            begin = self._begin[topic, part]
            for record in self.broker.read_to_end(topic, part):
                if record.offset >= begin:
                    yield self._codec.decode(record.value)


def assert_each_line_once(
    story: Story, outcome: Outcome, lines_per_record: Callable[[Place], int] = lambda _: 1
) -> None:
    """Lines and dead letters equal what was published; no event twice; the rates are the events."""
    assert outcome.places().keys() == story.sent
    assert outcome.doubled() == []
    assert outcome.num_lines == sum(map(lines_per_record, story.sent))
    assert_rates_are_the_events(outcome)


def assert_rates_are_the_events(outcome: Outcome) -> None:
    """Summed increments equal the events by entity, window, severity range and template; and their lines."""
    events: Counter[tuple[Any, ...]] = Counter()
    for event in outcome.events:
        window = event["entity_id"], event["event_time"] - event["event_time"] % 10_000_000
        events.update({(*window, "events"): 1, (*window, "lines"): event["line_count"]})
        events[(*window, "template", event["template_id"])] += 1
        events[(*window, "severity", _range(event["severity_number"]))] += 1
    assert _summed(outcome.rates) == events


def _summed(rates: Sequence[Json]) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for rate in rates:
        window = rate["entity_id"], rate["window_start"]
        found.update({(*window, "events"): rate["num_events"], (*window, "lines"): rate["num_lines"]})
        found.update({(*window, "template", key): number for key, number in rate["template_counts"].items()})
        found.update({(*window, "severity", key): number for key, number in rate["severity_counts"].items()})
    return found


def _range(number: int) -> str:
    """OpenTelemetry's ranges of four."""
    return ("UNKNOWN", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")[(number + 3) // 4]


def _headers(letter: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in letter.headers or () if name.startswith("moselle.")}


def _origin(letter: Record) -> Place:
    headers = _headers(letter)
    return int(headers["moselle.source_partition"]), int(headers["moselle.source_offset"])
