"""Ingest's processes on a Kafka of their own, and what they wrote."""

import http.client
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import confluent_kafka as ck

from moselle.stack.process import free_port
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from tests.polling import TIMEOUT_SECONDS, poll_until

PARTITIONS = 2


class Program:
    """`python -m services.ingest [role]`; several starts of it are the same replica."""

    def __init__(self, bootstrap: str, log: Path, *role: str, **settings: str) -> None:
        self.http, self.port = free_port(), free_port()
        self.log = log
        self._command = [sys.executable, "-m", "services.ingest", *role]
        self._environment = {
            **os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap, "MOSELLE_HTTP_PORT": str(self.http),
            "MOSELLE_INGEST_RECEIVER_PORT": str(self.port), **settings,
        }  # fmt: skip
        self.start()

    def start(self, **settings: str) -> None:
        """Starts it, or another one in its place, with other settings from now on."""
        self._environment |= settings
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self._command, env=self._environment, stderr=log, stdout=log)

    @property
    def is_ready(self) -> bool:
        """What /readyz says."""
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http}/readyz", timeout=5) as answer:
                return bool(json.load(answer)["ready"])
        except (OSError, http.client.HTTPException):
            return False

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_SECONDS)


@contextmanager
def running(*programs: Program) -> Iterator[None]:
    """Waits until they are ready; ends them, whatever happens."""
    try:
        poll_until(lambda: all(program.is_ready for program in programs), "ingest ready")
        yield
    finally:
        for program in programs:
            if program.process.poll() is None:
                program.process.kill()
                program.process.wait()


def written(broker: KafkaBroker, topic: str) -> list[dict[str, Any]]:
    """All committed records of a topic."""
    codec = Codec()
    numbers = range(broker.num_partitions(topic))
    return [codec.decode(record.value) for number in numbers for record in broker.read_to_end(topic, number)]


def series_of(broker: KafkaBroker) -> Sequence[str]:
    """Every series of metrics.samples.v1 as often as it was written."""
    return [name for record in written(broker, "metrics.samples.v1") for name in record["series"]]


def committed_all(broker: KafkaBroker, topic: str) -> bool:
    """Whether the stage's group has committed the end of a topic."""
    consumer = ck.Consumer({"bootstrap.servers": broker.bootstrap, "group.id": "moselle-ingest"})
    try:
        partitions = [ck.TopicPartition(topic, number) for number in range(broker.num_partitions(topic))]
        committed = consumer.committed(partitions, timeout=10)
        return all(max(p.offset, 0) >= broker.end_offset(topic, p.partition) for p in committed)
    finally:
        consumer.close()
