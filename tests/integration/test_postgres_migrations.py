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


def test_a_record_of_an_alert_is_one_row(postgresql_dsn: str) -> None:
    """The same record twice is one row, another revision is another; both lie in the partition of their month."""
    migrate(postgresql_dsn)
    with psycopg.connect(postgresql_dsn) as connection:
        connection.execute("SELECT create_month_partitions('alerts', '2026-11-03Z', '2027-01-01Z')")
        for revision in (1, 1, 2):
            connection.execute(INSERT, (revision,))
        assert connection.execute("SELECT count(*) FROM alerts_2026_11").fetchone() == (2,)


def test_old_partitions_are_dropped(postgresql_dsn: str) -> None:
    """A partition goes when its whole month is older than the limit; making those that are there again is fine."""
    migrate(postgresql_dsn)
    with psycopg.connect(postgresql_dsn) as connection:
        for _ in range(2):
            connection.execute("SELECT create_month_partitions('alerts', '2026-09-30Z', '2026-12-01Z')")
        assert connection.execute("SELECT drop_old_partitions('alerts', '2026-11-01Z')").fetchone() == (2,)
        left = connection.execute("SELECT inhrelid::regclass::text FROM pg_inherits ORDER BY 1").fetchall()
    assert ("alerts_2026_11",) in left
    assert ("alerts_2026_10",) not in left


def test_a_new_month_takes_its_rows_from_the_default_partition(postgresql_dsn: str) -> None:
    """A row that came before its month was made is in the month's partition afterwards."""
    migrate(postgresql_dsn)
    with psycopg.connect(postgresql_dsn) as connection:
        connection.execute(INSERT, (1,))
        assert connection.execute("SELECT count(*) FROM alerts_default").fetchone() == (1,)
        connection.execute("SELECT maintain_history('2026-10-31Z', '60 days')")
        assert connection.execute("SELECT count(*) FROM alerts_2026_11").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM alerts").fetchone() == (1,)


def test_hours_are_added_up(database_dsn: str) -> None:
    """Alerts and scrapes of an hour are one row a detector or job."""
    migrate(database_dsn)
    with psycopg.connect(database_dsn, autocommit=True) as connection:
        for revision in (1, 2):
            connection.execute(INSERT, (revision,))
        counts = connection.execute("SELECT detector, num_alerts FROM alerts_hourly").fetchall()
        assert counts == [("d", 2)]
        assert connection.execute("SELECT count(*) FROM scrapes_hourly").fetchone() == (0,)
        assert connection.execute("SELECT revision FROM alerts_latest").fetchall() == [(2,)]


def test_a_server_that_does_not_answer_is_named() -> None:
    """A wrong DSN is one sentence, not a traceback; the password is not in it."""
    with pytest.raises(SettingsInvalid, match=r"the history database 127\.0\.0\.1:1/none refuses its tables") as caught:
        migrate("postgresql://nobody:geheim@127.0.0.1:1/none?connect_timeout=1")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("dsn", ["", "postgresql//nobody:geheim@h", "host='geheim"])
def test_a_dsn_that_is_none_is_refused(dsn: str) -> None:
    """The sentence names the setting and repeats nothing of its value."""
    with pytest.raises(SettingsInvalid, match=r"MOSELLE_DATABASE_DSN is no.*wanted postgresql://") as caught:
        migrate(dsn)
    assert "geheim" not in str(caught.value)


def test_timescaledb_without_preload_is_refused() -> None:
    """Such a server would answer compressed tables with no rows: the remedy is named."""
    check_preload("pg_stat_statements, timescaledb", True)
    with pytest.raises(SettingsInvalid, match="add timescaledb to shared_preload_libraries"):
        check_preload("pg_stat_statements", True)
