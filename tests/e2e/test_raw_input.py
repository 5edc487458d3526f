"""What shippers may send, on the whole stack: hostile bytes, and a traceback whose reader is killed half-way."""

import json
import os
import random
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import cramjam

from services.common import topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from tests.e2e.systems import System
from tests.polling import poll_until

HEADER = "2026-11-21 06:17:03.381 24049 ERROR nova.conductor.manager "
TRACEBACK = [
    "[None req-1d3c1f52-2a2f-4d0e-8c3e-0d9f1c2b3a4e - - - - - -] Failed to schedule instances: NoValidHost",
    "Traceback (most recent call last):",
    '  File "/usr/lib/python3/dist-packages/nova/conductor/manager.py", line 1587, in schedule_and_build_instances',
    "    host_lists = self._schedule_instances(context, request_specs[0],",
    '  File "/usr/lib/python3/dist-packages/nova/conductor/manager.py", line 940, in _schedule_instances',
    "    host_lists = self.query_client.select_destinations(",
    "nova.exception.NoValidHost: No valid host was found.",
    "",
]


def line(text: str) -> Output:
    """A line as Fluent Bit sends it."""
    value = {"date": 1795241823.381, "host": "controller-1", "path": "nova-conductor.log", "log": text}
    return Output(topics.LOGS_RAW.name, b"controller-1|nova-conductor.log", json.dumps(value).encode())


def hostile_values(count: int) -> list[bytes]:
    """Bytes that must not stop anybody: noise of one seed, broken JSON, bombs, deep nesting, surrogates, nothing."""
    source = random.Random(7)
    noise = [source.randbytes(source.randrange(0, 400)) for _ in range(count)]
    bomb = bytes(cramjam.gzip.compress(b"0" * 200_000_000))
    return [
        *noise, b"", b"\n" * 5000, b"[" * 50_000, b'{"log":' * 5000, b'{"log":"\\ud800","date":1e400}',
        b"\x1f\x8b" + noise[0],
        bomb, b"\x00" * 1000, b'{"date":-99999999999999,"log":"x"}', b'{"metrics":[{"name":1}]}', b"A" * 900_000,
        b'{"name":"m","tags":{},"fields":{"value":NaN},"timestamp":1}', b"\xc3\x01" + noise[1],
    ]  # fmt: skip


def test_hostile_bytes_are_events_or_dead_letters(run_folder: Path) -> None:
    """Every message on both raw topics comes out on the other side, the services live on with the same processes."""
    system = System(run_folder / "state")
    before = system.pids()
    with closing(KafkaBroker(system.status()["kafka"]["bootstrap"])) as broker:
        values = hostile_values(300)
        for name in (topics.LOGS_RAW.name, topics.METRICS_RAW.name):
            broker.publish([Output(name, None, value) for value in values])
        # The last line of each source closes what is open; its event tells that all before it was read.
        poll_until(lambda: accounted(broker) >= 2 * len(values), "every hostile message accounted for")
        assert system.pids() == before
        poll_until(system.is_ready, "every service ready")
    system.down()


def accounted(broker: KafkaBroker) -> int:
    """How many raw messages have become an event, a sample or a dead letter."""
    codec, places = Codec(), set()
    for name in (topics.LOGS_PARSED.name, topics.METRICS_SAMPLES.name):
        for record in read(broker, name):
            fields = codec.decode(record.value)
            places |= {
                (fields["source_topic"], fields["source_partition"], offset) for offset in fields["source_offsets"]
            }
    for name in (topics.LOGS_RAW.name, topics.METRICS_RAW.name):
        for record in read(broker, f"{name}.dlq"):
            headers = dict(record.headers or ())
            places.add((name, int(headers["moselle.source_partition"]), int(headers["moselle.source_offset"])))
    return len(places)


def read(broker: KafkaBroker, name: str) -> list[Any]:
    return [record for part in range(broker.num_partitions(name)) for record in broker.read_to_end(name, part)]


def test_a_traceback_half_read_at_a_kill_is_one_event(run_folder: Path) -> None:
    """kill -9 of ingest between two lines of a traceback: afterwards it is one event, with every line of it."""
    system = System(run_folder / "state")
    with closing(KafkaBroker(system.status()["kafka"]["bootstrap"])) as broker:
        lines, pid = [line(HEADER + text) for text in TRACEBACK], system.pids()["ingest"]
        broker.publish(lines[:4])
        poll_until(lambda: read(broker, "ingest.state.v1"), "the open fold kept in the state")
        os.kill(pid, signal.SIGKILL)
        broker.publish(lines[4:])
        poll_until(lambda: read(broker, topics.LOGS_PARSED.name), "the event")
        (record,) = read(broker, topics.LOGS_PARSED.name)
    event = Codec().decode(record.value)
    system.down()
    assert event["line_count"] == len(TRACEBACK)
    assert event["exception"]["type"] == "nova.exception.NoValidHost"
    assert "manager.py:940" in event["exception"]["innermost_frame"]
