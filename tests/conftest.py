"""What tests share: a real Kafka and a real PostgreSQL for those that ask for one, and how Hypothesis looks."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from moselle.stack.kafka import EmbeddedKafka, temporary_kafka
from moselle.stack.postgres import EmbeddedPostgres, temporary_postgres
from tests.databases import empty_database

# How fast a machine is says nothing about what runs on it.
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# The same examples each time, so that a failure is of the change at hand; `make search` looks for others.
settings.register_profile("gate", settings.get_profile("search"), derandomize=True, database=None)
settings.load_profile("gate")
# Whatever proxy the environment names, what tests start on this machine is asked directly.
os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1,localhost"


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
