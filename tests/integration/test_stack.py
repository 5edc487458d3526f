"""The embedded stack without services: it starts, goes on after any death, refuses what cannot work, leaves nothing."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from moselle.cluster import partition_counts
from moselle.stack import control
from moselle.stack.folder import StateFolder
from moselle.stack.kafka import answers, temporary_kafka
from moselle.stack.process import free_port
from moselle.stack.supervisor import STATUS_FILE
from services.common.errors import SettingsInvalid
from services.common.topics import CLUSTER_PARTITIONS
from tests.polling import poll_until


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder whose stack is down at the end, with nothing left behind."""
    folder = tmp_path / "state"
    yield folder
    if control.runs(folder):
        control.down(folder)
    assert_nothing_left(folder)


def up(state: Path, **options: int) -> control.Json:
    return control.up(state, services=(), **options)  # type: ignore[arg-type]


def processes_of(state: Path) -> list[psutil.Process]:
    """Everything whose command line or open folder is in this state folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(state) in part for part in process.info["cmdline"] or []) and process.pid != os.getpid():
            found.append(process)
    return found


def assert_nothing_left(state: Path) -> None:
    poll_until(lambda: not processes_of(state), "every process of the stack is gone")


def both_answer(status: control.Json) -> bool:
    try:
        psycopg.connect(status["postgres"]["dsn"]).close()
    except psycopg.OperationalError:
        return False
    return answers(status["kafka"]["bootstrap"])


def pids(state: Path) -> dict[str, int]:
    full = StateFolder(state).read(STATUS_FILE)
    return {name: full[name]["pid"] for name in ("supervisor", "kafka", "postgres")}


def test_a_second_start_finds_what_the_first_left(state: Path) -> None:
    """Down and up again: the same addresses, the same rows; a second up beside it only tells them."""
    first = up(state)
    with psycopg.connect(first["postgres"]["dsn"]) as connection:
        connection.execute("CREATE TABLE it_kept (n int)")
    assert control.down(state)
    second = up(state)
    assert second["kafka"]["bootstrap"] == first["kafka"]["bootstrap"]
    with psycopg.connect(second["postgres"]["dsn"]) as connection:
        connection.execute("INSERT INTO it_kept VALUES (1)")
    assert up(state) == second == control.status(state)


def test_up_goes_on_after_kill_9_of_everything(state: Path) -> None:
    """With stale pid files and an unclean broker, up starts as if nothing had been."""
    first = up(state)
    for pid in pids(state).values():
        os.kill(pid, signal.SIGKILL)
    poll_until(lambda: not control.runs(state), "the lock is free")
    with pytest.raises(SettingsInvalid, match="nothing runs in"):
        control.status(state)
    assert up(state)["kafka"]["bootstrap"] == first["kafka"]["bootstrap"]


def test_kill_9_of_the_supervisor_leaves_no_orphan(state: Path) -> None:
    """Its children end when it dies, so that nothing holds the ports."""
    up(state)
    os.kill(pids(state)["supervisor"], signal.SIGKILL)
    assert_nothing_left(state)


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_a_killed_server_is_started_again(state: Path, name: str) -> None:
    """A server that dies comes back under a new process id, on the same address."""
    status = up(state)
    os.kill(status[name]["pid"], signal.SIGKILL)
    poll_until(lambda: pids(state)[name] not in (None, status[name]["pid"]), f"{name} has a new process")
    poll_until(lambda: both_answer(status), "both answer again")


def test_a_taken_port_is_one_clear_sentence(state: Path) -> None:
    """A port that somebody listens on is named with the option to change, and nothing is left running."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsInvalid, match=rf"port {port} for PostgreSQL cannot be used.*--postgres-port"):
            up(state, postgres_port=port)


def test_ports_that_were_asked_for_are_used(state: Path) -> None:
    """--kafka-port and --postgres-port hold, and are remembered."""
    kafka, postgres = free_port(), free_port()
    status = up(state, kafka_port=kafka, postgres_port=postgres)
    assert status["kafka"]["bootstrap"] == f"127.0.0.1:{kafka}"
    assert f"127.0.0.1:{postgres}/" in status["postgres"]["dsn"]


def test_an_external_broker_that_is_not_there_is_named(state: Path) -> None:
    """Nothing starts when the broker of --external does not answer."""
    with pytest.raises(SettingsInvalid, match=r"Kafka does not answer on 127\.0\.0\.1:1: check the address"):
        control.up(state, services=(), external_kafka="127.0.0.1:1")


def test_external_servers_get_topics_and_tables(state: Path, tmp_path: Path, database_dsn: str) -> None:
    """With a broker and a DSN of somebody else only topics and tables are made, with a cluster's partitions."""
    with temporary_kafka(tmp_path / "kafka") as kafka:
        status = control.up(state, services=(), external_kafka=kafka.bootstrap, external_dsn=database_dsn)
        assert partition_counts(kafka.bootstrap)["logs.parsed.v1"] == CLUSTER_PARTITIONS
        control.down(state)
    assert status["kafka"] == {"bootstrap": kafka.bootstrap, "pid": None}
    assert status["postgres"] == {"dsn": database_dsn, "pid": None}
    with psycopg.connect(database_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM alerts").fetchone() == (0,)


def test_a_tied_stack_ends_with_its_starter(state: Path) -> None:
    """The stack of a foreground `moselle up` stops when that command is killed, however hard."""
    command = [sys.executable, "-m", "moselle", "up", "--state", str(state), "--external", "--kafka", "127.0.0.1:1"]
    starter = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    poll_until(lambda: control.runs(state), "the supervisor has the folder")
    starter.kill()
    starter.wait()
    poll_until(lambda: not control.runs(state), "the supervisor is gone")
