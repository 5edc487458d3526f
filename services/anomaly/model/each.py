"""A bank as the detector of one entity: every feature is a series of its own."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from services.anomaly.model.abstract import Band, Features, clean
from services.anomaly.model.bank import Bank, Floats, Ints, Micros
from services.anomaly.model.columns import Columns
from services.anomaly.model.parts import decode_part, encode_part
from services.common.errors import ArtifactMismatch


class Each:
    """`MetricDetector` by a bank. For many entities at once, use the bank itself: here each call is a small one.

    Observations have no time. `at` says it; without, each one that is learnt counts as `step_seconds` after the one
    before, which only matters to a bank that remembers hours.
    """

    judges: Literal["each", "whole"] = "each"

    def __init__(self, bank: Bank, step_seconds: float = 60.0, threshold: float = 0.5) -> None:
        self.name = bank.name
        self.threshold = threshold
        self._bank = bank
        self._step = int(step_seconds * 1_000_000)
        self._columns = Columns(bank)
        self._slots: dict[str, int] = {}
        self._time = 0

    def at(self, micros: int) -> None:
        """What comes now is of this event time."""
        self._time = micros

    def learn_one(self, x: Features) -> None:
        self._take_in(clean(x), is_normal=True)
        self._time += self._step

    def remember_one(self, x: Features) -> None:
        """Notes an observation that must not be learnt, for a bank that remembers hours; else nothing."""
        if hasattr(self._bank, "remember"):
            self._take_in(clean(x), is_normal=False)

    def _take_in(self, known: dict[str, float], is_normal: bool) -> None:
        new = [name for name in known if name not in self._slots]
        self._slots.update(zip(new, self._columns.add(len(new)).tolist(), strict=True))
        slots, times = self._of(known)
        rows, values = self._columns.at(slots, times), np.array(list(known.values()), np.float64)
        if is_normal:
            self._bank.learn(rows, values, times)
            self._columns.put(slots, rows)
        self._columns.remember(slots, values, times)

    def _of(self, names: Iterable[str]) -> tuple[Ints, Micros]:
        slots = np.array([self._slots[name] for name in names], np.int64)
        return slots, np.full(len(slots), self._time)

    def score_one(self, x: Features) -> float:
        return max(self.score_each(x).values(), default=0.0)

    def score_each(self, x: Features) -> dict[str, float]:
        held = clean(x)
        known = {name: value for name, value in held.items() if name in self._slots}
        slots, times = self._of(known)
        values: Floats = np.array(list(known.values()), np.float64)
        scores = self._bank.score(self._columns.peek(slots, times), values, times)
        return {**dict.fromkeys(held, 0.0), **dict(zip(known, scores.tolist(), strict=True))}

    def expected(self, feature: str) -> Band | None:
        if feature not in self._slots:
            return None
        slots, times = self._of([feature])
        low, center, high = self._bank.bands(self._columns.peek(slots, times), times)
        return None if np.isnan(center[0]) else Band(float(low[0]), float(center[0]), float(high[0]))

    def forget(self, features: Iterable[str]) -> None:
        slots = [self._slots.pop(name) for name in features if name in self._slots]
        self._columns.free(np.array(slots, np.int64))

    def save(self) -> dict[str, bytes]:
        slots, _ = self._of(self._slots)
        names = {"names": encode_part(list(self._slots)), "time": encode_part(self._time)}
        return {**names, **self._columns.save(slots)}

    def load(self, parts: Mapping[str, bytes]) -> None:
        names, time = decode_part(parts, "names", list[str]), decode_part(parts, "time", int)
        if len(set(names)) < len(names):
            raise ArtifactMismatch(
                f"The saved state of {self.name} names a feature twice; wanted each once: delete anomaly.state.v1 to "
                "learn anew."
            )
        columns = Columns(self._bank)
        slots = columns.add(len(names))
        columns.load(slots, parts)
        self._columns, self._time = columns, time
        self._slots = dict(zip(names, slots.tolist(), strict=True))
