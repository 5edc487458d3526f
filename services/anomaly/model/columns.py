"""A bank with the rows of its series."""

from collections.abc import Mapping
from typing import cast

from services.anomaly.model.bank import Bank, Floats, Ints, Micros, Rows, parts_of
from services.anomaly.model.hours import MemoryBank
from services.anomaly.model.slots import Slots
from services.common.errors import ArtifactMismatch


class Columns:
    """The rows of a bank's series, and their second rows where the bank has a long memory.

    A caller asks for rows by `at`, has them judged by the bank, lets it `remember` all values and learn some, and puts
    the rows back.
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

    def at(self, slots: Ints, times: Micros) -> Rows:
        """A copy of the rows as of these times: where an hour has ended, that is noted first."""
        rows = self._rows.take(slots)
        if self._memory is not None and self._long is not None:
            due = self._memory.due(rows, times)
            if due.any():
                turned, long = rows[due], self._long.take(slots[due])
                self._memory.turn(turned, long, times[due])
                rows[due] = turned
                self._rows.put(slots[due], turned)
                self._long.put(slots[due], long)
        return rows

    def peek(self, slots: Ints, times: Micros) -> Rows:
        """The same rows, and nothing is noted."""
        rows = self._rows.take(slots)
        if self._memory is not None and self._long is not None:
            due = self._memory.due(rows, times)
            turned = rows[due]
            self._memory.turn(turned, self._long.take(slots[due]), times[due])
            rows[due] = turned
        return rows

    def put(self, slots: Ints, rows: Rows) -> None:
        """Puts rows back where they came from."""
        self._rows.put(slots, rows)

    def remember(self, slots: Ints, rows: Rows, values: Floats, times: Micros) -> None:
        """Lets a bank with memory note values, whatever was thought of them, in rows from `at`; puts these back."""
        if self._memory is not None:
            self._memory.remember(rows, values, times)
            self.put(slots, rows)

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
