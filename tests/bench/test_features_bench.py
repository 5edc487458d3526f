"""Scrapes a second that one Faust worker turns into vectors, beside Faust doing the same writes with no features."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.topics import all_topics
from tests.integration.features_worker import Worker
from tests.unit.features.samples import make_samples

pytestmark = pytest.mark.bench
CODEC = Codec()
NUM_ENTITIES, NUM_SCRAPES = 50, 200
NUM = NUM_ENTITIES * NUM_SCRAPES
TOPIC = "metrics.samples.v1"
_DONE = re.compile(r'moselle_features_records_total\{feature_set="metrics",verdict="admitted"\} (\S+)')


def scrape(entity: int, number: int) -> bytes:
    """What process-exporter says of one process group every five seconds."""
    group = f'groupname="g{entity}",host="h"'
    values = {
        f'namedprocess_namegroup_cpu_seconds_total{{{group},mode="user"}}': number * 0.5,
        f'namedprocess_namegroup_cpu_seconds_total{{{group},mode="system"}}': number * 0.1,
        f'namedprocess_namegroup_memory_bytes{{{group},memtype="proportionalResident"}}': 2e8 + number,
        f"namedprocess_namegroup_read_bytes_total{{{group}}}": number * 100.0,
        f"namedprocess_namegroup_write_bytes_total{{{group}}}": number * 300.0,
        **{f'namedprocess_namegroup_states{{{group},state="s{n}"}}': float(n) for n in range(15)},
    }
    return CODEC.encode(TOPIC, make_samples(5 * number, values, f"service:g{entity}@h"))


def admitted(port: int) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        found = _DONE.search(answer.read().decode())
    return int(float(found[1])) if found else 0


def worker_rate(bootstrap: str, folder: Path) -> float:
    create_topics(bootstrap, all_topics(), 1)
    records = [(f"service:g{e}@h".encode(), scrape(e, n)) for n in range(NUM_SCRAPES) for e in range(NUM_ENTITIES)]
    KafkaBroker(bootstrap).publish([Output(TOPIC, key, value) for key, value in records])
    worker = Worker(bootstrap, folder)
    began, first = time.monotonic(), admitted(worker.port)
    while (now := admitted(worker.port)) < NUM:
        time.sleep(0.02)
        if not first:
            began, first = time.monotonic(), now
    seconds = time.monotonic() - began
    worker.end(signal.SIGKILL)
    return (NUM - first) / seconds


def peer_rate(bootstrap: str) -> float:
    admin = AdminClient({"bootstrap.servers": bootstrap})
    for future in admin.create_topics([NewTopic("it-peer-in", 1, 1), NewTopic("it-peer-out", 1, 1)]).values():
        future.result(30)
    keys = [f"service:g{n % NUM_ENTITIES}@h".encode() for n in range(NUM)]
    KafkaBroker(bootstrap).publish([Output("it-peer-in", key, b"x" * 1500) for key in keys])
    environment = {**os.environ, "MOSELLE_KAFKA_BOOTSTRAP": bootstrap}
    command = [sys.executable, "-m", "tests.bench.faust_peer", str(NUM)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=200, check=True)
    return NUM / float(done.stdout.split()[-1])


@pytest.mark.timeout(400)
def test_scrapes_per_second(kafka_bootstrap: str, tmp_path: Path) -> None:
    """One partition each, decoding and two acknowledgements a batch included."""
    peer, worker = peer_rate(kafka_bootstrap), worker_rate(kafka_bootstrap, tmp_path)
    print(f"features: {worker:,.0f} scrapes/s; Faust with the same writes and no features: {peer:,.0f}/s")
    assert worker > 0
