"""Ingest on a real Kafka, exactly once: lines a second of one replica and of two, beside the sum of its parts.

openstack_live's normal part as Fluent Bit sends it, where the data lies beside the repository, else the recording that
ships with the demo. Measured on the same lines, in turn:

- the parts, each by itself in this process: consume, read, .., produce, commit; CPU microseconds a line, what the
  Kafka client's own threads take included;
- one replica as a process of its own, settings as shipped, warm, to its last commit;
- two replicas, of which the second joined when the first was at work;
- the same two with a fixed share of a core for each replica, where the system lets this user limit processes: machines
  of few cores cannot show otherwise what a second replica brings, since the broker needs some, too.

The lines are those of as many hosts as there are partitions, dealt so that each partition gets equally many: what a
second replica brings where its sources are unequal is no more than its share of them. Medians of rounds. Prints the
table and a line of JSON; asserts nothing about speed.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from pathlib import Path
from statistics import median
from typing import NamedTuple

import confluent_kafka as ck
import psutil
import pytest
from confluent_kafka.admin import AdminClient

from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output, Session
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.topics import LOGS_RAW, all_topics
from tests.bench.cpu_share import cpu_share
from tests.bench.ingest_parts import (
    BATCH_RECORDS,
    raw_messages,
    raw_records,
    source_folder,
    step_micros,
    tune_garbage_collection,
)

ROUNDS = 3
PARTITIONS = 4
#: Of a core, for each replica while it is limited.
SHARE = 0.4
POLL_SECONDS = 0.02
MOMENT_SECONDS = 0.2
TIMEOUT_SECONDS = 180.0
ROOT = Path(__file__).parents[2]
ORDER = ("consume", "read", "parse", "fold", "mine", "build", "encode", "produce", "commit")


class Reading(NamedTuple):
    """Where ingest was: lines committed so far, wall time, and CPU seconds of its processes."""

    lines: int
    wall: float
    cpu: float


class Rates(NamedTuple):
    """Lines a second, and CPU microseconds a line."""

    wall: float
    micros: float

    @classmethod
    def between(cls, begin: Reading, end: Reading) -> "Rates":
        lines = end.lines - begin.lines
        return cls(lines / (end.wall - begin.wall), (end.cpu - begin.cpu) / lines * 1e6)


@pytest.mark.bench
@pytest.mark.timeout(2400)
def test_ingest_lines_per_second(kafka_bootstrap: str, tmp_path: Path) -> None:
    """The parts, one replica, two replicas; and with a share of a core for each."""
    create_topics(kafka_bootstrap, all_topics(), PARTITIONS)
    messages = raw_messages()
    parts, events_a_line = measure_parts(kafka_bootstrap, messages)
    rates = {
        name: [run(kafka_bootstrap, messages, replicas, tmp_path / f"{name}-{i}", share) for i in range(ROUNDS)]
        for name, replicas, share in runs()
    }
    report(parts, events_a_line, rates["one"], rates["two"])
    report_limited(rates)
    assert all(each.wall > 0 for found in rates.values() for each in found)


def runs() -> list[tuple[str, int, float | None]]:
    """(name, replicas, share of a core for each)."""
    free: list[tuple[str, int, float | None]] = [("one", 1, None), ("two", 2, None)]
    with cpu_share("bench-try", SHARE) as enter:
        return [*free, *([("one_limited", 1, SHARE), ("two_limited", 2, SHARE)] if enter else [])]


def report_limited(rates: Mapping[str, Sequence[Rates]]) -> None:
    if "one_limited" not in rates:
        sys.stdout.write("not limited: this user may make no control group with a CPU quota here\n")
        return
    one, two = ([each.wall for each in rates[name]] for name in ("one_limited", "two_limited"))
    figures = {
        "bench": "ingest_kafka_limited", "share_of_a_core_each": SHARE,
        "lines_per_wall_second": round(median(one)), "two_replicas_lines_per_wall_second": round(median(two)),
        "two_by_one": round(median(two) / median(one), 2),
        "rounds_one": [round(x) for x in one], "rounds_two": [round(x) for x in two],
        "micros": [round(median(each.micros for each in rates[name]), 1) for name in ("one_limited", "two_limited")],
        "cores": psutil.cpu_count(), "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    sys.stdout.write(f"{json.dumps(figures)}\n")


def report(parts: dict[str, float], events_a_line: float, one: Sequence[Rates], two: Sequence[Rates]) -> None:
    total, whole = sum(parts.values()), median(rates.micros for rates in one)
    walls = [median(rates.wall for rates in each) for each in (one, two)]
    rows = [*((name, parts[name]) for name in ORDER), ("sum of the parts", total), ("the whole", whole)]
    table = "\n".join(f"{name:20s}{micros:8.2f} us a line" for name, micros in rows)
    figures = {
        "bench": "ingest_kafka", "source": source_folder().parts[-2], "partitions": PARTITIONS, "rounds": ROUNDS,
        "parts_micros": {name: round(parts[name], 2) for name in ORDER}, "sum_micros": round(total, 2),
        "whole_micros": round(whole, 2), "whole_by_sum": round(whole / total, 2),
        "events_a_line": round(events_a_line, 3),
        "events_per_cpu_second": round(1e6 / whole * events_a_line), "lines_per_cpu_second": round(1e6 / whole),
        "lines_per_wall_second": round(walls[0]), "two_replicas_lines_per_wall_second": round(walls[1]),
        "two_by_one": round(walls[1] / walls[0], 2),
        "two_replicas_micros": round(median(rates.micros for rates in two), 2),
        "rounds_one": [[round(x, 1) for x in rates] for rates in one],
        "rounds_two": [[round(x, 1) for x in rates] for rates in two],
        "cores": psutil.cpu_count(), "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    sys.stdout.write(f"\n{table}\n{json.dumps(figures)}\n")


def measure_parts(bootstrap: str, messages: Sequence[tuple[bytes, bytes]]) -> tuple[dict[str, float], float]:
    """CPU microseconds a line of every part, and how many events a line makes."""
    broker = KafkaBroker(bootstrap)
    publish(broker, messages, len(messages) * ROUNDS)
    tune_garbage_collection()
    consumed = []
    for number in range(ROUNDS):
        session = broker.open_session("bench-consume", str(number), [LOGS_RAW.name])
        consumed.append(consume_micros(session, len(messages) * ROUNDS))
        session.close()
    parts, steps = step_micros(raw_records(messages), Codec(), ROUNDS)
    session = broker.open_session("bench-produce", "0", [LOGS_RAW.name])
    sent = [produce_micros(session, steps.outputs, len(messages)) for _ in range(ROUNDS)]
    session.close()
    broker.close()
    parts |= {"consume": median(consumed), "produce": median(p for p, _ in sent), "commit": median(c for _, c in sent)}
    return parts, steps.num_events / len(messages)


def consume_micros(session: Session, num_lines: int) -> float:
    """From when the first records have come; nothing is committed, so that each round reads the same."""
    first = poll_some(session)
    began, count = time.process_time(), 0
    while first + count < num_lines:
        count += len(session.poll(BATCH_RECORDS, 0.05).records)
    return (time.process_time() - began) / count * 1e6


def poll_some(session: Session) -> int:
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        if records := session.poll(BATCH_RECORDS, 0.05).records:
            return len(records)
    raise AssertionError("nothing came")


def produce_micros(session: Session, outputs: Sequence[Output], num_lines: int) -> tuple[float, float]:
    """Of writing what the lines became, and of committing it, in transactions as large as ingest's."""
    size = -(-len(outputs) * BATCH_RECORDS // num_lines)
    produced = committed = 0.0
    for start in range(0, len(outputs), size):
        began = time.process_time()
        session.write(outputs[start : start + size])
        written = time.process_time()
        session.commit([], {})
        produced += written - began
        committed += time.process_time() - written
    return produced / num_lines * 1e6, committed / num_lines * 1e6


def publish(broker: KafkaBroker, messages: Sequence[tuple[bytes, bytes]], num_lines: int) -> None:
    """The lines again and again, as `moselle replay` would send them."""
    outputs = [Output(LOGS_RAW.name, key, value) for key, value in messages]
    for start in range(0, num_lines, len(outputs)):
        broker.publish(outputs[: num_lines - start])


def publish_evenly(broker: KafkaBroker, messages: Sequence[tuple[bytes, bytes]], times: int) -> None:
    """The lines `times` times PARTITIONS times, each time as another host's, whose files lie in the next partitions."""
    files = {key: number for number, (key, _) in enumerate(Counter(key for key, _ in messages).most_common())}
    for number in range(times * PARTITIONS):
        host = b"controller-%d" % (number % PARTITIONS + 1)
        broker.publish(
            [
                Output(
                    LOGS_RAW.name, key.replace(b"controller-1", host), value.replace(b'"controller-1"', b'"%s"' % host),
                    None, (files[key] + number) % PARTITIONS,
                )
                for key, value in messages
            ]
        )  # fmt: skip


def run(
    bootstrap: str, messages: Sequence[tuple[bytes, bytes]], replicas: int, log: Path, share: float | None
) -> Rates:
    """Publishes, lets one replica begin, then the others join while it works; counts from when all share."""
    broker = KafkaBroker(bootstrap)
    logs = [log.with_suffix(f".{number}.log") for number in range(replicas)]
    with ExitStack() as stack:
        stack.callback(broker.close)
        wait_until_nobody_reads(bootstrap)
        positions = stack.enter_context(group_positions(bootstrap))
        before = positions.end()
        publish_evenly(broker, messages, 1 + replicas)
        processes: list[psutil.Process] = []
        for number, each in enumerate(logs):
            enter = stack.enter_context(cpu_share(f"bench-{number}", share)) if share else None
            processes.append(stack.enter_context(ingest(bootstrap, number, each)))
            wait_for(positions, processes, before + len(messages), logs[: number + 1])
            wait_until_shared(logs[: number + 1], processes)
            if enter:
                enter(processes[-1].pid)
        begin = wait_for(positions, processes, positions.committed() + 1, logs)
        return Rates.between(begin, wait_for(positions, processes, positions.end(), logs))


def wait_until_nobody_reads(bootstrap: str) -> None:
    """Until Kafka has given up on the replicas of the round before: a static member keeps its part for a while."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until:
        group = client.describe_consumer_groups(["moselle-ingest"])["moselle-ingest"]
        try:
            if not group.result().members:
                return
        except ck.KafkaException as error:
            if error.args[0].code() == ck.KafkaError.GROUP_ID_NOT_FOUND:
                return
        time.sleep(POLL_SECONDS)
    raise AssertionError("replicas of the round before are still members of the group")


def wait_until_shared(logs: Sequence[Path], processes: Sequence[psutil.Process]) -> None:
    """Until each process says that it has its part of the partitions."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < until and all(process.is_running() for process in processes):
        said = [[line for line in each.read_text().splitlines() if "partitions_assigned" in line] for each in logs]
        if all(lines and lines[-1].count(LOGS_RAW.name) == PARTITIONS // len(logs) for lines in said):
            return
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"partitions were not shared: {[each.read_text()[-500:] for each in logs]}")


class Positions:
    """What the group of ingest has committed of logs.raw, and how much there is."""

    def __init__(self, consumer: ck.Consumer) -> None:
        self._consumer = consumer
        self._partitions = [ck.TopicPartition(LOGS_RAW.name, number) for number in range(PARTITIONS)]

    def committed(self) -> int:
        """What is committed; waits for a fresh broker to find out who coordinates the group."""
        until = time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                return sum(max(0, each.offset) for each in self._consumer.committed(self._partitions, timeout=10))
            except ck.KafkaException:
                if time.monotonic() > until:
                    raise
                time.sleep(POLL_SECONDS)

    def end(self) -> int:
        return sum(self._consumer.get_watermark_offsets(each, timeout=10)[1] for each in self._partitions)


@contextmanager
def group_positions(bootstrap: str) -> Iterator[Positions]:
    """Looks from outside; never joins the group."""
    consumer = ck.Consumer({"bootstrap.servers": bootstrap, "group.id": "moselle-ingest"})
    try:
        yield Positions(consumer)
    finally:
        consumer.close()


@contextmanager
def ingest(bootstrap: str, replica: int, log: Path) -> Iterator[psutil.Process]:
    """One ingest with settings as shipped."""
    environment = {**os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap, "MOSELLE_REPLICA": str(replica)}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.ingest"], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(positions: Positions, processes: Sequence[psutil.Process], lines: int, logs: Sequence[Path]) -> Reading:
    """The first reading at which so many lines are committed, of a moment: not when the broker took long to answer."""
    until, seconds, committed = time.monotonic() + TIMEOUT_SECONDS, inf, 0
    while committed < lines or seconds > MOMENT_SECONDS:
        if time.monotonic() > until or not all(each.status() != psutil.STATUS_ZOMBIE for each in processes):
            said = [each.read_text()[-2000:] for each in logs]
            raise AssertionError(f"ingest stands at {committed} of {lines} lines: {said}")
        time.sleep(POLL_SECONDS)
        asked = time.monotonic()
        committed = positions.committed()
        seconds = time.monotonic() - asked
    times = [each.cpu_times() for each in processes]
    return Reading(committed, time.monotonic(), sum(each.user + each.system for each in times))
