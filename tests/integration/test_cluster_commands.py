"""`moselle topics create` and `moselle migrate` on a real Kafka and a real PostgreSQL."""

from moselle.cluster import partition_counts
from services.common.topics import EMBEDDED_PARTITIONS, all_topics
from tests.integration.commands import moselle

PARTITIONS = str(EMBEDDED_PARTITIONS)


def test_topics_are_made_once(kafka_bootstrap: str) -> None:
    """The first call makes what is missing, a raw topic of one's own with its dead letters; the second finds it all."""
    command = ["topics", "create", "--kafka", kafka_bootstrap, "--partitions", PARTITIONS, "--raw", "it-syslog"]
    first, second = moselle(*command), moselle(*command)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "it-syslog.dlq" in first.stdout.split()
    assert second.stdout == ""
    there = partition_counts(kafka_bootstrap)
    assert all(there[topic.name] == topic.num_partitions(EMBEDDED_PARTITIONS) for topic in all_topics())


def test_topics_with_another_number_of_partitions_are_named(kafka_bootstrap: str) -> None:
    """Topics keyed by entity that differ in number stop the command with one sentence: no service may start on them."""
    assert moselle("topics", "create", "--kafka", kafka_bootstrap, "--partitions", PARTITIONS).returncode == 0
    result = moselle("topics", "create", "--kafka", kafka_bootstrap, "--partitions", "3")
    assert result.returncode == 1
    assert f"logs.parsed.v1 has {PARTITIONS} instead of 3" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 2


def test_migrate_runs_once(database_dsn: str) -> None:
    """The first call makes the tables and names the migrations; the second finds nothing to do."""
    first, second = moselle("migrate", "--dsn", database_dsn), moselle("migrate", "--dsn", database_dsn)
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert first.stdout.split()[0] == "0001_alerts"
    assert second.stdout == ""
