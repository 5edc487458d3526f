"""Brokers for conformance tests."""

from collections.abc import Callable, Iterator, Mapping

import pytest

from services.features.adapters.history_database import DatabaseHistory
from services.features.adapters.history_memory import MemoryHistory
from services.features.core.history import HistoryStore
from tests.conformance.broker_cases import BrokerCase, kafka_case, memory_case

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


@pytest.fixture(params=["memory", "database"])
def history(request: pytest.FixtureRequest) -> Iterator[HistoryStore]:
    """An empty history, kept for 184 days: the twin, and the database that `database_dsn` gives."""
    if request.param == "memory":
        yield MemoryHistory()
        return
    store = DatabaseHistory(request.getfixturevalue("database_dsn"))
    yield store
    store.close()
