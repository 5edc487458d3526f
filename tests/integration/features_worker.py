"""The Faust worker as a process, for tests on a real Kafka."""

import http.client
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from moselle.stack.process import free_port
from tests.polling import TIMEOUT_SECONDS, poll_until


class Worker:
    """One worker process; several starts of it are one replica."""

    def __init__(self, bootstrap: str, folder: Path, script: str = "", **settings: str) -> None:
        self.bootstrap, self.port = bootstrap, free_port()
        self._log = folder / "features.log"
        self._environment = {
            **os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap, "MOSELLE_HTTP_PORT": str(self.port),
            **settings,
        }  # fmt: skip
        self.start(script)

    def start(self, script: str = "") -> None:
        """Starts it, or in its place a script that does so."""
        with self._log.open("ab") as log:
            command = [sys.executable, *(["-c", script] if script else ["-m", "services.features"])]
            self.process = subprocess.Popen(command, env=self._environment, stderr=log, stdout=log)
        poll_until(self._has_started, f"ready; see {self._log}")

    def is_ready(self) -> bool:
        return bool(self.readiness().get("ready"))

    def _has_started(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()[-2000:]
        return self.is_ready()

    def readiness(self) -> dict[str, Any]:
        """What /readyz says; empty when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            return dict(json.load(error))
        except (OSError, http.client.HTTPException):
            return {}

    def end(self, number: int, timeout_seconds: float = TIMEOUT_SECONDS) -> int:
        """Its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_seconds)
