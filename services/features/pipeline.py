"""The Faust app: samples and log rates in, feature vectors out.

metrics.samples.v1 → `metrics.core`; logs.rates.v1 → `logs`, and a report to the host; features.rollup.v1 →
`logs.host`. Each agent hands its events to a `FlowRunner`, which writes what comes of them and acknowledges only then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import faust

from services.common.broker.abstract import Output, Record
from services.common.codec import Codec
from services.common.settings import CommonSettings
from services.common.topics import FEATURES_ROLLUP, LOGS_RATES, MAX_RECORD_BYTES, METRICS_SAMPLES
from services.features.core.changelogs import APP_ID, CHANGELOG_CONFIG
from services.features.core.flows import Effects, Flow, LogFlow, host_flow, log_flow, metric_flow
from services.features.core.marks import StepRules
from services.features.metrics import DEAD_LETTERS, ENTITIES, RECORDS, VECTORS
from services.features.settings import FeaturesSettings

Send = Callable[[Output], Awaitable[Awaitable[Any]]]


class FeaturesApp(faust.App):
    """An app with its runners, by feature set."""

    runners: "dict[str, FlowRunner]"

    def _create_directories(self) -> None:
        """Faust makes a data folder where it stands, which tables in memory need not."""


def create_app(
    settings: FeaturesSettings, common: CommonSettings, codec: Codec, num_partitions: int, **options: Any
) -> "FeaturesApp":
    """The app with its tables, agents and runners.

    Args:
        num_partitions: of the three topics, and of the tables.
        options: further settings of Faust, such as `store` for tests.
    """
    app = FeaturesApp(
        APP_ID,
        broker=[f"kafka://{server}" for server in common.kafka_bootstrap.split(",")],
        **(_faust_settings(settings, common) | options),
    )
    rules = StepRules(settings.step_seconds, settings.lateness_seconds, settings.quiet_seconds)
    decode, encode = codec.decode, codec.encode
    app.runners = {
        "metrics.core": FlowRunner(app, "metrics", metric_flow(rules, decode, encode), num_partitions, settings),
        "logs": FlowRunner(app, "logs", log_flow(rules, decode, encode), num_partitions, settings),
        "logs.host": FlowRunner(
            app, "hosts", host_flow(rules, decode, encode, num_partitions), num_partitions, settings
        ),
    }

    @app.agent(raw_topic(app, METRICS_SAMPLES.name), name="metrics")
    async def metrics(stream: Any) -> None:
        async for event in stream.noack().events():
            await app.runners["metrics.core"].take(event)

    @app.agent(raw_topic(app, LOGS_RATES.name), name="logs")
    async def logs(stream: Any) -> None:
        async for event in stream.noack().events():
            await app.runners["logs"].take(event)

    @app.agent(raw_topic(app, FEATURES_ROLLUP.name), name="hosts")
    async def hosts(stream: Any) -> None:
        async for event in stream.noack().events():
            await app.runners["logs.host"].take(event)

    return app


def _faust_settings(settings: FeaturesSettings, common: CommonSettings) -> dict[str, Any]:
    return {
        "autodiscover": False,
        "store": "memory://",
        "web_enabled": False,
        "topic_disable_leader": True,
        "topic_replication_factor": settings.changelog_replication,
        "table_standby_replicas": 0,
        # Stable over restarts: a killed worker gets its partitions back at once.
        "consumer_group_instance_id": f"{APP_ID}-{common.replica}",
        "broker_session_timeout": common.session_timeout_ms / 1000,
        "broker_heartbeat_interval": 1.0,
        "broker_commit_interval": settings.commit_seconds,
        "broker_client_id": f"{APP_ID}-{common.replica}",
        "consumer_auto_offset_reset": "earliest",
        "producer_acks": -1,
        "producer_compression_type": "lz4",
        "producer_max_request_size": MAX_RECORD_BYTES,
        "producer_linger": 0.002,
        "stream_buffer_maxsize": 4096,
        "stream_wait_empty": False,
    }


def raw_topic(app: faust.App, name: str) -> Any:
    """A topic whose keys and values stay bytes: what cannot be read is our dead letter, not Faust's error."""
    return app.topic(name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")


class FlowRunner:
    """One flow with its table.

    Handles events in batches as they come. Outputs are acknowledged by Kafka before the states that speak of them are
    written, and both before the events are acknowledged to Faust; so whatever is killed when, is read again and found
    out as a repeat, or never happened.
    """

    def __init__(self, app: faust.App, name: str, flow: Flow, num_partitions: int, settings: FeaturesSettings) -> None:
        self.flow = flow
        self.lock = asyncio.Lock()
        self.table: Any = app.Table(
            name, key_type=bytes, value_type=bytes, partitions=num_partitions, extra_topic_configs=CHANGELOG_CONFIG
        )
        self.table.on_recover(self.on_recovered)
        #: The flow's states are not the table's: it was read back since.
        self.is_stale = True
        #: Not set from when partitions go until those that came are read back: until then the table is half there.
        self.is_recovered = asyncio.Event()
        #: What to do when writing failed: nothing of it may be acknowledged any more.
        self.failed: Callable[[BaseException], None] = _raise
        self.reached: dict[int, int] = {}
        self._app = app
        self._max = settings.batch_records
        self._events: list[Any] = []
        self._has_events = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._task: asyncio.Task[None] | None = None

    async def take(self, event: Any) -> None:
        """Takes an event for the next batch; waits while that is full."""
        if self._task is None:
            self._task = asyncio.create_task(self._work())
        await self._has_room.wait()
        self._events.append(event)
        self._has_events.set()
        if len(self._events) >= self._max:
            self._has_room.clear()

    async def _work(self) -> None:
        while True:
            await self._has_events.wait()
            events, self._events = self._events, []
            self._has_events.clear()
            self._has_room.set()
            try:
                while not await self._handle_when_recovered(events):
                    pass
            except Exception as error:
                self.failed(error)

    async def _handle_when_recovered(self, events: list[Any]) -> bool:
        """Whether they were handled. Waiting with the lock would keep `on_revoked` from taking it."""
        await self.is_recovered.wait()
        async with self.lock:
            if self.is_recovered.is_set():
                await self.handle(events)
                return True
        return False

    async def on_revoked(self) -> None:
        """Partitions go: lets the batch in hand end first, since others will read the table's changelog."""
        async with self.lock:
            self.is_recovered.clear()

    async def on_recovered(self) -> None:
        """The partitions that came are read back."""
        self.is_stale = True
        self.is_recovered.set()

    async def handle(self, events: list[Any]) -> None:
        """Applies events, writes what comes of them, acknowledges them. The lock is held."""
        self.refresh()
        consumer: Any = self._app.consumer
        assigned = consumer.assignment()
        ours = [event for event in events if event.message.tp in assigned]
        records = [as_record(event.message) for event in ours]
        await self.write(self.flow.apply(records))
        for record in records:
            self.reached[record.partition] = max(self.reached.get(record.partition, 0), record.timestamp_ms * 1000 - 1)
        for event in ours:
            event.ack()
            consumer.handle(event.message.tp, event.message.offset)

    def refresh(self) -> None:
        """Takes the table's states when it was read back."""
        if self.is_stale:
            self.is_stale = False
            numbers = {tp.partition for tp in self._app.consumer.assignment()}
            saved = ((key.decode(), value) for key, value in self.table.data.items() if value)
            self.flow.restore((key, value) for key, value in saved if int(key.partition("|")[0]) in numbers)
            self.reached.clear()

    async def advance(self, reached: Mapping[int, int], forget: bool) -> None:
        """Time passed; see `Flow.advance`. The lock is held."""
        self.refresh()
        self.reached |= {number: max(micros, self.reached.get(number, 0)) for number, micros in reached.items()}
        await self.write(self.flow.advance(self.reached))
        if forget:
            await self.write(self.flow.forget(self.reached))

    async def write(self, effects: Effects) -> None:
        """Writes outputs, and when Kafka has them, the states."""
        await self.send(effects.outputs)
        changes = {key: self.flow.saved(key) for key in effects.changed}
        changelog = self.table.changelog_topic.get_topic_name()
        written: dict[str, bytes | None] = {**changes, **dict.fromkeys(effects.forgotten)}
        await self.send(
            [Output(changelog, key.encode(), value, None, int(key.partition("|")[0])) for key, value in written.items()]
        )
        for key, value in written.items():
            if value is None:
                self.table.data.pop(key.encode(), None)
            else:
                self.table.data[key.encode()] = value
        self._count(effects)

    async def send(self, outputs: list[Output]) -> None:
        """Returns when Kafka has all of them."""
        producer = self._app.producer
        futures = [
            await producer.send(
                output.topic, output.key, output.value, output.partition, None,
                list(output.headers) if output.headers else None,
            )
            for output in outputs
        ]  # fmt: skip
        if futures:
            await asyncio.gather(*futures)

    def _count(self, effects: Effects) -> None:
        name = self.table.name
        for verdict, number in effects.verdicts.items():
            RECORDS.labels(name, verdict).inc(number)
        for feature_set, number in effects.vectors.items():
            VECTORS.labels(feature_set).inc(number)
        for reason, number in effects.dead_letters.items():
            DEAD_LETTERS.labels(name, reason).inc(number)
        ENTITIES.labels(name).set(len(self.flow.states))


async def pass_time(app: FeaturesApp, reached: Mapping[str, Mapping[int, int]], forget: bool) -> None:
    """Closes what is quiet, and tells the hosts how far the log rates are.

    Args:
        reached: topic to partition to Kafka's time, microseconds, up to which everything was taken in; only of
            partitions that are read to their end.
        forget: whether to look for entities that are long gone.
    """
    for topic, name in ((METRICS_SAMPLES.name, "metrics.core"), (LOGS_RATES.name, "logs")):
        runner = app.runners[name]
        async with runner.lock:
            if not runner.is_recovered.is_set():
                continue
            await runner.advance(reached.get(topic, {}), forget)
            if isinstance(runner.flow, LogFlow):
                await runner.send(runner.flow.marks(runner.reached, runner.table.partitions))


def as_record(message: Any) -> Record:
    """Faust's message as ours; Faust's time is seconds."""
    headers = message.headers
    listed = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    return Record(
        message.topic, message.partition, message.offset, round(message.timestamp * 1000), message.key, message.value,
        listed or None,
    )  # fmt: skip


def _raise(error: BaseException) -> None:
    raise error
