"""What the supervisor believes of a service's readiness."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from moselle.stack.health import HealthPoller, ask, reason_of
from moselle.stack.process import free_port
from services.common.clock import SystemClock
from tests.polling import poll_until


class NotReady(BaseHTTPRequestHandler):
    """Says no, as a service does."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b'{"ready": false, "reason": "Kafka does not answer"}')

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def not_ready() -> Iterator[int]:
    """The port of a service that is not ready."""
    with HTTPServer(("127.0.0.1", 0), NotReady) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def test_the_reason_is_the_services_own(not_ready: int) -> None:
    """A 503 gives the reason in its body; nobody listening is a reason too."""
    assert ask(not_ready) == (False, "Kafka does not answer")
    assert ask(free_port()) == (False, "does not answer yet")
    assert reason_of(b"plain words") == "plain words"


def test_an_answer_of_the_process_before_does_not_count(not_ready: int) -> None:
    """After a restart the old answer is forgotten until the new process was asked."""
    clock = SystemClock()
    poller = HealthPoller({"ingest": not_ready}, clock)
    assert poller.state("ingest", started_at=0.0) == (False, "starts")
    begun = clock.monotonic()
    poller.start()
    poll_until(lambda: poller.state("ingest", begun)[1] == "Kafka does not answer", "it was asked")
    later = clock.monotonic() + 3600  # however many more answers come meanwhile
    assert poller.state("ingest", later) == (False, "starts")
    poller.stop()
