"""A source that floods one partition with more than can be handled."""

from collections.abc import Callable

from tests.integration.delivery.story import NUM_PARTITIONS, Replica, Story, assert_each_line_once, line, shipped
from tests.polling import poll_until

FLOOD = 120_000
LINES = 200
#: However quick the machine is, so many small transactions take longer than the others have to wait.
SLOW = {"MOSELLE_BATCH_RECORDS": "100"}
OTHERS = range(1, NUM_PARTITIONS)


def test_a_flood_in_one_partition_does_not_stop_the_others(
    delivery_bootstrap: str, start_replica: Callable[..., Replica]
) -> None:
    """Lines that others wrote after the flood are read before it is done; in the end each line is there once."""
    story = Story(delivery_bootstrap, "flood")
    start_replica(story, 0, **SLOW).wait_until_reading(2 * NUM_PARTITIONS)
    story.publish([shipped(line(i), "flood-0") for i in range(FLOOD)], 0)
    for part in OTHERS:
        story.publish([shipped(line(i), f"flood-{part}") for i in range(LINES)], part)
    behind = poll_until(lambda: flood_behind(story), "the others' lines read")
    assert behind > 0, "the others had to wait for the flood"
    assert_each_line_once(story, story.outcome())


def flood_behind(story: Story) -> int:
    """How much of the flood is still to be read at the moment at which all others' lines are; 0 before that."""
    progress = story.progress()
    if not progress or any(progress[part] < LINES for part in OTHERS):
        return 0
    return FLOOD - progress[0] or -1
