"""The HTTP facade on a world in memory: every field whatever is asked, and a sentence when it cannot be answered."""

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.common.errors import SettingsInvalid
from services.placement.adapters.facade import Facade
from services.placement.core.dwcp.routes import PROCESSES, ROUTES
from services.placement.settings import PlacementSettings
from tests.polling import TIMEOUT_SECONDS, poll_until
from tests.unit.placement.dwcp import ENVELOPE, PROCESS_READS, QUESTIONS, READS, make_cloud, misses

TOKEN = "0123456789abcdef"


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: Any
    headers: Any


class Client:
    """A facade on a small world, and a connection to it."""

    def __init__(self, **settings: Any) -> None:
        self.cloud = make_cloud()
        self.facade = Facade(self.cloud.engine, PlacementSettings(facade_port=0, **settings))
        self.connection = http.client.HTTPConnection("127.0.0.1", self.facade.port, timeout=TIMEOUT_SECONDS)

    def ask(self, path: str, question: Any = b"", method: str = "POST", **headers: str) -> Answer:
        body = question if isinstance(question, bytes) else json.dumps(question).encode()
        self.connection.request(method, path, body, {"Content-Type": "application/json", **headers})
        response = self.connection.getresponse()
        return Answer(response.status, json.loads(response.read() or b"null"), response.headers)

    def process(self, service: str, method: str, data: Any) -> Answer:
        return self.ask("/api/v1/process", {"id": "7", "service": service, "method": method, "data": data})

    def close(self) -> None:
        self.connection.close()
        self.facade.close()


Open = Callable[..., Client]


@pytest.fixture
def open_client() -> Iterator[Open]:
    """Makes facades; they end with the test."""
    clients: list[Client] = []

    def make(**settings: Any) -> Client:
        clients.append(Client(**settings))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    """One facade for questions that change nothing."""
    made = Client()
    yield made
    made.close()


def test_the_contract_is_whole() -> None:
    """Every path and every service with its method is answered, and nothing else."""
    assert (set(ROUTES), set(PROCESSES)) == (set(READS), set(PROCESS_READS))
    assert set(QUESTIONS) == set(READS)


@pytest.mark.parametrize("path", READS)
def test_every_field_is_there(path: str, client: Client) -> None:
    """For a good question, for one about what nobody knows, and for one that is refused."""
    assert client.ask(path, QUESTIONS[path]).status == 200
    unknown = {
        name: "nowhere" if isinstance(value, str) else None for name, value in QUESTIONS[path].items()
        if name != "prediction_horizon"
    }  # fmt: skip
    for question, status in ((QUESTIONS[path], 200), (unknown, 200), ([], 400), (b"{", 400)):
        answer = client.ask(path, question)
        assert (answer.status, misses(answer.body, READS[path])) == (status, [])


@pytest.mark.parametrize(("service", "method"), PROCESS_READS)
def test_every_pair_is_answered(service: str, method: str, client: Client) -> None:
    """Inside the envelope, for the whole cluster, with nothing told, and with nonsense."""
    for data, status in (({"node_id": "distributed_cluster", "resource_id": "n2"}, 200), (None, 200), ({"x": 1}, 200)):
        if (service, method) == ("resource_prediction", "predict_demand") and not (data or {}).get("node_id"):
            status = 400
        answer = client.process(service, method, data)
        assert (answer.status, misses(answer.body, ENVELOPE), answer.body["id"]) == (status, [], "7")
        if answer.body["success"]:
            assert misses(answer.body["data"], PROCESS_READS[service, method]) == []


def test_training_is_refused_with_a_word(client: Client) -> None:
    """It says that nothing was trained, rather than that it was."""
    answer = client.process("model_training", "train", {"model_type": "x", "training_data": []})
    assert (answer.status, answer.body["success"]) == (200, False)
    assert "moselle train" in answer.body["error"]


_WILD = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
    | st.integers(-(2**70), 2**70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.data())
