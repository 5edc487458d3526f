"""Small records through a transactional stage on the embedded broker, beside a bare loop in the same run."""

import time
from collections.abc import Collection, Sequence
from datetime import datetime
from statistics import median

import confluent_kafka as ck
import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from services.common.broker.abstract import Output, Record, TopicPartition
from services.common.broker.client import PRODUCER, READER
from services.common.broker.kafka import KafkaBroker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from services.common.stage import Outputs
from services.common.state import PartitionState

NUM_RECORDS = 300_000
PARTITIONS = 4
VALUE = b'{"date":1795241380.0,"host":"controller-1","log":"a small record of about a hundred bytes, as shipped"}'

pytestmark = pytest.mark.bench


class PassOn:
    """Writes each record on, and keeps one counter of state."""

    def __init__(self) -> None:
        self._states: dict[TopicPartition, PartitionState] = {}

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        self._states[partition] = state

    def revoke(self, partition: TopicPartition) -> None:
        del self._states[partition]

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        outputs.records += [Output("bench-out", r.key, r.value) for r in records]
        for partition in {r.topic_partition for r in records}:
            self._states[partition].put("count", b"%d" % len(records))

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None: ...

    def close(self) -> None: ...


def test_kernel_records_per_second(kafka_bootstrap: str) -> None:
    """Prints the median of three runs of the kernel and of the bare loop, and their ratio."""
    make_topics(kafka_bootstrap)
    fill(kafka_bootstrap)
    kernel, bare = [], []
    for run in range(3):
        bare.append(bare_loop(kafka_bootstrap, f"bare-{run}"))
        kernel.append(kernel_loop(kafka_bootstrap, f"kernel-{run}"))
    print(
        f"\nbare loop {median(bare):,.0f}/s, kernel {median(kernel):,.0f}/s,"
        f" ratio {median(kernel) / median(bare):.2f}; runs {[round(k) for k in kernel]}"
    )
    assert all(rate > 0 for rate in kernel)


def make_topics(bootstrap: str) -> None:
    names = [
        NewTopic("bench-in", PARTITIONS, 1),
        NewTopic("bench-out", PARTITIONS, 1),
        NewTopic("kernel.state.v1", 4, 1),
    ]
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics(names).values():
        future.result(30)


def fill(bootstrap: str) -> None:
    broker = KafkaBroker(bootstrap)
    for start in range(0, NUM_RECORDS, 50_000):
        broker.publish([Output("bench-in", b"host-%d" % (i % 64), VALUE) for i in range(start, start + 50_000)])
    broker.close()


def kernel_loop(bootstrap: str, group: str) -> float:
    broker = KafkaBroker(bootstrap)
    settings = CommonSettings()
    clock = SystemClock()
    runner = StageRunner(broker, Codec(), "kernel", ["bench-in"], lambda b, c: PassOn(), clock, Health(clock), settings)
    session, stage = broker.open_session(group, "0", ["bench-in"]), PassOn()
    done = 0
    while not done:
        done = runner.turn(session, stage)
    began, first = time.monotonic(), done
    while done < NUM_RECORDS:
        done += runner.turn(session, stage)
    rate = (done - first) / (time.monotonic() - began)
    session.close()
    return rate


def bare_loop(bootstrap: str, group: str) -> float:
    base = {"bootstrap.servers": bootstrap}
    producer = ck.Producer(PRODUCER | base | {"transactional.id": group})
    producer.init_transactions(30)
    consumer = ck.Consumer(READER | base | {"group.id": group, "enable.partition.eof": False})
    consumer.subscribe(["bench-in"])
    done, began, first = 0, 0.0, 0
    while done < NUM_RECORDS:
        messages = [m for m in consumer.consume(2000, 0.05) if m.error() is None]
        if not messages:
            continue
        producer.begin_transaction()
        for message in messages:
            producer.produce("bench-out", message.value(), message.key())
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata(), 30
        )
        producer.commit_transaction(30)
        done += len(messages)
        if not began:
            began, first = time.monotonic(), done
    rate = (done - first) / (time.monotonic() - began)
    consumer.close()
    return rate
