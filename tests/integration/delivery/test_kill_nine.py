"""kill -9 at moments that nobody chose."""

import random
from collections.abc import Callable

from tests.integration.delivery.story import NUM_PARTITIONS, Replica, Story, assert_each_line_once, line, shipped
from tests.polling import poll_until

NUM_KILLS = 5
LINES = 2_000
#: Small transactions, so that there are many moments to die in.
SMALL = {"MOSELLE_BATCH_RECORDS": "150"}


def test_a_replica_killed_again_and_again_counts_each_line_once(
    delivery_bootstrap: str, start_replica: Callable[..., Replica]
) -> None:
    """Half a transaction written, half a traceback folded: whatever was not committed is done again."""
    story, chance = Story(delivery_bootstrap, "kill-nine"), random.Random(9)
    replica = start_replica(story, 0, **SMALL)
    for kill in range(NUM_KILLS):
        for part in range(NUM_PARTITIONS):
            lines = [line(kill * LINES + i, level="ERROR" if i % 10 == 0 else "INFO") for i in range(LINES)]
            story.publish([shipped(each, f"kill-nine-{part}") for each in lines], part)
        done = story.num_read()
        target = done + chance.randint(0, story.published.total() - done)
        poll_until(lambda target=target: story.num_read() >= target, f"{target} records read")  # type: ignore[misc]
        replica.kill()
        replica.start()
    assert_each_line_once(story, story.outcome())
