"""What tests share: a real Kafka for those that ask for one."""

from collections.abc import Iterator

import pytest

from moselle.stack.kafka import EmbeddedKafka, temporary_kafka


@pytest.fixture(scope="session")
def embedded_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A real broker without topics, on free ports, for the whole run."""
    with temporary_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        yield kafka


@pytest.fixture(scope="session")
def kafka_bootstrap(embedded_kafka: EmbeddedKafka) -> str:
    """`host:port` of a real broker. It creates no topics by itself; name yours `it-...` or as the system does."""
    return embedded_kafka.bootstrap
