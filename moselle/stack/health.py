"""Asks each service's `/readyz` from a thread of its own, so that a slow answer delays no restart."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import NamedTuple

from services.common.clock import Clock

INTERVAL_SECONDS = 0.25
TIMEOUT_SECONDS = 2.0
#: Whatever proxy the environment names, 127.0.0.1 is asked directly.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class State(NamedTuple):
    """An answer, and the monotonic time at which it was asked for."""

    is_ready: bool
    reason: str
    asked_at: float


NOT_ASKED = State(False, "starts", 0.0)


class HealthPoller:
    """Knows of each service whether it is ready, and why not.

    Args:
        ports: of each service on 127.0.0.1.
    """

    def __init__(self, ports: Mapping[str, int], clock: Clock) -> None:
        self._clock = clock
        self._ports = dict(ports)
        self._states = dict.fromkeys(ports, NOT_ASKED)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks nobody any more."""
        self._is_over.set()
        self._states = dict.fromkeys(self._ports, State(False, "stopping", 0.0))

    def state(self, name: str, started_at: float) -> tuple[bool, str]:
        """(is ready, why not) as last answered by the process that began at `started_at`, not by one before it."""
        state = self._states[name]
        return (state.is_ready, state.reason) if state.asked_at > started_at else (False, NOT_ASKED.reason)

    def _run(self) -> None:
        while not self._is_over.wait(INTERVAL_SECONDS):
            for name, port in self._ports.items():
                asked_at = self._clock.monotonic()
                state = State(*ask(port), asked_at)
                if not self._is_over.is_set():
                    self._states[name] = state


def ask(port: int) -> tuple[bool, str]:
    """(is ready, why not) of what listens on `port`."""
    try:
        with _OPENER.open(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT_SECONDS) as answer:
            answer.read()
        return True, ""
    except urllib.error.HTTPError as error:
        with error:
            return False, reason_of(error.read())
    except (OSError, http.client.HTTPException):
        return False, "does not answer yet"


def reason_of(body: bytes) -> str:
    """The reason in a `/readyz` answer that says no."""
    try:
        return str(json.loads(body)["reason"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace")[:300]
