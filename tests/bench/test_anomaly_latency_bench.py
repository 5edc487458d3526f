"""From the sample that completes an alert's evidence to the alert at a consumer: anomaly as a process, a real Kafka."""

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka as ck
import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.process import free_port
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.topics import ALERTS, METRICS_SAMPLES, all_topics
from tests.bench.test_anomaly_bench import scrape
from tests.polling import TIMEOUT_SECONDS, poll_until

SERVICES, EVERY_SECONDS = 1_000, 5.0
#: Scrapes that are there before anything is measured: enough to be judged.
HISTORY = 45
MEASURED_SECONDS, FAULTS_EVERY_SECONDS = 100.0, 0.4
PARTITIONS = 4
#: What a fault changes, and which of its scrapes completes the evidence: no process left is said at once, errors when
#: two of the last three scrapes have them.
FAULTS = (("num_procs", 0.0, 1), ("api_errors", 50.0, 2))

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    with temporary_kafka(tmp_path / "kafka") as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        with closing(KafkaBroker(kafka.bootstrap)) as broker:
            yield broker


@contextmanager
def anomaly(bootstrap: str, log: Path) -> Iterator[None]:
    """The service as it is shipped, but with a short warm-up."""
    settings = {"MOSELLE_ANOMALY_WARMUP_SECONDS": "100", "MOSELLE_HTTP_PORT": str(free_port())}
    environment = {**os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap, **settings}
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "services.anomaly"], env=environment, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT_SECONDS)


class Arrivals(threading.Thread):
    """When the first alert about each entity came to a consumer that reads what is committed."""

    def __init__(self, bootstrap: str) -> None:
        super().__init__(daemon=True)
        self.at: dict[str, float] = {}
        self._over = threading.Event()
        config = {"group.id": "bench", "isolation.level": "read_committed", "auto.offset.reset": "earliest"}
        self._consumer = ck.Consumer({"bootstrap.servers": bootstrap, "fetch.wait.max.ms": 10, **config})

    def run(self) -> None:
        codec = Codec()
        self._consumer.subscribe([ALERTS.name])
        while not self._over.is_set():
            message = self._consumer.poll(0.1)
            if message is not None and not message.error():
                alert = codec.decode(message.value())
                if alert["status"] == "firing":
                    self.at.setdefault(alert["entity_id"], time.time())
        self._consumer.close()

    def end(self) -> None:
        self._over.set()
        self.join()


class Fleet:
    """Services that are scraped one after the other, each every EVERY_SECONDS; some of them have faults.

    Attributes:
        completed: by entity, when the sample was published that completed the evidence of its fault.
    """

    def __init__(self, began: float) -> None:
        self._began, self._draw, self._codec = began, random.Random(1), Codec()
        self._faulty: dict[int, tuple[str, float, int]] = {}
        self._scrapes: dict[int, int] = {}
        self.number = 0
        self.completed: dict[str, float] = {}

    def due_at(self, number: int) -> float:
        """When the scrape with this number of all is taken."""
        return self._began + number * EVERY_SECONDS / SERVICES

    def break_one(self, service: int) -> None:
        """From its next scrape on."""
        self._faulty[service] = FAULTS[service % len(FAULTS)]

    def take(self, until: int) -> list[Output]:
        """The scrapes up to that one."""
        return [self._output(number) for number in self._numbers(until)]

    def _numbers(self, until: int) -> range:
        first, self.number = self.number, max(self.number, until)
        return range(first, self.number)

    def _output(self, number: int) -> Output:
        service, micros = number % SERVICES, int(self.due_at(number) * 1_000_000)
        host = f"host:h{service % 20}"
        record: dict[str, Any] = scrape(EVERY_SECONDS * (number // SERVICES), service, self._draw)
        record.update(event_time=micros, ingest_time=micros, parent_entity_ids=[host], source_offsets=[number])
        if service in self._faulty:
            self._spoil(service, record)
        value = self._codec.encode(METRICS_SAMPLES.name, record)
        return Output(METRICS_SAMPLES.name, record["entity_id"].encode(), value)

    def _spoil(self, service: int, record: Mapping[str, Any]) -> None:
        name, value, needed = self._faulty[service]
        place = next(place for place, series in enumerate(record["series"]) if name in series)
        record["values"][place] = value
        self._scrapes[service] = self._scrapes.get(service, 0) + 1
        if self._scrapes[service] == needed:
            self.completed[record["entity_id"]] = time.time()


def drive(fleet: Fleet, broker: KafkaBroker, seconds: float, faulty: Iterator[int]) -> None:
    """Publishes what is due, for so long; breaks one service after the other."""
    end, next_fault = time.time() + seconds, time.time()
    while (now := time.time()) < end:
        if now >= next_fault:
            next_fault += FAULTS_EVERY_SECONDS
            service = next(faulty, None)
            if service is not None:
                fleet.break_one(service)
        due = fleet.number
        while fleet.due_at(due) <= now:
            due += 1
        broker.publish(fleet.take(due))
        time.sleep(0.01)


def test_sample_to_alert(broker: KafkaBroker, tmp_path: Path) -> None:
    """Prints p50 and p99 of the time from publishing the last sample that was needed to the alert's arrival."""
    fleet = Fleet(time.time() - HISTORY * EVERY_SECONDS)
    arrivals = Arrivals(broker.bootstrap)
    arrivals.start()
    with anomaly(broker.bootstrap, tmp_path / "log"):
        for scrape_number in range(1, HISTORY + 1):
            broker.publish(fleet.take(scrape_number * SERVICES))
        marked = list(range(0, 40, 2))  # when alerts about these have come, the service has caught up
        for service in marked:
            fleet.break_one(service)
        drive(fleet, broker, 2 * EVERY_SECONDS, iter(()))
        poll_until(lambda: len(arrivals.at) >= len(marked), "the service catches up", 120)
        drive(fleet, broker, 4 * EVERY_SECONDS, iter(()))
        known = set(arrivals.at)
        shuffled = random.Random(2).sample(range(40, SERVICES), SERVICES - 40)
        drive(fleet, broker, MEASURED_SECONDS, iter(shuffled[: int(MEASURED_SECONDS / FAULTS_EVERY_SECONDS) - 40]))
        wanted = {entity for entity in fleet.completed if entity not in known}
        poll_until(lambda: wanted <= set(arrivals.at), "an alert for each fault", 30)
    arrivals.end()
    delays = sorted(arrivals.at[entity] - fleet.completed[entity] for entity in wanted)
    p50, p99 = delays[len(delays) // 2], delays[int(len(delays) * 0.99)]
    print(
        f"\nsample to alert, {10 * SERVICES:,} series every {EVERY_SECONDS:g} s: p50 {1000 * p50:.0f} ms, "
        f"p99 {1000 * p99:.0f} ms, worst {1000 * delays[-1]:.0f} ms, n {len(delays)}, load {os.getloadavg()[0]:.1f}"
    )
    assert delays[0] > 0, "no alert comes before its evidence"
