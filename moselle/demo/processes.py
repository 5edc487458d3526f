"""Everything the demonstration starts: started, measured, and gone when it ends, whatever happens in between."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from services.common.errors import MoselleError

#: In the environment of everything started for one demonstration; its value is the state folder.
MARK = "MOSELLE_DEMO_STATE"
_STOP_SECONDS = 60.0
_KILL_SECONDS = 5.0


class DemoFailed(MoselleError):
    """The demonstration cannot go on; the text says why, and what to do."""


class Moselle:
    """The command line, used as a user would, against one state folder."""

    def __init__(self, state: Path, settings: Mapping[str, str] | None = None) -> None:
        self.state = state
        self._env = {**os.environ, **(settings or {}), MARK: str(state), "PYTHONUNBUFFERED": "1"}
        self._running: list[subprocess.Popen[str]] = []

    def up(self, tell: Callable[[str], None]) -> None:
        """Starts everything and returns when every service is ready.

        Raises:
            DemoFailed: with what `moselle up` said.
        """
        command = self._start("up", "--state", str(self.state), "--detach")
        said = _Lines(command.stderr, tell)
        _Lines(command.stdout, tell)
        self._expect_success(command, said, "the system did not start")

    def status(self) -> dict[str, Any]:
        """`moselle status --json`.

        Raises:
            DemoFailed: with what it said.
        """
        command = self._start("status", "--state", str(self.state), "--json")
        said = _Lines(command.stderr)
        answer = command.stdout.read() if command.stdout else ""
        self._expect_success(command, said, "the system does not answer")
        status: dict[str, Any] = json.loads(answer)
        return status

    def publish_inventory(self, folder: Path) -> None:
        """Tells placement the recording's compute hosts.

        Raises:
            DemoFailed: with what `moselle inventory publish` said.
        """
        command = self._start("inventory", "publish", "--state", str(self.state), "--capture", str(folder))
        said = _Lines(command.stderr)
        _Lines(command.stdout)
        self._expect_success(command, said, "the inventory was not published")

    def replay(self, paths: Sequence[Path], speed: float) -> "Replay":
        """Begins to publish `paths`, merged by event time, `speed` times as fast as it happened."""
        names = [str(path) for path in paths]
        return Replay(self._start("replay", *names, "--state", str(self.state), "--speed", f"{speed:g}"))

    def stop(self) -> None:
        """Ends all of it, the hard way where asking does not help. Never raises."""
        for command in self._running:
            if command.poll() is None:
                command.terminate()
        for command in self._running:
            _wait(command, _KILL_SECONDS)
        try:
            subprocess.run(
                self._argv("down", "--state", str(self.state)),
                env=self._env, stdin=subprocess.DEVNULL, capture_output=True, timeout=_STOP_SECONDS,
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            pass  # the sweep takes what is left
        sweep(self.state)

    def _argv(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "moselle", *arguments]

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        # A session of its own: Ctrl-C at the terminal reaches us alone, and we stop the rest in order.
        command = subprocess.Popen(
            self._argv(*arguments),
            env=self._env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        self._running = [other for other in self._running if other.poll() is None] + [command]
        return command

    def _expect_success(self, command: subprocess.Popen[str], said: "_Lines", what: str) -> None:
        code = command.wait()
        if code != 0:
            raise DemoFailed(f"{what}: {said.last().removeprefix('moselle: ') or f'exit code {code}'}")


class Replay:
    """A `moselle replay` under way."""

    def __init__(self, command: subprocess.Popen[str]) -> None:
        self._command = command
        self._said = _Lines(command.stderr)
        self._answers = _Lines(command.stdout)

    def is_over(self) -> bool:
        """Whether it has ended, well or not."""
        return self._command.poll() is not None

    def is_done(self) -> bool:
        """Whether Kafka has everything.

        Raises:
            DemoFailed: it ended with an error.
        """
        code = self._command.poll()
        if code is None:
            return False
        if code != 0:
            raise DemoFailed(
                f"the replay stopped: {self._said.last().removeprefix('moselle: ') or f'exit code {code}'}"
            )
        return True

    @property
    def published(self) -> dict[str, int]:
        """Its own count, once it is done: records by topic."""
        counts: dict[str, int] = json.loads(self._answers.last())["published"]
        return counts


class _Lines:
    """Reads a pipe to its end in the background, so that nobody waits on a full one; keeps the last words."""

    def __init__(self, pipe: Iterable[str] | None, tell: Callable[[str], None] | None = None) -> None:
        self._last = ""
        self._tell = tell
        self._thread = threading.Thread(target=self._read, args=(pipe or (),), daemon=True)
        self._thread.start()

    def _read(self, pipe: Iterable[str]) -> None:
        for line in pipe:
            text = line.strip()
            self._last = text or self._last
            if text and self._tell:
                self._tell(text)

    def last(self) -> str:
        self._thread.join(_KILL_SECONDS)
        return self._last


def processes_of(state: Path) -> list[psutil.Process]:
    """Every process that was started for this state folder, and their descendants; never ourselves."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        if process.pid != os.getpid() and _belongs(process, str(state)):
            found[process.pid] = process
            found.update((child.pid, child) for child in _children(process))
    return list(found.values())


def _belongs(process: psutil.Process, state: str) -> bool:
    try:
        return process.environ().get(MARK) == state or any(state in word for word in process.cmdline())
    except (psutil.Error, OSError):
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def sweep(state: Path) -> None:
    """Ends what still runs for this state folder: asks, waits a little, kills."""
    left = processes_of(state)
    for process in left:
        _try(process.terminate)
    _, stubborn = psutil.wait_procs(left, timeout=_KILL_SECONDS)
    for process in stubborn:
        _try(process.kill)
    psutil.wait_procs(stubborn, timeout=_KILL_SECONDS)


def memory_mb(processes: Iterable[psutil.Process]) -> float:
    """What they hold together, MiB; pages that several share count once where the system can tell (Linux)."""
    return sum(_memory_bytes(process) for process in processes) / 2**20


def _memory_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", full.rss))
    except (psutil.Error, OSError):
        return 0


def _try(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.Error:
        pass  # it was faster


def _wait(command: subprocess.Popen[str], seconds: float) -> None:
    try:
        command.wait(seconds)
    except subprocess.TimeoutExpired:
        command.kill()
        command.wait()


class MemoryWatch:
    """Measures from a thread of its own what everything of one state folder holds, ourselves included."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)
        self.now_mb = 0.0
        self.peak_mb = 0.0

    def __enter__(self) -> "MemoryWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(_KILL_SECONDS)

    def _run(self) -> None:
        while not self._is_over.wait(1.0):
            self.now_mb = memory_mb([psutil.Process(), *processes_of(self._state)])
            self.peak_mb = max(self.peak_mb, self.now_mb)
