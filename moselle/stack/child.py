"""One child process of the supervisor, kept running."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moselle.stack.process import kill_group, last_words, spawn, stop
from services.common.clock import Clock
from services.common.errors import MoselleError

#: Waits before a restart: the first is immediate, because a killed service shall read again within two seconds.
BACKOFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0)
#: After living this long a death counts as the first one again.
STABLE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How to run one child.

    Attributes:
        command: gives its argv; called for each start, and may prepare files.
        death_signal: what it gets when the supervisor dies.
    """

    name: str
    command: Callable[[], Sequence[str]]
    log: Path
    env: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str | None = None
    cwd: Path | None = None
    death_signal: signal.Signals = signal.SIGKILL
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_seconds: float = 10.0


class Child:
    """Started by `start`, started again by `watch` whenever it died, ended by `stop`."""

    def __init__(self, spec: ChildSpec, clock: Clock) -> None:
        self.spec = spec
        self.name = spec.name
        self.restarts = 0
        self._clock = clock
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0
        self._deaths = 0
        self.started_at = 0.0
        self._next_start: float | None = None
        self._reason = ""

    def start(self) -> None:
        """Raises MoselleError when its command cannot be made."""
        command = self.spec.command()
        log = self.spec.log
        self._log_start = log.stat().st_size if log.exists() else 0
        self.started_at = self._clock.monotonic()
        self._next_start = None
        self._process = spawn(
            command, log, env=self.spec.env, cwd=self.spec.cwd, death_signal=self.spec.death_signal, user=self.spec.user
        )

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    @property
    def death(self) -> str:
        """Why it does not run, as a sentence; empty while it runs."""
        if self._process is not None and self._process.poll() is not None:
            words = last_words(self.spec.log, self._log_start)
            return f"{self.name} {ended(self._process.returncode)}: {words}; its log is {self.spec.log}"
        return self._reason if self._process is None else ""

    def watch(self) -> None:
        """Starts it again when it died and its wait is over. Call often."""
        now = self._clock.monotonic()
        if self.pid is not None:
            return
        if self._next_start is None:
            self._plan_restart(now)
        if self._next_start is not None and now >= self._next_start:
            self._restart(now)

    def _plan_restart(self, now: float) -> None:
        if self._process is not None:
            kill_group(self._process.pid)
        if now - self.started_at > STABLE_SECONDS:
            self._deaths = 0
        self._next_start = now + BACKOFF_SECONDS[min(self._deaths, len(BACKOFF_SECONDS) - 1)]
        self._deaths += 1

    def _restart(self, now: float) -> None:
        self.restarts += 1
        try:
            self.start()
        except (MoselleError, OSError) as error:
            self._process, self.started_at, self._next_start = None, now, None
            self._reason = f"{self.name} cannot be started: {error}"

    def ask_to_stop(self) -> None:
        """Sends its stop signal without waiting, so that several can end at the same time."""
        if self.pid is not None and self._process is not None:
            self._process.send_signal(self.spec.stop_signal)

    def stop(self) -> None:
        """Ends it, and whatever it started."""
        if self._process is not None:
            stop(self._process, self.spec.stop_signal, self.spec.stop_timeout_seconds)
            kill_group(self._process.pid)


def ended(code: int) -> str:
    """How a process ended, in words."""
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    return f"ended with code {code}"
