"""Brokers for conformance tests."""

from collections.abc import Callable, Iterator, Mapping

import pytest

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
