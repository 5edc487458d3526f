"""The history writer on a real Kafka and a real PostgreSQL: away, back, and told the same again."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from moselle.stack.postgres import STOP_SIGNAL, EmbeddedPostgres, plain_environment, wait_until_answers
from moselle.stack.process import free_port, spawn, stop
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.clock import SystemClock
from services.common.codec import Codec
from services.common.errors import Retryable, SettingsInvalid
from services.common.http import Health
from services.common.service import StageRunner
from services.common.settings import CommonSettings
from services.features.adapters.database import migrate
from services.features.adapters.history import SERVICE, run
from services.features.adapters.history_database import DatabaseHistory
from services.features.adapters.history_writer import HistoryWriter
from services.features.core.history import BY_TOPIC
from services.features.settings import FeaturesSettings
from tests.conformance.history_cases import (
    make_alert,
    make_features,
    make_placement,
    make_prediction,
    make_scrape,
    rows_of,
    write,
)
from tests.polling import TIMEOUT_SECONDS, poll_until

KEEP = timedelta(days=184)
DEAD_LETTERS = [f"{topic}.dlq" for topic in BY_TOPIC]
RECORD_MAKERS = dict(
    zip(BY_TOPIC, (make_features, make_scrape, make_alert, make_prediction, make_placement), strict=True)
)


class Postgres:
    """A server of this test's own, since it gets stopped."""

    def __init__(self, folder: Path) -> None:
        self._postgres = EmbeddedPostgres(folder, free_port(), "geheim")
        self._postgres.prepare()
        self._log = folder / "postgres.log"
        self.dsn = self._postgres.dsn
        self.start()
        self._postgres.create_database()

    def start(self) -> None:
        command, account = self._postgres.command(), self._postgres.account
        self._process = spawn(command, self._log, env=plain_environment(), user=account)
        assert wait_until_answers(self._postgres, TIMEOUT_SECONDS)

    def stop(self) -> None:
        stop(self._process, STOP_SIGNAL, 20)


class Records:
    """Records of all five topics in a cluster of their own, published as their services would."""

    def __init__(self, broker: KafkaBroker, cluster: str) -> None:
        self._broker = broker
        self._codec = Codec()
        self._cluster = cluster

    def publish(self, numbers: Sequence[int]) -> None:
        """Five records a number."""
        self._broker.publish([Output(topic, b"k", self._value(topic, n)) for n in numbers for topic in BY_TOPIC])

    def _value(self, topic: str, number: int) -> bytes:
        names = {"cluster": self._cluster, "entity_id": f"host:{number}", "alert_id": f"{self._cluster}-{number}"}
        _, row = RECORD_MAKERS[topic](**names, request_id=f"r{number}")
        extra = {"source_topic": "", "source_partition": 0, "source_offsets": [], "request": b""}
        return self._codec.encode(topic, {**extra, **row})


@contextmanager
def running(bootstrap: str, store: DatabaseHistory) -> Iterator[Health]:
    """The writer as a stage in a thread."""
    health, clock = Health(SystemClock()), SystemClock()
    runner = StageRunner(
        KafkaBroker(bootstrap), Codec(), SERVICE, list(BY_TOPIC),
        lambda broker, codec: HistoryWriter(store, codec.decode, clock, KEEP),
        clock, health, CommonSettings(), DEAD_LETTERS, is_stateful=False,
    )  # fmt: skip
    thread = threading.Thread(target=runner.run)
    thread.start()
    try:
        yield health
    finally:
        runner.stop()
        thread.join(TIMEOUT_SECONDS)


def all_rows(dsn: str, cluster: str) -> list[Any]:
    """Every row of a cluster with the transaction that wrote it."""
    with psycopg.connect(dsn) as connection:
        return [
            (table, *row)
            for table in ("alerts", "features", "placements", "predictions", "scrapes")
            for row in connection.execute(
                f"SELECT xmin::text, t::text FROM {table} t WHERE cluster = %s ORDER BY 2", (cluster,)
            )
        ]


def count(dsn: str, cluster: str) -> int:
    try:
        return len(all_rows(dsn, cluster))
    except psycopg.Error:
        return 0


def test_a_database_that_goes_away_costs_nothing(tmp_path: Path, quiet_broker: KafkaBroker) -> None:
    """Stopped in between: not ready, with the reason and no password; back, every row is there once."""
    postgres = Postgres(tmp_path)
    records = Records(quiet_broker, "away")
    with closing(DatabaseHistory(postgres.dsn)) as store, running(quiet_broker.bootstrap, store) as health:
        records.publish(range(10))
        poll_until(lambda: count(postgres.dsn, "away") == 50, "rows of the first records")
        postgres.stop()
        records.publish(range(10, 30))
        reason = poll_until(lambda: "the history database" in health.reason and health.reason, "not ready")
        assert "geheim" not in reason
        postgres.start()
        poll_until(lambda: count(postgres.dsn, "away") == 150 and not health.reason, "all rows, and ready")
    postgres.stop()


