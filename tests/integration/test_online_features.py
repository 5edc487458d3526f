"""Online features as a process on a real Kafka, asked by a gRPC client."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from moselle.stack.process import free_port
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.clock import FakeClock, from_micros
from services.common.codec import Codec
from services.common.errors import SettingsInvalid
from services.common.gen.moselle.features.v1 import features_pb2, features_pb2_grpc
from services.common.settings import CommonSettings
from services.common.topics import FEATURES
from services.features.adapters.online import NAME, OnlineServer
from services.features.settings import FeaturesSettings
from tests.conformance.history_cases import NOON, make_features
from tests.polling import TIMEOUT_SECONDS, poll_until

SERVING = health_pb2.HealthCheckResponse.SERVING


def publish(broker: KafkaBroker, **fields: Any) -> None:
    _, row = make_features(**fields)
    broker.publish([Output(FEATURES.name, row["entity_id"].encode(), Codec().encode(FEATURES.name, row))])


def request(feature_set: str, *entity_ids: str, **fields: Any) -> features_pb2.GetFeaturesRequest:
    return features_pb2.GetFeaturesRequest(entity_ids=entity_ids, feature_set=feature_set, **fields)


@contextmanager
def open_stub(port: int) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield features_pb2_grpc.OnlineFeaturesStub(channel)


@contextmanager
def open_server(broker: KafkaBroker, now: int = NOON) -> Iterator[OnlineServer]:
    server = OnlineServer(broker, Codec(), FakeClock(from_micros(now)), CommonSettings(), FeaturesSettings())
    try:
        yield server
    finally:
        server.close()


def code_of(stub: Any, question: features_pb2.GetFeaturesRequest) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        stub.GetFeatures(question, timeout=TIMEOUT_SECONDS)
    return caught.value.code().name, caught.value.details()


def test_what_was_written_is_answered(quiet_broker: KafkaBroker) -> None:
    """Before the view is read FAILED_PRECONDITION; then the newest vector, and soon one that comes later."""
    publish(quiet_broker, feature_set="it-newest")
    publish(quiet_broker, feature_set="it-newest", seconds=-10, values=[0.0, 0.0])
    with open_server(quiet_broker, NOON + 15_000_000) as server, open_stub(server.port) as stub:
        question = request("it-newest", "host:controller-1", "host:none", max_staleness_seconds=1.0)
        assert code_of(stub, question)[0] == "FAILED_PRECONDITION"
        server.open_views()
        server.turn(0.0)
        first, missing = stub.GetFeatures(question, timeout=TIMEOUT_SECONDS).vectors
        assert (first.status, list(first.values), first.staleness_seconds) == (
            features_pb2.FEATURE_STATUS_STALE, [0.5, 0.25], 5.0,
        )  # fmt: skip
        assert (missing.status, missing.event_time_micros) == (features_pb2.FEATURE_STATUS_MISSING, 0)
        publish(quiet_broker, feature_set="it-newest", seconds=10, values=[0.75, 1.0])
        poll_until(lambda: _values_after_a_turn(server, stub) == [0.75, 1.0], "the newer vector")


def _values_after_a_turn(server: OnlineServer, stub: Any) -> list[float]:
    server.turn(0.1)
    return list(stub.GetFeatures(request("it-newest", "host:controller-1"), timeout=TIMEOUT_SECONDS).vectors[0].values)


def test_refusals_have_the_codes_of_the_contract(quiet_broker: KafkaBroker) -> None:
    """NOT_FOUND for what is not served, INVALID_ARGUMENT for what breaks the contract; garbage in the topic is none."""
    publish(quiet_broker, feature_set="it-codes")
    quiet_broker.publish([Output(FEATURES.name, b"garbage", b"garbage"), Output(FEATURES.name, b"host:gone", None)])
    with open_server(quiet_broker) as server, open_stub(server.port) as stub:
        server.open_views()
        server.turn(0.0)
        assert code_of(stub, request("it-none", "host:a"))[0] == "NOT_FOUND"
        assert code_of(stub, request("it-codes", "host:a", feature_set_version=9))[0] == "NOT_FOUND"
        assert code_of(stub, request("it-codes")) == ("INVALID_ARGUMENT", "0 entity_ids: wanted 1 to 1000")
        assert code_of(stub, request("it-codes", "host:a", names=["nope"]))[0] == "INVALID_ARGUMENT"


def test_a_taken_port_is_one_sentence(quiet_broker: KafkaBroker) -> None:
    """The process stops and names the setting."""
    with open_server(quiet_broker) as server:
        taken = CommonSettings(grpc_port=server.port)
        with pytest.raises(SettingsInvalid, match="MOSELLE_GRPC_PORT"):
            OnlineServer(quiet_broker, Codec(), FakeClock(), taken, FeaturesSettings())


def test_the_process_serves_and_stops(quiet_broker: KafkaBroker, tmp_path: Path) -> None:
    """`python -m services.features online` logs its address, gets healthy, answers, and ends at SIGTERM with 0."""
    publish(quiet_broker, feature_set="it-process")
    port, log = free_port(), tmp_path / "log"
    environment = os.environ | {"MOSELLE_KAFKA_BOOTSTRAP": quiet_broker.bootstrap, "MOSELLE_GRPC_PORT": str(port)}
    command = [sys.executable, "-m", "services.features", "online"]
    with log.open("wb") as stream, open_stub(port) as stub:
        process = subprocess.Popen(command, env=environment, stderr=stream)
        try:
            poll_until(lambda: _is_serving(port), "serving")
            answer = stub.GetFeatures(request("it-process", "host:controller-1"), timeout=TIMEOUT_SECONDS)
        finally:
            process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 0
    assert list(answer.vectors[0].values) == [0.5, 0.25]
    # gRPC may have words of its own there.
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert f"127.0.0.1:{port}" in [line.get("grpc") for line in lines if line["event"] == "listening"]


def _is_serving(port: int) -> bool:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            asked = health_pb2.HealthCheckRequest(service=NAME)
            return health_pb2_grpc.HealthStub(channel).Check(asked, timeout=10).status == SERVING
        except grpc.RpcError:
            return False
