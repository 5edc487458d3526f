"""What tests share: a real Kafka and a real PostgreSQL for those that ask for one."""

import os
from collections.abc import Iterator

import pytest

from moselle.stack.kafka import EmbeddedKafka, temporary_kafka
from moselle.stack.postgres import EmbeddedPostgres, temporary_postgres
from tests.databases import empty_database


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


@pytest.fixture(scope="session")
def database_server(request: pytest.FixtureRequest) -> str:
    """The DSN of the server that MOSELLE_TEST_DSN names, TimescaleDB or PostgreSQL, else of the embedded one."""
    named = os.environ.get("MOSELLE_TEST_DSN")
    return named or str(request.getfixturevalue("embedded_postgres").dsn)


@pytest.fixture
def database_dsn(database_server: str) -> Iterator[str]:
    """The DSN of an empty database of the test's own, dropped afterwards."""
    with empty_database(database_server) as dsn:
        yield dsn


@pytest.fixture
def postgresql_dsn(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The same, always on plain PostgreSQL."""
    with empty_database(embedded_postgres.dsn) as dsn:
        yield dsn
