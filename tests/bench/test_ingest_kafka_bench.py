"""Ingest as a process of its own on a real Kafka: lines a second of wall and of CPU time. Prints a line of JSON.

The lines of the recorded cloud that ship with the demo, as `moselle replay` sends them, lie on `logs.raw` before the
process starts. What is measured begins at its first commit, so that the start of Python and the group's first
rebalance are left out, and ends when everything is committed. Asserts nothing about speed.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

import confluent_kafka as ck
import psutil
import pytest

from moselle.demo.slice import HERE
from moselle.replay.run import replay
from moselle.stack.topics import create_topics
from services.common.topics import LOGS_RAW, all_topics

ROUNDS = 3
#: How often the recording is published before each round: 75,000 lines each.
REPEATS = 2
PARTITIONS = 4
POLL_SECONDS = 0.02
TIMEOUT_SECONDS = 120.0
ROOT = Path(__file__).parents[2]


class Reading(NamedTuple):
    """Where ingest was: lines committed so far, wall time, and CPU seconds of its process."""

    lines: int
    wall: float
    cpu: float


@pytest.mark.bench
def test_ingest_lines_per_second(kafka_bootstrap: str, tmp_path: Path) -> None:
    """The median of three rounds, and each of them."""
    create_topics(kafka_bootstrap, all_topics(), PARTITIONS)
    files = sorted(HERE.glob("*/*.log.xz"))
    rounds = [run(kafka_bootstrap, files, tmp_path / f"ingest-{number}.log") for number in range(ROUNDS)]
    walls = [(end.lines - begin.lines) / (end.wall - begin.wall) for begin, end in rounds]
    cpus = [(end.lines - begin.lines) / (end.cpu - begin.cpu) for begin, end in rounds]
    figures = {
        "bench": "ingest_kafka", "lines": [end.lines - begin.lines for begin, end in rounds], "partitions": PARTITIONS,
        "lines_per_wall_second": round(median(walls)), "lines_per_cpu_second": round(median(cpus)),
        "rounds_wall": [round(rate) for rate in walls], "rounds_cpu": [round(rate) for rate in cpus],
        "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
    assert all(rate > 0 for rate in walls)


def run(bootstrap: str, files: list[Path], log: Path) -> tuple[Reading, Reading]:
    """Publishes, then lets one ingest read everything: its first and its last reading."""
    for _ in range(REPEATS):
        replay(files, bootstrap, say=lambda words: None)
    with group_positions(bootstrap) as positions, ingest(bootstrap, log) as process:
        before, end = positions.committed(), positions.end()
        begin = wait_for(positions, process, before + 1, log)
        return begin, wait_for(positions, process, end, log)


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
def ingest(bootstrap: str, log: Path) -> Iterator[psutil.Process]:
    """One ingest with settings as shipped."""
    environment = {**os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.ingest"], cwd=ROOT, env=environment, stdout=file, stderr=file
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(30)


def wait_for(positions: Positions, process: psutil.Process, lines: int, log: Path) -> Reading:
    """The first reading at which so many lines are committed."""
    until = time.monotonic() + TIMEOUT_SECONDS
    while (committed := positions.committed()) < lines:
        if time.monotonic() > until or not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise AssertionError(f"ingest stands at {committed} of {lines} lines: {log.read_text()[-2000:]}")
        time.sleep(POLL_SECONDS)
    times = process.cpu_times()
    return Reading(committed, time.monotonic(), times.user + times.system)
