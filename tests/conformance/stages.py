"""Stages for tests of the kernel."""

from collections.abc import Collection, Sequence
from datetime import datetime

from services.common.broker.abstract import Output, Record, TopicPartition
from services.common.errors import InvalidMessage
from services.common.stage import Outputs
from services.common.state import PartitionState


class Numbering:
    """Numbers the records of each partition by a counter that lives in the state; refuses the value `bad`.

    Args:
        most: of one transaction.
    """

    def __init__(self, out: str, most: int | None = None) -> None:
        self._out = out
        self._most = most
        self._states: dict[TopicPartition, PartitionState] = {}
        self.ticks = 0

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        self._states[partition] = state

    def revoke(self, partition: TopicPartition) -> None:
        del self._states[partition]

    def process(self, records: Sequence[Record], outputs: Outputs) -> int | None:
        for record in records[: self._most]:
            if record.value == b"bad":
                outputs.dead_letter(record, InvalidMessage("refused", "it says bad"))
                continue
            state = self._states[record.topic_partition]
            saved = state.get("count")
            count = int(saved.payload) + 1 if saved else 1
            state.put("count", b"%d" % count)
            outputs.records.append(Output(self._out, b"k", b"%d.%d" % (record.partition, count)))
        return self._most

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        self.ticks += 1

    def close(self) -> None: ...
