"""What the receiver answers: remote_write on /api/v1/write, OTLP/HTTP on /v1/metrics and /v1/logs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import orjson
from aiohttp import hdrs, web
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse

from services.common.broker.abstract import Output
from services.common.errors import InvalidMessage, Retryable
from services.common.logging import get_logger
from services.common.source import Overloaded, Source
from services.common.web import BodyRefused, bearer, has_token, read_body
from services.ingest import metrics
from services.ingest.core.receiving import (
    JSON,
    PROTOBUF,
    Refused,
    Taken,
    split_type,
    take_logs,
    take_metrics,
    take_write,
)
from services.ingest.core.requests import REQUEST_HEADER

#: How long a sender may take to send a body.
_BODY_SECONDS = 30.0
#: google.rpc.Code by HTTP status; anything else is INVALID_ARGUMENT.
_CODES = {401: 16, 408: 14, 429: 8, 500: 13, 503: 14}
_UNAUTHORIZED, _TOO_MANY, _UNAVAILABLE = 401, 429, 503

Take = Callable[[bytes, str, str, int], Taken]


@dataclass(frozen=True)
class Endpoint:
    """One path.

    Attributes:
        take: reads a request.
        topic: where it goes.
        response: OTLP's answer to a request that was taken; None for remote_write.
    """

    path: str
    take: Take
    topic: str
    response: type[ExportMetricsServiceResponse] | type[ExportLogsServiceResponse] | None = None


def endpoints(metrics_topic: str, logs_topic: str) -> list[Endpoint]:
    """All of them."""
    return [
        Endpoint("/api/v1/write", take_write, metrics_topic),
        Endpoint("/v1/metrics", take_metrics, metrics_topic, ExportMetricsServiceResponse),
        Endpoint("/v1/logs", take_logs, logs_topic, ExportLogsServiceResponse),
    ]


class _Failure(Exception):
    """An answer other than success."""

    def __init__(self, status: int, sentence: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.headers = headers or {}


class Requests:
    """Takes requests in and answers them when Kafka has them.

    Args:
        source: writes to Kafka.
        workers: threads that wait for Kafka, as many as requests may be in hand.
        is_away: says why Kafka cannot take anything now; empty when it can.
        tokens: one of them must be given; none for no check.
        max_requests: in hand at once; those beyond get 429.
        max_body_bytes, max_expanded_bytes: of one body, as sent and unpacked.
        accept_seconds: how long Kafka may take; then the answer is 503, and the retry may be a repeat.
    """

    def __init__(
        self,
        source: Source,
        workers: ThreadPoolExecutor,
        is_away: Callable[[], str],
        tokens: Sequence[str],
        max_requests: int,
        max_body_bytes: int,
        max_expanded_bytes: int,
        accept_seconds: float,
    ) -> None:
        self._source = source
        self._workers = workers
        self._is_away = is_away
        self._tokens = [token.encode() for token in tokens]
        self._max_requests = max_requests
        self._max_body = max_body_bytes
        self._max_expanded = max_expanded_bytes
        self._accept_seconds = accept_seconds
        self._in_hand = 0

    def handler(self, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.Response]]:
        """What answers an endpoint."""

        async def handle(request: web.Request) -> web.Response:
            began = time.perf_counter()
            response = await self._answer(endpoint, request)
            metrics.RECEIVED.labels(endpoint.path, str(response.status)).inc()
            metrics.RECEIVE_SECONDS.labels(endpoint.path).observe(time.perf_counter() - began)
            return response

        return handle

    async def _answer(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        self._in_hand += 1
        try:
            return success(endpoint, request, await self._receive(endpoint, request))
        except (Refused, BodyRefused) as error:
            return failure(endpoint, request, _Failure(error.status, error.sentence))
        except _Failure as error:
            return failure(endpoint, request, error)
        except Exception as error:  # a defect of ours; what the body holds stays out of the log
            get_logger().error("receive_failed", path=endpoint.path, error=type(error).__name__)
            return failure(endpoint, request, _Failure(500, "a defect of the receiver; its log says which"))
        finally:
            self._in_hand -= 1

    async def _receive(self, endpoint: Endpoint, request: web.Request) -> Taken:
        self._check_token(bearer(request))
        if self._in_hand > self._max_requests:
            raise _Failure(_TOO_MANY, f"{self._max_requests} requests are in hand already", {"Retry-After": "1"})
        away = self._is_away()
        if away:
            raise _Failure(_UNAVAILABLE, f"Kafka cannot take it now: {away}", {"Retry-After": "2"})
        body = await read_body(request, self._max_body, _BODY_SECONDS, "this receiver")
        content_type, encoding = request.headers.get(hdrs.CONTENT_TYPE, ""), request.headers.get("Content-Encoding", "")
        taken = endpoint.take(body, content_type, encoding.strip().lower(), self._max_expanded)
        if not taken.is_empty:
            await self._write(endpoint.topic, body, taken)
        metrics.RECEIVED_BYTES.labels(endpoint.path).inc(len(body))
        return taken

    def _check_token(self, authorization: str) -> None:
        if self._tokens and not has_token(authorization, self._tokens):
            raise _Failure(
                _UNAUTHORIZED, "wanted a header 'Authorization: Bearer' with one of the receiver's tokens",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip

    async def _write(self, topic: str, body: bytes, taken: Taken) -> None:
        headers = [(name, value.encode()) for name, value in taken.headers.items()]
        output = Output(topic, taken.digest.hex().encode(), body, [*headers, (REQUEST_HEADER, taken.digest)])
        accepting = asyncio.get_running_loop().run_in_executor(self._workers, self._source.accept, [output])
        try:
            # Shielded: what Kafka was given cannot be taken back.
            await asyncio.wait_for(asyncio.shield(accepting), self._accept_seconds)
        except Overloaded as error:
            raise _Failure(_TOO_MANY, str(error), {"Retry-After": f"{error.retry_after_seconds:.0f}"}) from error
        except InvalidMessage as error:
            raise Refused(
                413, f"Kafka's topic {topic} takes no message of this size: {error}; send less at once"
            ) from error
        except Retryable as error:
            raise _Failure(_UNAVAILABLE, f"Kafka did not take it: {error}", {"Retry-After": "2"}) from error
        except TimeoutError:
            accepting.add_done_callback(_ignore)
            raise _Failure(
                _UNAVAILABLE, f"Kafka did not take it within {self._accept_seconds:g} s", {"Retry-After": "2"}
            ) from None


def _ignore(accepting: asyncio.Future[None]) -> None:
    """The sender was told already that it failed."""
    if not accepting.cancelled():
        accepting.exception()


def success(endpoint: Endpoint, request: web.Request, taken: Taken) -> web.Response:
    """Kafka has it: 204 for remote_write, OTLP's own empty response otherwise."""
    if endpoint.response is None:
        return web.Response(status=204, headers=taken.answer)
    if _is_json(request):
        return web.Response(body=b"{}", content_type=JSON)
    return web.Response(body=endpoint.response().SerializeToString(), content_type=PROTOBUF)


def failure(endpoint: Endpoint, request: web.Request, error: _Failure) -> web.Response:
    """A sentence as text for remote_write, in a google.rpc.Status for OTLP, in the encoding of the request."""
    if endpoint.response is None:
        return web.Response(status=error.status, text=error.sentence + "\n", headers=error.headers)
    code = _CODES.get(error.status, 3)
    if _is_json(request):
        body = orjson.dumps({"code": code, "message": error.sentence})
        return web.Response(status=error.status, body=body, content_type=JSON, headers=error.headers)
    body = Status(code=code, message=error.sentence).SerializeToString()
    return web.Response(status=error.status, body=body, content_type=PROTOBUF, headers=error.headers)


def _is_json(request: web.Request) -> bool:
    return split_type(request.headers.get(hdrs.CONTENT_TYPE, ""))[0] == JSON
