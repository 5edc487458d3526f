"""Beside a Kubernetes scheduler: the extender's HTTP port, the watches on the API server, the writing of records."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from services.common import web as frame
from services.common.broker.abstract import Output
from services.common.clock import Clock
from services.common.logging import get_logger
from services.placement import metrics
from services.placement.adapters.extender import Extender
from services.placement.adapters.messages import raw_request
from services.placement.core.kube.advice import Adviser, Rules
from services.placement.core.kube.book import PodBook
from services.placement.core.kube.circuit import Circuit
from services.placement.core.kube.desk import Desk
from services.placement.core.kube.follow import Freshness, NodeFollower, PodFollower
from services.placement.core.kube.recorder import Recorder
from services.placement.core.reading import Codec, Reading
from services.placement.errors import NotReady
from services.placement.settings import PlacementSettings

if TYPE_CHECKING:
    from services.placement.adapters.kubernetes import Watcher

#: (namespace, name, uid, node) to the API server's complaint.
Bind = Callable[[str, str, str, str], str]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_BODY_SECONDS = 10.0
_SILENCE_SECONDS = 30.0
_GRACE_SECONDS = 2.0
_TURN_SECONDS = 1.0
#: How long a replica waits for the first lists before it says again that it is not ready.
_FIRST_SECONDS = 5.0


class Engine(Protocol):
    """What the answers rest on: services/placement/pipeline.py."""

    @property
    def reading(self) -> Reading: ...

    @property
    def are_alerts_fresh(self) -> bool: ...

    def check_fresh(self) -> None: ...


class SchedulerSide:
    """All that a scheduler of Kubernetes needs of one replica. Made before the engine reads its topics.

    Args:
        publish: returns when Kafka has the records; raises Retryable.

    Raises:
        SettingsInvalid: the port is taken or would be open to anybody, or there is no API server where one is named.
    """

    def __init__(
        self,
        engine: Engine,
        settings: PlacementSettings,
        cluster: str,
        clock: Clock,
        codec: Codec,
        publish: Callable[[Sequence[Output]], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._turned_at = float("-inf")
        self._freshness: list[Freshness] = []
        self._watchers: list[Watcher] = []
        reading = engine.reading
        self._recorder = Recorder(cluster, codec, publish, raw_request, reading.lock)
        self._book = reading.pods = PodBook(
            reading.world.ledger,
            bool(settings.kubernetes),
            self._recorder.became,
            settings.outcome_patience_seconds,
            _agreed,
        )
        bind = self._follow(settings, cluster, clock) if settings.kubernetes else None
        self._extender = Extender(self._make_desk(settings, clock), bind)
        self._web = None if settings.extender_port is None else self._serve(settings)

    def _follow(self, settings: PlacementSettings, cluster: str, clock: Clock) -> Bind:
        """Makes the watches; returns what binds pods."""
        # Loading the client takes most of a second, and 100 MB of disk: only who follows an API server needs it.
        from services.placement.adapters.kubernetes import NODES, PODS, ApiServer, Watcher

        server = ApiServer(settings.kubernetes)
        nodes = NodeFollower(self._engine.reading, cluster, self._recorder.seen)
        pods = PodFollower(self._engine.reading, self._book)
        self._freshness = [Freshness(kind.name, clock, settings.max_view_age_seconds) for kind in (NODES, PODS)]
        self._watchers = [
            Watcher(server, NODES, nodes, self._freshness[0]),
            Watcher(server, PODS, pods, self._freshness[1]),
        ]
        return server.bind

    def _make_desk(self, settings: PlacementSettings, clock: Clock) -> Desk:
        reading = self._engine.reading
        rules = Rules(settings.extender_live_percent, settings.extender_reservation_seconds)
        adviser = Adviser(reading, self._book, rules, lambda: self._engine.are_alerts_fresh, self._recorder.decided)
        circuit = Circuit(clock, settings.extender_max_late, settings.extender_rest_seconds)
        return Desk(adviser, reading.lock, clock, circuit, self.check_fresh, settings.extender_deadline_ms / 1000)

    def _serve(self, settings: PlacementSettings) -> frame.WebServer:
        app = web.Application(client_max_size=settings.extender_max_body_bytes)
        for verb in self._extender.verbs:
            app.router.add_post(f"/{verb}", self._answering(verb, settings.extender_max_body_bytes))
        app.router.add_get("/readyz", self._ready)
        server = frame.WebServer(
            access_of(settings), app, _GRACE_SECONDS, max_connections=settings.extender_max_connections,
            silence_seconds=_SILENCE_SECONDS,
        )  # fmt: skip
        get_logger().info("listening", extender=f"{server.scheme}://{settings.extender_host}:{server.port}")
        return server

    def _answering(self, verb: str, max_bytes: int) -> Handler:
        async def answer(request: web.Request) -> web.Response:
            try:
                body = await frame.read_body(request, max_bytes, _BODY_SECONDS, "the extender")
            except frame.BodyRefused as error:
                return web.Response(status=error.status, text=error.sentence + "\n")
            if verb == "bind":
                # It waits for the API server, and others must not wait for it.
                loop = asyncio.get_running_loop()
                status, found = await loop.run_in_executor(None, self._extender.answer, verb, body)
            else:
                status, found = self._extender.answer(verb, body)
            return web.Response(
                status=status, body=found, content_type="application/json" if status == 200 else "text/plain"
            )

        return answer

    async def _ready(self, request: web.Request) -> web.Response:
        try:
            self.check_fresh()
        except NotReady as error:
            return web.json_response({"ready": False, "reason": str(error)}, status=503)
        return web.json_response({"ready": True, "reason": ""})

    @property
    def port(self) -> int | None:
        """The port that it answers on."""
        return None if self._web is None else self._web.port

    def check_fresh(self) -> None:
        """Raises NotReady when too little is known to answer."""
        self._engine.check_fresh()
        for freshness in self._freshness:
            freshness.check()

    def open_watches(self) -> None:
        """Begins to follow the API server once the topics were read; a second time changes nothing."""
        for watcher in self._watchers:
            watcher.start()

    def wait_listed(self) -> bool:
        """Whether nodes and pods were read once; waits a moment for it."""
        return all(freshness.wait(_FIRST_SECONDS) for freshness in self._freshness)

    def turn(self) -> None:
        """Lets time pass; called often, does something once a second."""
        now = self._clock.monotonic()
        if now - self._turned_at < _TURN_SECONDS:
            return
        self._turned_at = now
        reading = self._engine.reading
        with reading.lock:
            self._book.tick(reading.now())

    def close(self) -> None:
        """Answers what is in hand, writes what waits, ends."""
        if self._web is not None:
            self._web.close()
        for watcher in self._watchers:
            watcher.close()
        self._recorder.close()


def access_of(settings: PlacementSettings) -> frame.Access:
    """Who may ask. A scheduler has no token to give, but may have a certificate."""
    return frame.Access(
        "MOSELLE_PLACEMENT_EXTENDER", "the scheduler extender", "ask where pods shall go", settings.extender_host,
        settings.extender_port or 0, (), settings.extender_tls_cert, settings.extender_tls_key,
        settings.extender_client_ca, settings.extender_is_open,
    )  # fmt: skip


def _agreed(mode: str, agrees: bool) -> None:
    metrics.EXTENDER_BOUND.labels(mode, str(agrees).lower()).inc()
