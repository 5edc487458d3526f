"""The frame around a gRPC service: port, health, reflection, metrics, a clear end. Import it in adapters only."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.errors import SettingsInvalid
from services.common.logging import get_logger
from services.common.metrics import GRPC_REQUESTS, GRPC_SECONDS

#: How a service is added: the generated `add_..._to_server`, what answers, and its full name in the .proto file.
GrpcService = tuple[Callable[[Any, grpc.Server], None], Any, str]

#: Otherwise two processes share one port on Linux, and each gets some of the requests.
_OPTIONS = (("grpc.so_reuseport", 0),)
_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")

Behavior = Callable[[Any, grpc.ServicerContext], Any]


class GrpcServer:
    """Listens as soon as it is made; its health says NOT_SERVING until `set_serving`.

    Args:
        host, port: where; port 0 takes a free one, which `port` then names.
        services: what is served, beside health and reflection.
        max_workers: requests answered at once. A stream holds one for as long as it lasts.
        max_requests: requests in hand or waiting at once; those beyond get RESOURCE_EXHAUSTED. None for no limit.

    Raises:
        SettingsInvalid: the address cannot be listened on.
    """

    def __init__(
        self,
        host: str,
        port: int,
        services: Sequence[GrpcService],
        max_workers: int = 8,
        max_requests: int | None = None,
    ) -> None:
        workers = ThreadPoolExecutor(max_workers, thread_name_prefix="grpc")
        self._server = grpc.server(
            workers, interceptors=[_Measured()], options=_OPTIONS, maximum_concurrent_rpcs=max_requests
        )
        self._names = ["", *(name for _, _, name in services)]
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for add, servicer, _ in services:
            add(servicer, self._server)
        reflection.enable_server_reflection(
            [*self._names[1:], health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self.set_serving(False)
        self.port = self._listen(host, port)
        self._server.start()
        get_logger().info("listening", grpc=f"{host}:{self.port}")

    def _listen(self, host: str, port: int) -> int:
        try:
            return int(self._server.add_insecure_port(f"{host}:{port}"))
        except RuntimeError:
            raise SettingsInvalid(
                f"cannot listen on {host}:{port} for gRPC: the port is taken or the address is not this machine's; "
                "set MOSELLE_GRPC_PORT to a free port, or 0 to take one"
            ) from None

    def set_serving(self, is_serving: bool) -> None:
        """What the health service answers from now on, for the server as a whole and for each service."""
        statuses = health_pb2.HealthCheckResponse
        for name in self._names:
            self._health.set(name, statuses.SERVING if is_serving else statuses.NOT_SERVING)

    def close(self, grace_seconds: float = 5.0) -> None:
        """Takes no more requests, lets those in hand end for that long, then cuts them off."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace_seconds).wait()


class _Measured(grpc.ServerInterceptor):  # type: ignore[misc]
    """Counts and times each request; one that fails by our mistake is logged and answered INTERNAL."""

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        handler = continuation(details)
        if handler is None or details.method.startswith(_INFRASTRUCTURE):
            return handler
        measure = _measure_stream if handler.response_streaming else _measure
        make = getattr(grpc, _MAKERS[handler.request_streaming, handler.response_streaming])
        behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        return make(measure(behavior, details.method), handler.request_deserializer, handler.response_serializer)


_MAKERS = {
    (False, False): "unary_unary_rpc_method_handler",
    (False, True): "unary_stream_rpc_method_handler",
    (True, False): "stream_unary_rpc_method_handler",
    (True, True): "stream_stream_rpc_method_handler",
}


def _measure(behavior: Behavior, method: str) -> Behavior:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        began = time.perf_counter()
        try:
            return behavior(request, context)
        except Exception as error:
            _fail(method, context, error)
        finally:
            _count(method, context, began)

    return answer


def _measure_stream(behavior: Behavior, method: str) -> Behavior:
    def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        began = time.perf_counter()
        try:
            yield from behavior(request, context)
        except Exception as error:
            _fail(method, context, error)
        finally:
            _count(method, context, began)

    return answer


def _fail(method: str, context: grpc.ServicerContext, error: Exception) -> None:
    """Ends a request that raised. `context.abort` raises too, after it has set a code: that goes on as it is."""
    if _code(context) is not grpc.StatusCode.OK:
        raise error
    get_logger().error("grpc_request_failed", method=method, exc_info=error)
    context.abort(grpc.StatusCode.INTERNAL, f"{method} failed by a mistake of ours; the service's log says how")


def _count(method: str, context: grpc.ServicerContext, began: float) -> None:
    GRPC_REQUESTS.labels(method, _code(context).name).inc()
    GRPC_SECONDS.labels(method).observe(time.perf_counter() - began)


def _code(context: Any) -> grpc.StatusCode:
    code = context.code()
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.OK
