"""Brokers for conformance tests."""

from collections.abc import Callable, Iterator, Mapping

import psycopg
import pytest

from services.features.adapters.history_database import DatabaseHistory
from services.features.adapters.history_memory import MemoryHistory
from services.features.core.history import TABLES, HistoryStore
from tests.conformance.broker_cases import BrokerCase, kafka_case, memory_case
from tests.databases import empty_database

OpenCase = Callable[[Mapping[str, int]], BrokerCase]


@pytest.fixture(params=["memory", "kafka"])
def open_case(request: pytest.FixtureRequest) -> Iterator[OpenCase]:
    """Makes a broker case with topics (name to number of partitions); closed after the test."""
    cases: list[BrokerCase] = []

    def make(topics: Mapping[str, int]) -> BrokerCase:
        if request.param == "memory":
            cases.append(memory_case(topics))
        else:
            cases.append(kafka_case(request.getfixturevalue("kafka_bootstrap"), topics))
        return cases[-1]

    yield make
    for case in cases:
        case.close()


@pytest.fixture(scope="session")
def history_dsn(database_server: str) -> Iterator[str]:
    """One database for all tests of the history: making its tables takes longer than most of them."""
    with empty_database(database_server) as dsn:
        yield dsn


@pytest.fixture(params=["memory", "database"])
def history(request: pytest.FixtureRequest) -> Iterator[HistoryStore]:
    """An empty history, kept for 184 days: the twin, and a database on the server that the tests are given."""
    if request.param == "memory":
        yield MemoryHistory()
        return
    dsn = request.getfixturevalue("history_dsn")
    store = DatabaseHistory(dsn)
    store.check()
    with psycopg.connect(dsn) as connection:
        connection.execute(f"TRUNCATE series, feature_names, {', '.join(TABLES)}")
    yield store
    store.close()
