"""The predictor as a process on a real Kafka: vectors in, predictions out, killed in the middle, refusing, stopped."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.process import free_port
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.topics import all_topics
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.predictor.streams import Replica, wavy

PARTITIONS = 2
STORY = [record for steps in zip(wavy(range(150)), wavy(range(150), "host:c2"), strict=True) for record in steps]


class Process:
    """One replica; several starts of it are the same one."""

    def __init__(self, bootstrap: str, log: Path, **settings: str) -> None:
        self.port = free_port()
        self.log = log
        self._environment = {
            **os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap, "MOSELLE_HTTP_PORT": str(self.port), **settings,
        }  # fmt: skip
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "services.predictor"]
            self.process = subprocess.Popen(command, env=self._environment, stderr=log, stdout=log)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_SECONDS)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka of this file's own, since others count what lies in features.v1."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


def publish(broker: KafkaBroker, records: Sequence[dict[str, Any]]) -> None:
    codec = Codec()
    broker.publish([Output("features.v1", r["entity_id"].encode(), codec.encode("features.v1", r)) for r in records])


def predictions(broker: KafkaBroker) -> list[dict[str, Any]]:
    """Everything committed so far, in an order that does not depend on partitions."""
    codec = Codec()
    found = [
        codec.decode(record.value) for n in range(PARTITIONS) for record in broker.read_to_end("predictions.v1", n)
    ]
    return in_order(found)


def in_order(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(found, key=lambda p: (p["event_time"], p["entity_id"], p["target"]))


def test_killed_in_the_middle_it_says_everything_once(broker: KafkaBroker, tmp_path: Path) -> None:
    """kill -9 after the first predictions, restart: the records equal those of an undisturbed run to the bit."""
    replica = Process(broker.bootstrap, tmp_path / "log")
    try:
        publish(broker, STORY[:180])
        poll_until(lambda: predictions(broker), "the first predictions")
        replica.end(signal.SIGKILL)
        publish(broker, STORY[180:])
        replica.start()
        wanted = in_order(Replica(artifact="").take(STORY).predictions)
        found = poll_until(lambda: (got := predictions(broker)) and len(got) >= len(wanted) and got, "all of them")
        assert found == wanted
        assert replica.end(signal.SIGTERM) == 0
    finally:
        replica.process.kill()


def test_broken_artifact_stops_it_with_a_sentence(broker: KafkaBroker, tmp_path: Path) -> None:
    """It never joins its group: exit code 1, and one sentence that names the file."""
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "manifest.json").write_text("{")
    process = Process(broker.bootstrap, tmp_path / "log", MOSELLE_PREDICTOR_ARTIFACT=str(tmp_path / "artifact"))
    assert process.process.wait(TIMEOUT_SECONDS) == 1
    assert "manifest.json is broken" in process.log.read_text()
