"""Creates the system's topics on a broker."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from services.common.errors import SettingsInvalid
from services.common.topics import Topic

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

TIMEOUT_SECONDS = 30


def create_topics(bootstrap: str, topics: Sequence[Topic], entity_partitions: int, replication: int = -1) -> list[str]:
    """Creates those that are missing, with their settings; leaves the others as they are. Returns when all can be used.

    Args:
        entity_partitions: of all topics keyed by entity.
        replication: -1 for the broker's default.

    Returns:
        The names of those that were created.

    Raises:
        SettingsInvalid: the broker does not answer, or refuses one.
    """
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient, NewTopic

    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
        missing = [topic for topic in topics if topic.name not in there]
        wanted = [
            NewTopic(topic.name, topic.num_partitions(entity_partitions), replication, config=topic.config())
            for topic in missing
        ]
        for name, created in (admin.create_topics(wanted) if wanted else {}).items():
            wait_for(name, created)
        wait_until_led(admin, [topic.name for topic in topics])
    except KafkaException as error:
        raise SettingsInvalid(
            f"the topics cannot be created on {bootstrap} ({error.args[0].str()}): "
            "check that the broker runs and that this client may create topics"
        ) from None
    return [topic.name for topic in missing]


def wait_for(name: str, created: object) -> None:
    """Raises SettingsInvalid when a topic was refused. Created by another at the same moment is fine."""
    from confluent_kafka import KafkaError, KafkaException

    try:
        created.result(TIMEOUT_SECONDS)  # type: ignore[attr-defined]
    except KafkaException as error:
        if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
            raise SettingsInvalid(f"the broker refuses the topic {name}: {error.args[0].str()}") from None


def wait_until_led(admin: "AdminClient", topics: Sequence[str]) -> None:
    """Returns when each partition answers: for a moment after its creation, or its broker's start, it does not.

    Raises:
        SettingsInvalid: some do not after TIMEOUT_SECONDS.
    """
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while missing := unanswered(admin, topics):
        if time.monotonic() > deadline:
            raise SettingsInvalid(
                f"these partitions have no leader: {', '.join(missing[:5])}; look at the broker's log"
            )
        time.sleep(0.1)


def unanswered(admin: "AdminClient", topics: Sequence[str]) -> list[str]:
    """The partitions, as `topic/number`, whose leader does not say its end now."""
    from confluent_kafka import KafkaException, TopicPartition
    from confluent_kafka.admin import OffsetSpec

    there = admin.list_topics(timeout=TIMEOUT_SECONDS).topics
    missing = [name for name in topics if name not in there or there[name].error is not None]
    parts = [
        TopicPartition(name, number) for name in topics if name not in missing for number in there[name].partitions
    ]
    for part, end in admin.list_offsets({part: OffsetSpec.latest() for part in parts}, request_timeout=5).items():
        try:
            end.result(TIMEOUT_SECONDS)
        except KafkaException:
            missing.append(f"{part.topic}/{part.partition}")
    return missing
