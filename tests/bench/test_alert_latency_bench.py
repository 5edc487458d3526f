"""From a line on logs.raw to its alert on alerts.v1: the whole embedded system at 2,000 lines a second."""

import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from moselle.demo.processes import sweep
from services.common import topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from tests.e2e import systems
from tests.polling import poll_until

LINES_PER_SECOND = 2_000
NUM_PROGRAMS = 100
WARM_UP_SECONDS = 12
FAULTS_EVERY_SECONDS = 0.3

pytestmark = [pytest.mark.bench, pytest.mark.timeout(400)]


@pytest.fixture
def system() -> Iterator[systems.System]:
    """The stack with detectors that learn for some seconds only."""
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        yield systems.System(folder / "state", warmup_seconds=WARM_UP_SECONDS - 4)
    finally:
        sweep(folder)
        shutil.rmtree(folder, ignore_errors=True)


def line(program: int, level: str, text: str) -> Output:
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    log = f"{now} 4242 {level} app.worker [None req-1d3c1f52-2a2f-4d0e-8c3e-0d9f1c2b3a4e - - - - - -] {text}"
    path = f"app{chr(97 + program % 26)}{chr(97 + program // 26)}.log"
    value = {"date": time.time(), "host": "h1", "path": path, "log": log}
    return Output(topics.LOGS_RAW.name, f"h1|{path}".encode(), json.dumps(value).encode())


def drive(broker: KafkaBroker) -> dict[str, float]:
    """Publishes ordinary lines all the time and, after the warm-up, one ERROR for each program; when each was sent."""
    sent: dict[str, float] = {}
    began, number = time.time(), 0
    next_fault = began + WARM_UP_SECONDS
    while len(sent) < NUM_PROGRAMS:
        due = int((time.time() - began) * LINES_PER_SECOND) - number
        batch = [line(n % NUM_PROGRAMS, "INFO", f"took {n} ms for a request") for n in range(number, number + due)]
        number += due
        if time.time() >= next_fault:
            program = len(sent)
            fault = line(program, "ERROR", "Connection to the backend was refused")
            batch.append(fault)
            sent[fault.key.decode() if fault.key else ""] = time.time()
            next_fault += FAULTS_EVERY_SECONDS
        broker.publish(batch)
        time.sleep(0.005)
    return sent


def test_line_to_alert(system: systems.System) -> None:
    """Prints p50 and p99 of the time from publishing an ERROR line to its alert's append time."""
    with closing(KafkaBroker(system.status()["kafka"]["bootstrap"])) as broker:
        sent = drive(broker)
        delays: dict[str, float] = {}

        def all_there() -> bool:
            for part in range(broker.num_partitions(topics.ALERTS.name)):
                for record in broker.read_to_end(topics.ALERTS.name, part):
                    alert = Codec().decode(record.value)
                    key = f"h1|{alert['entity_id'].removeprefix('service:').partition('@')[0]}.log"
                    if alert["status"] == "firing" and alert["rule"] != "silence" and key in sent:
                        delays.setdefault(key, record.timestamp_ms / 1000 - sent[key])
            return len(delays) == len(sent)

        poll_until(all_there, "an alert for each fault", 60)
    ordered = sorted(delays.values())
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    print(
        f"\nline to alert at {LINES_PER_SECOND}/s: p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms, n {len(ordered)}"
    )
    assert min(ordered) > 0
    system.down()
