"""A broker that goes away: the service waits, says so, and goes on without losing or doubling anything."""

import signal
import threading
from collections import Counter
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic

from moselle.stack.kafka import EmbeddedKafka, wait_until_answers
from moselle.stack.process import free_port, spawn, stop
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import Retryable
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from tests.conformance.stages import Numbering
from tests.polling import TIMEOUT_SECONDS, poll_until

NUM_RECORDS = 6_000


class Kafka:
    """A broker of this test's own, since it gets killed."""

    def __init__(self, folder: Path) -> None:
        self._kafka = EmbeddedKafka(folder, free_port(), free_port())
        self._kafka.prepare()
        self._log = folder / "kafka.log"
        self.bootstrap = self._kafka.bootstrap
        self.start()

    def start(self) -> None:
        self._process = spawn(self._kafka.command(), self._log)
        assert wait_until_answers(self.bootstrap, TIMEOUT_SECONDS)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        stop(self._process, signal.SIGTERM, 20)


def make_topics(bootstrap: str) -> None:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    topics = [NewTopic("it-in", 2, 1), NewTopic("it-out", 1, 1), NewTopic("away.state.v1", 2, 1)]
    for future in admin.create_topics(topics).values():
        future.result(30)


def make_runner(bootstrap: str, health: Health) -> StageRunner:
    return StageRunner(
        KafkaBroker(bootstrap), Codec(), "away", ["it-in"], lambda b, c: Numbering("it-out"),
        SystemClock(), health, CommonSettings(batch_records=200), ["it-out"],
    )  # fmt: skip


def test_a_broker_killed_and_back_costs_nothing(tmp_path: Path) -> None:
    """kill -9 in mid-stream; /readyz says no until it is back; then each record was numbered once."""
    kafka, health = Kafka(tmp_path), Health(SystemClock())
    make_topics(kafka.bootstrap)
    broker = KafkaBroker(kafka.bootstrap)
    broker.publish([Output("it-in", None, b"x", None, i % 2) for i in range(NUM_RECORDS // 2)])
    runner = make_runner(kafka.bootstrap, health)
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        poll_until(lambda: broker.end_offset("it-out", 0) > 0, "the first outputs")
        kafka.kill()
        poll_until(lambda: health.reason, "not ready while the broker is away")
        kafka.start()
        broker = KafkaBroker(kafka.bootstrap)
        poll_until(lambda: _published(broker), "the second half published")
        poll_until(lambda: not health.reason and _count(broker) >= NUM_RECORDS, "every record numbered")
    finally:
        runner.stop()
        thread.join(TIMEOUT_SECONDS)
    values = Counter(r.value for r in KafkaBroker(kafka.bootstrap).read_to_end("it-out", 0))
    kafka.stop()
    assert values == Counter(b"%d.%d" % (p, n) for p in range(2) for n in range(1, NUM_RECORDS // 2 + 1))


def _published(broker: KafkaBroker) -> bool:
    try:
        broker.publish([Output("it-in", None, b"x", None, i % 2) for i in range(NUM_RECORDS // 2)])
    except Retryable:
        return False
    return True


def _count(broker: KafkaBroker) -> int:
    try:
        return sum(1 for _ in broker.read_to_end("it-out", 0))
    except Retryable:
        return 0
