"""One entity's features as the columns of one row: the whole-entity detectors with River's contract."""

from collections.abc import Iterable, Mapping
from typing import Literal

import numpy as np

from services.anomaly.model.abstract import Band, Features, clean, ratio_score
from services.anomaly.model.bank import Floats, Ints, Rows
from services.anomaly.model.parts import decode_part, encode_part
from services.anomaly.model.reconstruction import Reconstruction
from services.anomaly.model.slots import Slots
from services.common.errors import ArtifactMismatch

SMALLEST_WIDTH = 8


class EntityReconstruction:
    """`Reconstruction` of one entity, whose features come and go.

    Its row doubles in width as features come, up to `most`; a feature beyond these is not learnt. One that is gone
    keeps its column until it is forgotten.

    Args:
        memory: steps after which what was learnt weighs a third.
        most: features of an entity.
    """

    name, threshold = "reconstruction", 0.5
    judges: Literal["each", "whole"] = "whole"

    def __init__(self, memory: float = 5_000.0, most: int = 512) -> None:
        self._memory = memory
        self._most = most
        self._columns: dict[str, int] = {}
        self._widen(SMALLEST_WIDTH)

    def _widen(self, width: int) -> None:
        """A wider row of nothing learnt."""
        self._bank = Reconstruction(width, self._memory)
        self._row = np.zeros(1, self._bank.dtype)

    def learn_one(self, x: Features) -> None:
        known = clean(x)
        for name in known:
            if name not in self._columns and len(self._columns) < self._most:
                self._columns[name] = self._free_column()
        self._bank.learn(self._row, self._values(known))

    def remember_one(self, x: Features) -> None:
        """Takes note of an observation that is not to be learnt: the smoothed score and the last values move on."""
        self._bank.remember(self._row, self._values(clean(x)))

    def _free_column(self) -> int:
        taken = set(self._columns.values())
        free = next((place for place in range(self._bank.width) if place not in taken), None)
        if free is None:
            free, before = self._bank.width, self._row
            self._widen(2 * free)
            _copy(before, self._row)
        return free

    def _values(self, known: Features) -> Floats:
        """(1, W), NaN for what is missing."""
        values = np.full((1, self._bank.width), np.nan)
        for name, value in known.items():
            if (place := self._columns.get(name)) is not None:
                values[0, place] = value
        return values

    def score_one(self, x: Features) -> float:
        return float(self._bank.score(self._row, self._values(clean(x)))[0])

    def score_each(self, x: Features) -> dict[str, float]:
        """Each feature's own part of this step's score by the entity's line; not smoothed."""
        known, line = clean(x), float(self._row["line"][0])
        parts = self._bank.parts(self._row, self._values(known))[0]
        places = {name: self._columns[name] for name in known if name in self._columns}
        return {name: ratio_score(float(parts[place]), line) for name, place in places.items()}

    def expected(self, feature: str) -> Band | None:
        """Nothing: what is normal for one feature hangs on the others."""

    def forget(self, features: Iterable[str]) -> None:
        places = np.array([self._columns.pop(name) for name in features if name in self._columns], np.int64)
        _clear(self._row[0:1], places)

    def save(self) -> dict[str, bytes]:
        slots = self._slots()
        slots.put(np.array([0]), self._row)
        return {"columns": encode_part((self._bank.width, self._columns)), "row": slots.save(np.array([0]))}

    def load(self, parts: Mapping[str, bytes]) -> None:
        width, columns = decode_part(parts, "columns", tuple[int, dict[str, int]])
        if not self._fits(width, columns):
            raise ArtifactMismatch(
                f"A saved entity has {len(columns)} features in {width} columns; wanted a power of two from "
                f"{SMALLEST_WIDTH} on, and each feature a column of its own: delete anomaly.state.v1 to learn anew."
            )
        self._widen(width)
        slots = self._slots()
        slots.load(np.array([0]), parts.get("row", b""))
        self._columns, self._row = columns, slots.take(np.array([0]))

    def _fits(self, width: int, columns: Mapping[str, int]) -> bool:
        places = set(columns.values())
        is_power = width >= SMALLEST_WIDTH and width & (width - 1) == 0 and width < 2 * max(self._most, SMALLEST_WIDTH)
        return is_power and len(places) == len(columns) and all(0 <= place < width for place in places)

    def _slots(self) -> Slots:
        slots = Slots(self.name, self._bank.dtype)
        slots.add(1)
        return slots


def _copy(narrow: Rows, wide: Rows) -> None:
    """Puts what the first columns knew into a wider row."""
    for field in narrow.dtype.names or ():
        held = narrow[field]
        places = tuple(slice(0, size) for size in held.shape)
        wide[field][places if wide[field].shape != held.shape else ...] = held


def _clear(rows: Rows, places: Ints) -> None:
    """Nothing was learnt of these columns, nor of what ties others to them."""
    if not len(places):
        return
    for field in ("center", "unit", "last", "num", "spread", "rest", "change"):
        rows[field][:, places] = 0
    for field in ("moments", "projector"):
        rows[field][:, places, :] = 0
        rows[field][:, :, places] = 0
