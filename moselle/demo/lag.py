"""How far each service is behind: its group's committed offsets against the ends of what it reads."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, OffsetSpec

from services.common.broker.abstract import TopicPartition
from services.common.errors import Retryable
from services.common.topics import FEATURES_ROLLUP

_SECONDS = 10
#: On its way within features; it says twice a second how far it is, also when nothing comes.
_ENDLESS = (FEATURES_ROLLUP.name,)


@dataclass(frozen=True, slots=True)
class Progress:
    """One consumer group.

    Attributes:
        consumed: sum of its committed offsets; differences are records per second.
        lag: records that it has not committed yet.
    """

    group: str
    consumed: int
    lag: int


def progress_of(
    group: str,
    committed: Mapping[TopicPartition, int],
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    seen: Mapping[TopicPartition, int],
    measured: Collection[str],
) -> Progress:
    """Sums up one group.

    A transaction's marker takes an offset that no reader ever commits past. Of topics with transactions the last
    record that was seen is the end, therefore.

    Args:
        committed: next offsets; negative where the group has committed nothing yet.
        begins, ends: as the broker has them.
        seen: one past the last record, for the topics in `measured`.
    """
    lag = consumed = 0
    for partition, offset in committed.items():
        begin = begins.get(partition, 0)
        position = max(offset, begin)
        end = seen.get(partition, begin) if partition.topic in measured else ends.get(partition, 0)
        lag += max(0, end - position)
        consumed += position - begin
    return Progress(group, consumed, lag)


class LagReader:
    """Asks one broker for all groups.

    Args:
        bootstrap: host:port list.
        measured: the topics whose records are seen one by one.
    """

    def __init__(self, bootstrap: str, measured: Collection[str]) -> None:
        self._measured = measured
        self._admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 3})

    def read(self, seen: Mapping[TopicPartition, int]) -> list[Progress]:
        """Every group's progress, sorted by name.

        Raises:
            Retryable: the broker did not answer.
        """
        try:
            groups = {group: self._committed(group) for group in self._groups()}
            partitions = {partition for committed in groups.values() for partition in committed}
            begins = self._offsets(partitions, OffsetSpec.earliest())
            ends = self._offsets(partitions, OffsetSpec.latest())
        except ck.KafkaException as error:
            raise Retryable(f"no consumer lag: {error}") from error
        return [progress_of(group, groups[group], begins, ends, seen, self._measured) for group in sorted(groups)]

    def _groups(self) -> list[str]:
        found = self._admin.list_consumer_groups(request_timeout=_SECONDS).result()
        return [group.group_id for group in found.valid]

    def _committed(self, group: str) -> dict[TopicPartition, int]:
        asked = [ck.ConsumerGroupTopicPartitions(group)]
        answer: Any = self._admin.list_consumer_group_offsets(asked, request_timeout=_SECONDS)[group].result()
        partitions = answer.topic_partitions or ()
        return {TopicPartition(p.topic, p.partition): p.offset for p in partitions if p.topic not in _ENDLESS}

    def _offsets(self, partitions: Iterable[TopicPartition], which: Any) -> dict[TopicPartition, int]:
        wanted = {ck.TopicPartition(*partition): which for partition in partitions}
        if not wanted:
            return {}
        level = ck.IsolationLevel.READ_UNCOMMITTED
        answers = self._admin.list_offsets(wanted, isolation_level=level, request_timeout=_SECONDS)
        return {TopicPartition(p.topic, p.partition): answer.result().offset for p, answer in answers.items()}
