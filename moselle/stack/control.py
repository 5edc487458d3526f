"""Starting, asking and stopping a stack from outside its supervisor."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from moselle.stack.folder import StateFolder
from moselle.stack.java import find_jars, find_java
from moselle.stack.postgres import find_binaries
from moselle.stack.process import last_words, spawn
from moselle.stack.settings import EMBEDDED_SERVICES, StackRequest
from moselle.stack.supervisor import EXIT_RUNS_ALREADY, REQUEST_VARIABLE, STATUS_FILE
from services.common.errors import SettingsInvalid

POLL_SECONDS = 0.05
STOP_TIMEOUT_SECONDS = 60.0
#: What `moselle status --json` shows of status.json; the rest is between supervisor and command line.
PUBLIC_FIELDS = ("kafka", "postgres", "services")

#: Supervisors that this process started and that live on: kept so that they can be reaped when they end.
_STARTED: list[subprocess.Popen[bytes]] = []

Json = dict[str, Any]
#: Told each phase of a start, such as "creating topics and tables".
Report = Callable[[str], None]


def up(
    state: Path,
    *,
    kafka_port: int = 0,
    postgres_port: int = 0,
    external_kafka: str = "",
    external_dsn: str = "",
    services: Sequence[str] = EMBEDDED_SERVICES,
    is_tied_to_us: bool = False,
    report: Report = lambda phase: None,
) -> Json:
    """Starts the stack of a state folder and returns its status when every service is ready.

    One that runs already is left as it is; then this returns when it is ready.

    Args:
        is_tied_to_us: the stack stops when the calling process dies, however it dies.
        report: called with each phase.

    Raises:
        SettingsInvalid: it cannot be started; nothing of it runs any more then.
    """
    folder = StateFolder(state)
    if folder.is_running:
        return wait_until_ready(folder, None, report)
    if not external_kafka:
        find_java(), find_jars(), find_binaries()
    request = StackRequest(tuple(services), kafka_port, postgres_port, external_kafka, external_dsn)
    supervisor = start_supervisor(folder, request, is_tied_to_us)
    try:
        return wait_until_ready(folder, supervisor, report)
    except KeyboardInterrupt:
        # A start that was broken off leaves nothing running.
        supervisor.terminate()
        supervisor.wait()
        raise


def start_supervisor(folder: StateFolder, request: StackRequest, is_tied_to_us: bool) -> subprocess.Popen[bytes]:
    """Starts it in a session of its own, so that the terminal's Ctrl-C reaches only the command."""
    argv = [sys.executable, "-P", "-m", "moselle.stack.supervisor", "--state", str(folder.path)]
    # By the environment: the DSN may hold a password, and arguments are for everybody to see.
    env = {**os.environ, "PYTHONPATH": python_path(), REQUEST_VARIABLE: json.dumps(asdict(request))}
    death_signal = signal.SIGTERM if is_tied_to_us else None
    process = spawn(argv, folder.log("supervisor"), env=env, death_signal=death_signal)
    _STARTED[:] = [other for other in (*_STARTED, process) if other.poll() is None]
    return process


def python_path() -> str:
    """The import path that finds this program's own packages, wherever the command was called."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def wait_until_ready(folder: StateFolder, supervisor: subprocess.Popen[bytes] | None, report: Report) -> Json:
    """Waits for the running supervisor; `supervisor` is the one we started, None for somebody else's."""
    reported = ""
    while True:
        status = folder.read(STATUS_FILE)
        about = status.get("supervisor", {})
        if supervisor is not None and supervisor.poll() == EXIT_RUNS_ALREADY:
            supervisor = None
        if supervisor is None or about.get("pid") == supervisor.pid:
            if about.get("phase") == "ready" and folder.is_running:
                return public(status)
            if about.get("phase") not in (reported, None):
                reported = about["phase"]
                report(reported)
        raise_when_over(folder, supervisor)
        time.sleep(POLL_SECONDS)


def raise_when_over(folder: StateFolder, supervisor: subprocess.Popen[bytes] | None) -> None:
    """Raises SettingsInvalid when the start ended without a stack."""
    if supervisor.poll() is None if supervisor is not None else folder.is_running:
        return
    about = folder.read(STATUS_FILE).get("supervisor", {})
    if supervisor is None or about.get("pid") == supervisor.pid:
        raise SettingsInvalid(about.get("failure") or "the stack was stopped while it started")
    log = folder.log("supervisor")
    raise SettingsInvalid(f"the supervisor ended at once: {last_words(log)}; its log is {log}")


def status(state: Path) -> Json:
    """What runs, in the form of `moselle status --json`.

    Raises:
        SettingsInvalid: nothing runs there.
    """
    folder = StateFolder.existing(state)
    if not folder.is_running:
        raise SettingsInvalid(f"nothing runs in {folder.path}: start it with `moselle up --state {state}`")
    return public(folder.read(STATUS_FILE))


def public(full: Json) -> Json:
    """The part of the status that scripts rely on."""
    empty: Json = {"kafka": {"bootstrap": "", "pid": None}, "postgres": {"dsn": "", "pid": None}, "services": []}
    return {name: full.get(name, empty[name]) for name in PUBLIC_FIELDS}


def down(state: Path) -> bool:
    """Stops the stack of a state folder; False when nothing ran.

    Raises:
        SettingsInvalid: it does not stop.
    """
    folder = StateFolder.existing(state)
    if not folder.is_running:
        return False
    pid = int(folder.read(STATUS_FILE).get("supervisor", {}).get("pid", 0))
    if not pid or not psutil.pid_exists(pid):
        raise SettingsInvalid(f"the supervisor of {folder.path} has not said its process id yet: try again")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_SECONDS
    while folder.is_running:
        if time.monotonic() > deadline:
            raise SettingsInvalid(f"the supervisor {pid} does not stop after {STOP_TIMEOUT_SECONDS:.0f} s: kill -9 it")
        time.sleep(POLL_SECONDS)
    _STARTED[:] = [process for process in _STARTED if process.poll() is None]
    return True


def runs(state: Path) -> bool:
    """Whether a stack runs in this folder; False when it is no state folder."""
    return (state / "VERSION").exists() and StateFolder.existing(state).is_running


def stay(state: Path) -> None:
    """Returns when Ctrl-C or SIGTERM came and the stack is down, or raises when it ended by itself.

    Raises:
        SettingsInvalid: the supervisor ended for another reason.
    """
    folder = StateFolder.existing(state)

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        while folder.is_running:
            time.sleep(0.5)
    except KeyboardInterrupt:
        down(state)
        return
    failure = folder.read(STATUS_FILE).get("supervisor", {}).get("failure")
    if failure:
        raise SettingsInvalid(failure)
