"""Runs placement: `python -m services.placement`."""

import gc
import sys

from services.common.broker.abstract import Broker
from services.common.broker.kafka import KafkaBroker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import Retryable, SettingsInvalid
from services.common.grpc import GrpcServer, Tls
from services.common.service import fail, run_server
from services.common.settings import CommonSettings, read_settings
from services.common.source import Source
from services.placement.adapters.facade import Facade
from services.placement.adapters.messages import read_place_request
from services.placement.adapters.publisher import Publisher
from services.placement.adapters.scheduler import SchedulerSide
from services.placement.adapters.service import FULL_NAME, PlacementService, add_to_server
from services.placement.core.reading import TOPICS
from services.placement.pipeline import Placement
from services.placement.settings import PlacementSettings

#: Seconds between two threads' turns: the default of 5 ms is as much as a whole decision may take.
_SWITCH_SECONDS = 0.0005


class PlacementServer:
    """The engine, its gRPC port, its HTTP ports if any, and its way to Kafka as one process. The kernel's `Server`."""

    def __init__(self, common: CommonSettings, settings: PlacementSettings, broker: Broker, codec: Codec) -> None:
        self._is_serving = False
        self._drain_seconds = settings.drain_seconds
        # A producer of its own: the kernel's lingers for throughput, a decision is waited for.
        self._quick = KafkaBroker(common.kafka_bootstrap, extra={"linger.ms": settings.publish_linger_ms})
        # Connects now, not when the first decision waits for it.
        self._quick.publish([])
        self._publisher = Publisher(Source(self._quick))
        self._engine = Placement(
            settings,
            common.cluster,
            SystemClock(),
            codec,
            self._publisher.publish,
            broker.open_view,
            read_place_request,
        )
        self._scheduler = (
            SchedulerSide(self._engine, settings, common.cluster, SystemClock(), codec, self._publisher.publish)
            if settings.kubernetes or settings.extender_port is not None
            else None
        )
        self._grpc = GrpcServer(
            common.grpc_host,
            common.grpc_port,
            [(add_to_server, PlacementService(self._engine), FULL_NAME)],
            settings.max_workers + settings.max_watchers,
            settings.max_waiting_requests + settings.max_watchers,
            Tls(common.grpc_tls_cert, common.grpc_tls_key, common.grpc_client_ca),
            settings.max_request_bytes,
        )
        self._facade = None if settings.facade_port is None else Facade(self._engine, settings)

    def open_views(self) -> None:
        """Reads everything anew."""
        self._engine.open_views()

    def turn(self, timeout_seconds: float) -> None:
        """Applies what has come; health follows."""
        self._engine.turn(timeout_seconds)
        if self._scheduler is not None:
            self._scheduler.turn()
        if not self._is_serving:
            self._wait_for_scheduler()
            self._is_serving = True
            _tune_garbage_collection()
            self._grpc.set_serving(True)

    def _wait_for_scheduler(self) -> None:
        """Raises Retryable when nodes and pods of the API server are not read yet."""
        if self._scheduler is not None:
            self._scheduler.open_watches()
            if not self._scheduler.wait_listed():
                raise Retryable("nodes and pods of the API server are not read yet")

    def close(self) -> None:
        """Says that the end has begun, answers what is in hand, decides nothing more; then ends the rest."""
        self._grpc.refuse_health()
        if self._facade is not None:
            self._facade.close()
        if self._scheduler is not None:
            self._scheduler.close()
        self._engine.stop()
        self._grpc.close(self._drain_seconds)
        self._publisher.close()
        self._engine.close_views()
        self._quick.close()


def _tune_garbage_collection() -> None:
    """What was read at start stays, and what a request makes holds no cycles: looking through it costs milliseconds."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def main() -> int:
    """Reads the settings, wires the server, runs until told to stop; returns the exit code."""
    try:
        common, settings = read_settings(CommonSettings), read_settings(PlacementSettings)
    except SettingsInvalid as error:
        return fail("placement", error)
    sys.setswitchinterval(_SWITCH_SECONDS)
    return run_server(
        "placement", TOPICS, lambda broker, codec: PlacementServer(common, settings, broker, codec), common
    )


if __name__ == "__main__":
    sys.exit(main())
