"""Two replicas of the Faust worker, one of which dies for good: the other takes its entities over with their state."""

import signal
from pathlib import Path

import pytest

from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.topics import all_topics
from tests.integration.features_worker import Worker
from tests.integration.test_broker_away import Kafka
from tests.polling import poll_until
from tests.unit.features.samples import make_rates

TOPIC = "logs.rates.v1"
SERVICES = [f"service:s{n}@h" for n in range(8)]


def publish(broker: KafkaBroker, steps: range) -> None:
    codec, records = Codec(), [make_rates(10 * step, step, service) for step in steps for service in SERVICES]
    broker.publish([Output(TOPIC, r["entity_id"].encode(), codec.encode(TOPIC, r)) for r in records])


def test_a_replica_takes_over_where_the_other_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of services and of their host, over both replicas' partitions: all there, equal to the batch to the bit."""
    from moselle.features import check

    kafka = Kafka(tmp_path)
    create_topics(kafka.bootstrap, all_topics(), 4)
    broker = KafkaBroker(kafka.bootstrap)
    # While nobody reads a partition its entities are not quiet; ten minutes keep the takeover out of the rows.
    monkeypatch.setenv("MOSELLE_FEATURES_QUIET_SECONDS", "600")
    workers = []
    try:
        for number in "01":
            workers.append(Worker(kafka.bootstrap, tmp_path, MOSELLE_REPLICA=number))
        publish(broker, range(20))
        poll_until(lambda: check(kafka.bootstrap).rows >= 18 * 9, "the first rows")
        workers[1].end(signal.SIGKILL)
        publish(broker, range(20, 40))
        poll_until(lambda: check(kafka.bootstrap).rows >= 38 * 9, "every row")
        found = check(kafka.bootstrap)
        assert found.mismatches == 0, found.first
    finally:
        for worker in workers:
            if worker.process.poll() is None:
                worker.end(signal.SIGKILL)
        kafka.stop()
