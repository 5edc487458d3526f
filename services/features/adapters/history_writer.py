"""The history writer as a stage: a batch goes to the database, then the kernel commits its offsets."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from services.common.broker.abstract import Record, TopicPartition
from services.common.clock import Clock, to_micros
from services.common.errors import InvalidMessage
from services.common.logging import get_logger
from services.common.stage import Outputs
from services.common.state import PartitionState
from services.features.core.history import HistoryStore, Row, to_row
from services.features.metrics import HISTORY_ROWS, HISTORY_SECONDS

MAINTENANCE = timedelta(hours=24)
#: How often a database is asked whether it is there while nothing is written.
CHECK = timedelta(seconds=5)

Readable = tuple[Record, str, Row]


class HistoryWriter:
    """Writes rows of five topics. Keeps no state: after a failure it reads the same records again.

    A crash between the database's commit and Kafka's repeats rows, which changes none of them.

    Args:
        store: closed by whoever opened it; it outlives a stage.
        decode: bytes on the wire to a record.
        keep: how long rows are kept; as far ahead no clock is believed.
    """

    def __init__(
        self, store: HistoryStore, decode: Callable[[bytes | None], Mapping[str, Any]], clock: Clock, keep: timedelta
    ) -> None:
        self._store = store
        self._decode = decode
        self._clock = clock
        self._keep = keep
        self._next_maintenance: datetime | None = None
        self._next_check: datetime | None = None

    def assign(self, partition: TopicPartition, state: PartitionState) -> None:
        # Before anything is read: `/readyz` says no, and why, for as long as the database is away.
        self._store.check()

    def revoke(self, partition: TopicPartition) -> None:
        """Nothing is kept of it."""

    def process(self, records: Sequence[Record], outputs: Outputs) -> None:
        latest = to_micros(self._clock.now() + self._keep)
        readable: list[Readable] = []
        for record in records:
            if record.value is None:
                # A key that its topic deletes; its history stays.
                continue
            try:
                readable.append((record, *to_row(record.topic, self._decode(record.value), latest)))
            except InvalidMessage as error:
                outputs.dead_letter(record, error)
        if readable:
            self._write(readable, outputs)
            self._next_check = self._clock.now() + CHECK

    def _write(self, readable: Sequence[Readable], outputs: Outputs) -> None:
        """Writes them at once; when one of them is refused, in halves until it stands alone."""
        try:
            with HISTORY_SECONDS.time():
                changed = self._store.upsert(_by_table(readable))
        except InvalidMessage as error:
            if len(readable) == 1:
                outputs.dead_letter(readable[0][0], error)
                return
            middle = len(readable) // 2
            self._write(readable[:middle], outputs)
            self._write(readable[middle:], outputs)
            return
        for table, number in changed.items():
            HISTORY_ROWS.labels(table).inc(number)

    def tick(self, now: datetime, caught_up: Collection[TopicPartition], outputs: Outputs) -> None:
        if self._next_maintenance is None or now >= self._next_maintenance:
            dropped = self._store.maintain(to_micros(now))
            self._next_maintenance = now + MAINTENANCE
            get_logger().info("history_maintained", dropped=dropped)
        if self._next_check is None or now >= self._next_check:
            self._store.check()
            self._next_check = now + CHECK

    def close(self) -> None:
        """The store stays: the next stage uses it."""


def _by_table(readable: Sequence[Readable]) -> dict[str, list[Row]]:
    rows: dict[str, list[Row]] = {}
    for _, table, row in readable:
        rows.setdefault(table, []).append(row)
    return rows
