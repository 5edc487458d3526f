"""What tests share: a real Kafka and a real PostgreSQL for those that ask for one."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from moselle.stack.kafka import EmbeddedKafka, temporary_kafka
from moselle.stack.postgres import EmbeddedPostgres, temporary_postgres


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A real broker without topics, on free ports, for the whole run."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def kafka_bootstrap(embedded_kafka: EmbeddedKafka) -> str:
    """`host:port` of a real broker. It creates no topics by itself; name yours `it-...` or as the system does."""
    return embedded_kafka.bootstrap


@pytest.fixture(scope="session")
def embedded_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A real PostgreSQL with an empty database `moselle`, for the whole run; its `dsn` connects to it."""
    with temporary_postgres(tmp_path_factory.mktemp("postgres")) as postgres:
        yield postgres


@pytest.fixture
def database_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """The DSN of an empty database of the test's own, dropped afterwards: on the server that MOSELLE_TEST_DSN names,
    TimescaleDB or PostgreSQL, else on the embedded one."""
    server = os.environ.get("MOSELLE_TEST_DSN") or request.getfixturevalue("embedded_postgres").dsn
    with empty_database(server) as dsn:
        yield dsn


@pytest.fixture
def postgresql_dsn(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The same, always on plain PostgreSQL."""
    with empty_database(embedded_postgres.dsn) as dsn:
        yield dsn


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """A database for as long as it is needed, on the server that a DSN leads to."""
    name = f"it_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield make_conninfo(server, dbname=name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
