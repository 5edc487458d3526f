"""Drift of entities' signals: who is watched, what one value of each comes to, which rows must be saved again."""

from collections.abc import Iterable

import numpy as np

from services.anomaly.model.bank import Bools, Floats, Ints, Micros
from services.anomaly.model.drift import PARTS, Changes, DriftBank, Taken, relearnt
from services.anomaly.model.slots import Slots

#: Parts of a row that are saved when they have changed; `sums` change with each value.
RARE_PARTS = ("points", "hours", "windows")
#: Of a signal that is not watched.
NONE = -1


class Watch:
    """Rows of a `DriftBank` for signals, found by their slots.

    Args:
        limit: signals that are watched of an entity: those that came first.
    """

    def __init__(self, limit: int, bank: DriftBank | None = None) -> None:
        self.bank = bank or DriftBank()
        self.table = Slots(self.bank.name, self.bank.dtype, self.bank.version)
        self._limit = limit
        self._row_of = np.full(0, NONE)
        self._dirty: dict[str, Bools] = {part: np.zeros(0, bool) for part in RARE_PARTS}

    def rows_of(self, signals: Ints) -> Ints:
        """The rows of an entity's signals, in their order, of those that are watched."""
        first = signals[: self._limit]
        return self._row_of[first]

    def add(self, signals: Ints) -> None:
        """The signals of an entity as they are now: those that may be watched and are not yet get a row each."""
        first, highest = signals[: self._limit], int(signals.max(initial=-1))
        if highest >= len(self._row_of):
            grown = np.full(2 * (highest + 1), NONE)
            grown[: len(self._row_of)] = self._row_of
            self._row_of = grown
        new = first[self._row_of[first] == NONE]
        self._row_of[new] = self.table.add(len(new))
        size = len(self.table.rows)
        for part, dirty in self._dirty.items():
            if len(dirty) < size:
                self._dirty[part] = np.concatenate([dirty, np.zeros(size - len(dirty), bool)])

    def free(self, signals: Ints) -> None:
        """These signals are gone."""
        known = signals[signals < len(self._row_of)]
        rows = self._row_of[known]
        rows = rows[rows != NONE]
        self.table.free(rows)
        self._row_of[known] = NONE
        self.mark(rows, is_dirty=False)

    def update(self, signals: Ints, values: Floats, times: Micros) -> tuple[Changes, Ints]:
        """One value of each signal, finite and within +-LARGEST; times ascend within a signal.

        Returns:
            Drifts that are confirmed now, and signals whose drift is over now; both by places among `signals`.
        """
        rows = self._row_of[signals]
        is_watched = rows != NONE
        places = None if is_watched.all() else np.flatnonzero(is_watched)
        if places is not None:
            rows, values, times = rows[places], values[places], times[places]
        taken = self.bank.update_at(self.table.rows, rows, values, times)
        if not len(taken.points):
            return taken.found, taken.points
        self._note(taken)
        over = relearnt(self.table.rows, taken.points)
        if len(over):
            over = np.flatnonzero(np.isin(rows, taken.points[over]))
        if places is not None:
            return taken.found._replace(which=places[taken.found.which]), places[over]
        return taken.found, over

    def _note(self, taken: Taken) -> None:
        for part, rows in zip(RARE_PARTS, (taken.points, taken.hours, taken.windows), strict=True):
            self._dirty[part][rows] = True

    def mark(self, rows: Ints, is_dirty: bool = True) -> None:
        """All parts of these rows must be saved, or none."""
        for dirty in self._dirty.values():
            dirty[rows] = is_dirty

    def set_back(self, signals: Ints, delta: int) -> None:
        """Their source's clock was set back by so much: what comes now is newer than anything before."""
        rows = self.rows_of(signals)
        for field in ("sum_from", "last", "began"):
            self.table.rows[field][rows] -= delta
        self._dirty["points"][rows] = True

    def due(self, part: str, rows: Ints, owner: Ints) -> list[int]:
        """Owners of rows of which this part must be saved, each once; all of these rows count as saved then."""
        is_dirty = self._dirty[part][rows]
        found: list[int] = np.unique(owner[is_dirty]).tolist() if is_dirty.any() else []
        self._dirty[part][rows] = False
        return found

    def load(self, rows: Ints, parts: Iterable[tuple[str, bytes]]) -> None:
        """Takes saved parts back: of fewer or more signals than now the first ones. Raises ArtifactMismatch."""
        for part, payload in parts:
            num = self.table.count(payload)
            if num <= len(rows):
                self.table.load(rows[:num], payload, PARTS[part])
            else:
                spare = self.table.add(num - len(rows))
                self.table.load(np.concatenate([rows, spare]), payload, PARTS[part])
                self.table.free(spare)
