"""What of an entity is saved, and in which parts: rows of declared fields, and a few values beside them."""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import msgspec
import numpy as np

from services.anomaly.model.bank import Ints
from services.anomaly.model.calibration import QUICK_FIELDS
from services.anomaly.model.conformal import Conformal
from services.anomaly.model.drift import PARTS, DriftBank
from services.anomaly.model.entity import Entity
from services.anomaly.model.half_space_forest import HalfSpaceForest
from services.anomaly.model.slots import Slots
from services.anomaly.model.store import SAMPLE_PARTS, SIGNAL_PARTS, Store
from services.anomaly.model.team import Team
from services.anomaly.model.watch import RARE_PARTS, Watch

TREE_PARTS = ("looking", "drawn", "window", "before")
TOGETHER_PARTS = ("together.names", "together.course", "together.rows")
SCORES_PART = f"{Conformal.name}.scores"
#: Rows that are read by themselves.
APART = (Conformal.name, DriftBank.name)
#: Parts that change with each scrape.
QUICK = ("done", "recent", "row")


class Names(msgspec.Struct, array_like=True):
    """What changes only when series come: their names in order, each signal's key, and a series that it is made of.

    Attributes:
        origins: empty where the series has the signal's own name.
        layout: what stands in `samples.last` one after the other: rows of what, and bytes a row.
    """

    samples: list[str]
    signals: list[str]
    origins: list[str]
    layout: list[tuple[str, int]]


class Columns(msgspec.Struct, array_like=True):
    """Which signals an entity's row of `model/together.py` has, in order; width 0 for a row a signal."""

    width: int
    names: list[str]


class Block:
    """Some fields of the rows of all series, or of all signals; `width` bytes a row.

    Args:
        sign: where it shows whether they have changed, when not by themselves.
    """

    def __init__(
        self, table: Slots, name: str, part: str, fields: Sequence[str] | None,
        sign: tuple[Slots, Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        self.table, self.name, self.part, self.fields = table, name, part, fields
        self.sign = sign or (table, fields)
        self.width = table.pack(np.zeros(0, np.int64), fields).dtype.itemsize

    def slots_of(self, entity: Entity) -> Ints:
        """The entity's rows."""
        return entity.sample_slots if self.name == "samples" else entity.signal_slots


class CalibrationBlock(Block):
    """One row of an entity."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.calibration.table, store.calibration.table.name, "quick", QUICK_FIELDS)
        self._store = store

    def slots_of(self, entity: Entity) -> Ints:
        return np.array([entity.calibrated_at(self._store)])


class DriftBlock(Block):
    """What drift takes in with each value, of the signals that are watched; the last block there is."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch.table, watch.table.name, "sums", PARTS["sums"])

    def slots_of(self, entity: Entity) -> Ints:
        return entity.watched


class Group(NamedTuple):
    """Slots of several entities, one after the other; `owner` of each, by place; where each one's begin and end."""

    slots: Ints
    owner: Ints
    bounds: list[int]

    @classmethod
    def of(cls, slots: Sequence[Ints]) -> "Group":
        """Of each entity's."""
        sizes = [len(own) for own in slots]
        return cls(np.concatenate(slots), np.repeat(np.arange(len(slots)), sizes), list(accumulate(sizes, initial=0)))


class Blocks:
    """All rows of an entity, as they are saved.

    Of an entity there are: `entity`, `clock`, `alert` and `names` as MessagePack; `samples.last`, packed rows of all
    that changes with each scrape; and parts that change less often, of the signals and of each detector, as packed
    rows, one a series or signal in the order of `names`. Parts of drift are of the signals that are watched: the first
    ones in that order.

    Attributes:
        quick: what stands in `samples.last`, in this order; `layout` describes it, with bytes a row.
        rare: a part each.
    """

    def __init__(self, team: Team) -> None:
        self._team = team
        store = team.store
        signals = [Block(store.signals, "signals", part, fields) for part, fields in SIGNAL_PARTS.items()]
        for column in team.panel.columns:
            name = column.bank.name
            for (table, parts), sign in zip(column.tables, (None, column.sign), strict=False):
                signals += [Block(table, name, part, fields, sign) for part, fields in parts.items()]
        self.quick = [Block(store.samples, "samples", "last", SAMPLE_PARTS["last"])]
        self.quick += [block for block in signals if block.part in QUICK]
        self.rare = [block for block in signals if block.part not in QUICK]
        self.quick.append(CalibrationBlock(store))
        if store.watch is not None:
            self.quick.append(DriftBlock(store.watch))
        self.layout = [(block.table.describe(block.fields), block.width) for block in self.quick]

    @property
    def parts(self) -> list[str]:
        """The names of all parts that an entity may have."""
        team = self._team
        rows = [f"{block.name}.{block.part}" for block in self.rare]
        trees = [f"{HalfSpaceForest.name}.{part}" for part in TREE_PARTS] if team.panel.forest is not None else []
        together = TOGETHER_PARTS if team.together is not None else ()
        drift = [f"{DriftBank.name}.{part}" for part in RARE_PARTS] if team.store.watch is not None else []
        return ["entity", "clock", "alert", "names", "samples.last", SCORES_PART, *rows, *trees, *together, *drift]
