"""The detectors at work: who votes on signals, who advises, and what each of them has learnt."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from services.anomaly.model.abstract import LARGEST
from services.anomaly.model.bank import Bands, Bank, Floats, Ints, Micros, Rows, clean
from services.anomaly.model.columns import Columns
from services.anomaly.model.compiled import compiled
from services.anomaly.model.entity import Entity
from services.anomaly.model.half_space_forest import HalfSpaceForest, Trees
from services.anomaly.model.individuals import Individuals
from services.anomaly.model.store import Store
from services.anomaly.settings import RIVER

#: Observations for the trees that wait to be learnt together.
MAX_QUEUED = 4096


class Panel:
    """Voters and advisers by name.

    Args:
        banks: those that judge signals by themselves, voters first, by name.
        num_voters: how many of them vote.
        order: all advisers as in the settings, in the order in which their scores are shown, River's models last;
            `half_space_trees` may be one.
        individuals: those that judge one entity at a time.

    Attributes:
        bounds: the detector that knows the least and the most that was learnt, if there is one.
    """

    def __init__(self, banks: Sequence[Bank], num_voters: int, order: Sequence[str], individuals: Individuals) -> None:
        self.columns = [Columns(bank) for bank in banks]
        self.voters = self.columns[:num_voters]
        self.advisers = self.columns[num_voters:]
        self.forest = HalfSpaceForest() if HalfSpaceForest.name in order else None
        self.names = [column.bank.name for column in self.voters]
        self.individuals = individuals
        first = [name for name in (*self.names, *order) if not name.startswith(RIVER)]
        self._order = [*first, *(name for name in individuals.names if name not in first)]
        self.bounds = next((column for column in self.columns if hasattr(column.bank, "seen")), None)
        self._queue: list[tuple[list[Trees], Floats]] = []
        self._num_queued = 0
        self._gathers: dict[tuple[Any, ...], Gather] = {}

    def turn(self, slots: Ints, times: Micros) -> None:
        """Makes the voters' rows ready for these times."""
        for column in self.voters:
            column.turn(slots, times)

    def bands(self, slots: Ints, times: Micros) -> list[Bands]:
        """What each voter expects of these signals."""
        self.turn(slots, times)
        return [column.bands(slots, times) for column in self.voters]

    def seen(self, slot: int, time: int) -> tuple[float, float] | None:
        """The least and the most that was learnt of a signal; None for nothing."""
        if self.bounds is None:
            return None
        low, high = self.bounds.seen(np.array([slot]))
        return None if np.isnan(low[0]) else (float(low[0]), float(high[0]))

    def scores(self, entity: Entity, x: Mapping[str, float], time: int) -> dict[str, float]:
        """What each detector says of all signals of an entity together, by name."""
        names = [key for key in x if key in entity.signals]
        slots = np.array([entity.signals[key] for key in names], np.int64)
        values = clean(np.array([x[key] for key in names], np.float64))
        slots, values = slots[~np.isnan(values)], values[~np.isnan(values)]
        times = np.full(len(slots), time)
        found = {}
        for column in self.columns:
            scores = column.bank.score(column.peek(slots, times), values, times)
            found[column.bank.name] = float(scores.max(initial=0.0))
        if self.forest is not None:
            self.learn_queued()
            trees: Trees | None = entity.trees
            found[self.forest.name] = self.forest.score(trees, x) if trees is not None else 0.0
        found.update(self.individuals.scores(entity, x))
        return {name: found[name] for name in self._order}

    def queue(self, entities: Sequence[Entity], store: Store, changed: Mapping[int, float], stamp: int) -> None:
        """The trees of these entities shall learn their signals' latest values.

        Args:
            changed: what to learn instead, by slot.
            stamp: changes whenever any entity's names do.
        """
        assert self.forest is not None
        drawn: list[Entity] = []
        for entity in entities:
            trees = entity.trees
            if trees is None:
                trees = entity.trees = Trees()
            if trees.place >= 0:
                drawn.append(entity)
            else:
                self.forest.look(trees, latest_of(entity, store, changed))
        if not drawn:
            return
        key = (stamp, *map(id, drawn))
        gather = self._gathers.get(key)
        if gather is None:
            if len(self._gathers) >= 64:
                self._gathers.clear()
            gather = self._gathers[key] = Gather(drawn)
        self._queue.append((gather.trees, gather.take(store, changed)))
        self._num_queued += len(drawn)
        if self._num_queued >= MAX_QUEUED:
            self.learn_queued()

    def learn_queued(self) -> None:
        """Lets the trees learn all that waits."""
        if not self._queue or self.forest is None:
            return
        who = list(chain.from_iterable(trees for trees, _ in self._queue))
        x = np.full((len(who), max(rows.shape[1] for _, rows in self._queue)), np.nan)
        begin = 0
        for _, rows in self._queue:
            x[begin : begin + len(rows), : rows.shape[1]] = rows
            begin += len(rows)
        self._queue.clear()
        self._num_queued = 0
        self.forest.learn(who, x)


class Gather:
    """Where the features of some entities' trees are found. Holds on to them, so that their `id` stays theirs."""

    def __init__(self, entities: Sequence[Entity]) -> None:
        self._entities = list(entities)
        self.trees: list[Trees] = [entity.trees for entity in entities]
        sizes = [len(trees.low) for trees in self.trees]
        self._shape = (len(sizes), max(sizes))
        names = [(entity.signals.get(name, -1)) for entity in entities for name in entity.trees.limits]
        self._slots = np.array(names, np.int64)
        self._place_of = {slot: place for place, slot in enumerate(names) if slot >= 0}
        self._row = np.repeat(np.arange(len(sizes)), sizes)
        self._feature = np.arange(len(names)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        self._low = np.concatenate([trees.low for trees in self.trees])
        self._span = np.concatenate([trees.high for trees in self.trees]) - self._low

    def take(self, store: Store, changed: Mapping[int, float]) -> Floats:
        """(entities, features): scaled, NaN for what is missing."""
        x = np.full(self._shape, np.nan)
        _scale(store.signals.rows, self._slots, self._row, self._feature, self._low, self._span, LARGEST, x)
        for slot, value in changed.items():
            place = self._place_of.get(slot)
            if place is not None:
                x[self._row[place], self._feature[place]] = (value - self._low[place]) / self._span[place]
        return x


@compiled
def _scale(
    rows: Rows, slots: Ints, row_of: Ints, column_of: Ints, low: Floats, span: Floats, largest: float, x: Floats
) -> None:
    """Fills in the newest values of the signals that have one, held within bounds, 0 at `low`."""
    for place in range(len(slots)):
        if slots[place] >= 0:
            row = rows[slots[place]]
            if row.has_latest > 0 and np.isfinite(row.latest):
                value = min(max(row.latest, -largest), largest)
                x[row_of[place], column_of[place]] = (value - low[place]) / span[place]


def latest_of(entity: Entity, store: Store, changed: Mapping[int, float]) -> dict[str, float]:
    """Each signal's newest value by name, held within bounds; `changed` stands in place of some, by slot."""
    slots = entity.signal_slots
    rows = store.signals.rows
    has_latest, values = rows["has_latest"][slots].tolist(), clean(rows["latest"][slots]).tolist()
    held = {key: value for key, value, has in zip(entity.signals, values, has_latest, strict=True) if has}
    if changed:
        held.update({key: changed[slot] for key, slot in entity.signals.items() if slot in changed})
    return held
