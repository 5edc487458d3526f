"""The frame around a gRPC service: port, health, reflection, metrics, a clear end. Import it in adapters only."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common.errors import SettingsInvalid
from services.common.logging import get_logger
from services.common.metrics import GRPC_REQUESTS, GRPC_SECONDS

#: How a service is added: the generated `add_..._to_server`, what answers, and its full name in the .proto file.
GrpcService = tuple[Callable[[Any, grpc.Server], None], Any, str]

_INFRASTRUCTURE = ("/grpc.health.", "/grpc.reflection.")
#: What gRPC takes when nobody says otherwise.
MAX_REQUEST_BYTES = 4 * 2**20
#: Requests that have come and that the serving thread has not looked at: beyond 1,000 gRPC would cut some off by
#: chance, as CANCELLED and without a word, before they could be refused.
MAX_PENDING = 50_000
#: Before a server stops, no request came for so long.
LULL_SECONDS = 0.2

Behavior = Callable[[Any, grpc.ServicerContext], Any]


class Tls(NamedTuple):
    """PEM files of a server: its certificate chain, its private key, and the CA of clients' certificates.

    Empty names: no certificate is plain HTTP/2, no client CA lets every client in.
    """

    cert: str = ""
    key: str = ""
    client_ca: str = ""

    def credentials(self) -> grpc.ServerCredentials | None:
        """What a port listens with; None for plain HTTP/2.

        Raises:
            SettingsInvalid: half of it is set, or a file cannot be read, is none of these, or does not match.
        """
        if not any(self):
            return None
        if not (self.cert and self.key):
            raise SettingsInvalid(
                f"MOSELLE_GRPC_TLS_CERT={self.cert!r} and MOSELLE_GRPC_TLS_KEY={self.key!r}: TLS needs both, also for "
                "MOSELLE_GRPC_CLIENT_CA; name two PEM files, or none"
            )
        self._check()
        chain, key = Path(self.cert).read_bytes(), Path(self.key).read_bytes()
        roots = Path(self.client_ca).read_bytes() if self.client_ca else None
        return grpc.ssl_server_credentials([(key, chain)], roots, require_client_auth=roots is not None)

    def _check(self) -> None:
        """gRPC itself only says that it cannot bind."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            for name in filter(None, self):
                Path(name).read_bytes()
            context.load_cert_chain(self.cert, self.key, password=_no_password)
            if self.client_ca:
                context.load_verify_locations(self.client_ca)
        except OSError as error:
            raise SettingsInvalid(
                f"the TLS files for gRPC cannot be used: {error}; MOSELLE_GRPC_TLS_CERT={self.cert}, "
                f"MOSELLE_GRPC_TLS_KEY={self.key} and MOSELLE_GRPC_CLIENT_CA={self.client_ca} must name a certificate "
                "chain, its own key without a pass phrase, and the CA of clients, as PEM that this process may read"
            ) from error


#: Plain HTTP/2.
NO_TLS = Tls()


def _no_password() -> bytes:
    """A key with a pass phrase is refused instead of asked for on the terminal."""
    return b""


