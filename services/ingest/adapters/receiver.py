"""The receiver: an HTTP server of its own process that writes what it gets to the raw topics."""

import threading
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

from services.common import web as frame
from services.common.broker.abstract import Broker
from services.common.codec import Codec
from services.common.errors import Retryable, SettingsInvalid
from services.common.logging import get_logger
from services.common.service import run_server
from services.common.settings import CommonSettings
from services.common.source import Source
from services.ingest.adapters.endpoints import Requests, endpoints
from services.ingest.settings import IngestSettings

SERVICE = "ingest-receiver"
#: Requests in hand have this long to end when the process is told to stop.
_GRACE_SECONDS = 15.0


def run(common: CommonSettings, settings: IngestSettings) -> int:
    """Receives until told to stop; returns the exit code.

    Raises:
        SettingsInvalid: it would be open to anybody.
    """
    check_access(settings)

    def make_server(broker: Broker, codec: Codec) -> Receiver:
        return Receiver(broker, settings)

    return run_server(SERVICE, [settings.metric_topics[0], settings.log_topics[0]], make_server, common)


class Receiver:
    """Listens as soon as it is made; takes requests from `open_views` on. Implements the kernel's `Server`.

    Raises:
        SettingsInvalid: it would be open to anybody, a certificate cannot be read, or the address is taken.
    """

    def __init__(self, broker: Broker, settings: IngestSettings) -> None:
        check_access(settings)
        self._broker = broker
        self._topics = [settings.metric_topics[0], settings.log_topics[0]]
        self._away = "the receiver is starting"
        self._pause = threading.Event()
        self._workers = ThreadPoolExecutor(settings.receiver_max_requests, thread_name_prefix="accept")
        # Bodies go to Kafka as they came, so packed ones stay packed.
        self._web = frame.WebServer(access_of(settings), self._make_app(settings), _GRACE_SECONDS, False)
        self.port = self._web.port
        get_logger().info("listening", receiver=f"{self._web.scheme}://{settings.receiver_host}:{self.port}")

    def _make_app(self, settings: IngestSettings) -> web.Application:
        requests = Requests(
            Source(self._broker, settings.receiver_max_requests),
            self._workers,
            lambda: self._away,
            [token.get_secret_value() for token in settings.receiver_tokens],
            settings.receiver_max_requests,
            settings.receiver_max_body_bytes,
            settings.max_expanded_bytes,
            settings.receiver_accept_seconds,
        )
        app = web.Application(client_max_size=settings.receiver_max_body_bytes)
        for endpoint in endpoints(*self._topics):
            app.router.add_post(endpoint.path, requests.handler(endpoint))
        return app

    def open_views(self) -> None:
        """There are none; it makes sure that Kafka is there, and tells senders while it is not."""
        if not self._away:
            self._away = "no broker answers"
        try:
            self._broker.check(self._topics)
        except SettingsInvalid as error:
            raise Retryable(str(error)) from error
        self._away = ""

    def turn(self, timeout_seconds: float) -> None:
        """Nothing to read."""
        self._pause.wait(timeout_seconds)

    def close(self) -> None:
        """Takes no more connections, answers the requests in hand, ends."""
        self._web.close()
        self._workers.shutdown(wait=False, cancel_futures=True)


def access_of(settings: IngestSettings) -> frame.Access:
    """Where it listens and who may send."""
    return frame.Access(
        "MOSELLE_INGEST_RECEIVER",
        "the receiver",
        "write",
        settings.receiver_host,
        settings.receiver_port,
        tuple(token.get_secret_value() for token in settings.receiver_tokens),
        settings.receiver_tls_cert,
        settings.receiver_tls_key,
        settings.receiver_client_ca,
    )


def check_access(settings: IngestSettings) -> None:
    """Who may send must be settled before anybody else can reach it. Raises SettingsInvalid."""
    frame.check_access(access_of(settings))
