"""The frame around gRPC services, with a service that echoes."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY

from services.common.errors import SettingsInvalid
from services.common.gen.moselle.features.v1 import features_pb2, features_pb2_grpc
from services.common.gen.moselle.placement.v1 import placement_pb2, placement_pb2_grpc
from services.common.grpc import GrpcServer
from tests.polling import TIMEOUT_SECONDS

NAME = "moselle.features.v1.OnlineFeatures"
PLACEMENT = "moselle.placement.v1.Placement"
METHOD = f"/{NAME}/GetFeatures"


class Echo(features_pb2_grpc.OnlineFeaturesServicer):
    """Answers with the name that was asked; refuses an empty one, and breaks on `broken`."""

    def GetFeatures(self, request: Any, context: grpc.ServicerContext) -> Any:
        if not request.feature_set:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no feature set")
        if request.feature_set == "broken":
            raise ZeroDivisionError
        return features_pb2.GetFeaturesResponse(feature_set=request.feature_set)


class Stream(placement_pb2_grpc.PlacementServicer):
    """Gives two decisions, then breaks."""

    def WatchDecisions(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield placement_pb2.WatchDecisionsResponse()
        yield placement_pb2.WatchDecisionsResponse()
        raise ZeroDivisionError


def make_server(port: int = 0) -> GrpcServer:
    add = features_pb2_grpc.add_OnlineFeaturesServicer_to_server
    services = [(add, Echo(), NAME), (placement_pb2_grpc.add_PlacementServicer_to_server, Stream(), PLACEMENT)]
    return GrpcServer("127.0.0.1", port, services, 2)


@pytest.fixture
def server() -> Iterator[GrpcServer]:
    server = make_server()
    yield server
    server.close(0)


@pytest.fixture
def channel(server: GrpcServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def ask(channel: grpc.Channel, feature_set: str) -> str:
    stub = features_pb2_grpc.OnlineFeaturesStub(channel)
    return stub.GetFeatures(
        features_pb2.GetFeaturesRequest(feature_set=feature_set), timeout=TIMEOUT_SECONDS
    ).feature_set


def count(code: str) -> float:
    return REGISTRY.get_sample_value("moselle_kernel_grpc_requests_total", {"method": METHOD, "code": code}) or 0.0


def test_requests_are_answered_and_counted(channel: grpc.Channel) -> None:
    """An answer counts as OK."""
    before = count("OK")
    assert ask(channel, "host") == "host"
    assert count("OK") == before + 1


def test_a_refusal_keeps_its_code_and_words(channel: grpc.Channel) -> None:
    """What a servicer aborts with reaches the client, and is counted under its code."""
    before = count("INVALID_ARGUMENT")
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, "")
    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.INVALID_ARGUMENT, "no feature set")
    assert count("INVALID_ARGUMENT") == before + 1


def test_our_own_mistake_is_internal_and_tells_no_secrets(channel: grpc.Channel) -> None:
    """An exception is logged here; the client gets INTERNAL without it."""
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, "broken")
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "ZeroDivision" not in caught.value.details()


def test_a_stream_gives_what_it_has_and_then_its_error(channel: grpc.Channel) -> None:
    """What was given before our mistake arrives; the mistake is INTERNAL."""
    stream = placement_pb2_grpc.PlacementStub(channel).WatchDecisions(
        placement_pb2.WatchDecisionsRequest(), timeout=TIMEOUT_SECONDS
    )
    assert [next(stream) for _ in range(2)] == [placement_pb2.WatchDecisionsResponse()] * 2
    with pytest.raises(grpc.RpcError) as caught:
        next(stream)
    assert caught.value.code() is grpc.StatusCode.INTERNAL


def test_health_follows_set_serving(server: GrpcServer, channel: grpc.Channel) -> None:
    """NOT_SERVING at first; then what `set_serving` said, for the server and for the service."""
    stub, status = health_pb2_grpc.HealthStub(channel), health_pb2.HealthCheckResponse
    asked = [health_pb2.HealthCheckRequest(service=name) for name in ("", NAME)]
    assert [stub.Check(a, timeout=TIMEOUT_SECONDS).status for a in asked] == [status.NOT_SERVING] * 2
    server.set_serving(True)
    assert [stub.Check(a, timeout=TIMEOUT_SECONDS).status for a in asked] == [status.SERVING] * 2


def test_reflection_names_the_service(channel: grpc.Channel) -> None:
    """A tool without our .proto files sees what is served."""
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    answer = next(iter(stub.ServerReflectionInfo(asked, timeout=TIMEOUT_SECONDS)))
    assert NAME in [service.name for service in answer.list_services_response.service]


def test_a_port_that_is_taken_is_one_sentence(server: GrpcServer) -> None:
    """Two servers never share a port; the sentence names the setting."""
    with pytest.raises(SettingsInvalid, match=f"{server.port} for gRPC.*MOSELLE_GRPC_PORT"):
        make_server(server.port)