class GrpcServer:
    """Listens as soon as it is made; its health says NOT_SERVING until `set_serving`.

    Args:
        host, port: where; port 0 takes a free one, which `port` then names.
        services: what is served, beside health and reflection.
        max_workers: requests answered at once. A stream holds one for as long as it lasts.
        max_requests: requests in hand or waiting at once; those beyond get RESOURCE_EXHAUSTED. None for no limit.
            Health and reflection have a thread of their own, and answer however many wait.
        tls: with what it listens.
        max_request_bytes: larger requests get RESOURCE_EXHAUSTED, by gRPC itself.

    Raises:
        SettingsInvalid: the address cannot be listened on, or the TLS files cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        services: Sequence[GrpcService],
        max_workers: int = 8,
        max_requests: int | None = None,
        tls: Tls = NO_TLS,
        max_request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        credentials = tls.credentials()
        workers = _Workers(max_workers, thread_name_prefix="grpc")
        # Without the first, two processes share one port on Linux, and each gets some of the requests.
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", max_request_bytes),
            ("grpc.server.max_pending_requests", MAX_PENDING),
            ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING),
        )
        self._workers = workers
        self._server = grpc.server(workers, interceptors=[_Measured(workers, max_requests)], options=options)
        self._names = ["", *(name for _, _, name in services)]
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        for add, servicer, _ in services:
            add(servicer, self._server)
        reflection.enable_server_reflection(
            [*self._names[1:], health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self.set_serving(False)
        self.port = self._listen(host, port, credentials)
        self._server.start()
        get_logger().info("listening", grpc=f"{host}:{self.port}", tls=credentials is not None)

    def _listen(self, host: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
        try:
            if credentials is not None:
                return int(self._server.add_secure_port(f"{host}:{port}", credentials))
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

    def refuse_health(self) -> None:
        """Health says NOT_SERVING from now on, whatever `set_serving` says: the end has begun."""
        self._health.enter_graceful_shutdown()

    def close(self, grace_seconds: float = 5.0) -> None:
        """Takes no more requests, lets those in hand end for that long, then cuts them off."""
        self.refuse_health()
        self._wait_for_a_lull(grace_seconds / 2)
        self._server.stop(grace_seconds).wait()

    def _wait_for_a_lull(self, limit_seconds: float) -> None:
        """gRPC cuts off what comes as it stops, without a word: who asks before having heard still gets an answer."""
        end = time.monotonic() + limit_seconds
        num_taken = -1
        while num_taken != self._workers.num_taken and time.monotonic() < end:
            num_taken = self._workers.num_taken
            time.sleep(min(LULL_SECONDS, limit_seconds))


class _Workers(ThreadPoolExecutor):
    """Threads that know how many tasks they have in hand, those that wait included, and how many they ever took."""

    num_in_hand = 0
    num_taken = 0

    def submit(self, task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with _COUNTING:
            self.num_in_hand += 1
            self.num_taken += 1
        return super().submit(self._do, task, *args, **kwargs)

    def _do(self, task: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return task(*args, **kwargs)
        finally:
            with _COUNTING:
                self.num_in_hand -= 1


_COUNTING = threading.Lock()


class _Measured(grpc.ServerInterceptor):  # type: ignore[misc]
    """Counts and times each request; refuses those that are too many or came too late.

    One that fails by our mistake is logged and answered INTERNAL.
    """

    def __init__(self, workers: _Workers, max_requests: int | None) -> None:
        self._workers = workers
        self._max_requests = max_requests
        # Where a request is answered that must not wait for the workers.
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="grpc-aside")

    def intercept_service(self, continuation: Callable[[Any], Any], details: Any) -> Any:
        """On gRPC's one serving thread, just before the request is given to the workers: the count is exact."""
        handler = continuation(details)
        if handler is None:
            return handler
        name = _MAKERS[handler.request_streaming, handler.response_streaming]
        is_stream = handler.response_streaming
        behavior = handler.unary_unary or handler.unary_stream or handler.stream_unary or handler.stream_stream
        if details.method.startswith(_INFRASTRUCTURE):
            # Watching health lasts: it may not hold the one thread that others are answered on.
            measured = behavior if is_stream else self._put_aside(lambda request, context: behavior(request, context))
        elif self._max_requests is not None and self._workers.num_in_hand >= self._max_requests:
            refuse = _refusal(self._max_requests)
            measured = self._put_aside((_measure_stream if is_stream else _measure)(refuse, details.method))
        else:
            measured = (_measure_stream if is_stream else _measure)(behavior, details.method)
        make = getattr(grpc, f"{name}_rpc_method_handler")
        return make(measured, handler.request_deserializer, handler.response_serializer)

    def _put_aside(self, behavior: Behavior) -> Behavior:
        behavior.experimental_thread_pool = self._aside  # type: ignore[attr-defined]
        return behavior


def _refusal(limit: int) -> Behavior:
    def refuse(_: Any, context: grpc.ServicerContext) -> NoReturn:
        context.abort(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            f"{limit} requests are in hand or wait already, as many as may: come again later, or ask another replica",
        )
        raise AssertionError("abort raises")

    return refuse


_MAKERS = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}


def _measure(behavior: Behavior, method: str) -> Behavior:
    def answer(request: Any, context: grpc.ServicerContext) -> Any:
        began = time.perf_counter()
        try:
            _check_deadline(context)
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
            _check_deadline(context)
            yield from behavior(request, context)
        except Exception as error:
            _fail(method, context, error)
        finally:
            _count(method, context, began)

    return answer


def _check_deadline(context: grpc.ServicerContext) -> None:
    """A request that waited for a worker beyond its deadline is not begun: nobody hears the answer."""
    left = context.time_remaining()
    if left is not None and left <= 0:
        context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "the deadline passed before the request was begun")


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
