"""What may be committed of a topic whose offsets have gaps, and how far a partition was read."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, TypeVar

import aiokafka
import faust
from aiokafka.structs import TopicPartition
from faust.types import TP

from services.features.adapters.faust_driver import CLOCK_SLACK, CommittedTransport, Place, Progress

T = TypeVar("T")
PARTITION = TP("metrics.samples.v1", 0)


def with_consumer(ask: Callable[[Any], T]) -> T:
    """What a consumer answers that has read nothing and knows no broker."""

    async def run() -> T:
        app = faust.App("it-gaps", broker="kafka://127.0.0.1:1", store="memory://", autodiscover=False)
        transport = CommittedTransport(app.conf.broker, app, asyncio.get_running_loop())
        consumer: Any = transport.create_consumer(print, on_partitions_revoked=print, on_partitions_assigned=print)
        try:
            found = ask(consumer)
            return await found if isinstance(found, Awaitable) else found
        finally:
            consumer._thread.thread_loop.close()

    return asyncio.run(run())


def committable(handled: list[int], committed: int | None) -> dict[TP, int]:
    """What one commit would commit after these were handled."""

    def ask(consumer: Any) -> dict[TP, int]:
        consumer._committed_offset[PARTITION] = committed
        for offset in handled:
            consumer.handle(PARTITION, offset)
        found: dict[TP, int] = consumer._filter_committable_offsets(consumer._filter_tps_with_pending_acks())
        return found

    return with_consumer(ask)


def test_a_partition_that_is_just_being_assigned_ends_nothing() -> None:
    """Kafka has answered for it, and where to read is not known yet."""

    async def ask(consumer: Any) -> None:
        client = aiokafka.AIOKafkaConsumer(bootstrap_servers="127.0.0.1:1")
        client.assign([TopicPartition(*PARTITION)])
        state = client._subscription.subscription.assignment.state_value(TopicPartition(*PARTITION))
        state.timestamp = 1000 * time.time()
        consumer._thread._consumer, consumer._thread.time_started = client, time.monotonic()
        client._fetcher = SimpleNamespace(_subscriptions=client._subscription)
        try:
            assert not state.has_valid_position
            consumer.verify_event_path(time.monotonic(), PARTITION)
        finally:
            client._fetcher = None
            await client.stop()

    with_consumer(ask)


def test_a_commit_reaches_behind_the_last_handled_record() -> None:
    """Transactions end at 3 and 6, and one that was aborted took 0 to 8: gaps hold nothing back."""
    assert committable([1, 2, 4, 5, 7], committed=1) == {PARTITION: 8}
    assert committable([9], committed=None) == {PARTITION: 10}


def test_a_repeat_takes_no_commit_back() -> None:
    """Records that came again, before what is committed."""
    assert committable([4, 5], committed=8) == {}


def test_nothing_handled_commits_nothing() -> None:
    """A new member has nothing to say."""
    assert committable([], committed=None) == {}


def test_what_was_fetched_and_is_not_handled_is_in_hand() -> None:
    """Fetched up to 7: in hand until 7 was handled, wherever it is in between."""

    def ask(consumer: Any) -> list[set[TP]]:
        consumer.fetched[PARTITION] = 7
        found = [consumer.in_hand()]
        for handled in (6, 7, 5):
            consumer.handle(PARTITION, handled)
            found.append(consumer.in_hand())
        return found

    assert with_consumer(ask) == [{PARTITION}, {PARTITION}, set(), set()]


def test_nothing_is_handed_out_between_resumed_partitions_and_resumed_flow() -> None:
    """In between Faust seeks, and empties the queues of its agents."""

    def ask(consumer: Any) -> list[bool]:
        consumer._active_partitions = set()
        consumer.resume_flow()
        consumer.resume_partitions({PARTITION})
        found = [consumer.flow_active, consumer.suspend_flow.is_set(), consumer.can_resume_flow.is_set()]
        consumer.resume_flow()
        return [*found, consumer.flow_active]

    assert with_consumer(ask) == [False, True, False, True]


class Reading:
    """A consumer as `Progress` sees it: what Kafka answered last, how often something was fetched, what is in hand."""

    def __init__(self) -> None:
        self.place, self.num_fetches, self.held = Place(5, 5, 10_000), 0, set[TP]()
        self._thread = self

    def places(self) -> dict[TP, Place]:
        return {PARTITION: self.place}

    def in_hand(self) -> set[TP]:
        return self.held


def test_a_partition_is_read_up_to_the_answer_before_the_last() -> None:
    """The last one was asked for later, and still said that nothing is behind the position."""
    reading, progress = Reading(), Progress()
    assert progress.look(reading) == {}
    reading.num_fetches, reading.place = 1, Place(5, 5, 10_500)
    assert progress.look(reading) == {PARTITION.topic: {PARTITION.partition: 10_000_000 - CLOCK_SLACK}}
    assert progress.look(reading) == {}  # no later answer: Kafka may have given this one long ago


def test_a_position_that_moved_says_nothing_before_its_records_were_handed_out() -> None:
    """The client's thread moves it first."""
    reading, progress = Reading(), Progress()
    progress.look(reading)
    for polled_ms in (10_500, 11_000):
        reading.place = Place(5, 5, polled_ms)
        assert progress.look(reading) == {}
    reading.num_fetches, reading.held, reading.place = 1, {PARTITION}, Place(5, 5, 11_500)
    assert progress.look(reading) == {}
    reading.held, reading.place = set(), Place(5, 5, 12_000)
    assert progress.look(reading) == {PARTITION.topic: {PARTITION.partition: 11_500_000 - CLOCK_SLACK}}


def test_records_behind_the_position_keep_a_partition_from_its_end() -> None:
    """Those of an open transaction too, which cannot be read yet."""
    reading, progress = Reading(), Progress()
    progress.look(reading)
    reading.num_fetches, reading.place = 1, Place(5, 9, 10_500)
    assert progress.look(reading) == {}
