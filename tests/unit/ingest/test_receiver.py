"""The receiver on a broker in memory: what it takes, what it refuses, what it says."""

import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cramjam
import pytest
from google.rpc.status_pb2 import Status
from pydantic import SecretStr

from services.common.broker.abstract import Record, TopicPartition
from services.common.broker.memory import MemoryBroker
from services.common.errors import Retryable, SettingsInvalid
from services.ingest.adapters.receiver import Receiver, check_access
from services.ingest.settings import IngestSettings
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.ingest.requests_of import (
    OTLP,
    WRITE_1,
    WRITE_2,
    Answer,
    otlp_logs,
    otlp_metrics,
    post,
    write_1,
    write_2,
)

TOKEN = "0123456789abcdef"
JSON = {"Content-Type": "application/json"}


class StuckBroker(MemoryBroker):
    """Holds every publish until a test lets it go."""

    def __init__(self) -> None:
        super().__init__({"logs.raw": 1, "metrics.raw": 1})
        self.entered, self.go = threading.Event(), threading.Event()
        self.go.set()

    def publish(self, outputs: Any) -> None:
        self.entered.set()
        self.go.wait(TIMEOUT_SECONDS)
        super().publish(outputs)


class Client:
    """A receiver with its broker."""

    def __init__(self, **settings: Any) -> None:
        self.broker = StuckBroker()
        self.receiver = Receiver(self.broker, IngestSettings(**settings))

    def send(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        return post(f"http://127.0.0.1:{self.receiver.port}{path}", body, headers)

    def records(self, topic: str = "metrics.raw") -> list[Record]:
        return self.broker.log(TopicPartition(topic, 0))


Open = Callable[..., Client]


@pytest.fixture
def open_client() -> Iterator[Open]:
    """Makes receivers that take requests; they end with the test."""
    clients: list[Client] = []

    def make(**settings: Any) -> Client:
        clients.append(Client(**settings))
        clients[-1].receiver.open_views()
        return clients[-1]

    yield make
    for client in clients:
        client.broker.go.set()
        client.receiver.close()


@pytest.mark.parametrize(
    ("path", "topic", "headers", "body", "written"),
    [
        ("/api/v1/write", "metrics.raw", WRITE_1, write_1(),
         ["application/x-protobuf;proto=prometheus.WriteRequest", "snappy"]),
        ("/api/v1/write", "metrics.raw", WRITE_2, write_2(),
         ["application/x-protobuf;proto=io.prometheus.write.v2.Request", "snappy"]),
        ("/v1/metrics", "metrics.raw", OTLP, otlp_metrics(), ["application/x-protobuf"]),
        ("/v1/metrics", "metrics.raw", OTLP | {"Content-Encoding": "gzip"}, gzip.compress(otlp_metrics(), mtime=0),
         ["application/x-protobuf", "gzip"]),
        ("/v1/logs", "logs.raw", OTLP, otlp_logs(), ["application/x-protobuf"]),
        ("/v1/logs", "logs.raw", JSON, b'{"resourceLogs":[{}]}', ["application/json"]),
    ],
    ids=["write 1", "write 2", "metrics", "packed metrics", "logs", "logs in JSON"],
)  # fmt: skip
def test_a_body_is_written_as_it_came(
    path: str, topic: str, headers: dict[str, str], body: bytes, written: list[str], open_client: Open
) -> None:
    """Bytes untouched, headers that say what they are, and a key that a retry has, too."""
    client = open_client()
    first, again = client.send(path, body, headers), client.send(path, body, headers)
    assert {first.status, again.status} <= {200, 204}
    one, two = client.records(topic)
    assert one.value == two.value == body
    assert one.key == two.key
    assert [value.decode() for name, value in one.headers or () if name != "moselle.request"] == written


def test_remote_write_2_is_told_how_much_was_taken(open_client: Open) -> None:
    """Its sender compares it with what it sent."""
    answer = open_client().send("/api/v1/write", write_2(), WRITE_2)
    told = {name: value for name, value in answer.headers.items() if "Written" in name}
    assert answer.status == 204
    assert told == {
        "X-Prometheus-Remote-Write-Samples-Written": "1",
        "X-Prometheus-Remote-Write-Histograms-Written": "0",
        "X-Prometheus-Remote-Write-Exemplars-Written": "0",
    }


def test_otlp_is_answered_in_its_own_messages(open_client: Open) -> None:
    """An empty response in the encoding of the request; an empty request is taken and written nowhere."""
    client = open_client()
    assert client.send("/v1/metrics", b"", OTLP)[::2] == (200, b"")
    answer = client.send("/v1/metrics", b'{"resourceMetrics":[]}', JSON)
    assert (answer.status, answer.body, answer.headers["Content-Type"]) == (200, b"{}", "application/json")
    assert client.records() == []


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "words"),
    [
        ("/api/v1/write", b"{}", JSON, 415, "wanted application/x-protobuf;proto="),
        ("/api/v1/write", write_1(), WRITE_1 | {"Content-Type": "application/x-protobuf;proto=a.B"}, 415, "a.B"),
        ("/api/v1/write", write_1(), WRITE_1 | {"Content-Encoding": "zstd"}, 415, "wanted snappy"),
        ("/api/v1/write", b"rubbish", WRITE_1, 400, "bad_snappy"),
        ("/api/v1/write", bytes(cramjam.snappy.compress_raw(b"\xff" * 99)), WRITE_2, 400, "bad_protobuf"),
        ("/api/v1/write", bytes(cramjam.snappy.compress_raw(b"\0" * 200_000)), WRITE_1, 413, "too_large"),
        ("/api/v1/write", b"\0" * 70_000, WRITE_1, 413, "up to 65536 bytes"),
        ("/v1/metrics", b"\xff" * 9, OTLP, 400, "ExportMetricsServiceRequest"),
        ("/v1/logs", b"\xff" * 9, OTLP, 400, "ExportLogsServiceRequest"),
        ("/v1/metrics", b"x", {"Content-Type": "text/plain"}, 415, "text/plain"),
        ("/v1/metrics", otlp_metrics(), OTLP | {"Content-Encoding": "gzip"}, 400, "the body is not"),
        ("/v1/metrics", b"\x1f\x8b\x08x", OTLP | {"Content-Encoding": "gzip"}, 400, "bad_gzip"),
        ("/v1/metrics", gzip.compress(b"\0" * 200_000), OTLP | {"Content-Encoding": "gzip"}, 413, "too_large"),
        ("/v1/metrics", b"", OTLP | {"Content-Encoding": "br"}, 415, "'br'"),
    ],
)  # fmt: skip
def test_what_can_never_work_is_refused_for_good(
    path: str, body: bytes, headers: dict[str, str], status: int, words: str, open_client: Open
) -> None:
    """A 4xx status with what was wanted, and nothing written: senders drop it."""
    client = open_client(receiver_max_body_bytes=65_536, max_expanded_bytes=65_536)
    answer = client.send(path, body, headers)
    assert (answer.status, client.records(), client.records("logs.raw")) == (status, [], [])
    assert words.encode() in answer.body


