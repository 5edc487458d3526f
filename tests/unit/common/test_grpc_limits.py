"""Who gets a connection, and what becomes of requests that are too many, too late or too large."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from prometheus_client import REGISTRY

from services.common.errors import SettingsInvalid
from services.common.gen.moselle.features.v1 import features_pb2, features_pb2_grpc
from services.common.grpc import NO_TLS, GrpcServer, Tls
from tests.certificates import make_certificates, needs_openssl
from tests.polling import TIMEOUT_SECONDS, poll_until

NAME = "moselle.features.v1.OnlineFeatures"


class Held(features_pb2_grpc.OnlineFeaturesServicer):
    """Answers only while it may; remembers what it began."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.begun: list[str] = []

    def GetFeatures(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.begun.append(request.feature_set)
        self.may_answer.wait(TIMEOUT_SECONDS)
        return features_pb2.GetFeaturesResponse(feature_set=request.feature_set)


class Served:
    """A server with one worker and room for three requests."""

    def __init__(self, tls: Tls = NO_TLS, max_request_bytes: int = 2**20) -> None:
        self.held = Held()
        add = features_pb2_grpc.add_OnlineFeaturesServicer_to_server
        self.server = GrpcServer(
            "127.0.0.1", 0, [(add, self.held, NAME)], 1, 3, tls=tls, max_request_bytes=max_request_bytes
        )
        self.address = f"127.0.0.1:{self.server.port}"

    def close(self) -> None:
        self.held.may_answer.set()
        self.server.close(0)


@pytest.fixture
def served() -> Iterator[Served]:
    made = Served()
    yield made
    made.close()


@pytest.fixture
def stub(served: Served) -> Iterator[features_pb2_grpc.OnlineFeaturesStub]:
    with grpc.insecure_channel(served.address) as channel:
        yield features_pb2_grpc.OnlineFeaturesStub(channel)


def asked(name: str) -> Any:
    return features_pb2.GetFeaturesRequest(feature_set=name)


def test_too_many_are_refused_at_once_and_counted(served: Served, stub: Any) -> None:
    """One in hand and two that wait are as many as may; health answers all the same."""
    labels = {"method": f"/{NAME}/GetFeatures", "code": "RESOURCE_EXHAUSTED"}
    before = REGISTRY.get_sample_value("moselle_kernel_grpc_requests_total", labels) or 0.0
    calls = [stub.GetFeatures.future(asked(str(n)), timeout=TIMEOUT_SECONDS) for n in range(10)]
    poll_until(lambda: sum(call.done() for call in calls) == 7, "seven are refused while nothing is answered")
    with grpc.insecure_channel(served.address) as channel:
        assert health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
    refused = [call for call in calls if call.done()]
    assert {call.code() for call in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all("3 requests are in hand or wait already" in call.details() for call in refused)
    served.held.may_answer.set()
    assert len([call.result() for call in calls if call not in refused]) == 3
    poll_until(
        lambda: REGISTRY.get_sample_value("moselle_kernel_grpc_requests_total", labels) == before + 7, "all are counted"
    )


def test_what_waited_beyond_its_deadline_is_not_begun(served: Served, stub: Any) -> None:
    """The caller has gone: its work would be done for nobody."""
    first = stub.GetFeatures.future(asked("first"), timeout=TIMEOUT_SECONDS)
    poll_until(lambda: served.held.begun == ["first"], "the first has the worker")
    late = stub.GetFeatures.future(asked("late"), timeout=0.05)
    assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    last = stub.GetFeatures.future(asked("last"), timeout=TIMEOUT_SECONDS)
    served.held.may_answer.set()
    assert (first.result().feature_set, last.result().feature_set) == ("first", "last")
    assert served.held.begun == ["first", "last"]


def test_a_request_that_is_too_large_gets_both_sizes(stub: Any) -> None:
    """gRPC refuses it before it is read whole."""
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetFeatures(asked("x" * (2**20 + 1)), timeout=TIMEOUT_SECONDS)
    assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED  # type: ignore[attr-defined]
    assert "vs. 1048576" in refused.value.details()  # type: ignore[attr-defined]


@needs_openssl
def test_with_a_client_ca_only_its_clients_get_a_connection(tmp_path: Path) -> None:
    """mTLS: a stranger who trusts us, and one who speaks without TLS, are not let in."""
    make_certificates(tmp_path, "server", "client")
    served = Served(Tls(*(str(tmp_path / name) for name in ("server.pem", "server.key", "ca.pem"))))
    ca, key, chain = ((tmp_path / name).read_bytes() for name in ("ca.pem", "client.key", "client.pem"))
    ways = {
        "client": grpc.secure_channel(served.address, grpc.ssl_channel_credentials(ca, key, chain)),
        "stranger": grpc.secure_channel(served.address, grpc.ssl_channel_credentials(ca)),
        "open": grpc.insecure_channel(served.address),
    }
    codes = {}
    for name, channel in ways.items():
        with channel:
            call = health_pb2_grpc.HealthStub(channel).Check.future(
                health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS
            )
            codes[name] = call.code().name
    served.close()
    assert codes == {"client": "OK", "stranger": "UNAVAILABLE", "open": "UNAVAILABLE"}


@needs_openssl
@pytest.mark.parametrize(
    ("cert", "key", "client_ca", "words"),
    [
        ("server.pem", "", "", "TLS needs both"),
        ("", "", "ca.pem", "TLS needs both"),
        ("none.pem", "server.key", "", "none.pem"),
        ("server.pem", "other.key", "", "(?i)key.values.mismatch"),
        ("server.key", "server.key", "", "MOSELLE_GRPC_TLS_CERT="),
        ("server.pem", "server.key", "empty.pem", "MOSELLE_GRPC_CLIENT_CA="),
        ("server.pem", "server.key", ".", "directory"),
    ],
)
def test_tls_files_that_do_not_work_stop_the_start(
    tmp_path: Path, cert: str, key: str, client_ca: str, words: str
) -> None:
    """Half a setting, a missing file, a directory, another's key, no certificate: one sentence with the settings."""
    make_certificates(tmp_path, "server", "other")
    (tmp_path / "empty.pem").touch()
    with pytest.raises(SettingsInvalid, match=words):
        Tls(*(str(tmp_path / name) if name else "" for name in (cert, key, client_ca))).credentials()
