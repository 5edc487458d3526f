"""Runs a stage or a server: group membership, state, transactions, retries, health, signals.

One path leads from every failure back to work, the same as after kill -9: drop the stage, open a new session, restore
state from what was committed, go on at the committed offsets.
"""

import gc
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import itemgetter
from types import FrameType
from typing import Protocol, TypeVar

from pydantic_settings import BaseSettings

from services.common.broker.abstract import Batch, Broker, Output, Record, Session, TopicPartition
from services.common.broker.kafka import KafkaBroker
from services.common.clock import Clock, SystemClock
from services.common.codec import Codec
from services.common.errors import MoselleError, Retryable, SettingsInvalid
from services.common.http import Health, HealthServer, Pages
from services.common.logging import configure_logging, get_logger
from services.common.memory import give_back_memory
from services.common.metrics import (
    DEAD_LETTERS,
    OUTPUTS,
    PARTITIONS,
    RECORDS,
    RESTORE_SECONDS,
    STATE_KEYS,
    TRANSACTION_SECONDS,
    TRANSACTIONS,
)
from services.common.schemas import SchemaRegistry
from services.common.settings import CommonSettings, read_settings
from services.common.stage import Outputs, Stage
from services.common.state import PartitionState, Saved
from services.common.topics import SCHEMAS, state_topic

#: How often a stage's `tick` is called, seconds of wall time.
TICK_SECONDS = 0.05
#: How often a server that only reads asks whether its broker is there.
LOOK_SECONDS = 2.0
_BACKOFF_SECONDS = (0.05, 0.2, 0.5, 1.0, 2.0, 5.0)

_topic, _offset, _place = itemgetter(0), itemgetter(2), itemgetter(0, 1)

MakeStage = Callable[[Broker, Codec], Stage]
S = TypeVar("S", bound=BaseSettings)


