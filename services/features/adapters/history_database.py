"""History in PostgreSQL or TimescaleDB: COPY into a staging table, then one statement that adds and changes rows."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from services.common.clock import from_micros, to_micros
from services.common.errors import InvalidMessage, Retryable, SettingsInvalid
from services.features.adapters.database import Connection, describe, first_line, prepare
from services.features.adapters.history_columns import COLUMNS, TIMES
from services.features.core.history import DAY_MICROS, LAST_MICROS, TABLES, Row, Rows, fold, name_id

QUERIES = Path(__file__).parents[1] / "queries"
CONNECT_TIMEOUT_SECONDS = 5
#: Kept below what the kernel's health takes for stuck.
STATEMENT_SECONDS = 30
MAINTAIN_SECONDS = 90
#: When a server that neither answers nor fails, as with a disk that hangs, is given up.
PATIENCE_SECONDS = 40.0
#: How many names are remembered as written; more are forgotten and written again, which changes nothing.
MAX_REMEMBERED = 500_000
READ_ROWS = 2000

T = TypeVar("T")
#: What a row is refused for: trying again would not help.
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
)


class DatabaseHistory:
    """A `HistoryStore` with one connection, opened when it is needed and again after a failure. Not thread-safe.

    Args:
        dsn: of the server. Its tables are made or brought up to date at the first connection.
        keep: how long rows are kept.
        patience_seconds: after so long without an answer the connection is cut off.

    Raises:
        SettingsInvalid: the DSN is none.
    """

    def __init__(
        self, dsn: str, keep: timedelta = timedelta(days=184), patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._server = describe(dsn)
        self._dsn = dsn
        self._keep = keep
        self._patience = patience_seconds
        self._connection: Connection | None = None
        #: The newest day, since 1970, with which a series was written; days mean nothing for names of vectors.
        self._written: dict[int, int] = {}

    def check(self) -> None:
        self._attempt(lambda connection: connection.execute("SELECT 1"))

    def upsert(self, rows: Rows) -> Mapping[str, int]:
        folded = {name: fold(TABLES[name], rows[name]) for name in TABLES if rows.get(name)}
        names = self._new_names(folded)
        changed = self._attempt(lambda connection: _write(connection, names, folded))
        if len(self._written) > MAX_REMEMBERED:
            self._written.clear()
        self._written |= {row["series_id"]: row["last_day"] for row in names["series"]}
        self._written |= {row["names_id"]: 0 for row in names["feature_names"]}
        return changed

    def read(self, table: str, since: int, until: int, entity_id: str | None = None) -> Iterator[Row]:
        values = {"since": _bound(since), "until": _bound(until), "entity_id": entity_id}
        # A connection of its own: rows come while others are written.
        with psycopg.connect(self._dsn, connect_timeout=CONNECT_TIMEOUT_SECONDS) as connection:
            with connection.cursor(f"read_{table}") as cursor:
                cursor.execute(_query(f"read_{table}"), values, binary=True)
                columns = [column.name for column in cursor.description or ()]
                series: dict[int, str] = {}
                while found := cursor.fetchmany(READ_ROWS):
                    rows = [dict(zip(columns, row, strict=True)) for row in found]
                    _learn_series(connection, rows, series)
                    yield from ({name: _loaded(name, row[name], series) for name in row} for row in rows)

    def maintain(self, now: int) -> int:
        # Forgotten series may go now.
        self._written.clear()
        longer = self._patience + MAINTAIN_SECONDS - STATEMENT_SECONDS
        return self._attempt(lambda connection: _maintain(connection, now, self._keep), longer)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, work: Callable[[Connection], T], patience_seconds: float | None = None) -> T:
        """Runs `work` in a transaction and says what the caller can do about a failure."""
        try:
            if self._connection is None:
                self._connection = self._connect()
            with cut_off(self._connection, patience_seconds or self._patience), self._connection.transaction():
                return work(self._connection)
        except _REFUSALS as error:
            raise InvalidMessage("refused_by_database", first_line(error)) from None
        except psycopg.Error as error:
            self._lose_connection()
            raise Retryable(
                f"the history database {self._server} does not take rows ({first_line(error)}): rows wait in Kafka and "
                "are written when it does; see that the server runs, that MOSELLE_DATABASE_DSN is right, and that its "
                "user may write"
            ) from None
        except SettingsInvalid:
            self._lose_connection()
            raise

    def _connect(self) -> Connection:
        connection = psycopg.connect(
            self._dsn,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            application_name="moselle-features-history",
            keepalives_idle=10,
            tcp_user_timeout=10_000,
        )
        try:
            with cut_off(connection, self._patience):
                _set_up(connection)
        except Exception:
            connection.close()
            raise
        return connection

    def _lose_connection(self) -> None:
        self._written.clear()
        self.close()

    def _new_names(self, rows: Rows) -> dict[str, list[Row]]:
        """The rows of `series` and `feature_names` that `rows` need and that were not written yet, by id."""
        days: dict[int, tuple[int, str]] = {}
        for row in rows.get("scrapes", ()):
            day = row["event_time"] // DAY_MICROS
            for name in row["series"]:
                number = name_id(name)
                if day > max(self._written.get(number, -1), days.get(number, _NEVER)[0]):
                    days[number] = day, name
        vectors = {name_id(*row["names"]): row["names"] for row in rows.get("features", ())}
        return {
            "series": [{"series_id": n, "name": days[n][1], "last_day": days[n][0]} for n in sorted(days)],
            "feature_names": [{"names_id": n, "names": vectors[n]} for n in sorted(vectors.keys() - self._written)],
        }


_NEVER = (-1, "")


@contextmanager
def cut_off(connection: Connection, seconds: float) -> Iterator[None]:
    """Ends the connection unless the block is done within `seconds`; what waits for the server then fails.

    The server's own time-outs do not help when it is the server that hangs.
    """
    timer = threading.Timer(seconds, _shut_down, [connection])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut_down(connection: Connection) -> None:
    # Closed in the meantime: fine.
    with suppress(psycopg.Error, OSError), socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)


def _set_up(connection: Connection) -> None:
    """Tables as they must be, staging tables, time-outs."""
    with connection.transaction():
        prepare(connection)
    with connection.transaction():
        connection.execute(_query("staging"))
        connection.execute(_timeout(STATEMENT_SECONDS))


def _write(connection: Connection, names: Rows, rows: Rows) -> dict[str, int]:
    for table in names:
        _copy_and_merge(connection, table, names[table])
    return {table: _copy_and_merge(connection, table, rows[table]) for table in rows}


def _copy_and_merge(connection: Connection, table: str, rows: Sequence[Row]) -> int:
    """Returns how many rows were added or changed."""
    if not rows:
        return 0
    columns = COLUMNS[table]
    cursor = connection.cursor()
    with cursor.copy(_copy_statement(table)) as copy:
        for row in rows:
            copy.write_row([make(row) for make in columns.values()])
    cursor.execute(_query(f"upsert_{table}"))
    return cursor.rowcount


def _maintain(connection: Connection, now: int, keep: timedelta) -> int:
    connection.execute(_timeout(MAINTAIN_SECONDS))
    row = connection.execute("SELECT maintain_history(%s, %s)", (from_micros(now), keep)).fetchone()
    connection.execute(_timeout(STATEMENT_SECONDS))
    return int(str(row[0])) if row else 0


def _timeout(seconds: int) -> sql.Composed:
    return sql.SQL("SET statement_timeout = {}").format(f"{seconds}s")


@lru_cache
def _query(name: str) -> bytes:
    return (QUERIES / f"{name}.sql").read_text().encode()


@lru_cache
def _copy_statement(table: str) -> sql.Composed:
    columns = sql.SQL(", ").join(map(sql.Identifier, COLUMNS[table]))
    return sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(f"staging_{table}"), columns)


def _bound(micros: int) -> datetime:
    """The same time, within the times that a row can have."""
    return from_micros(min(max(micros, 0), LAST_MICROS - 1))


def _learn_series(connection: Connection, rows: Sequence[Row], series: dict[int, str]) -> None:
    """Adds the names of the rows' series that `series` lacks."""
    unknown = {number for row in rows for number in row.get("series", ())}.difference(series)
    if unknown:
        query = "SELECT series_id, name FROM series WHERE series_id = ANY(%s)"
        series.update((int(str(number)), str(name)) for number, name in connection.execute(query, (list(unknown),)))


def _loaded(name: str, value: Any, series: Mapping[int, str]) -> Any:
    """A column's value as a row has it."""
    if name == "series":
        return [series.get(number, f"unknown series {number}") for number in value]
    return to_micros(value) if name in TIMES and value is not None else value
