"""How rare an entity's trouble is among its own steps: the score that compares entities with each other."""

from collections.abc import Sequence

import numpy as np

from services.anomaly.model.bank import Bools, Floats, Ints, Rows
from services.anomaly.model.conformal import Conformal, calibrated, nonconformity
from services.anomaly.model.slots import Slots

#: One step in so many is remembered: with a scrape each five seconds 256 of them are four hours.
EVERY = 12
#: The p-value of a calibrated score of 0.5. A budget of alerts comes to less a step, some 1e-6, but 256 scores know
#: nothing of that: with this one, what is as rare as they can tell (1e-9) is 0.75, which a budget takes as clear.
LINE = 1e-3
#: Fields that change with each step, and the others.
QUICK_FIELDS, SCORES = ("num", "at", "passed"), ("scores",)


class Calibration:
    """Rows of a `Conformal`, one an entity, and which of them must be saved again.

    A step is what one record of an entity completes; its score that of the signal farthest from what is usual in the
    direction that is bad, of those that may alert. Steps that are bad, of a warm-up or of an open alert are not learnt.
    """

    def __init__(self) -> None:
        self._conformal = Conformal(EVERY)
        self.table = Slots(Conformal.name, Conformal.dtype, Conformal.version)
        self._dirty: Bools = np.zeros(0, bool)

    def add(self) -> int:
        """A row for an entity."""
        [row] = self.table.add(1).tolist()
        if row >= len(self._dirty):
            self._dirty = np.concatenate([self._dirty, np.zeros(len(self.table.rows) - len(self._dirty), bool)])
        self._dirty[row] = False
        return int(row)

    def free(self, row: int) -> None:
        """The entity is gone."""
        self.table.free(np.array([row]))

    def clear(self, row: int) -> None:
        """What was saved cannot be read: it begins anew."""
        self.table.clear(np.array([row]))
        self._dirty[row] = True

    def learn(self, rows: Ints, scores: Floats) -> None:
        """Steps with these scores in [0, 1], 0.5 at the line, were normal."""
        self._dirty[self._conformal.learn(self.table.rows, nonconformity(scores), rows)] = True

    def score(self, row: int, score: float) -> float | None:
        """The calibrated score of a step, 0.5 where its p-value is LINE; None while too few steps are known."""
        held: Rows = self.table.take(np.array([row]))
        if held["num"][0] < self._conformal.least:
            return None
        p_values = self._conformal.p_values(held, nonconformity(np.array([score])))
        return float(calibrated(p_values, LINE)[0])

    def due(self, rows: Sequence[int]) -> list[int]:
        """Places of those among `rows` whose scores must be saved; they count as saved then."""
        at = np.array(rows, np.int64)
        places = np.flatnonzero(self._dirty[at]).tolist()
        self._dirty[at] = False
        return list(places)
