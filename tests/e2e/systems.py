"""An embedded stack under a replay, and what came out of it."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from moselle.demo.lag import LagReader
from moselle.demo.results import num_rows
from moselle.demo.watch import MEASURED, Watch
from moselle.features import check
from services.common import topics
from services.common.broker.abstract import Record
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.errors import Retryable
from tests.integration.commands import moselle
from tests.polling import TIMEOUT_SECONDS, poll_until

#: Tables of the history and what makes a record of their topic one row.
ROW_KEYS = {
    "features": (topics.FEATURES.name, ("entity_id", "event_time", "feature_set")),
    "scrapes": (topics.METRICS_SAMPLES.name, ("entity_id", "event_time", "job")),
    "predictions": (topics.PREDICTIONS.name, ("entity_id", "target", "event_time")),
    "alerts": (topics.ALERTS.name, ("alert_id", "status", "revision")),
}

Json = dict[str, Any]
AlertKey = tuple[str, str, int]


@dataclass
class Outcome:
    """What came out.

    Attributes:
        lines: how often each raw line (partition, offset) was counted.
        alerts, predictions: how often each was written.
        missing_rows: by table, what its topic has and the database lacks or has too much, counted.
        parity: of the features in the topic with the batch's.
        are_ready: whether every service was ready at the end.
    """

    lines: Counter[tuple[int, int]] = field(default_factory=Counter)
    line_count: int = 0
    alerts: Counter[AlertKey] = field(default_factory=Counter)
    records: list[Json] = field(default_factory=list)
    predictions: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    missing_rows: dict[str, int] = field(default_factory=dict)
    parity: Json = field(default_factory=dict)
    are_ready: bool = False

    def revisions(self) -> dict[str, list[tuple[int, str]]]:
        """(revision, status) of each alert's records, in order."""
        found: dict[str, list[tuple[int, str]]] = {}
        for alert_id, status, revision in sorted(self.alerts, key=lambda key: key[2]):
            found.setdefault(alert_id, []).append((revision, status))
        return found


class System:
    """The embedded stack in one state folder. Detectors learn for as long as in the demonstration, unless told."""

    def __init__(self, state: Path, warmup_seconds: int = 720) -> None:
        self.state = state
        names = ("MOSELLE_LOGBERT_WARMUP_SECONDS", "MOSELLE_ANOMALY_WARMUP_SECONDS")
        self._settings = dict.fromkeys(names, str(warmup_seconds))
        self.up()

    def up(self) -> None:
        """Starts it, or goes on."""
        command = [sys.executable, "-m", "moselle", "up", "--state", str(self.state), "--detach"]
        done = subprocess.run(
            command,
            env={**os.environ, **self._settings},
            capture_output=True,
            text=True,
            timeout=2 * TIMEOUT_SECONDS,
            check=False,
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

    def wait_until_settled(self) -> None:
        """Returns when every published line has been parsed and judged, and the last steps have their features."""
        self.wait_until_consumed()
        bootstrap = self.status()["kafka"]["bootstrap"]
        poll_until(lambda: check(bootstrap).unfinished == 0, "the last steps' features")
        poll_until(lambda: not any(self.missing_rows().values()), f"all rows: {self.missing_rows()}")
        self.wait_until_consumed()

    def missing_rows(self) -> dict[str, int]:
        """By table: the rows that its topic's records make, less those that are there."""
        codec, missing = Codec(), {}
        status = self.status()
        with closing(KafkaBroker(status["kafka"]["bootstrap"])) as broker:
            for table, (topic, names) in ROW_KEYS.items():
                fields = [codec.decode(record.value) for record in _committed(broker, topic)]
                keys = {tuple(one[name] for name in names) for one in fields}
                missing[table] = len(keys) - num_rows(status["postgres"]["dsn"], table)
        return missing

    def digest(self, table: str) -> tuple[Any, ...]:
        """Changes when any row of the table is written, even with what it held."""
        with psycopg.connect(self.status()["postgres"]["dsn"]) as connection:
            query = sql.SQL("SELECT count(*), sum(xmin::text::bigint), sum(hashtext(t::text)) FROM {} AS t")
            row = connection.execute(query.format(sql.Identifier(table))).fetchone()
        assert row is not None
        return row

    def wait_until_consumed(self) -> None:
        """Returns when every published line has been parsed and judged."""
        with closing(KafkaBroker(self.status()["kafka"]["bootstrap"])) as broker:
            lag_reader = LagReader(broker.bootstrap, MEASURED)
            with closing(poll_until(lambda: _open_watch(broker), "a broker that knows all its partitions")) as watch:
                poll_until(lambda: _is_consumed(watch, lag_reader), "all lines parsed, no consumer lag")

    def outcome(self) -> Outcome:
        """Everything that is committed by now."""
        outcome, codec = Outcome(), Codec()
        with closing(KafkaBroker(self.status()["kafka"]["bootstrap"])) as broker:
            for name in (topics.LOGS_PARSED.name, f"{topics.LOGS_RAW.name}.dlq", topics.ALERTS.name):
                for record in _committed(broker, name):
                    _add(outcome, record, codec)
            for record in _committed(broker, topics.PREDICTIONS.name):
                fields = codec.decode(record.value)
                outcome.predictions[fields["entity_id"], fields["target"], fields["event_time"]] += 1
            outcome.parity = check(broker.bootstrap).summary()
        outcome.missing_rows = self.missing_rows()
        outcome.are_ready = poll_until(self.is_ready, "every service ready")
        return outcome

    def is_ready(self) -> bool:
        """Whether every service says so; on a busy machine one may wait for Kafka for a moment."""
        return all(service["ready"] for service in self.status()["services"])


def _committed(broker: KafkaBroker, topic: str) -> Iterator[Record]:
    for part in range(broker.num_partitions(topic)):
        yield from broker.read_to_end(topic, part)


def _open_watch(broker: KafkaBroker) -> Watch | None:
    """None while a broker that was started again still reads what it is the leader of."""
    try:
        return Watch(broker)
    except Retryable:
        return None


def _is_consumed(watch: Watch, lag_reader: LagReader) -> bool:
    try:
        watch.refresh(0.2)
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
