"""What is remembered of every series, in arrays: a slot an entity, a row a target, so that all are handled at once.

Letters: E slots, T targets, L steps of the lookback, F forecasters, A anchors, W forecasts that wait for what comes,
R remembered errors.
"""

from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.predictor.core.lookback import LOOKBACK_STEPS

Slots = NDArray[np.int64]

#: Fields whose first axis after the slot is the target; of these only the rows that the entity has are saved.
_BY_TARGET = (
    "history", "awaited", "awaited_scale", "awaited_bounds", "residuals", "error", "num_scored", "coverage", "speaker",
    "peak",
    "widening",
)  # fmt: skip
#: Of these the second axis is the forecaster.
_BY_FORECASTER = ("awaited", "residuals", "error", "num_scored")


#: Row n: the places of the steps, oldest first, when the newest one is at place n.
_IN_ORDER = (np.arange(LOOKBACK_STEPS)[:, None] + 1 + np.arange(LOOKBACK_STEPS)[None, :]) % LOOKBACK_STEPS


class Layout(msgspec.Struct, frozen=True):
    """What the arrays are made for. A saved entity of another layout is fitted in, or begins anew.

    Attributes:
        forecasters: name and version each.
        lags: for each anchor, how many predictions later what came is known.
        every: seconds between predictions.
    """

    targets: tuple[str, ...]
    forecasters: tuple[tuple[str, str], ...]
    lags: tuple[int, ...]
    num_residuals: int
    every: int


class SavedRows(msgspec.Struct, frozen=True):
    """One entity's rows: little-endian bytes by field."""

    layout: Layout
    fields: dict[str, bytes]


