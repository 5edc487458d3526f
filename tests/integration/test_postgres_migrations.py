"""The history database's migrations on a real PostgreSQL."""

import threading

import psycopg
import pytest

from services.common.errors import SettingsInvalid
from services.features.adapters.database import check_preload, migrate

INSERT = """
INSERT INTO alerts (fingerprint, alert_id, revision, status, starts_at, detected_at, published_at, cluster, entity_id,
    service, detector, rule, kind, severity, score, threshold, summary, reason, model_version, runbook_url)
VALUES ('f', 'a', %s, 'firing', '2026-11-21T05:51:40Z', now(), now(), 'c', 'host:h', 's', 'd', 'r', 'k', 'error', 1, .5,
    's', 'r', 'm', '')
ON CONFLICT DO NOTHING
"""


def test_migrations_run_once(database_dsn: str) -> None:
    """The first call makes the tables, the second finds nothing to do."""
    assert migrate(database_dsn)[0] == "0001_alerts"
    assert migrate(database_dsn) == []


def test_two_at_once_take_turns(database_dsn: str) -> None:
    """Two processes that start together run each migration once."""
    ran: list[str] = []
    threads = [threading.Thread(target=lambda: ran.extend(migrate(database_dsn))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ran) == len(set(ran)) >= 1


def test_a_record_of_an_alert_is_one_row(database_dsn: str) -> None:
    """The same record twice is one row, another revision is another; both lie in the partition of their month."""
    migrate(database_dsn)
    with psycopg.connect(database_dsn) as connection:
        connection.execute("SELECT create_month_partitions('alerts', '2026-11-03Z', '2027-01-01Z')")
        for revision in (1, 1, 2):
            connection.execute(INSERT, (revision,))
        assert connection.execute("SELECT count(*) FROM alerts_2026_11").fetchone() == (2,)


def test_old_partitions_are_dropped(database_dsn: str) -> None:
    """A partition goes when its whole month is older than the limit; making those that are there again is fine."""
    migrate(database_dsn)
    with psycopg.connect(database_dsn) as connection:
        for _ in range(2):
            connection.execute("SELECT create_month_partitions('alerts', '2026-09-30Z', '2026-12-01Z')")
        assert connection.execute("SELECT drop_old_partitions('alerts', '2026-11-01Z')").fetchone() == (2,)
        left = connection.execute("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1").fetchall()
    assert ("alerts_2026_11",) in left
    assert ("alerts_2026_10",) not in left


def test_a_server_that_does_not_answer_is_named() -> None:
    """A wrong DSN is one sentence, not a traceback."""
    with pytest.raises(SettingsInvalid, match="the history database refuses its tables"):
        migrate("postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")


def test_timescaledb_without_preload_is_refused() -> None:
    """Such a server would answer compressed tables with no rows: the remedy is named."""
    check_preload("pg_stat_statements, timescaledb", True)
    with pytest.raises(SettingsInvalid, match="add timescaledb to shared_preload_libraries"):
        check_preload("pg_stat_statements", True)