class StageRunner:
    """The loop around a stage, without process matters, so that tests run it with the in-memory broker.

    Args:
        broker: real or twin.
        service: its name: the consumer group is `moselle-<service>`, the state topic `<service>.state.v1`.
        inputs: topics to read.
        make_stage: makes a fresh stage for each session.
        outputs: topics that the stage writes.
        is_stateful: whether the stage keeps anything in its partitions' states; without, there is no state topic.
    """

    def __init__(
        self,
        broker: Broker,
        codec: Codec,
        service: str,
        inputs: Sequence[str],
        make_stage: MakeStage,
        clock: Clock,
        health: Health,
        settings: CommonSettings,
        outputs: Sequence[str] = (),
        is_stateful: bool = True,
    ) -> None:
        self._broker = broker
        self._codec = codec
        self._inputs = tuple(inputs)
        self._outputs = tuple(outputs)
        self._make_stage = make_stage
        self._clock = clock
        self._health = health
        self._settings = settings
        self._group = f"moselle-{service}"
        self._state_topic = state_topic(service).name if is_stateful else ""
        self._states: dict[TopicPartition, PartitionState] = {}
        self._state_partitions = 1
        self._left: list[Record] = []
        self._is_stopping = False
        self._failures = 0
        self._last_tick = 0.0

    def stop(self) -> None:
        """Ends `run` after the transaction in hand. Safe in a signal handler."""
        self._is_stopping = True

    def run(self) -> None:
        """Works until `stop`. A broker that goes away is waited for."""
        while not self._is_stopping:
            try:
                self._run_session()
            except Retryable as error:
                self._health.not_ready(str(error))
                get_logger().warning("session_lost", reason=str(error))
                self._wait()

    def _wait(self) -> None:
        pause = _BACKOFF_SECONDS[min(self._failures, len(_BACKOFF_SECONDS) - 1)]
        self._failures += 1
        until = self._clock.monotonic() + pause
        while self._clock.monotonic() < until and not self._is_stopping:
            self._health.beat()
            self._clock.sleep(TICK_SECONDS)

    def _run_session(self) -> None:
        self._states, self._left = {}, []
        stage = self._make_stage(self._broker, self._codec)
        session: Session | None = None
        try:
            written = tuple(filter(None, (*self._outputs, self._state_topic)))
            session = self._broker.open_session(self._group, str(self._settings.replica), self._inputs, written)
            while not self._is_stopping:
                self.turn(session, stage)
        finally:
            stage.close()
            if session is not None:
                session.close()

    def turn(self, session: Session, stage: Stage) -> int:
        """One round: poll, restore, process, commit. Returns how many records were processed."""
        # While some are left only one more is taken, so that large ones do not pile up here.
        most, wait = (1, 0.0) if self._left else (self._settings.batch_records, TICK_SECONDS)
        batch = session.poll(most, wait)
        self._health.beat()
        began = self._clock.monotonic()
        self._follow_assignment(batch, stage)
        outputs = Outputs(self._codec.encode, partial(self._write, session), self._codec.encode_all)
        records = self._process([*self._left, *batch.records], stage, outputs)
        if began - self._last_tick >= TICK_SECONDS:
            self._last_tick = began
            stage.tick(self._clock.now(), batch.caught_up - {r.topic_partition for r in self._left}, outputs)
        self._commit(session, records, outputs)
        if records:
            TRANSACTION_SECONDS.observe(self._clock.monotonic() - began)
        return len(records)

    def _process(self, records: list[Record], stage: Stage, outputs: Outputs) -> list[Record]:
        """Returns the records that were handled; the others are left for the next round."""
        handled = stage.process(records, outputs) if records else None
        self._left = [] if handled is None else records[handled:]
        return records if handled is None else records[:handled]

    def _commit(self, session: Session, records: Sequence[Record], outputs: Outputs) -> None:
        ends = dict(zip(map(_place, records), map(_offset, records), strict=True))
        next_offsets = {TopicPartition(*partition): offset + 1 for partition, offset in ends.items()}
        changes = self._state_changes()
        if not (next_offsets or outputs.records or changes):
            return
        try:
            session.commit([*outputs.left, *changes], next_offsets)
        except Retryable:
            TRANSACTIONS.labels("aborted").inc()
            raise
        TRANSACTIONS.labels("committed").inc()
        self._failures = 0
        _count(records, outputs)

    def _write(self, session: Session, outputs: Sequence[Output]) -> None:
        try:
            session.write(outputs)
        except Retryable:
            TRANSACTIONS.labels("aborted").inc()
            raise

    def _follow_assignment(self, batch: Batch, stage: Stage) -> None:
        if batch.revoked:
            self._left = [record for record in self._left if record.topic_partition not in batch.revoked]
        for partition in batch.revoked:
            stage.revoke(partition)
            del self._states[partition]
        if batch.assigned:
            self._health.not_ready("restoring state")
            began = self._clock.monotonic()
            for partition, state in self._restore(batch.assigned).items():
                self._states[partition] = state
                stage.assign(partition, state)
            RESTORE_SECONDS.observe(self._clock.monotonic() - began)
            get_logger().info("partitions_assigned", partitions=[f"{t}[{p}]" for t, p in sorted(self._states)])
        if batch.assigned or batch.revoked:
            PARTITIONS.set(len(self._states))
        if self._states and self._health.reason:
            self._health.ready()
        elif not self._states and (not self._health.reason or batch.revoked):
            self._health.not_ready("waiting for partitions from the group")

    def _restore(self, assigned: Sequence[TopicPartition]) -> dict[TopicPartition, PartitionState]:
        if not self._state_topic:
            return {partition: PartitionState() for partition in assigned}
        count = self._state_partitions = self._broker.num_partitions(self._state_topic)
        saved: dict[TopicPartition, dict[str, Saved]] = {partition: {} for partition in assigned}
        for number in sorted({partition.partition % count for partition in assigned}):
            for record in self._broker.read_to_end(self._state_topic, number):
                self._apply_saved(record, saved)
        STATE_KEYS.set(sum(map(len, saved.values())))
        return {partition: PartitionState(values) for partition, values in saved.items()}

    def _apply_saved(self, record: Record, saved: dict[TopicPartition, dict[str, Saved]]) -> None:
        topic, number, key = (record.key or b"").decode().split("|", 2)
        values = saved.get(TopicPartition(topic, int(number)))
        if values is None:
            return
        if record.value is None:
            values.pop(key, None)
            return
        state = self._codec.decode(record.value)
        values[key] = Saved(state["state_version"], state["payload"])

    def _state_changes(self) -> list[Output]:
        return [
            self._saved_output(partition, key, saved)
            for partition, state in self._states.items()
            for key, saved in state.take_changes()
        ]

    def _saved_output(self, partition: TopicPartition, key: str, saved: Saved | None) -> Output:
        name = f"{partition.topic}|{partition.partition}|{key}".encode()
        value = None
        if saved is not None:
            value = self._codec.encode("state.v1", {"state_version": saved.version, "payload": saved.payload})
        return Output(self._state_topic, name, value, None, partition.partition % self._state_partitions)


