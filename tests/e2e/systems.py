"""An embedded stack under a replay, and what came out of it."""

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moselle.demo.lag import LagReader
from moselle.demo.watch import MEASURED, Watch
from services.common import topics
from services.common.broker.abstract import Record
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.errors import Retryable
from tests.integration.commands import moselle
from tests.polling import poll_until

#: Detectors learn for as long as in the demonstration.
SETTINGS = {"MOSELLE_LOGBERT_WARMUP_SECONDS": "720"}

Json = dict[str, Any]
AlertKey = tuple[str, str, int]


@dataclass
class Outcome:
    """What came out: how often each raw line (partition, offset) was counted, and each alert's record."""

    lines: Counter[tuple[int, int]] = field(default_factory=Counter)
    line_count: int = 0
    alerts: Counter[AlertKey] = field(default_factory=Counter)
    records: list[Json] = field(default_factory=list)

    def revisions(self) -> dict[str, list[tuple[int, str]]]:
        """(revision, status) of each alert's records, in order."""
        found: dict[str, list[tuple[int, str]]] = {}
        for alert_id, status, revision in sorted(self.alerts, key=lambda key: key[2]):
            found.setdefault(alert_id, []).append((revision, status))
        return found


class System:
    """The embedded stack in one state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.up()

    def up(self) -> None:
        """Starts it, or goes on."""
        command = [sys.executable, "-m", "moselle", "up", "--state", str(self.state), "--detach"]
        done = subprocess.run(
            command, env={**os.environ, **SETTINGS}, capture_output=True, text=True, timeout=150, check=False
        )
        assert done.returncode == 0, done.stderr

    def down(self) -> None:
        assert moselle("down", "--state", str(self.state)).returncode == 0

    def replay(self, folder: Path, speed: str) -> "subprocess.Popen[str]":
        """Begins to publish a capture."""
        command = [sys.executable, "-m", "moselle", "replay", str(folder), "--state", str(self.state), "--speed", speed]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def status(self) -> Json:
        """`moselle status --json`."""
        done = moselle("status", "--state", str(self.state), "--json")
        assert done.returncode == 0, done.stderr
        status: Json = json.loads(done.stdout)
        return status

    def pids(self) -> dict[str, int]:
        """Kafka, PostgreSQL and the services by name."""
        status = self.status()
        services = {service["name"]: service["pid"] for service in status["services"]}
        return {"kafka": status["kafka"]["pid"], "postgres": status["postgres"]["pid"], **services}

    def wait_until_parsed(self, num_events: int) -> None:
        """Returns in mid-stream: when about so many events have been parsed."""
        with closing(KafkaBroker(self.status()["kafka"]["bootstrap"])) as broker:
            name = topics.LOGS_PARSED.name
            parts = range(broker.num_partitions(name))
            poll_until(
                lambda: sum(broker.end_offset(name, part) for part in parts) >= num_events,
                f"{num_events} events parsed",
            )

    def wait_until_consumed(self) -> None:
        """Returns when every published line has been parsed and judged."""
        with closing(KafkaBroker(self.status()["kafka"]["bootstrap"])) as broker, closing(Watch(broker)) as watch:
            lag_reader = LagReader(broker.bootstrap, MEASURED)
            poll_until(lambda: _is_consumed(watch, lag_reader), "all lines parsed, no consumer lag", 120)

    def outcome(self) -> Outcome:
        """Everything that is committed by now."""
        outcome, codec = Outcome(), Codec()
        with closing(KafkaBroker(self.status()["kafka"]["bootstrap"])) as broker:
            for name in (topics.LOGS_PARSED.name, f"{topics.LOGS_RAW.name}.dlq", topics.ALERTS.name):
                for part in range(broker.num_partitions(name)):
                    for record in broker.read_to_end(name, part):
                        _add(outcome, record, codec)
        return outcome


def _is_consumed(watch: Watch, lag_reader: LagReader) -> bool:
    watch.refresh(0.2)
    try:
        progress = lag_reader.read(watch.seen.ends)
        published = watch.lines_published()
    except Retryable:
        return False
    counted = watch.seen.lines_parsed + watch.seen.dead_letters[f"{topics.LOGS_RAW.name}.dlq"]
    return len(progress) > 1 and not any(entry.lag for entry in progress) and counted >= published > 0


def _add(outcome: Outcome, record: Record, codec: Codec) -> None:
    if record.topic == topics.ALERTS.name:
        alert = codec.decode(record.value)
        outcome.alerts[alert["alert_id"], alert["status"], alert["revision"]] += 1
        outcome.records.append(alert)
    elif record.topic == topics.LOGS_PARSED.name:
        event = codec.decode(record.value)
        outcome.line_count += event["line_count"]
        outcome.lines.update((event["source_partition"], offset) for offset in event["source_offsets"])
    else:
        headers = {name: value for name, value in record.headers or () if name.startswith("moselle.source")}
        place = int(headers["moselle.source_partition"]), int(headers["moselle.source_offset"])
        outcome.line_count += 1
        outcome.lines[place] += 1
