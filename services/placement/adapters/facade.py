"""NovaCron's HTTP contract: JSON in, JSON out, answered from memory. Decides nothing; core/dwcp does.

A body that cannot be used gets 4xx with the answer that nothing is known and a sentence in `error`: every field that
NovaCron's Go code asserts is there and of its type whatever happens.
"""

import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

import msgspec
from aiohttp import web

from services.common import web as frame
from services.common.errors import MoselleError
from services.common.logging import get_logger
from services.placement.core.dwcp.known import Known
from services.placement.core.dwcp.routes import (
    HEALTH,
    PROCESSES,
    ROUTES,
    Envelope,
    Enveloped,
    Refusal,
    Route,
    decode,
)
from services.placement.errors import InvalidRequest, NotReady
from services.placement.metrics import FACADE_REQUESTS, FACADE_SECONDS
from services.placement.settings import PlacementSettings

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_PROCESS = "/api/v1/process"
_OTHER = "other"
#: How long a body may take to come, and a connection to say anything.
_BODY_SECONDS = 10.0
_SILENCE_SECONDS = 30.0
#: Requests in hand have this long to end when the process is told to stop; none takes a hundredth of it.
_GRACE_SECONDS = 2.0
_DEFECT = "a mistake of ours; the service's log says which"


class Answers(Protocol):
    """What answers: services/placement/pipeline.py."""

    def ask(self, question: Callable[[Known], T]) -> T: ...


