"""The frame around an HTTP interface: port, TLS, tokens, bodies, a clear end. Import it in adapters only."""

import asyncio
import hmac
import ipaddress
import socket
import ssl
import threading
from collections.abc import Coroutine, Sequence
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from services.common.errors import SettingsInvalid

_MIN_TOKEN_CHARS = 16
#: What a connection gets that is one too many.
_FULL = b"too many connections: close some, or come again\n"
_FULL_HEAD = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nConnection: close\r\nRetry-After: 1\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_FULL), _FULL)
)


class Access(NamedTuple):
    """Where an interface listens and who may use it.

    Attributes:
        prefix: of the settings' names, for sentences: `MOSELLE_INGEST_RECEIVER`.
        what: the interface in words: `the receiver`.
        misuse: what anybody could do there: `write`.
        tokens: bearer tokens, one of which must be given; none for no check.
        tls_cert, tls_key, client_ca: PEM files; empty for none.
        is_open: True lets anybody who can reach the address use it, when nothing else is set.
    """

    prefix: str
    what: str
    misuse: str
    host: str
    port: int
    tokens: tuple[str, ...] = ()
    tls_cert: str = ""
    tls_key: str = ""
    client_ca: str = ""
    is_open: bool = False


def check_access(access: Access) -> None:
    """Who may send must be settled before anybody else can reach it.

    Raises:
        SettingsInvalid: neither tokens nor a CA of clients, and an address beyond this machine; or half of the TLS
            settings; or an empty token.
    """
    prefix = access.prefix
    if not (access.tokens or access.client_ca or access.is_open or is_loopback(access.host)):
        raise SettingsInvalid(
            f"{prefix}_HOST={access.host} would let anybody {access.misuse}: set {prefix}_TOKENS or "
            f"{prefix}_CLIENT_CA, or listen on 127.0.0.1"
        )
    if any(len(token) < _MIN_TOKEN_CHARS for token in access.tokens):
        raise SettingsInvalid(
            f"{prefix}_TOKENS has a token of less than {_MIN_TOKEN_CHARS} characters, which can be guessed: take "
            "`openssl rand -hex 32`"
        )
    if bool(access.tls_cert) != bool(access.tls_key) or (access.client_ca and not access.tls_key):
        raise SettingsInvalid(f"TLS needs {prefix}_TLS_CERT and {prefix}_TLS_KEY, both, also for a client CA")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_context(access: Access) -> ssl.SSLContext | None:
    """The server's certificate, and the CA that clients' certificates must be of; None for plain HTTP.

    Raises:
        SettingsInvalid: a file that cannot be read, or is none of these.
    """
    if not access.tls_cert:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(access.tls_cert, access.tls_key)
        if access.client_ca:
            context.load_verify_locations(access.client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError as error:
        raise SettingsInvalid(
            f"the TLS files of {access.what} cannot be used: {error}; {access.prefix}_TLS_CERT, _TLS_KEY and"
            " _CLIENT_CA name PEM files that this process may read"
        ) from error
    return context


def has_token(authorization: str, tokens: Sequence[bytes]) -> bool:
    """Whether a header gives one of the tokens. Each is compared in constant time: how long it takes tells nothing."""
    scheme, _, given = authorization.partition(" ")
    matches = [hmac.compare_digest(given.strip().encode(errors="surrogateescape"), token) for token in tokens]
    return scheme.lower() == "bearer" and any(matches)


class BodyRefused(Exception):
    """A body that did not come whole, or is too large.

    Args:
        status: 400, 408 or 413.
        sentence: what was wrong with it.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


async def read_body(request: web.Request, max_bytes: int, seconds: float, what: str) -> bytes:
    """A request's body.

    Args:
        seconds: how long it may take to come.
        what: who takes it, in words: `this receiver`.

    Raises:
        BodyRefused: it did not come whole in time, or is too large.
    """
    too_large = BodyRefused(413, f"the body is too large: {what} takes up to {max_bytes} bytes; send less at once")
    if request.content_length is not None and request.content_length > max_bytes:
        raise too_large
    try:
        return await asyncio.wait_for(request.read(), seconds)
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except (web.RequestPayloadError, ConnectionError):
        raise BodyRefused(400, "the body broke off") from None
    except TimeoutError:
        raise BodyRefused(408, f"the body did not come within {seconds:.0f} s") from None


class WebServer:
    """An aiohttp application in a thread of its own. Listens as soon as it is made.

    Args:
        app: what answers.
        grace_seconds: requests in hand have this long to end when it closes.
        auto_decompress: False leaves packed bodies packed.
        max_connections: open at once; one more is told so and closed. None for no limit.
        silence_seconds: a connection that has not sent a whole head for this long is closed; None for no limit.

    Raises:
        SettingsInvalid: it would be open to anybody, a certificate cannot be read, or the address is taken.
    """

    def __init__(
        self,
        access: Access,
        app: web.Application,
        grace_seconds: float,
        auto_decompress: bool = True,
        max_connections: int | None = None,
        silence_seconds: float | None = None,
    ) -> None:
        check_access(access)
        tls = tls_context(access)
        listening = _listen(access)
        self.port = int(listening.getsockname()[1])
        self.scheme = "http" if tls is None else "https"
        self._max_connections = max_connections
        self._silence_seconds = silence_seconds
        self._silent: set[asyncio.BaseProtocol] = set()
        if silence_seconds is not None:
            app.middlewares.append(self._hear)
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=grace_seconds, auto_decompress=auto_decompress
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=access.what, daemon=True)
        self._thread.start()
        self._run(self._start(listening, tls))

    @web.middleware
    async def _hear(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """A whole head has come."""
        self._silent.discard(request.protocol)
        return await handler(request)

    async def _start(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        await self._runner.setup()
        self._server = await self._loop.create_server(self._connect, sock=listening, ssl=tls, backlog=128)

    def _connect(self) -> asyncio.BaseProtocol:
        """What serves a new connection."""
        server = self._runner.server
        if server is None or (self._max_connections is not None and len(server.connections) >= self._max_connections):
            return _Full()
        protocol = server()
        if self._silence_seconds is not None:
            self._silent.add(protocol)
            self._loop.call_later(self._silence_seconds, self._end_silence, protocol)
        return protocol

    def _end_silence(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            protocol.force_close()
            if protocol.transport is not None:
                protocol.transport.abort()

    def _run(self, coroutine: Coroutine[object, object, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _stop(self) -> None:
        self._server.close()
        await self._runner.cleanup()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:  # a connection that is still being told that its body was too much
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    def close(self) -> None:
        """Takes no more connections, answers the requests in hand, ends."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class _Full(asyncio.Protocol):
    """Tells a connection that it is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        transport.write(_FULL_HEAD)
        transport.close()


def _listen(access: Access) -> socket.socket:
    family = socket.AF_INET6 if ":" in access.host else socket.AF_INET
    try:
        return socket.create_server((access.host, access.port), family=family, backlog=128)
    except OSError as error:
        raise SettingsInvalid(
            f"cannot listen on {access.host}:{access.port} for {access.what}: {error.strerror}; set "
            f"{access.prefix}_PORT to a free port, or 0 to take one"
        ) from error


def bearer(request: web.Request) -> str:
    """The header that names a token; empty when there is none."""
    return request.headers.get(hdrs.AUTHORIZATION, "")
