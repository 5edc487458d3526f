"""What tests share: a real Kafka and a real PostgreSQL for those that ask for one."""

import uuid
from collections.abc import Iterator

import psycopg
import pytest

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
def database_dsn(embedded_postgres: EmbeddedPostgres) -> Iterator[str]:
    """The DSN of an empty database of the test's own, dropped afterwards."""
    name = f"it_{uuid.uuid4().hex}"
    with psycopg.connect(embedded_postgres.dsn_of("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield embedded_postgres.dsn_of(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
