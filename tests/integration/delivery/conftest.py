"""One Kafka for the stories of delivery: each has a raw topic of its own on it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.topics import all_topics
from tests.integration.delivery.story import NUM_PARTITIONS, Replica, Story


@pytest.fixture(scope="session")
def delivery_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Kafka with all topics."""
    with temporary_kafka(tmp_path_factory.mktemp("delivery-kafka")) as kafka:
        create_topics(kafka.bootstrap, all_topics(), NUM_PARTITIONS, 1)
        yield kafka.bootstrap


@pytest.fixture
def start_replica(delivery_bootstrap: str, tmp_path: Path) -> Iterator[Callable[..., Replica]]:
    """Starts replicas of ingest, which are stopped at the end."""
    started: list[Replica] = []

    def start(story: Story, number: int = 0, **settings: str) -> Replica:
        started.append(Replica(delivery_bootstrap, tmp_path, story.topic, number, **settings))
        return started[-1]

    yield start
    for replica in started:
        replica.stop()
