"""Faust's way to Kafka, as we need it: committed records only, and word of how far each partition was read."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import aiokafka
from aiokafka.structs import TopicPartition
from faust.tables.recovery import Recovery, ServiceStopped
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Producer, Transport
from faust.types import TP

from services.common.logging import get_logger

#: Kafka's clock and ours may be so far apart, microseconds.
CLOCK_SLACK = 1_000_000
#: Before a group shares its partitions again, seconds.
REJOIN_SECONDS = 1.0


class Place(NamedTuple):
    """How far one partition is: the next offset to read, the partition's end, and when Kafka said so, our clock."""

    position: int
    end: int
    polled_ms: int


class CommittedThread(AIOKafkaConsumerThread):
    """Faust reads uncommitted records unless it runs transactions itself; this one does not."""

    def _create_worker_consumer(self, transport: Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Read when the consumer starts, which is later; Faust gives no other way in.
        consumer._isolation_level = "read_committed"
        return consumer

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Puts each partition where its group is; to its beginning when the group never committed there.

        Kafka's client leaves the latter where they are, behind records that Faust has thrown away by then.
        """
        committed: Mapping[TP, int | None] = await super().seek_to_committed()
        changelogs = self.app.tables.changelog_topics
        anew = [tp for tp, offset in committed.items() if offset is None and tp.topic not in changelogs]
        if anew:
            await self.seek_to_beginning(*anew)
        return committed  # type: ignore[return-value]

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Whether records flow, for the log. Faust's own ends the worker when a partition is just being assigned."""
        assignment = self._ensure_consumer()._subscription.subscription.assignment
        state = assignment.state_value(TopicPartition(tp.topic, tp.partition)) if assignment is not None else None
        if state is not None and state.has_valid_position:
            super().verify_event_path(now, tp)

    def join_anew(self) -> None:
        """Lets the group share its partitions once more, with what the cluster knows by then."""
        self.thread_loop.call_soon_threadsafe(self._join_anew)

    def _join_anew(self) -> None:
        consumer = self._ensure_consumer()
        consumer._client.force_metadata_update()
        consumer._coordinator.request_rejoin()

    def places(self) -> dict[TP, Place]:
        """Of the partitions that Kafka was asked about."""
        consumer = self._consumer
        subscription = consumer._subscription.subscription if consumer is not None else None
        assignment = subscription.assignment if subscription is not None else None
        found: dict[TP, Place] = {}
        if assignment is None:
            return found
        for partition in assignment.tps:
            state = assignment.state_value(partition)
            if state is not None and state.highwater is not None and state.timestamp and state.has_valid_position:
                where = TP(partition.topic, partition.partition)
                found[where] = Place(state.position, state.highwater, state.timestamp)
        return found


class CommittedConsumer(Consumer):
    """A consumer on a `CommittedThread`, which commits up to what was handled.

    A partition's records are handled in order, so the next offset is the one behind the last. Faust counts single
    offsets instead, and notes a gap wherever a transaction ends: a tree that is built anew with each of them, and when
    one offset is missing, for ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The last offset of each partition that was taken from Kafka's client.
        self.fetched: dict[TP, int] = {}
        #: How often records, or none, were taken from it.
        self.num_fetches = 0
        #: The last offset of each partition of which all that follows is written.
        self.handled: dict[TP, int] = {}

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Hands nothing out before `resume_flow`, which always follows.

        Faust itself goes on from here, then seeks to where the group is, and then empties the agents' queues: what it
        put there in between was lost.
        """
        self.stop_flow()
        super().resume_partitions(tps)

    async def perform_seek(self) -> None:
        """Goes back to where the group is: what was fetched is fetched again."""
        await super().perform_seek()
        self.fetched.clear()

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        records, active = await super()._wait_next_records(timeout)
        for partition, messages in (records or {}).items():
            if messages:
                self.fetched[TP(*partition)] = messages[-1].offset
        self.num_fetches += 1
        return records, active

    def handle(self, partition: TP, offset: int) -> None:
        """What followed from a record is written."""
        self.handled[partition] = max(offset, self.handled.get(partition, -1))

    def in_hand(self) -> set[TP]:
        """Partitions with records that were fetched and are not handled.

        The client's position passes a whole fetch at once; Faust hands it out one by one, and may be long about it.
        """
        return {tp for tp, offset in self.fetched.items() if offset > self.handled.get(tp, -1)}

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self.handled) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        handled = self.handled.get(tp)
        return None if handled is None else handled + 1

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Offsets without records need no notice."""

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class KnowingProducer(aiokafka.AIOKafkaProducer):  # type: ignore[misc]  # the client says nothing of its types
    """Goes on asking Kafka about every topic that it ever wrote to.

    When Faust has made a topic the client is told of all topics, and keeps none of them in mind. Once it asks about one
    that came later, it knows that one alone: records for any other that wait at that moment have no leader, nobody
    asks who that is, and whoever waits for them, a commit too, waits for ever.
    """

    async def send(self, topic: str, *args: Any, **kwargs: Any) -> Any:
        if topic not in self.client._topics:
            self.client.add_topic(topic)
        return await super().send(topic, *args, **kwargs)


class KnowingProducers(Producer):
    """Faust's side of such producers."""

    @property
    def _producer_type(self) -> type[aiokafka.AIOKafkaProducer]:
        return KnowingProducer


