"""Online features as a process: gRPC from a view of features.v1. Every replica answers for all entities."""

from typing import NoReturn

import grpc

from services.common.broker.abstract import Broker, Record, View
from services.common.clock import Clock, SystemClock, to_micros
from services.common.codec import Codec
from services.common.errors import InvalidMessage
from services.common.gen.moselle.features.v1 import features_pb2, features_pb2_grpc
from services.common.grpc import GrpcServer, Tls
from services.common.service import run_server
from services.common.settings import CommonSettings
from services.common.topics import FEATURES
from services.features.core.online import Answer, NotServed, OnlineStore, Question
from services.features.metrics import ONLINE_RECORDS, ONLINE_VECTORS
from services.features.settings import FeaturesSettings

SERVICE = "features-online"
NAME = "moselle.features.v1.OnlineFeatures"

_STATUSES = {
    "fresh": features_pb2.FEATURE_STATUS_FRESH,
    "stale": features_pb2.FEATURE_STATUS_STALE,
    "missing": features_pb2.FEATURE_STATUS_MISSING,
}


def run(common: CommonSettings, settings: FeaturesSettings) -> int:
    """Answers until told to stop; returns the exit code."""

    def make_server(broker: Broker, codec: Codec) -> OnlineServer:
        return OnlineServer(broker, codec, SystemClock(), common, settings)

    return run_server(SERVICE, [FEATURES.name], make_server, common)


class OnlineServer:
    """The view, and the gRPC server that answers from it. Implements the kernel's `Server`.

    Raises:
        SettingsInvalid: the address cannot be listened on.
    """

    def __init__(
        self, broker: Broker, codec: Codec, clock: Clock, common: CommonSettings, settings: FeaturesSettings
    ) -> None:
        self._broker = broker
        self._codec = codec
        self._clock = clock
        self._view: View | None = None
        self._store = OnlineStore(settings.online_max_vectors)
        self._servicer = OnlineFeatures(self._store, clock)
        add = features_pb2_grpc.add_OnlineFeaturesServicer_to_server
        self._server = GrpcServer(
            common.grpc_host,
            common.grpc_port,
            [(add, self._servicer, NAME)],
            settings.online_workers,
            tls=Tls(common.grpc_tls_cert, common.grpc_tls_key, common.grpc_client_ca),
        )

    @property
    def port(self) -> int:
        """Where gRPC listens."""
        return self._server.port

    def open_views(self) -> None:
        self._close_view()
        self._view = self._broker.open_view([FEATURES.name], self._apply)

    def turn(self, timeout_seconds: float) -> None:
        assert self._view is not None
        self._view.refresh(timeout_seconds)
        ONLINE_VECTORS.set(len(self._store))
        if not self._servicer.is_loaded:
            self._servicer.is_loaded = True
            self._server.set_serving(True)

    def close(self) -> None:
        self._server.close()
        self._close_view()

    def _close_view(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None

    def _apply(self, record: Record) -> None:
        ONLINE_RECORDS.labels(self._apply_value(record)).inc()

    def _apply_value(self, record: Record) -> str:
        """Returns what became of it. The history writer dead-letters the unreadable ones: once is enough."""
        if record.value is None:
            self._store.forget((record.key or b"").decode(errors="replace"))
            return "deleted"
        try:
            return self._store.apply(self._codec.decode(record.value), to_micros(self._clock.now()))
        except InvalidMessage:
            return "unreadable"


class OnlineFeatures(features_pb2_grpc.OnlineFeaturesServicer):  # type: ignore[misc]
    """Answers as the contract says. From the second on that it could read everything, it answers for good."""

    def __init__(self, store: OnlineStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self.is_loaded = False

    def GetFeatures(
        self, request: features_pb2.GetFeaturesRequest, context: grpc.ServicerContext
    ) -> features_pb2.GetFeaturesResponse:
        if not self.is_loaded:
            _abort(context, "FAILED_PRECONDITION", "the features written before this server began are still read: wait")
        question = Question(
            request.entity_ids,
            request.feature_set,
            request.feature_set_version,
            request.names,
            request.max_staleness_seconds,
        )
        try:
            return _response(request.feature_set, self._store.get(question, to_micros(self._clock.now())))
        except ValueError as error:
            _abort(context, "INVALID_ARGUMENT", str(error))
        except NotServed as error:
            _abort(context, "NOT_FOUND", str(error))


def _abort(context: grpc.ServicerContext, code: str, words: str) -> NoReturn:
    context.abort(grpc.StatusCode[code], words)
    raise AssertionError("abort raises")


def _response(feature_set: str, answer: Answer) -> features_pb2.GetFeaturesResponse:
    return features_pb2.GetFeaturesResponse(
        feature_set=feature_set,
        feature_set_version=answer.version,
        names=answer.names,
        step_seconds=answer.step_seconds,
        vectors=[
            features_pb2.FeatureVector(
                entity_id=found.entity_id,
                status=_STATUSES[found.status],
                values=found.values,
                event_time_micros=found.event_time,
                staleness_seconds=found.staleness_seconds,
            )
            for found in answer.vectors
        ],
    )
