"""A second replica joins while lines flow, and leaves again."""

from collections.abc import Callable

from tests.integration.delivery.story import (
    CONTEXT,
    NUM_PARTITIONS,
    Replica,
    Story,
    assert_each_line_once,
    line,
    shipped,
)

#: For a traceback that is under way while its partition moves, on a busy machine.
PATIENT = {"MOSELLE_INGEST_TRACEBACK_IDLE_MS": "600000", "MOSELLE_INGEST_FOLD_IDLE_MS": "5000"}
LINES = 400
BEGIN = ("Build failed", "Traceback (most recent call last):")
END = ("ValueError: no space left",)


def publish(story: Story, start: int) -> None:
    """Lines of a source in each partition."""
    for part in range(NUM_PARTITIONS):
        story.publish([shipped(line(start + i), f"rebalance-{part}") for i in range(LINES)], part)


def fail(story: Story, *lines: str) -> None:
    """Lines of one traceback in each partition, the first one with its request."""
    for part in range(NUM_PARTITIONS):
        texts = [line(0, each, "ERROR", 9, CONTEXT if each == BEGIN[0] else "") for each in lines]
        story.publish([shipped(text, f"rebalance-{part}", "/var/log/nova/nova-api.log") for text in texts], part)


def test_a_replica_that_joins_and_leaves_costs_nothing(
    delivery_bootstrap: str, start_replica: Callable[..., Replica]
) -> None:
    """Each line once, and a traceback that began at one replica and ended at another is one event."""
    story = Story(delivery_bootstrap, "rebalance")
    start_replica(story, 0, **PATIENT)
    fail(story, *BEGIN)
    publish(story, 0)
    story.wait_until_read()
    second = start_replica(story, 1, **PATIENT)
    second.wait_until_reading()
    publish(story, LINES)
    fail(story, '  File "/a.py", line 7, in spawn')
    story.wait_until_read()
    second.stop()
    publish(story, 2 * LINES)
    fail(story, *END)
    outcome = story.outcome()
    tracebacks = [event for event in outcome.events if event["exception"]]
    assert [event["line_count"] for event in tracebacks] == [4] * NUM_PARTITIONS
    assert {event["exception"]["type"] for event in tracebacks} == {"ValueError"}
    assert_each_line_once(story, outcome)
