"""What is learnt of signals that were judged, and how far new extremes are believed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from services.anomaly.model.abstract import LARGEST
from services.anomaly.model.assembly import Complete
from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows
from services.anomaly.model.columns import Columns
from services.anomaly.model.entity import Entity, Registry
from services.anomaly.model.judgement import Judged
from services.anomaly.model.panel import Panel, latest_of
from services.anomaly.model.store import Store

SECOND = 1_000_000
#: Once warm, a range that is pushed doubles in a little over an hour: growing load is followed, a jump is not learnt
#: before it has been judged.
STEP_SHARE = 0.1
STEP_MICROS = 600 * SECOND


class Teacher:
    """Lets the detectors learn."""

    def __init__(self, store: Store, registry: Registry, panel: Panel) -> None:
        self._store, self._registry, self._panel = store, registry, panel

    def learn(
        self, entities: Sequence[Entity], complete: Complete, times: Micros, judged: Judged, rows: Rows,
        taken: Sequence[Rows], warm_of: Micros, is_open: Bools, is_bad: Bools,
    ) -> None:  # fmt: skip
        """Takes signals in as normal, except what lies outside; nothing while an alert is open.

        Once warm, values inside are learnt, new extremes only as far as they may be believed. Signals that are only
        shown, and those that came late and are warming up by themselves, are learnt as they are.
        """
        when, record_of = times[complete.record_of], complete.record_of
        is_warm_up = when < warm_of
        is_plain = is_warm_up | (rows["has_track"] == 0) | (when < rows["warm_at"])
        is_learning = ~is_open[record_of] & (is_plain | ~judged.is_outside)
        values = complete.values
        if not is_plain.all():
            values, is_learning = self._believed(complete, is_learning, is_plain, rows, taken, when)
        held = np.clip(values, -LARGEST, LARGEST)
        for column, known in zip(self._panel.voters, taken, strict=True):
            _teach(column, complete.slots, known, held, when, is_learning)
        advises = ~is_open[record_of] & (is_warm_up | ~is_bad[record_of])
        for column in self._panel.advisers:
            known = column.at(complete.slots, when)
            column.remember(complete.slots, known, np.clip(complete.values, -LARGEST, LARGEST), when)
            _teach(column, complete.slots, known, held, when, is_learning & advises)
        if self._panel.forest is not None or self._panel.individuals.names:
            self._teach_whole(entities, complete, advises, is_learning, held)

    def _believed(
        self, complete: Complete, is_learning: Bools, is_plain: Bools, rows: Rows, taken: Sequence[Rows], when: Micros
    ) -> tuple[Floats, Bools]:
        """What is learnt of each value, and of which anything is."""
        bounds = self._panel.bounds
        if bounds is None:
            return complete.values, is_learning
        is_voter = bounds in self._panel.voters
        known = taken[self._panel.voters.index(bounds)] if is_voter else bounds.at(complete.slots, when)
        bank: Any = bounds.bank
        low, high = bank.seen(known)
        is_new = ((complete.values < low) | (complete.values > high)) & is_learning & ~is_plain
        if not is_new.any():
            return complete.values, is_learning
        is_raised = is_new & (when - rows["raised_at"] >= STEP_MICROS)
        self._store.signals.rows["raised_at"][complete.slots[is_raised]] = when[is_raised]
        room = STEP_SHARE * np.maximum(high - low, self._store.kinds.min_change[self._store.kind[complete.slots]])
        raised = np.maximum(low - room, np.minimum(high + room, complete.values))
        return np.where(is_raised, raised, complete.values), is_learning & (~is_new | is_raised)

    def _teach_whole(
        self, entities: Sequence[Entity], complete: Complete, advises: Bools, is_learning: Bools, held: Floats
    ) -> None:
        is_taught = np.zeros(len(entities), bool)
        is_taught[complete.record_of[advises]] = True
        rows, slots = self._store.signals.rows, complete.slots
        is_other = is_learning & ((rows["latest"][slots] != held) | (rows["has_latest"][slots] == 0))
        changed = dict(zip(slots[is_other].tolist(), held[is_other].tolist(), strict=True))
        taught = [entities[place] for place in np.flatnonzero(is_taught).tolist()]
        if self._panel.forest is not None:
            self._panel.queue(taught, self._store, changed, self._registry.version)
        for entity in taught if self._panel.individuals.names else ():
            self._panel.individuals.learn(entity, latest_of(entity, self._store, changed))


def _teach(column: Columns, slots: Ints, rows: Rows, values: Floats, times: Micros, which: Bools) -> None:
    if which.all():
        column.bank.learn(rows, values, times)
        column.put(slots, rows)
    elif which.any():
        learnt = rows[which]
        column.bank.learn(learnt, values[which], times[which])
        column.put(slots[which], learnt)
