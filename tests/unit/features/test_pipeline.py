"""The Faust app without Kafka: what is written in which order, and what is acknowledged when."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import pytest
from faust.types import TP

from services.common.codec import Codec
from services.common.settings import CommonSettings
from services.features.core.flows import split_key
from services.features.pipeline import FeaturesApp, FlowRunner, create_app, pass_time
from services.features.settings import FeaturesSettings
from tests.unit.features.samples import SCRAPED_BYTES, START, make_rates, make_samples

CODEC = Codec()
METRICS, LOGS = "metrics.samples.v1", "logs.rates.v1"


class Sent(NamedTuple):
    topic: str
    key: bytes | None
    partition: int | None


class FakeProducer:
    """Takes everything, or refuses one topic."""

    def __init__(self, refused: str = "") -> None:
        self.sent: list[Sent] = []
        self.refused = refused

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int | None, *_: Any
    ) -> Awaitable[None]:
        if topic == self.refused:
            raise ConnectionError(topic)
        self.sent.append(Sent(topic, key, partition))
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class FakeConsumer:
    """A member of the group with partition 0 of everything."""

    def assignment(self) -> set[TP]:
        return {TP(METRICS, 0), TP(LOGS, 0)}

    def handle(self, partition: TP, offset: int) -> None:
        """Nobody asks what is in hand."""


class Message(NamedTuple):
    topic: str
    partition: int
    offset: int
    timestamp: float
    key: bytes
    value: bytes
    headers: None = None

    @property
    def tp(self) -> TP:
        return TP(self.topic, self.partition)


class Event:
    def __init__(self, topic: str, record: dict[str, Any], offset: int, partition: int = 0) -> None:
        self.message = Message(topic, partition, offset, START / 1e6, b"", CODEC.encode(topic, record))
        self.is_acked = False

    def ack(self) -> None:
        self.is_acked = True


def with_app(test: Callable[[FeaturesApp, FakeProducer], Coroutine[Any, Any, None]], refused: str = "") -> None:
    """Runs a test in a loop with an app whose broker is fake."""

    async def run() -> None:
        app = create_app(FeaturesSettings(), CommonSettings(), CODEC, 1)
        producer = FakeProducer(refused)
        app.producer, app.consumer = producer, FakeConsumer()  # type: ignore[misc,assignment]
        for runner in app.runners.values():
            await runner.on_recovered()
        await test(app, producer)

    asyncio.run(run())


def scrapes(*seconds: float, partition: int = 0) -> list[Event]:
    records = (make_samples(at, {SCRAPED_BYTES: at}) for at in seconds)
    return [Event(METRICS, record, number, partition) for number, record in enumerate(records)]


def test_outputs_are_written_before_the_state_that_speaks_of_them() -> None:
    """A row first, then the changelog in the source's own partition, then the acknowledgement."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        events = scrapes(5, 15, 25)
        await app.runners["metrics.core"].handle(events)
        assert producer.sent == [
            Sent("features.v1", b"host:compute-1", None),
            Sent("moselle-features-metrics-changelog", b"0|host:compute-1", 0),
        ]
        assert all(event.is_acked for event in events)

    with_app(test)


@pytest.mark.parametrize("refused", ["features.v1", "moselle-features-metrics-changelog"])
def test_a_refused_write_acknowledges_nothing(refused: str) -> None:
    """Neither the table nor Faust hears of a batch that Kafka did not take whole."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        events, runner = scrapes(5, 15, 25), app.runners["metrics.core"]
        with pytest.raises(ConnectionError):
            await runner.handle(events)
        assert not any(event.is_acked for event in events)
        assert not runner.table.data

    with_app(test, refused)


def test_events_of_a_partition_that_went_away_are_left_to_its_new_owner() -> None:
    """They lay in the buffer when the group took the partition."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        events = scrapes(5, 15, 25, partition=1)
        await app.runners["metrics.core"].handle(events)
        assert not producer.sent
        assert not any(event.is_acked for event in events)

    with_app(test)


def test_after_a_rebalance_the_table_says_what_was_taken_in() -> None:
    """The same events again lead to nothing but their acknowledgement."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        runner = app.runners["metrics.core"]
        await runner.handle(scrapes(5, 15, 25))
        written = len(producer.sent)
        await runner.on_revoked()
        await runner.on_recovered()
        again = scrapes(5, 15, 25)
        await runner.handle(again)
        assert len(producer.sent) == written
        assert all(event.is_acked for event in again)

    with_app(test)


def test_time_that_passes_closes_what_is_quiet_and_tells_the_hosts() -> None:
    """A row of the service, and a mark behind its report."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        runner: FlowRunner = app.runners["logs"]
        await runner.handle([Event(LOGS, make_rates(0), 0)])
        await pass_time(app, {LOGS: {0: START + 60 * 10**6}}, forget=False)
        topics = [sent.topic for sent in producer.sent]
        changelog = "moselle-features-logs-changelog"
        assert topics == ["features.rollup.v1", changelog, "features.v1", changelog, "features.rollup.v1"]
        assert split_key(next(iter(runner.flow.states))) == (0, "service:nova-api@compute-1")

    with_app(test)


def test_an_entity_that_is_long_gone_is_forgotten() -> None:
    """Its state is deleted from the table and the changelog."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        runner = app.runners["metrics.core"]
        await runner.handle(scrapes(5))
        await pass_time(app, {METRICS: {0: START + 4 * 86_400 * 10**6}}, forget=True)
        assert not runner.flow.states
        assert not runner.table.data

    with_app(test)


def test_nothing_is_handled_while_the_table_is_half_there() -> None:
    """Events that lay in the buffer when partitions went wait until those that came are read back."""

    async def test(app: FeaturesApp, producer: FakeProducer) -> None:
        runner, events = app.runners["metrics.core"], scrapes(5, 15, 25)
        await runner.on_revoked()
        for event in events:
            await runner.take(event)
        await asyncio.sleep(0)
        await pass_time(app, {METRICS: {0: START + 60 * 10**6}}, forget=False)
        assert not producer.sent
        await runner.on_recovered()
        while not all(event.is_acked for event in events):
            await asyncio.sleep(0)

    with_app(test)
