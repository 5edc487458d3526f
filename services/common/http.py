"""`/healthz`, `/readyz`, `/metrics` and further pages of a service."""

import json
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.common.clock import Clock
from services.common.errors import SettingsInvalid
from services.common.metrics import READY

#: A loop that has not turned for this long is stuck; the longest honest wait is a transaction's time-out.
STUCK_SECONDS = 120.0
#: A loop that has not turned for this long waits for its broker, most often in a transaction.
WAITING_SECONDS = 3.0


class Page(NamedTuple):
    """What a path answers."""

    content_type: str
    body: bytes


#: Paths beside those of health and metrics; each is made anew for each request, in a thread of the server.
Pages = Mapping[str, Callable[[], Page]]


class Health:
    """Whether the process is alive and ready, and why not. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._beat = clock.monotonic()
        self._reason = "starting"

    def beat(self) -> None:
        """The service's loop has turned."""
        self._beat = self._clock.monotonic()

    def ready(self) -> None:
        """From now on `/readyz` says yes."""
        self._reason = ""
        READY.set(1)

    def not_ready(self, reason: str) -> None:
        """From now on `/readyz` says no, with the reason."""
        self._reason = reason
        READY.set(0)

    @property
    def reason(self) -> str:
        """Why it is not ready; empty when it is."""
        idle = self._clock.monotonic() - self._beat
        if not self._reason and idle > WAITING_SECONDS:
            return f"waiting for Kafka, or a database: nothing was committed or read for {idle:.0f} s"
        return self._reason

    @property
    def is_alive(self) -> bool:
        return self._clock.monotonic() - self._beat < STUCK_SECONDS

    def answer(self, path: str) -> tuple[int, dict[str, Any]] | None:
        """Status and body for a path, or None for another path."""
        if path == "/healthz":
            return (200, {"alive": True}) if self.is_alive else (503, {"alive": False, "reason": "the loop is stuck"})
        if path == "/readyz":
            reason = self.reason
            return 503 if reason else 200, {"ready": not reason, "reason": reason}
        return None


class HealthServer:
    """Serves `Health`, the metrics and the pages from a thread of its own.

    Raises:
        SettingsInvalid: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, health: Health, pages: Pages | None = None) -> None:
        try:
            self._server = ThreadingHTTPServer((host, port), _handler(health, pages or {}))
        except OSError as error:
            raise SettingsInvalid(
                f"cannot listen on {host}:{port} for health and metrics: {error.strerror}; set MOSELLE_HTTP_PORT to a"
                " free port, or 0 to take one"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(health: Health, pages: Pages) -> type[BaseHTTPRequestHandler]:
    known = ", ".join(["/healthz", "/readyz", "/metrics", *pages])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            if path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest())
                return
            if path in pages:
                self._send(200, *pages[path]())
                return
            status, body = health.answer(path) or (404, {"error": f"no {path} here: try {known}"})
            self._send(status, "application/json", json.dumps(body).encode())

        def _send(self, status: int, content_type: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """A probe every second is not worth a line."""

    return Handler
