"""History in memory: the twin of the database, for tests."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from services.common.errors import Retryable
from services.features.core.history import TABLES, Row, Rows, fold


class MemoryHistory:
    """A `HistoryStore` that keeps rows in dicts.

    Attributes:
        is_away: while true it answers as a database that is gone.
    """

    def __init__(self, keep: timedelta = timedelta(days=184)) -> None:
        self.is_away = False
        self._keep = keep
        self._rows: dict[str, dict[tuple[Any, ...], Row]] = {name: {} for name in TABLES}

    def check(self) -> None:
        if self.is_away:
            raise Retryable("the history in memory is away, as a test wanted it")

    def upsert(self, rows: Rows) -> Mapping[str, int]:
        self.check()
        return {name: sum(map(self._put(name), fold(TABLES[name], rows[name]))) for name in rows}

    def _put(self, name: str) -> Any:
        table, present = TABLES[name], self._rows[name]

        def put(row: Row) -> bool:
            key = table.key(row)
            before = present.get(key)
            present[key] = row if before is None else table.join(before, row)
            return present[key] is not before

        return put

    def read(self, table: str, since: int, until: int, entity_id: str | None = None) -> Iterator[Row]:
        rule = TABLES[table]
        for key in sorted(self._rows[table]):
            row = self._rows[table][key]
            if since <= row[rule.time] < until and entity_id in (None, row[rule.entity]):
                yield dict(row)

    def maintain(self, now: int) -> int:
        self.check()
        oldest = now - self._keep // timedelta(microseconds=1)
        gone = [(name, key) for name, rows in self._rows.items() for key in rows if key[0] < oldest]
        for name, key in gone:
            del self._rows[name][key]
        return len(gone)

    def close(self) -> None:
        """Nothing is open."""
