"""What may be committed of a topic whose offsets have gaps."""

import asyncio
from typing import Any

import faust
from faust.types import TP

from services.features.adapters.faust_driver import CommittedTransport

PARTITION = TP("metrics.samples.v1", 0)


def next_offset(handled: list[int], gaps: list[int]) -> int | None:
    """What one commit would commit; each gap is the one offset before the record that was read next."""

    async def ask() -> int | None:
        app = faust.App("it-gaps", broker="kafka://127.0.0.1:1", store="memory://", autodiscover=False)
        consumer: Any = CommittedTransport(app.conf.broker, app, asyncio.get_running_loop()).create_consumer(
            print, on_partitions_revoked=print, on_partitions_assigned=print
        )
        consumer._acked[PARTITION] = handled
        consumer._committed_offset[PARTITION] = 1
        for gap in gaps:
            await consumer._add_gap(PARTITION, gap, gap + 1)
        found: int | None = consumer._new_offset(PARTITION)
        consumer._thread.thread_loop.close()
        return found

    return asyncio.run(ask())


def test_a_commit_reaches_over_all_gaps_between_handled_records() -> None:
    """Transactions end at 3 and 6: with 1, 2, 4, 5 and 7 handled, 8 is next, in a single commit."""
    assert next_offset([1, 2, 4, 5, 7], gaps=[3, 6]) == 8


def test_a_record_in_hand_holds_the_commit_back() -> None:
    """4 is not handled yet: nothing behind it is committed, although 5 is."""
    assert next_offset([1, 2, 5], gaps=[3]) == 4