def run_stage(
    service: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    make_stage: MakeStage,
    settings: CommonSettings,
    is_stateful: bool = True,
    pages: Pages | None = None,
) -> int:
    """Runs a service's stage as a process until SIGTERM or SIGINT; returns its exit code.

    Args:
        service: its name.
        inputs, outputs: the topics that must exist.
        make_stage: makes the pipeline with its adapters.
        settings: the common ones; the service's own are in `make_stage`.
        pages: what it serves beside health and metrics.
    """

    def run(broker: KafkaBroker, codec: Codec, clock: Clock, health: Health) -> None:
        runner = StageRunner(broker, codec, service, inputs, make_stage, clock, health, settings, outputs, is_stateful)
        _stop_on_signals(runner.stop)
        _tune_garbage_collection()
        give_back_memory()
        runner.run()

    state_topics = [state_topic(service).name] if is_stateful else []
    return _run_process(service, [*inputs, *outputs, *state_topics], run, settings, pages)


class Server(Protocol):
    """What answers requests from views of topics: the kernel's broadcast mode as a process."""

    def open_views(self) -> None:
        """Opens its views anew; what it holds in memory stays, and records may come a second time.

        Raises:
            Retryable: the broker does not answer.
        """
        ...

    def turn(self, timeout_seconds: float) -> None:
        """Applies what has come. The first call after `open_views` reads to the end; then the server is fresh.

        Raises:
            Retryable: the broker does not answer; requests go on being answered from what is there.
        """
        ...

    def close(self) -> None:
        """Stops taking requests, ends those in hand, closes the views."""
        ...


MakeServer = Callable[[Broker, Codec], Server]


def run_server(service: str, topics: Sequence[str], make_server: MakeServer, settings: CommonSettings) -> int:
    """Runs a gRPC or HTTP server as a process until SIGTERM or SIGINT; returns its exit code.

    `/readyz` says yes while the views are fresh.

    Args:
        service: its name.
        topics: all that it reads or writes; they must exist.
        make_server: makes the server, listening already; `close` is called at the end.
        settings: the common ones.
    """

    def run(broker: KafkaBroker, codec: Codec, clock: Clock, health: Health) -> None:
        is_stopping = threading.Event()
        _stop_on_signals(is_stopping.set)
        server = make_server(broker, codec)

        def look() -> None:
            try:
                broker.check([SCHEMAS.name])
            except SettingsInvalid as error:
                raise Retryable(str(error)) from error

        try:
            while not is_stopping.is_set():
                _follow_views(server, is_stopping, health, look)
        finally:
            server.close()

    return _run_process(service, topics, run, settings)


