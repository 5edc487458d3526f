"""A worker whose group was formed without a table's topic: its state is read back all the same."""

import os
import signal
from collections.abc import Iterator
from operator import le
from pathlib import Path

import pytest
from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from moselle.features import check
from moselle.parity import Parity
from moselle.stack.kafka import temporary_kafka
from moselle.stack.topics import create_topics
from services.common.broker.abstract import Output
from services.common.broker.kafka import KafkaBroker
from services.common.codec import Codec
from services.common.errors import SettingsInvalid
from services.common.topics import FEATURES_ROLLUP, LOGS_RATES, all_topics
from services.features.core.changelogs import APP_ID, CHANGELOG_CONFIG, TABLES, changelog_of
from tests.integration.features_worker import Worker
from tests.polling import poll_until
from tests.unit.features.samples import make_rates

PARTITIONS = 4
HOSTS = 6
ROLLUP = FEATURES_ROLLUP.name
#: The group as it forms when the cluster does not know the table's topic yet; what is under test is turned off.
FORMED_WITHOUT = f"""
import sys
from faust.assignor.partition_assignor import PartitionAssignor
from services.features.__main__ import main
from services.features.adapters.faust_driver import LoudRecovery

grouped = PartitionAssignor._get_copartitioned_groups.__func__
PartitionAssignor._get_copartitioned_groups = classmethod(
    lambda cls, topics, *others: grouped(cls, topics - {{"{changelog_of("hosts")}"}}, *others)
)
LoudRecovery.without_changelog = lambda self, assigned: []
sys.exit(main([]))
"""


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[KafkaBroker]:
    """A Kafka of its own: everything in it is compared."""
    with temporary_kafka(tmp_path / "kafka") as kafka:
        create_topics(kafka.bootstrap, all_topics(), PARTITIONS)
        yield KafkaBroker(kafka.bootstrap)


def publish(broker: KafkaBroker, steps: range) -> None:
    """One service's log counts on each host."""
    codec, name = Codec(), LOGS_RATES.name
    rates = [make_rates(10 * step, step, f"service:s@h{host}") for step in steps for host in range(HOSTS)]
    broker.publish([Output(name, fields["entity_id"].encode(), codec.encode(name, fields)) for fields in rates])


def finished(broker: KafkaBroker, num_rows: int) -> Parity | None:
    found = check(broker.bootstrap)
    return found if found.rows == num_rows and not found.unfinished else None


def test_a_table_that_the_group_left_out_is_read_back(
    broker: KafkaBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that comes back gets the group's old assignment; without its table open steps would begin anew."""
    monkeypatch.setenv("MOSELLE_FEATURES_QUIET_SECONDS", "3")
    monkeypatch.setenv("MOSELLE_FEATURES_LATENESS_SECONDS", "300")
    worker = Worker(broker.bootstrap, tmp_path, FORMED_WITHOUT, **os.environ)
    try:
        publish(broker, range(5))
        poll_until(lambda: has_state(broker), "the hosts' state")
        ends = [broker.end_offset(ROLLUP, number) for number in range(PARTITIONS)]
        poll_until(lambda: all(map(le, ends, committed(broker))), "offsets, so that nothing is read again")
        worker.end(signal.SIGKILL)
        publish(broker, range(5, 10))
        worker.start()
        found = poll_until(lambda: finished(broker, 10 * HOSTS * 2), "every row")
        assert found.mismatches == 0, found.first
    finally:
        worker.end(signal.SIGKILL)


def has_state(broker: KafkaBroker) -> bool:
    """Whether every host's state was written at least once."""
    topic = changelog_of("hosts")
    keys = {record.key for number in range(PARTITIONS) for record in broker.read_to_end(topic, number)}
    return len(keys) == HOSTS


def committed(broker: KafkaBroker) -> list[int]:
    """The worker's offsets of the reports to hosts."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    wanted = [TopicPartition(ROLLUP, number) for number in range(PARTITIONS)]
    found = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(APP_ID, wanted)])[APP_ID].result(30)
    return [partition.offset for partition in found.topic_partitions]


def test_a_worker_makes_its_tables_topics_before_its_group_forms(broker: KafkaBroker, tmp_path: Path) -> None:
    """With the inputs' partitions, compacted; one that is there stays as it is."""
    broker.make_topic(changelog_of("logs"), PARTITIONS, 1, CHANGELOG_CONFIG | {"segment.ms": "700000"})
    worker = Worker(broker.bootstrap, tmp_path)
    try:
        assert {broker.num_partitions(changelog_of(table)) for table in TABLES} == {PARTITIONS}
        found = {table: settings_of(broker, changelog_of(table)) for table in TABLES}
        assert found == {table: CHANGELOG_CONFIG for table in TABLES} | {
            "logs": CHANGELOG_CONFIG | {"segment.ms": "700000"}
        }
    finally:
        worker.end(signal.SIGKILL)


def settings_of(broker: KafkaBroker, topic: str) -> dict[str, str]:
    """A topic's settings, of those that a changelog has."""
    wanted = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    found = admin.describe_configs([wanted])[wanted].result(30)
    return {name: found[name].value for name in CHANGELOG_CONFIG}


def test_a_table_with_other_partitions_than_the_inputs_is_refused(broker: KafkaBroker, tmp_path: Path) -> None:
    """Entities would lie with other partitions than their state."""
    broker.make_topic(changelog_of("hosts"), PARTITIONS + 1, 1, CHANGELOG_CONFIG)
    with pytest.raises(AssertionError, match=rf"{changelog_of('hosts')} has {PARTITIONS + 1} partitions"):
        Worker(broker.bootstrap, tmp_path)


def test_more_copies_than_brokers_are_refused(broker: KafkaBroker) -> None:
    """The cluster's own reason, and what to do."""
    with pytest.raises(SettingsInvalid, match=r"topic new with 2 partitions and 3 copies cannot be made: .*allow this"):
        broker.make_topic("new", 2, 3, {})
