"""Asks each service's `/readyz` from a thread of its own, so that a slow answer delays no restart."""

import http.client
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping

INTERVAL_SECONDS = 0.25
TIMEOUT_SECONDS = 2.0
#: Whatever proxy the environment names, 127.0.0.1 is asked directly.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HealthPoller:
    """Knows of each service whether it is ready, and why not.

    Args:
        ports: of each service on 127.0.0.1.
    """

    def __init__(self, ports: Mapping[str, int]) -> None:
        self._ports = dict(ports)
        self._states = {name: (False, "not asked yet") for name in ports}
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Asks nobody any more."""
        self._is_over.set()
        self._states = dict.fromkeys(self._ports, (False, "stopping"))

    def state(self, name: str) -> tuple[bool, str]:
        """(is ready, why not) as answered last."""
        return self._states[name]

    @property
    def all_ready(self) -> bool:
        return all(is_ready for is_ready, _ in self._states.values())

    def _run(self) -> None:
        while not self._is_over.wait(INTERVAL_SECONDS):
            for name, port in self._ports.items():
                state = ask(port)
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