def test_a_refusal_of_json_is_json(open_client: Open) -> None:
    """google.rpc.Status in the encoding of the request."""
    client = open_client()
    for body in (b"{", b"[]", b'{"resourceLogs":{}}'):
        answer = client.send("/v1/logs", body, JSON)
        assert (answer.status, json.loads(answer.body)["code"]) == (400, 3)
    assert Status.FromString(client.send("/v1/logs", b"\xff", OTLP).body).code == 3


@pytest.mark.parametrize(
    "given", ["", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xe9"]
)
def test_without_a_token_nothing_is_taken(given: str, open_client: Open) -> None:
    """401, and how to do better."""
    client = open_client(receiver_tokens=(SecretStr(TOKEN),))
    answer = client.send("/api/v1/write", write_1(), WRITE_1 | {"Authorization": given})
    assert (answer.status, answer.headers["WWW-Authenticate"], client.records()) == (401, "Bearer", [])


def test_any_of_the_tokens_is_good(open_client: Open) -> None:
    """Two while one is replaced by the other."""
    client = open_client(receiver_tokens=(SecretStr("f" * 16), SecretStr(TOKEN)))
    assert client.send("/api/v1/write", write_1(), WRITE_1 | {"Authorization": f"bearer {TOKEN}"}).status == 204


def test_too_many_requests_are_asked_to_come_back(open_client: Open) -> None:
    """429 with Retry-After while another one waits for Kafka; it is taken afterwards."""
    client = open_client(receiver_max_requests=1)
    client.broker.go.clear()
    waiting = threading.Thread(target=client.send, args=("/api/v1/write", write_1(), WRITE_1))
    waiting.start()
    assert client.broker.entered.wait(TIMEOUT_SECONDS)
    refused = client.send("/v1/metrics", otlp_metrics(), OTLP)
    client.broker.go.set()
    waiting.join()
    assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
    assert Status.FromString(refused.body).code == 8
    assert client.send("/v1/metrics", otlp_metrics(), OTLP).status == 200


def test_a_broker_that_is_away_is_said_to_be(open_client: Open) -> None:
    """503 before it is there, when it does not take a record, and when it takes too long; then it works again."""
    client = open_client(receiver_accept_seconds=0.2)
    client.broker.is_away = True
    assert client.send("/api/v1/write", write_1(), WRITE_1).status == 503
    client.broker.is_away = False
    client.broker.go.clear()
    late = client.send("/api/v1/write", write_1(), WRITE_1)
    client.broker.go.set()
    assert (late.status, late.headers["Retry-After"]) == (503, "2")
    poll_until(lambda: client.send("/api/v1/write", write_1(), WRITE_1).status == 204, "it works again")


def test_a_sender_that_breaks_off_costs_nothing(open_client: Open, capsys: pytest.CaptureFixture[str]) -> None:
    """No record, no word in the log, and the next request is taken."""
    client = open_client()
    with socket.create_connection(("127.0.0.1", client.receiver.port)) as connection:
        connection.sendall(b"POST /api/v1/write HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nonly this")
    assert client.send("/api/v1/write", write_1(), WRITE_1).status == 204
    assert len(client.records()) == 1
    assert "receive_failed" not in "".join(capsys.readouterr())


def test_nothing_is_taken_before_kafka_was_seen() -> None:
    """Nor after it was lost, without waiting for it."""
    client = Client()
    try:
        before = client.send("/api/v1/write", write_1(), WRITE_1)
        client.receiver.open_views()
        assert (before.status, client.send("/api/v1/write", write_1(), WRITE_1).status) == (503, 204)
        client.broker.check = _fail  # type: ignore[method-assign]
        with pytest.raises(Retryable):
            client.receiver.open_views()
        assert client.send("/api/v1/write", write_1(), WRITE_1).status == 503
    finally:
        client.receiver.close()


def _fail(topics: Any) -> None:
    raise SettingsInvalid("no Kafka answers")


def test_a_request_in_hand_is_answered_at_the_end() -> None:
    """The receiver ends only then."""
    client = Client()
    client.receiver.open_views()
    client.broker.go.clear()
    answers: list[Answer] = []
    sending = threading.Thread(target=lambda: answers.append(client.send("/api/v1/write", write_1(), WRITE_1)))
    sending.start()
    assert client.broker.entered.wait(TIMEOUT_SECONDS)
    ending = threading.Thread(target=client.receiver.close)
    ending.start()
    client.broker.go.set()
    sending.join()
    ending.join()
    assert [answer.status for answer in answers] == [204]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"receiver_host": "0.0.0.0"}, "would let anybody write"),
        ({"receiver_host": "receiver.example"}, "would let anybody write"),
        ({"receiver_tokens": (SecretStr("short"),)}, "can be guessed"),
        ({"receiver_tls_cert": "a.pem"}, "both"),
        ({"receiver_client_ca": "ca.pem"}, "both"),
    ],
)
def test_settings_that_leave_it_open_are_refused(given: dict[str, Any], words: str) -> None:
    """Before it listens anywhere."""
    with pytest.raises(SettingsInvalid, match=words):
        check_access(IngestSettings(**given))


@pytest.mark.parametrize(
    "given",
    [
        {"receiver_host": "::1"}, {"receiver_host": "localhost"}, {"receiver_host": "127.0.0.2"},
        {"receiver_host": "0.0.0.0", "receiver_tokens": (SecretStr(TOKEN),)},
    ],
)  # fmt: skip
def test_settings_that_do_not_are_taken(given: dict[str, Any]) -> None:
    """This machine's own address needs no token."""
    check_access(IngestSettings(**given))


def test_a_taken_port_and_a_missing_certificate_are_told() -> None:
    """One sentence, with the setting's name."""
    client = Client()
    try:
        with pytest.raises(SettingsInvalid, match="MOSELLE_INGEST_RECEIVER_PORT"):
            Client(receiver_port=client.receiver.port)
        with pytest.raises(SettingsInvalid, match="_TLS_CERT"):
            Client(receiver_tls_cert="missing.pem", receiver_tls_key="missing.pem")
    finally:
        client.receiver.close()
