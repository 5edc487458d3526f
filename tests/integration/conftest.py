"""What integration tests share."""

from collections.abc import Iterator

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.kafka import KafkaBroker
from services.common.topics import all_topics


@pytest.fixture(scope="session")
def quiet_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A Kafka with all topics, apart from the one in which other tests compare everything that they find."""
    with temporary_kafka(tmp_path_factory.mktemp("quiet-kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), 2, 1)
        yield KafkaBroker(kafka.bootstrap)
