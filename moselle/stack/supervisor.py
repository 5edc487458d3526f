"""The process that runs the embedded stack: `python -m moselle.stack.supervisor --state DIR`.

It starts Kafka and PostgreSQL, makes topics and tables, starts the services, starts again whatever dies, keeps
`status.json` true, and stops everything in order when it is told to. It speaks to `moselle up` through that file.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from moselle.stack import kafka, postgres
from moselle.stack.child import Child, ChildSpec
from moselle.stack.folder import StackRuns, StateFolder
from moselle.stack.health import HealthPoller
from moselle.stack.process import kill_group
from moselle.stack.settings import (
    RECEIVER,
    StackRequest,
    StackSettings,
    choose_settings,
    load_settings,
    save_settings,
    service_arguments,
    services_of,
)
from moselle.stack.topics import create_topics
from services.common.clock import Clock, SystemClock
from services.common.errors import MoselleError, SettingsInvalid
from services.common.topics import CLUSTER_PARTITIONS, EMBEDDED_PARTITIONS, all_topics

STATUS_FILE = "status.json"
#: The environment variable by which `moselle up` hands over a StackRequest, as JSON.
REQUEST_VARIABLE = "MOSELLE_STACK_REQUEST"
EXIT_RUNS_ALREADY = 3
#: How long services may take to be ready when everything starts.
READY_TIMEOUT_SECONDS = 240.0
TICK_SECONDS = 0.05
LEFTOVER_TIMEOUT_SECONDS = 15.0


class StopAsked(Exception):
    """Somebody sent SIGTERM or SIGINT."""


class Supervisor:
    """Everything of one stack, from first start to last stop. Signals set a flag that each wait looks at."""

    def __init__(self, folder: StateFolder, settings: StackSettings, services: Sequence[str], clock: Clock) -> None:
        self._folder = folder
        self._settings = settings
        self._clock = clock
        self._is_stopping = False
        self._phase = "starting"
        self._failure = ""
        self._written: dict[str, Any] = {}
        self._identities: dict[int, dict[str, float]] = {}
        self._kafka = kafka.EmbeddedKafka(folder.path / "kafka", settings.kafka_port, settings.controller_port)
        self._postgres = postgres.EmbeddedPostgres(
            folder.path / "postgres", settings.postgres_port, settings.postgres_password
        )
        self.bootstrap = settings.external_kafka or self._kafka.bootstrap
        self.dsn = settings.external_dsn if settings.is_external else self._postgres.dsn
        self._servers = [] if settings.is_external else [self._kafka_child(), self._postgres_child()]
        self._services = [self._service_child(name) for name in services]
        self._health = HealthPoller({name: settings.http_ports[name] for name in services}, clock)

    def _kafka_child(self) -> Child:
        spec = ChildSpec(
            "kafka",
            prepared(self._kafka.prepare, self._kafka.command),
            self._folder.log("kafka"),
            death_signal=signal.SIGTERM,
            stop_timeout_seconds=kafka.STOP_TIMEOUT_SECONDS,
        )
        return Child(spec, self._clock)

    def _postgres_child(self) -> Child:
        spec = ChildSpec(
            "postgres",
            prepared(self._postgres.prepare, self._postgres.command),
            self._folder.log("postgres"),
            env=postgres.plain_environment(),
            user=self._postgres.account,
            death_signal=postgres.STOP_SIGNAL,
            stop_signal=postgres.STOP_SIGNAL,
            stop_timeout_seconds=postgres.STOP_TIMEOUT_SECONDS,
        )
        return Child(spec, self._clock)

    def _service_child(self, name: str) -> Child:
        env = {
            **os.environ,
            "MOSELLE_KAFKA_BOOTSTRAP": self.bootstrap,
            "MOSELLE_DATABASE_DSN": self.dsn,
            "MOSELLE_HTTP_HOST": "127.0.0.1",
            "MOSELLE_HTTP_PORT": str(self._settings.http_ports[name]),
            "MOSELLE_GRPC_HOST": "127.0.0.1",
            "MOSELLE_GRPC_PORT": str(self._settings.grpc_ports.get(name, 0)),
            "MOSELLE_INGEST_RECEIVER_HOST": "127.0.0.1",
            "MOSELLE_INGEST_RECEIVER_PORT": str(self._settings.receiver_port),
            "MOSELLE_REPLICA": "0",
        }
        # -P: a folder `services` where the command was called is not ours.
        command = [sys.executable, "-P", *service_arguments(name)]
        return Child(ChildSpec(name, lambda: command, self._folder.log(name), env=env), self._clock)

    def run(self) -> int:
        """Starts, watches until told to stop, stops. The process's exit code."""
        signal.signal(signal.SIGTERM, self._ask_to_stop)
        signal.signal(signal.SIGINT, self._ask_to_stop)
        try:
            self._start()
            self._watch()
        except StopAsked:
            pass
        except (MoselleError, OSError) as error:
            self._failure = str(error)
        finally:
            self._stop()
        return 1 if self._failure else 0

    def _ask_to_stop(self, number: int, frame: FrameType | None) -> None:
        self._is_stopping = True

    def _start(self) -> None:
        self._enter("starting Kafka and PostgreSQL")
        for server in self._servers:
            server.start()
        self._wait_for_servers()
        self._enter("creating topics and tables")
        partitions = CLUSTER_PARTITIONS if self._settings.is_external else EMBEDDED_PARTITIONS
        create_topics(self.bootstrap, all_topics(), partitions)
        self._check()
        self._create_tables()
        self._check()
        self._enter("starting the services")
        for service in self._services:
            service.start()
        self._health.start()
        self._wait(lambda: not self._late(), READY_TIMEOUT_SECONDS, self._not_ready)
        self._enter("ready")

    def _wait_for_servers(self) -> None:
        timeout = kafka.START_TIMEOUT_SECONDS
        if not self._settings.is_external:
            if not postgres.wait_until_answers(self._postgres, timeout, self._check):
                raise SettingsInvalid(
                    f"PostgreSQL does not answer after {timeout:.0f} s: see {self._folder.log('postgres')}"
                )
        if not kafka.wait_until_answers(self.bootstrap, timeout if self._servers else 15.0, self._check):
            remedy = (
                "check the address after --kafka" if self._settings.is_external else f"see {self._folder.log('kafka')}"
            )
            raise SettingsInvalid(f"Kafka does not answer on {self.bootstrap}: {remedy}")

    def _create_tables(self) -> None:
        if not self._settings.is_external:
            self._postgres.create_database()
        if self.dsn:
            from services.features.adapters.database import migrate

            migrate(self.dsn)

    def _check(self) -> None:
        """Raises what ends a start: a stop signal, or a child that died."""
        if self._is_stopping:
            raise StopAsked
        for child in (*self._servers, *self._services):
            if child.death:
                raise SettingsInvalid(child.death)
        self._write_status()

    def _wait(self, is_done: Callable[[], bool], timeout_seconds: float, complaint: Callable[[], str]) -> None:
        deadline = self._clock.monotonic() + timeout_seconds
        while not is_done():
            self._check()
            if self._clock.monotonic() > deadline:
                raise SettingsInvalid(f"{complaint()} after {timeout_seconds:.0f} s")
            self._clock.sleep(TICK_SECONDS)

    def _late(self) -> list[tuple[Child, str]]:
        """The services that are not ready, and why."""
        states = [(child, *self._health.state(child.name, child.started_at)) for child in self._services]
        return [(child, reason) for child, is_ready, reason in states if not is_ready]

    def _not_ready(self) -> str:
        return "; ".join(
            f"{child.name} is not ready ({why}), its log is {child.spec.log}" for child, why in self._late()
        )

    def _watch(self) -> None:
        while not self._is_stopping:
            for child in (*self._servers, *self._services):
                child.watch()
            self._write_status()
            time.sleep(TICK_SECONDS)

    def _stop(self) -> None:
        self._enter("stopping")
        self._health.stop()
        for group in (self._services, self._servers):
            for child in group:
                child.ask_to_stop()
            for child in group:
                child.stop()
        self._enter("failed" if self._failure else "stopped")

    def _enter(self, phase: str) -> None:
        self._phase = phase
        self._write_status()

    def _write_status(self) -> None:
        status = self._status()
        if status != self._written:
            self._folder.write(STATUS_FILE, status)
            self._written = status

    def _status(self) -> dict[str, Any]:
        pids = {child.name: child.pid for child in (*self._servers, *self._services)}
        return {
            "kafka": {"bootstrap": self.bootstrap, "pid": pids.get("kafka")},
            "postgres": {"dsn": self.dsn, "pid": pids.get("postgres")},
            "services": [self._service_status(child) for child in self._services],
            "supervisor": {"pid": os.getpid(), "phase": self._phase, "failure": self._failure},
            "children": [self._identity(pid) for pid in pids.values() if pid is not None],
        }

    def _identity(self, pid: int) -> dict[str, float]:
        if pid not in self._identities:
            self._identities[pid] = identity(pid)
        return self._identities[pid]

    def _service_status(self, child: Child) -> dict[str, Any]:
        is_ready, reason = self._health.state(child.name, child.started_at)
        if child.pid is None:
            is_ready, reason = False, child.death
        http = f"127.0.0.1:{self._settings.http_ports[child.name]}"
        port = self._settings.grpc_ports.get(child.name)
        grpc = f"127.0.0.1:{port}" if port else None
        status = {"name": child.name, "pid": child.pid, "http": http, "grpc": grpc, "ready": is_ready, "reason": reason}
        return status | ({"receiver": f"127.0.0.1:{self._settings.receiver_port}"} if child.name == RECEIVER else {})


