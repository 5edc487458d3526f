"""What is learnt of signals that were judged, and how far new extremes are believed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.model.assembly import Complete
from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows
from services.anomaly.model.columns import Columns
from services.anomaly.model.compiled import compiled
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
        self, entities: Sequence[Entity], complete: Complete, shown: Floats, when: Micros, judged: Judged, kind: Ints,
        warm_of: Micros, is_open: Bools, is_bad: Bools,
    ) -> None:  # fmt: skip
        """Takes signals in as normal, except what lies outside; nothing while an alert is open.

        Once warm, values inside are learnt, new extremes only as far as they may be believed. Signals that are only
        shown, and those that came late and are warming up by themselves, are learnt as they are.

        Args:
            shown: the values within bounds.
        """
        slots, none = complete.slots, np.zeros(0)
        low, high = self._panel.bounds.seen(slots) if self._panel.bounds is not None else (none, none)
        lesson = Lesson(shown.copy(), *(np.empty(len(slots), bool) for _ in range(3)))
        _prepare(
            complete.values, self._store.signals.rows, slots, complete.record_of, when, warm_of, judged.is_outside,
            is_open, is_bad, low, high, self._store.kinds.table, kind, *lesson,
        )  # fmt: skip
        for column in self._panel.voters:
            _teach(column, slots, lesson.values, when, lesson.is_learning)
        for column in self._panel.advisers:
            column.turn(slots, when)
            column.remember(slots, shown, when)
            _teach(column, slots, lesson.values, when, lesson.is_learning & lesson.advises)
        if self._panel.forest is not None or self._panel.individuals.names:
            self._teach_whole(entities, complete, lesson)

    def _teach_whole(self, entities: Sequence[Entity], complete: Complete, lesson: "Lesson") -> None:
        is_taught = np.zeros(len(entities), bool)
        is_taught[complete.record_of[lesson.advises]] = True
        changed: dict[int, float] = {}
        if lesson.is_other.any():
            slots, values = complete.slots[lesson.is_other], lesson.values[lesson.is_other]
            changed = dict(zip(slots.tolist(), values.tolist(), strict=True))
        taught = entities if is_taught.all() else [entities[place] for place in np.flatnonzero(is_taught).tolist()]
        if self._panel.forest is not None:
            self._panel.queue(taught, self._store, changed, self._registry.version)
        for entity in taught if self._panel.individuals.names else ():
            self._panel.individuals.learn(entity, latest_of(entity, self._store, changed))


class Lesson(NamedTuple):
    """What is learnt of each signal, (n,) each.

    Attributes:
        is_learning: whether it is learnt at all; `advises` whether advisers may learn it.
        is_other: what is learnt is not the signal's newest value.
    """

    values: Floats
    is_learning: Bools
    advises: Bools
    is_other: Bools


@compiled
def _prepare(
    values: Floats, rows: Rows, slots: Ints, record_of: Ints, when: Micros, warm_of: Micros, is_outside: Bools,
    is_open: Bools, is_bad: Bools, low: Floats, high: Floats, kinds: Rows, kind: Ints,
    learnt: Floats, is_learning: Bools, advises: Bools, is_other: Bools,
) -> None:  # fmt: skip
    """Fills the last four, `learnt` being the values within bounds; notes in `rows` which bounds are raised.

    `low` and `high`, the least and most that was learnt of each, are empty where nobody knows.
    """
    for place in range(len(slots)):
        row, record, value, time = rows[slots[place]], record_of[place], values[place], when[place]
        is_warm_up = time < warm_of[place]
        is_plain = is_warm_up or row.has_track == 0 or time < row.warm_at
        learns = not is_open[record] and (is_plain or not is_outside[place])
        if learns and not is_plain and len(low) and (value < low[place] or value > high[place]):
            learns = time - row.raised_at >= STEP_MICROS
            if learns:
                row.raised_at = time
                room = STEP_SHARE * max(high[place] - low[place], kinds[kind[place]].min_change)
                learnt[place] = max(low[place] - room, min(high[place] + room, value))
        is_learning[place] = learns
        advises[place] = not is_open[record] and (is_warm_up or not is_bad[record])
        is_other[place] = learns and (row.latest != learnt[place] or row.has_latest == 0)


def _teach(column: Columns, slots: Ints, values: Floats, times: Micros, which: Bools) -> None:
    if which.all():
        column.learn(slots, values, times)
    elif which.any():
        column.learn(slots[which], values[which], times[which])
