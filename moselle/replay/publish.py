"""Sends messages to Kafka: at full speed, or at the pace of their event times."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from moselle.replay.merge import NO_TIME, Shipment
from services.common.clock import Clock, SystemClock
from services.common.errors import Retryable, SettingsInvalid

#: Longer than a broker takes to come back after kill -9 on a busy machine; what was sent meanwhile is not lost.
MESSAGE_TIMEOUT_MS = 180_000
CONNECT_TIMEOUT_SECONDS = 10
#: As much as Kafka takes by default in one message.
MAX_MESSAGE_BYTES = 1_000_000
#: How many messages pass between two looks at the clock.
STRIDE = 500

Tick = Callable[[int], None]


class Publisher:
    """An idempotent producer that counts.

    Raises:
        SettingsInvalid: no broker answers, or a topic is missing.
    """

    def __init__(self, bootstrap: str, topics: Iterable[str]) -> None:
        from confluent_kafka import Producer

        self.published: Counter[str] = Counter(dict.fromkeys(topics, 0))
        self.too_large = 0
        self._bootstrap = bootstrap
        self._failure = ""
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                # As Java's clients and Faust choose; librdkafka's default differs.
                "partitioner": "murmur2_random",
                "linger.ms": 10,
                "batch.size": 500_000,
                "compression.type": "lz4",
                "queue.buffering.max.messages": 200_000,
                "message.timeout.ms": MESSAGE_TIMEOUT_MS,
                "message.max.bytes": MAX_MESSAGE_BYTES + 1000,
                "delivery.report.only.error": True,
                "on_delivery": self._note_failure,
                "log_level": 0,
            }
        )
        self._check(self.published)

    def _check(self, topics: Iterable[str]) -> None:
        from confluent_kafka import KafkaException

        try:
            there = self._producer.list_topics(timeout=CONNECT_TIMEOUT_SECONDS).topics
        except KafkaException as error:
            raise SettingsInvalid(
                f"Kafka does not answer on {self._bootstrap} ({error.args[0].str()}): "
                "start the stack with `moselle up`, or check the address"
            ) from None
        for topic in topics:
            if topic not in there:
                raise SettingsInvalid(f"the topic {topic} does not exist on {self._bootstrap}: check --topic")

    def _note_failure(self, error: Any, message: Any) -> None:
        self._failure = self._failure or error.str()

    def send(self, shipment: Shipment) -> None:
        """Queues one message; waits while the queue is full. Raises Retryable when the broker is gone."""
        if len(shipment.value) > MAX_MESSAGE_BYTES:
            self.too_large += 1
            return
        while True:
            try:
                self._producer.produce(shipment.topic, shipment.value, shipment.key)
                break
            except BufferError:
                self.poll(0.05)
        self.published[shipment.topic] += 1

    def poll(self, timeout_seconds: float = 0.0) -> None:
        """Lets the client work. Raises Retryable when a message was given up."""
        self._producer.poll(timeout_seconds)
        if self._failure:
            self._producer.purge()
            raise Retryable(
                f"Kafka on {self._bootstrap} stopped taking messages ({self._failure}): "
                "what was sent so far may be incomplete; see `moselle status` and replay again into a fresh state"
            )

    def flush(self) -> None:
        """Returns when Kafka has everything. Raises Retryable when it does not take it."""
        while self._producer.flush(0.5):
            self.poll()
        self.poll()


def publish(shipments: Iterator[Shipment], publisher: Publisher, speed: float | None, tick: Tick) -> None:
    """Sends all of them and waits until Kafka has them.

    Args:
        speed: event seconds per wall second; None for as fast as it goes.
        tick: called now and then with how many were sent.
    """
    send = publisher.send
    pace = Pace(speed, publisher.poll) if speed else None
    sent = 0
    for sent, shipment in enumerate(shipments, start=1):
        if pace:
            pace.wait(shipment.order)
        send(shipment)
        if sent % STRIDE == 0 or pace:
            publisher.poll()
            tick(sent)
    publisher.flush()
    tick(sent)


class Pace:
    """Holds messages back until their event time has come.

    Args:
        speed: event seconds per wall second.
        poll: waits up to so many seconds, and lets the producer work meanwhile.
    """

    def __init__(self, speed: float, poll: Callable[[float], None], clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._speed = speed
        self._poll = poll
        self._start: tuple[float, float] | None = None

    def wait(self, event_time: float) -> None:
        """Returns when `event_time` is due, counted from the first one."""
        if event_time == NO_TIME:
            return
        if self._start is None:
            self._start = (event_time, self._clock.monotonic())
        due = self._start[1] + (event_time - self._start[0]) / self._speed
        while (left := due - self._clock.monotonic()) > 0:
            self._poll(min(left, 0.1))
