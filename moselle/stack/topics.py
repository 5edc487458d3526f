"""Creates the system's topics on a broker."""

from collections.abc import Iterable

from services.common.errors import SettingsInvalid
from services.common.topics import Topic

TIMEOUT_SECONDS = 30


def create_topics(bootstrap: str, topics: Iterable[Topic], entity_partitions: int, replication: int = -1) -> list[str]:
    """Creates those that are missing, with their settings; leaves the others as they are.

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
