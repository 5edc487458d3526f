"""A broker that goes away under the Faust worker: it says so, and afterwards every row is there once."""

import signal
from pathlib import Path

from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.errors import MoselleError
from services.common.topics import all_topics
from tests.integration.features_worker import Worker
from tests.integration.test_broker_away import Kafka
from tests.polling import poll_until
from tests.unit.features.samples import SCRAPED_BYTES, make_samples

TOPIC = "metrics.samples.v1"


def publish(bootstrap: str, numbers: range) -> bool:
    codec, records = Codec(), [make_samples(10 * n + 5, {SCRAPED_BYTES: 10.0 * n}) for n in numbers]
    try:
        KafkaBroker(bootstrap).publish([Output(TOPIC, b"host:compute-1", codec.encode(TOPIC, r)) for r in records])
    except MoselleError:
        return False
    return True


def supervised(worker: Worker) -> Worker:
    """Started again when it has ended, which it may do because of a broker, but only with 1."""
    if worker.process.poll() is not None:
        assert worker.process.returncode == 1
        worker.start()
    return worker


def test_it_says_so_and_every_row_comes_once(tmp_path: Path) -> None:
    """kill -9 of the broker: not ready with a reason, or ended for its supervisor; then on as if nothing was."""
    from moselle.features import check

    kafka = Kafka(tmp_path)
    create_topics(kafka.bootstrap, all_topics(), 2)
    worker = Worker(kafka.bootstrap, tmp_path)
    try:
        publish(kafka.bootstrap, range(20))
        poll_until(lambda: check(kafka.bootstrap).rows >= 18, "the first rows")
        kafka.kill()
        poll_until(lambda: worker.process.poll() or worker.readiness().get("reason"), "not ready, with the reason")
        kafka.start()
        poll_until(lambda: publish(kafka.bootstrap, range(20, 40)), "the second half published")
        poll_until(lambda: supervised(worker).is_ready(), "ready again, or ended and started again")
        poll_until(lambda: check(supervised(worker).bootstrap).rows >= 38, "every row")
        assert check(kafka.bootstrap).mismatches == 0
    finally:
        if worker.process.poll() is None:
            worker.end(signal.SIGKILL)
        kafka.stop()
