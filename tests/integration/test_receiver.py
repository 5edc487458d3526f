"""The receiver and the stage as processes on a real Kafka: HTTP in, samples and events out, each once."""

import os
import ssl
import urllib.error
from collections.abc import Iterator
from pathlib import Path

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.errors import InvalidMessage
from services.common.topics import all_topics
from tests.certificates import make_certificates, needs_openssl
from tests.integration.ingest_programs import PARTITIONS, Program, committed_all, running, series_of, written
from tests.integration.test_broker_away import Kafka
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.ingest.requests_of import OTLP, WRITE_1, WRITE_2, otlp_logs, otlp_metrics, post, write_1, write_2

TOKEN = "it-token-0123456789"
#: Which one depends on how far TLS 1.3 got when the server hung up.
NO_ANSWER = (urllib.error.URLError, ssl.SSLError, ConnectionError)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka of this file's own, since it counts what lies in the topics."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


def test_requests_become_samples_and_events_once(broker: KafkaBroker, tmp_path: Path) -> None:
    """Each request is sent twice, the second time after the stage was killed; its samples are there once."""
    receiver = Program(broker.bootstrap, tmp_path / "receiver.log", "receiver")
    stage = Program(broker.bootstrap, tmp_path / "stage.log")
    requests = [
        ("/api/v1/write", write_1(), WRITE_1, 204), ("/api/v1/write", write_2(), WRITE_2, 204),
        ("/v1/metrics", otlp_metrics(), OTLP, 200), ("/v1/logs", otlp_logs(), OTLP, 200),
    ]  # fmt: skip

    def send() -> list[int]:
        return [post(f"http://127.0.0.1:{receiver.port}{path}", body, head).status for path, body, head, _ in requests]

    with running(receiver, stage):
        assert send() == [status for *_, status in requests]
        poll_until(lambda: len(series_of(broker)) >= 3 and written(broker, "logs.parsed.v1"), "samples and events")
        stage.process.kill()
        stage.process.wait()
        assert send() == [status for *_, status in requests]
        stage.start()
        assert post(f"http://127.0.0.1:{receiver.port}/api/v1/write", write_1(2.0), WRITE_1).status == 204
        # The last request of each partition: what came before it was handled.
        poll_until(lambda: len(series_of(broker)) >= 4, "the last sample")
        poll_until(
            lambda: all(committed_all(broker, topic) for topic in ("metrics.raw", "logs.raw")), "everything read"
        )
        assert (receiver.end(), stage.end()) == (0, 0)
    assert sorted(series_of(broker)) == [
        'system_memory_usage_bytes{host.name="c1"}', 'up{instance="c1:9100",job="node"}',
        'up{instance="c1:9100",job="node"}', 'up{instance="c1:9100"}',
    ]  # fmt: skip
    (event,) = written(broker, "logs.parsed.v1")
    assert (event["body"], event["entity_id"]) == ("disk is full", "service:nova-api@c1")
    assert written_raw(broker, "metrics.raw.dlq") == 0


def written_raw(broker: KafkaBroker, topic: str) -> int:
    """How many records a topic has."""
    return sum(1 for number in range(broker.num_partitions(topic)) for _ in broker.read_to_end(topic, number))


@needs_openssl
def test_only_senders_with_a_certificate_get_a_connection(broker: KafkaBroker, tmp_path: Path) -> None:
    """mTLS and a token together: without the first no handshake, without the second 401."""
    make_certificates(tmp_path, "receiver", "sender")
    receiver = Program(
        broker.bootstrap, tmp_path / "receiver.log", "receiver",
        MOSELLE_INGEST_RECEIVER_HOST="0.0.0.0", MOSELLE_INGEST_RECEIVER_TOKENS=f'["{TOKEN}"]',
        MOSELLE_INGEST_RECEIVER_TLS_CERT=str(tmp_path / "receiver.pem"),
        MOSELLE_INGEST_RECEIVER_TLS_KEY=str(tmp_path / "receiver.key"),
        MOSELLE_INGEST_RECEIVER_CLIENT_CA=str(tmp_path / "ca.pem"),
    )  # fmt: skip
    stranger, sender = (ssl.create_default_context(cafile=str(tmp_path / "ca.pem")) for _ in range(2))
    sender.load_cert_chain(tmp_path / "sender.pem", tmp_path / "sender.key")
    with running(receiver):
        url = f"https://127.0.0.1:{receiver.port}/api/v1/write"
        with pytest.raises(NO_ANSWER):
            post(url, write_1(), WRITE_1, stranger)
        assert post(url, write_1(), WRITE_1, sender).status == 401
        assert post(url, write_1(), WRITE_1 | {"Authorization": f"Bearer {TOKEN}"}, sender).status == 204
        assert TOKEN not in receiver.log.read_text()


def test_it_refuses_to_be_open_to_anybody(broker: KafkaBroker, tmp_path: Path) -> None:
    """One sentence and exit code 1."""
    receiver = Program(broker.bootstrap, tmp_path / "log", "receiver", MOSELLE_INGEST_RECEIVER_HOST="0.0.0.0")
    assert receiver.process.wait(TIMEOUT_SECONDS) == 1
    assert "would let anybody write" in receiver.log.read_text().splitlines()[-1]


def test_a_message_that_kafka_never_takes_is_told_apart(broker: KafkaBroker) -> None:
    """The topic's limit is no reason to try again."""
    with pytest.raises(InvalidMessage, match="too_large"):
        broker.publish([Output("features.v1", b"k", os.urandom(5 * 2**20))])


def test_a_broker_that_is_away_costs_a_retry(tmp_path: Path) -> None:
    """kill -9 of the broker: 503 while it is away, 204 when it is back, and one sample."""
    kafka = Kafka(tmp_path / "kafka")
    create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
    receiver = Program(
        kafka.bootstrap, tmp_path / "receiver.log", "receiver", MOSELLE_INGEST_RECEIVER_ACCEPT_SECONDS="2"
    )
    url = f"http://127.0.0.1:{receiver.port}/api/v1/write"
    try:
        with running(receiver):
            kafka.kill()
            answer = post(url, write_1(), WRITE_1)
            assert (answer.status, answer.headers["Retry-After"]) == (503, "2")
            kafka.start()
            poll_until(lambda: post(url, write_1(), WRITE_1).status == 204, "the retry taken")
        broker = KafkaBroker(kafka.bootstrap)
        with running(Program(kafka.bootstrap, tmp_path / "stage.log")):
            poll_until(lambda: committed_all(broker, "metrics.raw"), "everything read")
        assert len(series_of(broker)) == 1
    finally:
        kafka.stop()