def prepared(prepare: Callable[[], None], command: Callable[[], list[str]]) -> Callable[[], list[str]]:
    """Both, one after the other."""

    def run() -> list[str]:
        prepare()
        return command()

    return run


def identity(pid: int) -> dict[str, float]:
    """A process for later: ids are given again, a start time with an id is not."""
    try:
        return {"pid": pid, "create_time": psutil.Process(pid).create_time()}
    except psutil.Error:
        return {"pid": pid, "create_time": 0.0}


def end_leftovers(last_status: dict[str, Any]) -> None:
    """Ends what a killed supervisor of this folder left running, so that ports and files are ours."""
    left = []
    for child in last_status.get("children", []):
        if psutil.pid_exists(int(child["pid"])) and identity(int(child["pid"])) == child:
            left.append(psutil.Process(int(child["pid"])))
    for process in left:
        process.terminate()
    _, alive = psutil.wait_procs(left, LEFTOVER_TIMEOUT_SECONDS)
    for process in alive:
        kill_group(process.pid)


def run_in(folder: StateFolder, request: StackRequest) -> int:
    """Everything between taking the folder's lock and letting go."""
    with folder.lock():
        last = folder.read(STATUS_FILE)
        begun = {"pid": os.getpid(), "phase": "starting", "failure": ""}
        folder.write(STATUS_FILE, {**last, "supervisor": begun})
        end_leftovers(last)
        try:
            settings = choose_settings(load_settings(folder), request)
        except SettingsInvalid as error:
            folder.write(STATUS_FILE, {"supervisor": {**begun, "phase": "failed", "failure": str(error)}})
            return 1
        save_settings(folder, settings)
        return Supervisor(folder, settings, services_of(request), SystemClock()).run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, required=True)
    options = parser.parse_args()
    request = StackRequest(**json.loads(os.environ.pop(REQUEST_VARIABLE, "{}")))
    try:
        return run_in(StateFolder(options.state), request)
    except StackRuns:
        return EXIT_RUNS_ALREADY
    except MoselleError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
