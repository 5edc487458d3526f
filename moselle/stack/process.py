"""Child processes: started in a group of their own, logging to a file, ended with their starter."""

import os
import random
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from services.common.errors import SettingsInvalid

_ERROR = re.compile(r"error|exception|fatal|refus|cannot|failed", re.IGNORECASE)

LAUNCH = Path(__file__).with_name("launch.py")


def spawn(
    argv: Sequence[str | Path],
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    death_signal: signal.Signals | None = signal.SIGKILL,
    user: str | None = None,
) -> subprocess.Popen[bytes]:
    """Starts `argv`; what it prints is added to `log`.

    Args:
        env: the whole environment; None inherits ours.
        death_signal: what it gets when the calling *thread* dies: call from a thread that lives as long as it shall.
            None lets it live on.
        user: the account it runs as; only root may ask for one.
    """
    launch: list[str | Path] = [
        sys.executable,
        "-I",
        "-S",
        LAUNCH,
        str(int(death_signal or 0)),
        str(os.getpid()),
        user or "-",
        "--",
    ]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [*launch, *argv], stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env, cwd=cwd
        )


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, timeout_seconds: float = 10) -> None:
    """Asks it to end, and kills its whole group when it has not after `timeout_seconds`."""
    if process.poll() is None:
        process.send_signal(how)
        try:
            process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            kill_group(process.pid)
            process.wait()


def kill_group(pid: int) -> None:
    """kill -9 for a child and whatever it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


#: Below what Linux and macOS lend to outgoing connections, so that nobody takes a port while its server restarts.
PORT_RANGE = range(20_000, 32_000)


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on now, another one each time.

    Its server may start much later, or be away for a while: until then the port looks free.
    """
    return next(port for port in _UNTRIED if port_error(port) is None)


def _shuffled_ports() -> Iterator[int]:
    # Chance of our own: two processes that set the same seed shall not meet.
    yield from random.Random().sample(PORT_RANGE, len(PORT_RANGE))


_UNTRIED = _shuffled_ports()


def port_error(port: int) -> str | None:
    """Why nobody could listen on `port` of 127.0.0.1 now, or None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.strerror
    return None


def check_port_is_free(port: int, what: str, option: str) -> None:
    """Raises SettingsInvalid when nobody could listen on `port` of 127.0.0.1."""
    reason = port_error(port)
    if reason is not None:
        raise SettingsInvalid(
            f"port {port} for {what} cannot be used ({reason}): "
            f"stop what listens there, or choose another one with {option}"
        )


def last_words(log: Path, start: int = 0) -> str:
    """What a log said last, from byte `start` on, as one line: its last line that speaks of an error, else its last."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "it has no log"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("at ")]
    errors = [line for line in lines if _ERROR.search(line)]
    return (errors or lines or ["it said nothing"])[-1][:600]
