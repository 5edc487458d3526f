"""remote_write through the receiver and the stage on a real Kafka: samples a second. Prints a line of JSON.

Requests of 2,000 samples of 2,000 series, as a Prometheus sends them by default, over four connections; then one ingest
reads them all from the topic. Asserts nothing about speed.
"""

import http.client
import json
import os
import sys
import threading
import time
from pathlib import Path

import cramjam
import psutil
import pytest

from moselle.stack.topics import create_topics
from services.common.broker.kafka import KafkaBroker
from services.common.gen.prometheus.write.v1 import write_pb2 as v1
from services.common.gen.prometheus.write.v2 import write_pb2 as v2
from services.common.topics import all_topics
from tests.integration.ingest_programs import Program, committed_all, running
from tests.polling import poll_until
from tests.unit.ingest.requests_of import NOON_MS, WRITE_1, WRITE_2

NUM_REQUESTS, NUM_SAMPLES, NUM_CONNECTIONS, PARTITIONS = 400, 2000, 4, 4
LABELS = [
    {"__name__": f"node_metric_{i % 100}_total", "cpu": str(i // 100), "instance": f"c{i % 7}:9100", "job": "node"}
    for i in range(NUM_SAMPLES)
]


def body_1(number: int) -> bytes:
    """A scrape of remote_write 1.0."""
    request = v1.WriteRequest()
    for value, labels in enumerate(LABELS):
        series = request.timeseries.add()
        for name, text in labels.items():
            series.labels.add(name=name, value=text)
        series.samples.add(value=value + number, timestamp=NOON_MS + 15_000 * number)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def body_2(number: int) -> bytes:
    """The same of 2.0."""
    symbols = {"": 0}
    request = v2.Request()
    for value, labels in enumerate(LABELS):
        refs = [symbols.setdefault(text, len(symbols)) for pair in labels.items() for text in pair]
        series = request.timeseries.add(labels_refs=refs)
        series.samples.add(value=value + number, timestamp=NOON_MS + 15_000 * number)
    request.symbols.extend(symbols)
    return bytes(cramjam.snappy.compress_raw(request.SerializeToString()))


def send(port: int, bodies: list[bytes], headers: dict[str, str], statuses: list[int]) -> None:
    """Over one connection, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for body in bodies:
        connection.request("POST", "/api/v1/write", body, headers)
        answer = connection.getresponse()
        answer.read()
        statuses.append(answer.status)
    connection.close()


def cpu_seconds(program: Program) -> float:
    """CPU time of its process so far."""
    times = psutil.Process(program.process.pid).cpu_times()
    return float(times.user + times.system)


@pytest.mark.bench
@pytest.mark.parametrize("version", [1, 2])
def test_remote_write_samples_per_second(version: int, kafka_bootstrap: str, tmp_path: Path) -> None:
    """In through HTTP until Kafka has it, and on from Kafka to Kafka."""
    create_topics(kafka_bootstrap, all_topics(), PARTITIONS)
    make, headers = (body_1, WRITE_1) if version == 1 else (body_2, WRITE_2)
    bodies = [make(number) for number in range(NUM_REQUESTS)]
    receiver = Program(kafka_bootstrap, tmp_path / "receiver.log", "receiver")
    statuses: list[int] = []
    with running(receiver):
        cpu, began = cpu_seconds(receiver), time.perf_counter()
        parts = [bodies[number::NUM_CONNECTIONS] for number in range(NUM_CONNECTIONS)]
        threads = [threading.Thread(target=send, args=(receiver.port, part, headers, statuses)) for part in parts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wall, cpu = time.perf_counter() - began, cpu_seconds(receiver) - cpu
    broker, stage = KafkaBroker(kafka_bootstrap), Program(kafka_bootstrap, tmp_path / "stage.log")
    total = NUM_REQUESTS * NUM_SAMPLES
    with running(stage):
        idle = cpu_seconds(stage)
        poll_until(lambda: committed_all(broker, "metrics.raw"), "everything read", 240)
        stage_cpu = cpu_seconds(stage) - idle
    figures = {
        "bench": f"remote_write_{version}", "samples": total, "bytes_per_request": len(bodies[0]),
        "receiver_per_wall_second": round(total / wall), "receiver_per_cpu_second": round(total / cpu),
        "stage_per_cpu_second": round(total / stage_cpu), "load_average": round(os.getloadavg()[0], 1),
    }  # fmt: skip
    sys.stdout.write("\n" + json.dumps(figures) + "\n")
    assert statuses == [204] * NUM_REQUESTS