class CommittedTransport(Transport):
    """A transport with such consumers and producers."""

    Consumer = CommittedConsumer
    Producer = KnowingProducers


class LoudRecovery(Recovery):
    """Reading tables back, whole.

    When Kafka is silent for too long Faust takes that for its own end and does no more. And when its group formed
    before the cluster knew a table's topic, it goes on with that table empty; a group whose members come back under
    their old numbers hands the same assignment out again, also when the table has long been written.
    """

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Reads back what was assigned; an assignment that lacks a table of its inputs is refused."""
        if missing := self.without_changelog(assigned):
            get_logger().warning("assigned_without_table", missing=[f"{tp.topic}/{tp.partition}" for tp in missing])
            await asyncio.sleep(REJOIN_SECONDS)
            self.app.consumer._thread.join_anew()  # type: ignore[attr-defined]
            return
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    def without_changelog(self, assigned: set[TP]) -> list[TP]:
        """The changelogs' partitions that should have come with the inputs'."""
        changelogs = self.tables.changelog_topics
        numbers = {tp.partition for tp in assigned if tp.topic not in changelogs}
        return sorted({TP(topic, number) for topic in changelogs for number in numbers} - assigned)

    async def _wait(self, coro: Any, timeout: Any = None) -> None:
        try:
            await super()._wait(coro, timeout)
        except ServiceStopped:
            if self.should_stop:
                raise
            raise TimeoutError(f"Kafka did not answer for {timeout} s while state was read back") from None


class Stand(NamedTuple):
    """A partition that has not moved: since which of the consumer's fetches, and when Kafka last answered for it."""

    position: int
    num_fetches: int
    polled_ms: int


class Progress:
    """Up to which of Kafka's times each partition was read to its end and handled."""

    def __init__(self) -> None:
        self._stands: dict[TP, Stand] = {}

    def look(self, consumer: Any) -> dict[str, dict[int, int]]:
        """Topic to partition to Kafka's time, microseconds; only of partitions that are read to their end.

        A partition that stands at its end in one answer of Kafka was read up to the time of the answer before: this
        one was asked for later. An answer by itself says little, since it may have waited for us long after Kafka
        gave it. The end is the last record's, not the last committed one's: behind an open transaction lie records
        with earlier times than now.

        The client's position moves, in a thread of its own, before we get the records that it passes: a fetch must
        have ended since the position was first seen, and nothing that was fetched may be in hand.
        """
        unfinished = consumer.in_hand()
        stands: dict[TP, Stand] = {}
        reached: dict[str, dict[int, int]] = {}
        for partition, place in consumer._thread.places().items():
            before = self._stands.get(partition)
            if before is None or before.position != place.position:
                stands[partition] = Stand(place.position, consumer.num_fetches, place.polled_ms)
                continue
            stands[partition] = before._replace(polled_ms=place.polled_ms)
            is_read = place.position >= place.end and place.polled_ms > before.polled_ms
            if is_read and consumer.num_fetches > before.num_fetches and partition not in unfinished:
                reached.setdefault(partition.topic, {})[partition.partition] = before.polled_ms * 1000 - CLOCK_SLACK
        self._stands = stands
        return reached

    def silence_seconds(self) -> float:
        """How long Kafka has not answered for any partition; infinite before it ever did."""
        newest = max((stand.polled_ms for stand in self._stands.values()), default=0)
        return time.time() - newest / 1000 if newest else float("inf")
