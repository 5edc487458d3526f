"""A bank with the rows of its series."""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from services.anomaly.model.bank import Bands, Bank, Floats, Ints, Micros, Rows, bands_at, learn_at, parts_of
from services.anomaly.model.hours import MemoryBank
from services.anomaly.model.slots import Slots
from services.common.errors import ArtifactMismatch


class Columns:
    """The rows of a bank's series, and their second rows where the bank has a long memory.

    A caller lets rows `turn`, which notes where an hour has ended, asks for their `bands`, lets them `remember` all
    values and `learn` some, all where they are; or asks for copies by `at` and puts them back.
    """

    def __init__(self, bank: Bank) -> None:
        version = getattr(bank, "version", 1)
        self.bank = bank
        self._rows = Slots(bank.name, bank.dtype, version)
        self._memory = cast(MemoryBank, bank) if hasattr(bank, "long") else None
        self._long = Slots(f"{bank.name}.long", self._memory.long, version) if self._memory is not None else None

    def __len__(self) -> int:
        """Series there are."""
        return len(self._rows)

    @property
    def num_bytes(self) -> int:
        """Memory that is held, in use or not."""
        return self._rows.num_bytes + (self._long.num_bytes if self._long is not None else 0)

    @property
    def tables(self) -> list[tuple[Slots, Mapping[str, tuple[str, ...]]]]:
        """Where its rows are, with the fields of each part that is saved."""
        tables = [(self._rows, parts_of(self.bank))]
        if self._memory is not None and self._long is not None:
            tables.append((self._long, self._memory.long_parts))
        return tables

    @property
    def sign(self) -> tuple[Slots, tuple[str, ...]] | None:
        """A table and its fields that change whenever a second row does; None where there are no such rows."""
        return (self._rows, ("hour",)) if self._memory is not None else None

    def add(self, n: int) -> Ints:
        """`n` series of which nothing was learnt."""
        if self._long is not None:
            self._long.add(n)  # both give the same numbers, being asked for the same
        return self._rows.add(n)

    def free(self, slots: Ints) -> None:
        """These series are gone."""
        self._rows.free(slots)
        if self._long is not None:
            self._long.free(slots)

    def clear(self, slots: Ints) -> None:
        """These series are learnt anew."""
        self._rows.clear(slots)
        if self._long is not None:
            self._long.clear(slots)

    def turn(self, slots: Ints, times: Micros) -> None:
        """Makes the rows ready for these times: where an hour has ended, that is noted."""
        if self._memory is None or self._long is None:
            return
        is_due = self._memory.due(self._rows.rows, slots, times)
        if is_due is not None:
            due = slots[is_due]
            rows, long = self._rows.take(due), self._long.take(due)
            self._memory.turn(rows, long, times[is_due])
            self._rows.put(due, rows)
            self._long.put(due, long)

    def bands(self, slots: Ints, times: Micros) -> Bands:
        """What is expected of these series; they have turned to these times."""
        return bands_at(self.bank, self._rows.rows, slots, times)

    def learn(self, slots: Ints, values: Floats, times: Micros) -> None:
        """Lets these series learn; they have turned to these times."""
        learn_at(self.bank, self._rows.rows, slots, values, times)

    def seen(self, slots: Ints) -> tuple[Floats, Floats]:
        """The least and the most that was learnt of each, of a bank that has `seen`; NaN where that is nothing."""
        bank: Any = self.bank
        if hasattr(bank, "seen_at"):
            low, high = bank.seen_at(self._rows.rows, slots)
        else:
            low, high = bank.seen(self._rows.take(slots))
        return low, high

    def at(self, slots: Ints, times: Micros) -> Rows:
        """A copy of the rows as of these times: where an hour has ended, that is noted first."""
        self.turn(slots, times)
        return self._rows.take(slots)

    def peek(self, slots: Ints, times: Micros) -> Rows:
        """The same rows, and nothing is noted."""
        rows = self._rows.take(slots)
        if self._memory is not None and self._long is not None:
            is_due = self._memory.due(rows, np.arange(len(rows)), times)
            if is_due is not None:
                turned = rows[is_due]
                self._memory.turn(turned, self._long.take(slots[is_due]), times[is_due])
                rows[is_due] = turned
        return rows

    def put(self, slots: Ints, rows: Rows) -> None:
        """Puts rows back where they came from."""
        self._rows.put(slots, rows)

    def remember(self, slots: Ints, values: Floats, times: Micros) -> None:
        """Lets a bank with memory note values, whatever was thought of them; they have turned to these times."""
        if self._memory is not None:
            self._memory.remember(self._rows.rows, slots, values, times)

    def save(self, slots: Ints) -> dict[str, bytes]:
        """The rows in parts, each of fields that change at one pace."""
        return {part: table.save(slots, fields) for table, parts in self.tables for part, fields in parts.items()}

    def load(self, slots: Ints, parts: Mapping[str, bytes]) -> None:
        """Takes back what `save` gave for as many series. Raises ArtifactMismatch for something else."""
        wanted = [part for _, each in self.tables for part in each]
        for name in wanted:
            if name not in parts:
                raise ArtifactMismatch(
                    f"The saved state of {self.bank.name} lacks its part {name!r} and holds {sorted(parts)}; wanted "
                    f"{', '.join(wanted)}: delete anomaly.state.v1 to learn anew."
                )
        for table, each in self.tables:
            for part, fields in each.items():
                table.load(slots, parts[part], fields)
