"""Faust's way to Kafka, as we need it: committed records only, and word of how far each partition was read."""

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import aiokafka
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

#: Kafka's clock and ours may be so far apart, and an answer so long under way, microseconds.
CLOCK_SLACK = 1_000_000


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
    """A consumer on a `CommittedThread`.

    Offsets have gaps where transactions end. Faust counts the record behind a gap to the gap; acknowledged as well, it
    stands twice among what it may commit, and each commit stops there: one transaction's worth a second.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: The last offset of each partition that was taken from Kafka's client.
        self.fetched: dict[TP, int] = {}

    async def _wait_next_records(self, timeout: float) -> tuple[Any, Any]:
        records, active = await super()._wait_next_records(timeout)
        for partition, messages in (records or {}).items():
            if messages:
                self.fetched[TP(*partition)] = messages[-1].offset
        return records, active

    def in_hand(self) -> set[TP]:
        """Partitions with records that are not handled: given to an agent, or still on their way to one.

        The client's position passes a whole fetch at once; Faust hands it out one by one, and may be long about it.
        """
        given = {message.tp for message in self.unacked if not message.acked}
        return given | {tp for tp, offset in self.fetched.items() if self._is_behind(tp, offset)}

    def _is_behind(self, partition: TP, offset: int) -> bool:
        read = self._read_offset[partition]
        return read is None or offset > read

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        await super()._add_gap(tp, offset_from, offset_to - 1)

    def _new_consumer_thread(self) -> AIOKafkaConsumerThread:
        return CommittedThread(self, loop=self.loop, beacon=self.beacon)


class CommittedTransport(Transport):
    """A transport with such consumers."""

    Consumer = CommittedConsumer


class Progress:
    """Up to which of Kafka's times each partition was read to its end and handled."""

    def __init__(self) -> None:
        self._last: Mapping[TP, Place] = {}

    def look(self, consumer: Any) -> dict[str, dict[int, int]]:
        """Topic to partition to Kafka's time, microseconds; only of partitions that are read to their end.

        A partition counts when it stood at its end at the last look already, has not moved since, and nothing of it
        is in hand. The end is the last record's, not the last committed one's: behind an open transaction lie
        records with earlier times than now.
        """
        places = consumer._thread.places()
        unfinished = consumer.in_hand()
        reached: dict[str, dict[int, int]] = {}
        for partition, place in places.items():
            before = self._last.get(partition)
            if before is None or partition in unfinished:
                continue
            if place.position == before.position >= before.end and place.position >= place.end:
                micros = before.polled_ms * 1000 - CLOCK_SLACK
                reached.setdefault(partition.topic, {})[partition.partition] = micros
        self._last = places
        return reached

    def silence_seconds(self) -> float:
        """How long Kafka has not answered for any partition; infinite before it ever did."""
        newest = max((place.polled_ms for place in self._last.values()), default=0)
        return time.time() - newest / 1000 if newest else float("inf")
