"""The receiver: an HTTP server of its own process that writes what it gets to the raw topics."""

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor

from aiohttp import web

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
_MIN_TOKEN_CHARS = 16


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
        tls = tls_context(settings)
        listening = _listen(settings.receiver_host, settings.receiver_port)
        self.port = int(listening.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)
        self._thread.start()
        self._runner = self._make_runner(settings)
        self._run(self._start(listening, tls))
        scheme = "http" if tls is None else "https"
        get_logger().info("listening", receiver=f"{scheme}://{settings.receiver_host}:{self.port}")

    def _make_runner(self, settings: IngestSettings) -> web.AppRunner:
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
        # Bodies go to Kafka as they came, so packed ones stay packed.
        return web.AppRunner(app, access_log=None, shutdown_timeout=_GRACE_SECONDS, auto_decompress=False)

    async def _start(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, listening, ssl_context=tls).start()

    def _run(self, coroutine: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

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
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._workers.shutdown(wait=False, cancel_futures=True)


def check_access(settings: IngestSettings) -> None:
    """Who may send must be settled before anybody else can reach it.

    Raises:
        SettingsInvalid: neither tokens nor a CA of clients, and an address beyond this machine; or half of the TLS
            settings; or an empty token.
    """
    if not (settings.receiver_tokens or settings.receiver_client_ca or _is_loopback(settings.receiver_host)):
        raise SettingsInvalid(
            f"MOSELLE_INGEST_RECEIVER_HOST={settings.receiver_host} would let anybody write: set "
            "MOSELLE_INGEST_RECEIVER_TOKENS or MOSELLE_INGEST_RECEIVER_CLIENT_CA, or listen on 127.0.0.1"
        )
    if any(len(token.get_secret_value()) < _MIN_TOKEN_CHARS for token in settings.receiver_tokens):
        raise SettingsInvalid(
            f"MOSELLE_INGEST_RECEIVER_TOKENS has a token of less than {_MIN_TOKEN_CHARS} characters, which can be "
            "guessed: take `openssl rand -hex 32`"
        )
    needs_tls = bool(settings.receiver_client_ca)
    if bool(settings.receiver_tls_cert) != bool(settings.receiver_tls_key) or (
        needs_tls and not settings.receiver_tls_key
    ):
        raise SettingsInvalid(
            "TLS needs MOSELLE_INGEST_RECEIVER_TLS_CERT and MOSELLE_INGEST_RECEIVER_TLS_KEY, both, also for a client CA"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(settings: IngestSettings) -> ssl.SSLContext | None:
    """The server's certificate, and the CA that clients' certificates must be of; None for plain HTTP.

    Raises:
        SettingsInvalid: a file that cannot be read, or is none of these.
    """
    if not settings.receiver_tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(settings.receiver_tls_cert, settings.receiver_tls_key)
        if settings.receiver_client_ca:
            context.load_verify_locations(settings.receiver_client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise SettingsInvalid(
            f"the receiver's TLS files cannot be used: {error}; MOSELLE_INGEST_RECEIVER_TLS_CERT, _TLS_KEY and"
            " _CLIENT_CA name PEM files that this process may read"
        ) from error
    return context


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise SettingsInvalid(
            f"cannot listen on {host}:{port} for the receiver: {error.strerror}; set MOSELLE_INGEST_RECEIVER_PORT to a "
            "free port, or 0 to take one"
        ) from error
