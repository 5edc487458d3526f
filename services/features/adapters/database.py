"""The history database: which kind of server it is, and its migrations.

TimescaleDB and plain PostgreSQL get the same tables by two folders of numbered SQL files. A database stays with the
folder that it began with; `schema_migrations` remembers what ran.
"""

from pathlib import Path
from typing import Literal

import psycopg
from psycopg.conninfo import conninfo_to_dict

from services.common.errors import SettingsInvalid

Dialect = Literal["postgresql", "timescaledb"]
Connection = psycopg.Connection[tuple[object, ...]]

MIGRATIONS = Path(__file__).parents[1] / "migrations"
#: One number for all migrations of a database: two processes that start at once take turns.
ADVISORY_LOCK = 0x6D6F_7365_6C6C_65
CONNECT_TIMEOUT_SECONDS = 10

_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    dialect text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""


def migrate(dsn: str) -> list[str]:
    """Brings the database's tables up to date; all of what is missing in one transaction, or nothing.

    Returns:
        The names of the migrations that ran now; empty when nothing was missing.

    Raises:
        SettingsInvalid: the server cannot be reached, is not as it must be, or refuses a migration.
    """
    server = describe(dsn)
    try:
        with psycopg.connect(dsn, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            return prepare(connection)
    except psycopg.Error as error:
        raise SettingsInvalid(
            f"the history database {server} refuses its tables ({first_line(error)}): check MOSELLE_DATABASE_DSN and "
            "that its user may create tables"
        ) from None


def prepare(connection: Connection) -> list[str]:
    """The same on a connection, in its transaction. Two that come at once take turns.

    Raises:
        SettingsInvalid: the server is not as it must be.
        psycopg.Error: it refuses a migration, or goes away.
    """
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (ADVISORY_LOCK,))
    if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
        # First: without its preload it may fail every other statement, in words that name no remedy.
        check_preload(setting(connection, "shared_preload_libraries"), is_installed=True)
    connection.execute(_CREATE_TABLE)
    return apply_missing(connection, choose_dialect(connection))


def describe(dsn: str) -> str:
    """Where a DSN leads, for sentences: `host:port/database`, never its password.

    Raises:
        SettingsInvalid: it is empty, or no connection string.
    """
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # Its words would repeat the DSN.
        parts = {}
    if not parts:
        what = "is no connection string" if dsn else "is not set"
        raise SettingsInvalid(f"MOSELLE_DATABASE_DSN {what}: wanted postgresql://user:password@host:port/database")
    return f"{parts.get('host', 'localhost')}:{parts.get('port', 5432)}/{parts.get('dbname', '')}"


def first_line(error: psycopg.Error) -> str:
    """What the server said, without its hints and its copy of the row."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def apply_missing(connection: Connection, dialect: Dialect) -> list[str]:
    """Runs the files of the dialect's folder that have not run, in order of their numbers."""
    done = {row[0] for row in connection.execute("SELECT name FROM schema_migrations").fetchall()}
    missing = [path for path in sorted((MIGRATIONS / dialect).glob("*.sql")) if path.stem not in done]
    for path in missing:
        connection.execute(path.read_text().encode())
        connection.execute("INSERT INTO schema_migrations (name, dialect) VALUES (%s, %s)", (path.stem, dialect))
    return [path.stem for path in missing]


def choose_dialect(connection: Connection) -> Dialect:
    """The folder for this database: the one it began with, else by what the server has.

    Raises:
        SettingsInvalid: TimescaleDB is installed but not preloaded. Such a server answers compressed hypertables
            with no rows and no error.
    """
    began = connection.execute("SELECT dialect FROM schema_migrations LIMIT 1").fetchone()
    is_installed = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'timescaledb'").fetchone()
    if str(began[0]) == "postgresql" if began else not is_installed:
        return "postgresql"
    check_preload(setting(connection, "shared_preload_libraries"), is_installed is not None)
    return "timescaledb" if began or has_timescale_licence(connection) else "postgresql"


def has_timescale_licence(connection: Connection) -> bool:
    """Whether the server's edition has policies, the columnstore and continuous aggregates; Apache's lacks them.

    Only a database with the extension knows: it is created, and taken back where it will not be used.

    Raises:
        SettingsInvalid: the user may not create it.
    """
    try:
        with connection.transaction() as savepoint:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            has_licence = setting(connection, "timescaledb.license") == "timescale"
            if not has_licence:
                raise psycopg.Rollback(savepoint)
    except psycopg.errors.InsufficientPrivilege as error:
        raise SettingsInvalid(
            f"the server has TimescaleDB, but the user may not create it ({first_line(error)}): run CREATE EXTENSION "
            "timescaledb in the database as a superuser"
        ) from None
    return has_licence


def check_preload(preload_libraries: str, is_installed: bool) -> None:
    """Raises SettingsInvalid, with the remedy, for a server on which TimescaleDB would not work."""
    if not is_installed:
        raise SettingsInvalid(
            "the history database was made with TimescaleDB, which this server lacks: install the extension timescaledb"
        )
    if "timescaledb" not in [name.strip() for name in preload_libraries.split(",")]:
        raise SettingsInvalid(
            f"the server has TimescaleDB but does not preload it (shared_preload_libraries is {preload_libraries!r}): "
            "add timescaledb to shared_preload_libraries in postgresql.conf and restart it"
        )


def setting(connection: Connection, name: str) -> str:
    """A setting of the server; empty when it does not know it."""
    row = connection.execute("SELECT current_setting(%s, true)", (name,)).fetchone()
    return str(row[0]) if row and row[0] is not None else ""