def test_a_database_that_hangs_is_given_up(postgresql_dsn: str) -> None:
    """A server process that stands still, neither answering nor failing: Retryable; the next connection works."""
    migrate(postgresql_dsn)
    with closing(DatabaseHistory(postgresql_dsn, patience_seconds=5.0)) as store:
        store.check()
        with psycopg.connect(postgresql_dsn) as connection:
            query = "SELECT pid FROM pg_stat_activity WHERE application_name = 'moselle-features-history'"
            (process,) = connection.execute(query + " AND datname = current_database()").fetchone() or (0,)
        os.kill(process, signal.SIGSTOP)
        try:
            with pytest.raises(Retryable, match="does not take rows"):
                store.check()
            assert write(store, make_features()) == 1
        finally:
            os.kill(process, signal.SIGCONT)


def test_the_same_records_again_change_no_row(quiet_broker: KafkaBroker, postgresql_dsn: str) -> None:
    """Published twice, each row is still the one that the first transaction wrote, and nothing is beside it."""
    records = Records(quiet_broker, "again")
    with closing(DatabaseHistory(postgresql_dsn)) as store, running(quiet_broker.bootstrap, store):
        records.publish(range(10))
        poll_until(lambda: count(postgresql_dsn, "again") == 50, "the rows")
        before = all_rows(postgresql_dsn, "again")
        records.publish(range(11))
        poll_until(lambda: count(postgresql_dsn, "again") == 55, "the rows of the last record")
    assert set(before) < set(all_rows(postgresql_dsn, "again"))


def test_what_cannot_be_read_is_a_dead_letter(quiet_broker: KafkaBroker, database_dsn: str) -> None:
    """Garbage goes to the dead letters with its reason; its neighbours become rows."""
    quiet_broker.publish([Output("features.v1", b"garbage", b"no avro")])
    Records(quiet_broker, "garbage").publish([1])
    with closing(DatabaseHistory(database_dsn)) as store, running(quiet_broker.bootstrap, store):
        poll_until(lambda: count(database_dsn, "garbage") == 5, "the readable rows")
        poll_until(lambda: b"not_avro_single_object" in _reasons(quiet_broker, b"garbage"), "the dead letter")


def _reasons(broker: KafkaBroker, key: bytes) -> set[bytes]:
    partitions = range(broker.num_partitions("features.v1.dlq"))
    records = [r for p in partitions for r in broker.read_to_end("features.v1.dlq", p) if r.key == key]
    return {dict(r.headers or ())["moselle.error"] for r in records}


def test_old_chunks_take_late_rows(database_dsn: str) -> None:
    """On TimescaleDB what lies in the columnstore is upserted too; elsewhere the same without it."""
    rows = [make_features(), make_scrape(pairs={"a": 1.0}), make_prediction()]
    with closing(DatabaseHistory(database_dsn)) as store:
        write(store, *rows)
        move_to_columnstore(database_dsn)
        assert write(store, *rows) == 0
        assert write(store, make_scrape(pairs={"b": 2.0}), make_features(5)) == 2
        assert dict(zip(*(rows_of(store, "scrapes")[0][k] for k in ("series", "values")), strict=True)) == {
            "a": 1.0, "b": 2.0,
        }  # fmt: skip
        assert [len(rows_of(store, table)) for table in ("features", "scrapes", "predictions")] == [2, 1, 1]


def move_to_columnstore(dsn: str) -> None:
    """All chunks, at once; on plain PostgreSQL there are none."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
            moved = connection.execute(
                "SELECT compress_chunk(chunk) FROM unnest(ARRAY['features', 'scrapes', 'predictions']) AS name, "
                "show_chunks(name::regclass) AS chunk"
            ).fetchall()
            assert len(moved) == 3


def test_no_dsn_stops_before_joining() -> None:
    """A history writer without a database is a mistake, and the sentence names the setting."""
    with pytest.raises(SettingsInvalid, match="MOSELLE_DATABASE_DSN is not set"):
        run(CommonSettings(), FeaturesSettings())


def test_a_killed_process_loses_no_row(quiet_broker: KafkaBroker, database_dsn: str) -> None:
    """`python -m services.features history`, kill -9 in the midst, started again: every row; ends at SIGTERM with 0."""
    Records(quiet_broker, "killed").publish(range(300))
    addresses = {"MOSELLE_KAFKA_BOOTSTRAP": quiet_broker.bootstrap, "MOSELLE_DATABASE_DSN": database_dsn}
    environment = os.environ | addresses | {"MOSELLE_BATCH_RECORDS": "50"}
    command = [sys.executable, "-m", "services.features", "history"]
    first = subprocess.Popen(command, env=environment)
    try:
        poll_until(lambda: count(database_dsn, "killed") > 0, "the first rows")
    finally:
        first.kill()
        first.wait()
    second = subprocess.Popen(command, env=environment)
    try:
        poll_until(lambda: count(database_dsn, "killed") == 1500, "all rows")
    finally:
        second.terminate()
    assert second.wait(TIMEOUT_SECONDS) == 0