class Facade:
    """The HTTP interface. Listens as soon as it is made.

    Raises:
        SettingsInvalid: it would be open to anybody, a certificate cannot be read, or the address is taken.
    """

    def __init__(self, engine: Answers, settings: PlacementSettings) -> None:
        self._engine = engine
        self._access = access_of(settings)
        self._tokens = [token.encode() for token in self._access.tokens]
        self._max_body = settings.facade_max_body_bytes
        self._web = frame.WebServer(
            self._access, self._make_app(), _GRACE_SECONDS,
            max_connections=settings.facade_max_connections, silence_seconds=_SILENCE_SECONDS,
        )  # fmt: skip
        self.port = self._web.port
        get_logger().info("listening", facade=f"{self._web.scheme}://{settings.facade_host}:{self.port}")

    def _make_app(self) -> web.Application:
        app = web.Application(client_max_size=self._max_body)
        app.router.add_get("/health", self._measured("/health", self._health))
        for path, route in ROUTES.items():
            app.router.add_post(path, self._measured(path, self._asking(route)))
        app.router.add_post(_PROCESS, self._measured(_PROCESS, self._process))
        app.router.add_route("*", "/{path:.*}", self._measured(_OTHER, self._nowhere))
        return app

    def close(self) -> None:
        """Takes no more connections, answers the requests in hand, ends."""
        self._web.close()

    def _measured(self, path: str, handler: Handler) -> Handler:
        seconds = FACADE_SECONDS.labels(path)

        async def handle(request: web.Request) -> web.StreamResponse:
            began = time.perf_counter()
            response = await handler(request)
            FACADE_REQUESTS.labels(path, str(response.status)).inc()
            seconds.observe(time.perf_counter() - began)
            return response

        return handle

    def _asking(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            nothing = route.answer()
            try:
                asked = decode(await self._body(request), route.asked, f"/{route.name}")
                return respond(200, self._answer(route, asked))
            except frame.BodyRefused as error:
                return refuse(error.status, nothing, error.sentence)
            except InvalidRequest as error:
                return refuse(400, nothing, str(error))

        return handle

    def _answer(self, route: Route, asked: Any) -> bytes:
        """The answer, encoded; that nothing is known where the matrix is stale, or when we make a mistake.

        Raises:
            InvalidRequest: the question cannot be answered.
            Refusal: it is understood and not answered here.
        """
        try:
            answer = self._engine.ask(lambda known: route.work(known, asked))
            raw = msgspec.json.encode(answer)
            msgspec.json.decode(raw, type=route.answer)  # a NaN would have become null, which Go does not survive
        except NotReady as error:
            return unknown(route.answer(), str(error))
        except (InvalidRequest, Refusal):
            raise
        except Exception as error:
            get_logger().error("facade_answer_failed", route=route.name, exc_info=error)
            return unknown(route.answer(), _DEFECT)
        return raw

    async def _body(self, request: web.Request) -> bytes:
        if self._tokens and not frame.has_token(frame.bearer(request), self._tokens):
            raise frame.BodyRefused(401, "wanted a header 'Authorization: Bearer' with one of the facade's tokens")
        return await frame.read_body(request, self._max_body, _BODY_SECONDS, "this service")

    async def _health(self, request: web.Request) -> web.Response:
        """Open to everybody: whether it can answer is no secret."""
        try:
            return respond(200, msgspec.json.encode(self._engine.ask(lambda known: HEALTH.work(known, None))))
        except MoselleError as error:
            return respond(503, unknown(HEALTH.answer(), str(error)))

    async def _process(self, request: web.Request) -> web.Response:
        began = time.perf_counter()
        given, found = Envelope(), Enveloped()
        try:
            given = decode(await self._body(request), Envelope, _PROCESS)
            status, found = 200, self._enveloped(given)
        except frame.BodyRefused as error:
            status, found.error = error.status, error.sentence
        except InvalidRequest as error:
            status, found = 400, Enveloped(data=nothing_of(given), error=str(error))
        except Refusal as error:
            status, found.error = 200, str(error)
        found.id, found.process_time = given.id, time.perf_counter() - began
        return respond(status, msgspec.json.encode(found))

    def _enveloped(self, given: Envelope) -> Enveloped:
        route = PROCESSES.get((given.service, given.method))
        if route is None:
            known = ", ".join(f"{service}/{method}" for service, method in PROCESSES)
            raise InvalidRequest(f"no {given.service[:50]}/{given.method[:50]} here: {known}")
        asked = decode(given.data, route.asked, f"{given.service}/{given.method}")
        data = msgspec.json.decode(self._answer(route, asked))
        is_down = route is HEALTH and data["status"] == "unhealthy"
        confidence = float(data.get("confidence", 0.0))
        return Enveloped(success=not is_down, data=data, error=data["reason"] if is_down else "", confidence=confidence)

    async def _nowhere(self, request: web.Request) -> web.Response:
        path = request.path
        allowed = "GET" if path == "/health" else "POST" if path in ROUTES or path == _PROCESS else ""
        if not allowed:
            known = ", ".join(["/health", *ROUTES, _PROCESS])
            return refuse(404, None, f"no {path[:200]} here: {known}")
        nothing = Enveloped() if path == _PROCESS else HEALTH.answer() if allowed == "GET" else ROUTES[path].answer()
        response = refuse(405, nothing, f"{path} takes {allowed}, not {request.method[:20]}")
        response.headers["Allow"] = allowed
        return response


def access_of(settings: PlacementSettings) -> frame.Access:
    """Where it listens and who may ask."""
    return frame.Access(
        "MOSELLE_PLACEMENT_FACADE",
        "the facade",
        "ask",
        settings.facade_host,
        settings.facade_port or 0,
        tuple(token.get_secret_value() for token in settings.facade_tokens),
        settings.facade_tls_cert,
        settings.facade_tls_key,
        settings.facade_client_ca,
        settings.facade_is_open,
    )


def respond(status: int, body: bytes) -> web.Response:
    """JSON in one piece, with its length."""
    return web.Response(status=status, body=body, content_type="application/json")


def nothing_of(given: Envelope) -> dict[str, Any]:
    """The data of an answer that nothing is known; empty where nobody knows what was asked."""
    route = PROCESSES.get((given.service, given.method))
    return {} if route is None else msgspec.to_builtins(route.answer())


def unknown(nothing: msgspec.Struct, why: str) -> bytes:
    """That nothing is known, and why, where the answer has a place for it."""
    if hasattr(nothing, "reason"):
        nothing.reason = why
    return msgspec.json.encode(nothing)


def refuse(status: int, nothing: msgspec.Struct | None, sentence: str) -> web.Response:
    """4xx: every field of the answer that nothing is known, and the sentence."""
    fields = {} if nothing is None else msgspec.to_builtins(nothing)
    response = respond(status, msgspec.json.encode({**fields, "error": sentence}))
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
