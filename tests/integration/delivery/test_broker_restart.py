"""Kafka itself is killed in the middle of a transaction and comes back."""

from pathlib import Path

from moselle.stack.topics import create_topics
from services.common.errors import Retryable
from services.common.topics import all_topics
from tests.integration.delivery.story import NUM_PARTITIONS, Replica, Story, assert_each_line_once, line, shipped
from tests.integration.test_broker_away import Kafka
from tests.polling import poll_until

LINES = 5_000


def publish(story: Story, start: int) -> None:
    for part in range(NUM_PARTITIONS):
        story.publish([shipped(line(start + i), f"broker-{part}") for i in range(LINES)], part)


def test_a_broker_killed_and_back_loses_and_doubles_no_line(tmp_path: Path) -> None:
    """The service waits, is not restarted, and goes on; what was sent before and after is there once."""
    kafka = Kafka(tmp_path)
    create_topics(kafka.bootstrap, all_topics(), NUM_PARTITIONS, 1)
    story = Story(kafka.bootstrap, "broker")
    publish(story, 0)
    replica = Replica(kafka.bootstrap, tmp_path, story.topic, 0, MOSELLE_BATCH_RECORDS="300")
    poll_until(lambda: story.num_read() > LINES, "some lines read")
    kafka.kill()
    poll_until(lambda: not replica.metric("moselle_kernel_ready"), "not ready while Kafka is away")
    kafka.start()
    poll_until(lambda: answers(story), "Kafka's answer")
    publish(story, LINES)
    outcome = story.outcome()
    assert replica.is_alive
    replica.stop()
    kafka.stop()
    assert_each_line_once(story, outcome)


def answers(story: Story) -> bool:
    """Whether a restarted broker leads its partitions again."""
    try:
        return all(story.broker.end_offset(story.topic, part) >= LINES for part in range(NUM_PARTITIONS))
    except Retryable:
        return False
