"""The Faust worker as a process on a real Kafka: records in, vectors out, killed in the middle, stopped."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from moselle.parity import Parity, row_key
from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output, Record
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.topics import all_topics
from tests.integration.features_worker import Worker
from tests.polling import poll_until
from tests.unit.features.samples import SCRAPED_BYTES, make_rates, make_samples

PARTITIONS = 4
METRICS, LOGS = "metrics.samples.v1", "logs.rates.v1"
NUM_STEPS = 60
#: What Kubernetes gives it (k8s/base): then comes SIGKILL.
GRACE_SECONDS = 90.0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka of its own: everything in it is compared."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


@pytest.fixture(scope="module")
def worker(broker: KafkaBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    made = Worker(broker.bootstrap, tmp_path_factory.mktemp("features"), MOSELLE_FEATURES_QUIET_SECONDS="3")
    yield made
    if made.process.poll() is None:
        made.end(signal.SIGKILL)


def scrape(step: int, host: int, test: str) -> tuple[str, dict[str, Any]]:
    return METRICS, make_samples(10 * step + 5, {SCRAPED_BYTES: 10.0 * step * step * host}, f"host:{test}-{host}")


def log_rates(step: int, service: int, test: str) -> tuple[str, dict[str, Any]]:
    return LOGS, make_rates(10 * step, step, f"service:s{service}@{test}-{service % 2}")


def capture(steps: Sequence[int], test: str) -> list[tuple[str, dict[str, Any]]]:
    """Five hosts' scrapes and five services' log rates of some steps, on hosts of the test's own."""
    return [make(step, n, test) for step in steps for n in range(5) for make in (scrape, log_rates)]


def publish(broker: KafkaBroker, records: Sequence[tuple[str, dict[str, Any]]]) -> None:
    codec = Codec()
    broker.publish([Output(t, fields["entity_id"].encode(), codec.encode(t, fields)) for t, fields in records])


def compared(broker: KafkaBroker) -> Parity:
    from moselle.features import check

    os.environ["MOSELLE_FEATURES_QUIET_SECONDS"] = "3"
    try:
        return check(broker.bootstrap)
    finally:
        del os.environ["MOSELLE_FEATURES_QUIET_SECONDS"]


def num_rows(broker: KafkaBroker, test: str) -> int:
    """Of a test's entities: hosts and their services, as often as they were written."""
    return sum(f"{test}-" in name for name in entities(broker))


def num_different_rows(broker: KafkaBroker, test: str) -> int:
    """Of a test's entities: each entity, step and feature set once."""
    codec = Codec()
    rows = [codec.decode(record.value) for record in all_records(broker, "features.v1")]
    return len({row_key(row) for row in rows if f"{test}-" in row["entity_id"]})


def finished(broker: KafkaBroker) -> Parity | None:
    found = compared(broker)
    return None if found.unfinished else found


def test_killed_in_the_middle_it_writes_every_row(broker: KafkaBroker, worker: Worker) -> None:
    """kill -9 while rows are being written, restart: each row is there and equals the batch to the bit.

    Rows that Kafka had and whose state it had not are written again, the same: their readers drop repeats.
    """
    publish(broker, capture(range(NUM_STEPS // 2), "killed"))
    poll_until(lambda: num_rows(broker, "killed"), "the first rows")
    worker.end(signal.SIGKILL)
    publish(broker, capture(range(NUM_STEPS // 2, NUM_STEPS), "killed"))
    worker.start()
    found = poll_until(lambda: finished(broker), "every row")
    assert num_different_rows(broker, "killed") == NUM_STEPS * (5 + 5 + 2)
    assert found.mismatches == 0, found.first


def test_the_same_records_again_change_no_row(broker: KafkaBroker, worker: Worker) -> None:
    """All of it is late now; the row of a later step shows that it was read."""
    publish(broker, capture(range(NUM_STEPS), "again"))
    poll_until(lambda: finished(broker), "every row")
    later = [scrape(NUM_STEPS + 100 + n, host, "again") for n in (0, 10) for host in range(5)]
    publish(broker, [*capture(range(NUM_STEPS), "again"), *later])
    found = poll_until(lambda: finished(broker), "the rows of the later steps")
    assert num_rows(broker, "again") == NUM_STEPS * (5 + 5 + 2) + len(later)
    assert found.mismatches == 0, found.first


def test_records_of_an_aborted_transaction_are_never_seen(broker: KafkaBroker, worker: Worker) -> None:
    """Faust reads uncommitted records unless told otherwise."""
    import confluent_kafka

    producer = confluent_kafka.Producer({"bootstrap.servers": broker.bootstrap, "transactional.id": "it-aborted"})
    producer.init_transactions(30)
    producer.begin_transaction()
    _, record = scrape(1, 77, "aborted")
    producer.produce(METRICS, Codec().encode(METRICS, record), record["entity_id"].encode())
    producer.flush(30)
    producer.abort_transaction(30)
    publish(broker, [scrape(1, 88, "aborted")])
    poll_until(lambda: "host:aborted-88" in entities(broker), "the row of the committed one")
    assert "host:aborted-77" not in entities(broker)


def entities(broker: KafkaBroker) -> list[str]:
    """Of each row that was written."""
    return [(record.key or b"").decode() for record in all_records(broker, "features.v1")]


def all_records(broker: KafkaBroker, topic: str) -> list[Record]:
    return [record for number in range(PARTITIONS) for record in broker.read_to_end(topic, number)]


def test_what_cannot_be_read_is_a_dead_letter(broker: KafkaBroker, worker: Worker) -> None:
    """With the original bytes, and headers that say why."""
    broker.publish([Output(METRICS, b"host:x", b"junk", None, 0)])
    letters = poll_until(lambda: all_records(broker, f"{METRICS}.dlq"), "the dead letter")
    assert letters[0].value == b"junk"
    assert dict(letters[0].headers or ())["moselle.error"] == b"not_avro_single_object"


def test_told_to_stop_it_ends_soon_and_loses_nothing(broker: KafkaBroker, worker: Worker) -> None:
    """SIGTERM ends it with 0 while Kubernetes would still wait; what it had begun is there after the next start."""
    publish(broker, [scrape(NUM_STEPS + 200 + n, 3, "stopped") for n in range(40)])
    assert worker.end(signal.SIGTERM, GRACE_SECONDS) == 0
    worker.start()
    assert poll_until(lambda: finished(broker), "every row").mismatches == 0
