"""The Faust worker as a process: health beside it, schemas before it, and an end that loses nothing.

It stops the way it would be killed: after the batches in hand it commits what was acknowledged and ends at once,
without Faust's own shutdown, which acknowledges what was only begun. Its static membership keeps its partitions for
whoever starts next under the same number.
"""

import asyncio
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from services.common.broker.kafka import KafkaBroker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import MoselleError, Retryable, SettingsInvalid
from services.common.http import Health, HealthServer
from services.common.logging import configure_logging, get_logger
from services.common.metrics import PARTITIONS
from services.common.schemas import SchemaRegistry
from services.common.service import fail
from services.common.settings import CommonSettings
from services.common.topics import FEATURES, FEATURES_ROLLUP, LOGS_RATES, METRICS_SAMPLES, SCHEMAS
from services.features.adapters.faust_driver import CommittedTransport, LoudRecovery, Progress
from services.features.core.changelogs import CHANGELOG_CONFIG, TABLES, changelog_of
from services.features.settings import FeaturesSettings

INPUTS = (METRICS_SAMPLES.name, LOGS_RATES.name, FEATURES_ROLLUP.name)
TOPICS = (*INPUTS, FEATURES.name, SCHEMAS.name, *(f"{name}.dlq" for name in INPUTS))
TICK_SECONDS = 0.5
#: Kafka answers a waiting reader twice a second.
SILENCE_SECONDS = 3.0
_STOP_SECONDS = 5.0
#: Every so many ticks entities that are long gone are looked for.
_FORGET_TICKS = 1200

CreateApp = Callable[..., Any]
PassTime = Callable[..., Any]


def run(common: CommonSettings, settings: FeaturesSettings, create_app: CreateApp, pass_time: PassTime) -> int:
    """Runs until SIGTERM or SIGINT. Returns the exit code when it cannot start; else it ends the process itself."""
    configure_logging(common.log_level, service="features", replica=common.replica)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    health = Health(SystemClock())
    server: HealthServer | None = None
    try:
        server = HealthServer(common.http_host, common.http_port, health)
        get_logger().info("listening", http=f"{common.http_host}:{server.port}")
        broker = KafkaBroker(common.kafka_bootstrap, startup_timeout_seconds=common.startup_timeout_seconds)
        codec = Codec()
        registry = prepare(broker, codec, common)
        num_partitions = same_partitions(broker)
        make_changelogs(broker, num_partitions, settings.changelog_replication)
        asyncio.run(serve(lambda: create_app(settings, common, codec, num_partitions), pass_time, health))
        registry.close()
        return 0
    except MoselleError as error:
        return fail("features", error)
    finally:
        if server is not None:
            server.close()


async def serve(make_app: Callable[[], Any], pass_time: PassTime, health: Health) -> None:
    """Runs the app, made within the event loop that it will live in, and ends the process."""
    await Worker(make_app(), pass_time, health).run()
    sys.stderr.flush()
    # Returning would cancel Faust's tasks and wait for its threads; both outlive their broker.
    os._exit(0)


def prepare(broker: KafkaBroker, codec: Codec, common: CommonSettings) -> SchemaRegistry:
    """Looks for the topics and publishes the schemas; a broker that is still electing leaders is waited for."""
    clock, registry = SystemClock(), SchemaRegistry(broker, codec)
    until = clock.monotonic() + common.startup_timeout_seconds
    while True:
        try:
            broker.check(TOPICS)
            registry.publish_own()
            return registry
        except Retryable:
            if clock.monotonic() > until:
                raise
            clock.sleep(0.2)


def same_partitions(broker: KafkaBroker) -> int:
    """How many partitions each input has.

    Raises:
        SettingsInvalid: they differ; then an entity's records and its table would lie with different workers.
    """
    numbers = {name: broker.num_partitions(name) for name in INPUTS}
    if len(set(numbers.values())) > 1:
        raise SettingsInvalid(f"these topics need the same number of partitions and have {numbers}: see docs/topics.md")
    return numbers[INPUTS[0]]