def test_wild_questions_never_break_an_answer(client: Client, data: st.DataObject) -> None:
    """A field of a good question becomes anything: 200 or 400, every field there, and never our mistake."""
    path = data.draw(st.sampled_from(sorted(READS)))
    field = data.draw(st.sampled_from(sorted(QUESTIONS[path])))
    value = QUESTIONS[path][field]
    if isinstance(value, dict) and value:
        inner = data.draw(st.sampled_from(sorted(value)))
        value = {**value, inner: data.draw(_WILD)}
    else:
        value = data.draw(_WILD)
    answer = client.ask(path, {**QUESTIONS[path], field: value})
    assert answer.status in (200, 400)
    assert misses(answer.body, READS[path]) == []
    assert "mistake of ours" not in json.dumps(answer.body)


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/predict/resources", b'{"metrics": {}}', 400, "resource_id"),
        ("/predict/resources", b'{"resource_id": "n1", "metrics": {"cpu_usage": NaN}}', 400, "malformed"),
        ("/predict/resources", b'{"resource_id": "n1", "metrics": {"cpu_usage": 1e999}}', 400, "out of range"),
        ("/predict/resources", b'{"resource_id": "n1", "prediction_horizon": -5}', 400, "more than 0"),
        ("/predict/resources", b'{"resource_id": 5}', 400, "Expected `str`"),
        ("/predict/resources", b'{"resource_id": "\xff"}', 400, "/predict/resources takes"),
        ("/predict/resources", b'{"x":' * 5000 + b"1" + b"}" * 5000, 400, "/predict/resources takes"),
        ("/detect/anomaly", b'{"metrics": {"cpu_usage": -1}}', 400, "give a number from 0"),
        ("/optimize/migration_strategy", b'{"vm_data": {"memory_size": -4}}', 400, "vm_data.memory_size is -4"),
        ("/analyze/patterns", b'{"historical_data": [' + b"{}," * 10_000 + b"{}]}", 400, "at most 10000"),
        ("/predict/resources", b'{"resource_id": "' + b"x" * 2_000_000 + b'"}', 413, "up to 1048576 bytes"),
        ("/predict/nothing", b"{}", 404, "/predict/resources"),
        ("/api/v1/process", b'{"service": "x", "method": "y"}', 400, "resource_prediction/predict_demand"),
        ("/api/v1/process", b"7", 400, "/api/v1/process takes"),
    ],
)  # fmt: skip
def test_bad_questions_get_one_sentence(path: str, body: bytes, status: int, words: str, open_client: Open) -> None:
    """4xx with what was wrong and every field; the connection and the service go on."""
    client = open_client()
    answer = client.ask(path, body)
    assert answer.status == status
    assert words in answer.body["error"]
    assert misses(answer.body, READS.get(path, {})) == []
    assert client.ask("/health", method="GET").status == 200


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [("/health", "POST", "GET"), ("/predict/resources", "GET", "POST"), ("/api/v1/process", "PUT", "POST")],
)
def test_a_wrong_method_is_told_the_right_one(path: str, method: str, allowed: str, client: Client) -> None:
    """405 with Allow, and every field."""
    answer = client.ask(path, b"{}", method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert misses(answer.body, READS.get(path, {})) == []


def test_a_stale_matrix_says_that_it_knows_nothing(open_client: Open) -> None:
    """200 with confidence 0, so that the caller falls back at once instead of trying again; health says 503."""
    client = open_client()
    assert client.ask("/predict/resources", QUESTIONS["/predict/resources"]).body["confidence"] == 0.8
    client.cloud.clock.advance(60)
    answer = client.ask("/predict/resources", QUESTIONS["/predict/resources"])
    assert (answer.status, answer.body["prediction"], answer.body["confidence"]) == (200, [], 0.0)
    assert "stale" in answer.body["reason"]
    health = client.ask("/health", method="GET")
    assert (health.status, health.body["status"]) == (503, "unhealthy")
    checked = client.process("health", "check", {})
    assert (checked.body["success"], "stale" in checked.body["error"]) == (False, True)


def test_with_tokens_only_who_has_one_is_answered(open_client: Open) -> None:
    """401 without, as a Bearer header with; the health is open."""
    client = open_client(facade_tokens=(SecretStr("x" * 16), SecretStr(TOKEN)))
    for given_token in ("", "Bearer wrong", f"Basic {TOKEN}"):
        answer = client.ask("/detect/anomaly", {}, Authorization=given_token)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert misses(answer.body, READS["/detect/anomaly"]) == []
    assert client.ask("/detect/anomaly", {}, Authorization=f"Bearer {TOKEN}").status == 200
    assert client.ask("/health", method="GET").status == 200


def test_an_address_of_others_needs_a_decision(open_client: Open) -> None:
    """Refused without tokens, unless it is told to be open."""
    with pytest.raises(SettingsInvalid, match=r"MOSELLE_PLACEMENT_FACADE_HOST=0\.0\.0\.0 would let anybody ask"):
        open_client(facade_host="0.0.0.0")
    assert open_client(facade_host="0.0.0.0", facade_is_open=True).ask("/health", method="GET").status == 200


def test_one_connection_too_many_is_told_so(open_client: Open) -> None:
    """503 for the third of two; when one goes the next is served."""
    client = open_client(facade_max_connections=2)
    assert client.ask("/health", method="GET").status == 200
    with socket.create_connection(("127.0.0.1", client.facade.port)):
        other = http.client.HTTPConnection("127.0.0.1", client.facade.port, timeout=TIMEOUT_SECONDS)
        poll_until(lambda: _status(other) == 503, "the third is refused")
    poll_until(lambda: _status(other) == 200, "the second's place is free")
    other.close()


def _status(connection: http.client.HTTPConnection) -> int:
    try:
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        return response.status
    except (http.client.HTTPException, OSError):
        return 0
    finally:
        connection.close()


def test_slow_and_broken_clients_hold_nobody_up(open_client: Open) -> None:
    """Half a head, half a body, and one who hangs up: the others are answered meanwhile."""
    client = open_client()
    parts = (
        b"POST /detect/anom",
        b"POST /detect/anomaly HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        b"\x00\r\n\r\n",
    )
    held = [socket.create_connection(("127.0.0.1", client.facade.port)) for _ in parts]
    for connection, part in zip(held, parts, strict=True):
        connection.sendall(part)
    assert client.ask("/detect/anomaly", QUESTIONS["/detect/anomaly"]).status == 200
    for connection in held:
        connection.close()
    assert client.ask("/detect/anomaly", QUESTIONS["/detect/anomaly"]).status == 200