class Table:
    """The arrays. Slots are handed out and taken back; the arrays grow by doubling."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._free: list[int] = []
        self._capacity = 0
        self._layouts: dict[tuple[str, ...], Layout] = {}
        self._fields = _fields(layout, len(layout.targets))
        for name, (shape, dtype, _) in self._fields.items():
            setattr(self, name, np.zeros((0, *shape), dtype))

    history: NDArray[np.float64]  # (E, T, L), the step's number modulo L
    awaited: NDArray[np.float32]  # (E, T, F, W)
    awaited_scale: NDArray[np.float32]  # (E, T, W)
    awaited_bounds: NDArray[np.float32]  # (E, T, 2, W)
    awaited_turn: NDArray[np.int64]  # (E, W) the turn in which it was said
    residuals: NDArray[np.float16]  # (E, T, F, A, R)
    error: NDArray[np.float64]  # (E, T, F)
    num_scored: NDArray[np.int64]  # (E, T, F)
    coverage: NDArray[np.float64]  # (E, T)
    speaker: NDArray[np.int64]  # (E, T)
    widening: NDArray[np.float64]  # (E, T, A) log of how much wider than past errors say an interval is made
    peak: NDArray[np.float64]  # (E, T) the highest value of hours

    def take_slot(self) -> int:
        """An empty slot."""
        if not self._free:
            self._grow()
        slot = self._free.pop()
        self.clear(slot)
        return slot

    def give_slot(self, slot: int) -> None:
        """The slot's entity is gone."""
        self._free.append(slot)

    def clear(self, slot: int) -> None:
        """Forgets everything in the slot."""
        for name, (_, _, empty) in self._fields.items():
            getattr(self, name)[slot] = empty

    def _grow(self) -> None:
        more = max(64, self._capacity)
        for name, (shape, dtype, empty) in self._fields.items():
            setattr(self, name, np.concatenate([getattr(self, name), np.full((more, *shape), empty, dtype)]))
        self._free = list(range(self._capacity + more - 1, self._capacity - 1, -1))
        self._capacity += more

    def push(self, slot: int, previous: int, number: int, rows: Sequence[int], values: Sequence[float]) -> None:
        """Takes a step in; what lies between it and the previous one is missing.

        Args:
            previous: the number of the step before, below 0 for none.
            rows, values: the targets that it has.
        """
        history = self.history[slot]
        gap = number - previous - 1 if previous >= 0 else 0
        if gap >= LOOKBACK_STEPS:
            history[:] = np.nan
        for missing in range(number - min(gap, LOOKBACK_STEPS), number + 1):
            history[:, missing % LOOKBACK_STEPS] = np.nan
        history[rows, number % LOOKBACK_STEPS] = values

    def lookback(self, slot: int, number: int) -> NDArray[np.float64]:
        """(T, L) a copy of the steps up to `number`, oldest first."""
        return np.asarray(self.history[slot][:, _IN_ORDER[number % LOOKBACK_STEPS]])

    def save(self, slot: int) -> SavedRows:
        """The slot's rows of those targets that the entity has."""
        is_used = np.isfinite(self.history[slot]).any(axis=1) | self.num_scored[slot].any(axis=1)
        rows = np.flatnonzero(is_used)
        targets = tuple(self.layout.targets[row] for row in rows.tolist())
        fields = {}
        for name in self._fields:
            array: NDArray[np.generic] = getattr(self, name)[slot]
            fields[name] = (array[rows] if name in _BY_TARGET else array).tobytes()
        return SavedRows(self._layout_of(targets), fields)

    def _layout_of(self, targets: tuple[str, ...]) -> Layout:
        if targets not in self._layouts:
            self._layouts[targets] = msgspec.structs.replace(self.layout, targets=targets)
        return self._layouts[targets]

    def load(self, slot: int, saved: SavedRows) -> bool:
        """Takes back what `save` gave; returns whether all of it was taken.

        A target that is not predicted any more is left out; a forecaster of another version begins anew. When the
        times of the forecasts differ, only the steps are taken.

        Raises:
            ValueError: the bytes do not fill the arrays that the layout says.
        """
        then = saved.layout
        is_same = (then.lags, then.num_residuals, then.every) == (
            self.layout.lags, self.layout.num_residuals, self.layout.every,
        )  # fmt: skip
        for name, array in _arrays(saved):
            if is_same or name == "history":
                for into, value in self._places(name, then, array):
                    getattr(self, name)[(slot, *into)] = value
        if is_same:
            self._load_speaker(slot, then, saved)
        return is_same and then.forecasters == self.layout.forecasters

    def _places(
        self, name: str, then: Layout, array: NDArray[np.generic]
    ) -> Iterator[tuple[tuple[int, ...], NDArray[np.generic]]]:
        """(index within the slot, value) of every part of a saved array that has a place here."""
        if name not in _BY_TARGET:
            yield (), array
            return
        for row, target in enumerate(then.targets):
            if target not in self.layout.targets or name == "speaker":
                continue
            into = self.layout.targets.index(target)
            if name not in _BY_FORECASTER:
                yield (into,), array[row]
                continue
            for number, forecaster in enumerate(then.forecasters):
                if forecaster in self.layout.forecasters:
                    yield (into, self.layout.forecasters.index(forecaster)), array[row][number]

    def _load_speaker(self, slot: int, then: Layout, saved: SavedRows) -> None:
        spoke = dict(_arrays(saved))["speaker"]
        for row, target in enumerate(then.targets):
            forecaster = then.forecasters[int(spoke[row])]
            if target in self.layout.targets and forecaster in self.layout.forecasters:
                self.speaker[slot, self.layout.targets.index(target)] = self.layout.forecasters.index(forecaster)


Field = tuple[tuple[int, ...], str, float]


def _fields(layout: Layout, t: int) -> dict[str, Field]:
    """Shape without the slot, type and empty value of each field."""
    f, a, w, r = len(layout.forecasters), len(layout.lags), sum(layout.lags), layout.num_residuals
    nan = float("nan")
    return {
        "history": ((t, LOOKBACK_STEPS), "<f8", nan),
        "awaited": ((t, f, w), "<f4", nan),
        "awaited_scale": ((t, w), "<f4", nan),
        "awaited_bounds": ((t, 2, w), "<f4", nan),
        "awaited_turn": ((w,), "<i8", -1),
        "residuals": ((t, f, a, r), "<f2", nan),
        "error": ((t, f), "<f8", nan),
        "num_scored": ((t, f), "<i8", 0),
        "coverage": ((t,), "<f8", nan),
        "speaker": ((t,), "<i8", 0),
        "peak": ((t,), "<f8", 0.0),
        "widening": ((t, a), "<f8", 0.0),
    }


def _arrays(saved: SavedRows) -> Iterator[tuple[str, NDArray[np.generic]]]:
    for name, (shape, dtype, _) in _fields(saved.layout, len(saved.layout.targets)).items():
        yield name, np.frombuffer(saved.fields.get(name, b""), dtype).reshape(shape)
