"""Drift of one series with River's contract for drift detectors."""

import math

import numpy as np

from services.anomaly.model.abstract import LARGEST
from services.anomaly.model.drift import Changes, DriftBank
from services.anomaly.model.drift_whitening import MINUTE
from services.anomaly.model.slots import Slots


class Drift:
    """One series, with River's contract for drift detectors; times in microseconds, or one value a minute.

    `drift_detected` is true right after the update that confirmed a drift, which is `found` then.
    """

    def __init__(self, bank: DriftBank | None = None) -> None:
        self._bank = bank or DriftBank()
        self._slots = Slots(self._bank.name, self._bank.dtype, self._bank.version)
        self._slot = self._slots.add(1)
        self._next_time = 0
        self.found: Changes | None = None

    @property
    def drift_detected(self) -> bool:
        return self.found is not None

    def update(self, x: float, time: int | None = None) -> "Drift":
        """Takes in one value; one that is not finite is as good as not given."""
        time = self._next_time if time is None else time
        self._next_time = time + MINUTE
        self.found = None
        if math.isfinite(x):
            rows = self._slots.take(self._slot)
            changes = self._bank.update(rows, np.clip([x], -LARGEST, LARGEST), np.array([time]))
            self._slots.put(self._slot, rows)
            self.found = changes if len(changes.which) else None
        return self

    def save(self) -> bytes:
        """All that was learnt, by declared fields."""
        return self._slots.save(self._slot)

    def load(self, payload: bytes) -> None:
        """Takes back what `save` gave. Raises ArtifactMismatch for something else."""
        self._slots.load(self._slot, payload)
        rows = self._slots.take(self._slot)
        self._next_time = int(rows["sum_from"][0]) + MINUTE if rows["num_summed"][0] else 0