def make_changelogs(broker: KafkaBroker, num_partitions: int, replication: int) -> None:
    """Makes the tables' topics; returns when the cluster knows them.

    Faust would make them while its group is forming, and hands out only the partitions of topics that are known then:
    a worker without its table's changelog begins with an empty table.

    Raises:
        SettingsInvalid: one cannot be made, or has other partitions than the inputs.
    """
    for name in map(changelog_of, TABLES):
        broker.make_topic(name, num_partitions, replication, CHANGELOG_CONFIG)
        there = broker.num_partitions(name)
        if there != num_partitions:
            raise SettingsInvalid(
                f"the changelog {name} has {there} partitions and the inputs have {num_partitions}: give the inputs"
                f" {there} again, or stop features and delete {name} to begin without past"
            )


class Worker:
    """The app, the passing of time, and the end."""

    def __init__(self, app: Any, pass_time: PassTime, health: Health) -> None:
        self._app = app
        self._pass_time = pass_time
        self._health = health
        self._progress = Progress()
        self._stopping = asyncio.Event()
        self._ticks = 0
        for runner in app.runners.values():
            runner.failed = self.give_up

    async def run(self) -> None:
        """Works until it is told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        self._app.transport = CommittedTransport(self._app.conf.broker_consumer, self._app, loop=loop)
        self._app.tables._recovery = LoudRecovery(
            self._app, self._app.tables, beacon=self._app.tables.beacon, loop=loop
        )
        self._app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        starting = asyncio.create_task(self._app.start())
        while not self._stopping.is_set():
            if self._app.crashed or (starting.done() and starting.exception()):
                self.give_up(self._app.crash_reason or starting.exception() or RuntimeError("no reason given"))
            try:
                await self._tick(starting.done())
            except Exception as error:
                self.give_up(error)
            await self._wait()
        await self._stop()

    async def _on_revoked(self, *_: Any, **__: Any) -> None:
        for runner in self._app.runners.values():
            await runner.on_revoked()

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._stopping.wait(), TICK_SECONDS)
        except TimeoutError:
            self._ticks += 1

    async def _tick(self, is_started: bool) -> None:
        self._health.beat()
        reason = self._reason(is_started)
        if reason:
            self._health.not_ready(reason)
            return
        reached = self._progress.look(self._app.consumer)
        silence = self._progress.silence_seconds()
        if silence > SILENCE_SECONDS and self._ticks:
            self._health.not_ready(f"Kafka has not answered for {silence:.0f} s")
            return
        self._health.ready()
        await self._pass_time(self._app, reached, self._ticks % _FORGET_TICKS == 0)

    def _reason(self, is_started: bool) -> str:
        """Why the tables cannot be used now; empty when they can."""
        if not is_started or self._app.in_recovery:
            return "restoring state"
        assigned = [tp for tp in self._app.consumer.assignment() if tp.topic in INPUTS]
        PARTITIONS.set(len(assigned))
        if self._app.rebalancing or not assigned:
            return "waiting for partitions from the group"
        return ""

    async def _stop(self) -> None:
        """Lets the batches in hand end, keeps further ones from beginning, commits what was acknowledged."""
        self._health.not_ready("stopping")
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                for runner in self._app.runners.values():
                    await runner.lock.acquire()
                await self._app.consumer.commit()
        except Exception as error:
            # What is not committed is read again and found to be a repeat.
            get_logger().warning("stopped_without_commit", reason=f"{type(error).__name__}: {error}")

    def give_up(self, error: BaseException) -> None:
        """Ends the process at once, non-zero: nothing that was begun may be acknowledged. It is read again."""
        where = "".join(traceback.format_exception(error)[-3:])
        get_logger().error("gave_up", reason=f"{type(error).__name__}: {error}", where=where)
        sys.stderr.write(f"moselle features: the stream cannot go on ({type(error).__name__}: {error}); ends\n")
        sys.stderr.flush()
        os._exit(1)