def _follow_views(server: Server, is_stopping: threading.Event, health: Health, look: Callable[[], None]) -> None:
    """Keeps the views fresh until told to stop or the broker is gone; then waits a moment.

    Args:
        look: raises Retryable when the broker does not answer: views by themselves only see that nothing comes.
    """
    try:
        server.open_views()
        server.turn(0.0)
        health.beat()
        health.ready()
        last_look = time.monotonic()
        while not is_stopping.is_set():
            server.turn(TICK_SECONDS)
            if time.monotonic() - last_look > LOOK_SECONDS:
                look()
                last_look = time.monotonic()
            health.beat()
    except Retryable as error:
        health.beat()
        health.not_ready(str(error))
        get_logger().warning("views_lost", reason=str(error))
        is_stopping.wait(0.5)


def _run_process(
    service: str,
    topics: Sequence[str],
    run: Callable[[KafkaBroker, Codec, Clock, Health], None],
    settings: CommonSettings,
    pages: Pages | None = None,
) -> int:
    """What every service needs around its work: logging, health, the broker, the topics, the schemas."""
    clock = SystemClock()
    health = Health(clock)
    server: HealthServer | None = None
    try:
        configure_logging(settings.log_level, service=service, replica=settings.replica)
        server = HealthServer(settings.http_host, settings.http_port, health, pages)
        get_logger().info("listening", http=f"{settings.http_host}:{server.port}")
        broker = KafkaBroker(
            settings.kafka_bootstrap,
            settings.session_timeout_ms,
            settings.max_buffered_records,
            settings.startup_timeout_seconds,
        )
        codec = Codec()
        registry = _prepare(broker, codec, [*topics, SCHEMAS.name], settings, clock)
        run(broker, codec, clock, health)
        registry.close()
        broker.close()
        return 0
    except MoselleError as error:
        return fail(service, error)
    finally:
        if server is not None:
            server.close()


def _prepare(
    broker: Broker, codec: Codec, topics: Sequence[str], settings: CommonSettings, clock: Clock
) -> SchemaRegistry:
    """Looks for the topics and publishes the schemas; a broker that is still electing leaders is waited for."""
    registry = SchemaRegistry(broker, codec)
    until = clock.monotonic() + settings.startup_timeout_seconds
    while True:
        try:
            broker.check(topics)
            registry.publish_own()
            return registry
        except Retryable:
            if clock.monotonic() > until:
                raise
            clock.sleep(0.2)


def fail(service: str, error: MoselleError) -> int:
    """Says in one sentence on standard error why a service stops; returns the exit code 1."""
    sys.stderr.write(f"moselle {service}: {error}\n")
    return 1


def run_role(
    service: str, arguments: Sequence[str], roles: Mapping[str, Callable[[CommonSettings, S], int]], kind: type[S]
) -> int:
    """Reads the settings and runs one of a service's roles until told to stop.

    Args:
        arguments: of the command line: a role's name, or nothing for the first of `roles`.
        kind: the service's own settings.

    Returns:
        The exit code: 2 for a role that is none, 1 for a setting that cannot be.
    """
    role = roles.get(arguments[0] if arguments else next(iter(roles)))
    if role is None or len(arguments) > 1:
        sys.stderr.write(f"moselle {service}: no role {' '.join(arguments)!r}; one of {', '.join(roles)}\n")
        return 2
    try:
        return role(read_settings(CommonSettings), read_settings(kind))
    except SettingsInvalid as error:
        return fail(service, error)


def _tune_garbage_collection() -> None:
    """Records live for one batch and hold no cycles: looking for them after each 700 of them is wasted."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def on_signal(number: int, frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def _count(records: Sequence[Record], outputs: Outputs) -> None:
    for topic, number in Counter(map(_topic, records)).items():
        RECORDS.labels(topic).inc(number)
    for topic, number in Counter(map(_topic, outputs.records)).items():
        OUTPUTS.labels(topic).inc(number)
    for (topic, reason), number in outputs.dead_letters.items():
        DEAD_LETTERS.labels(topic, reason).inc(number)
