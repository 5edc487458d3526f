"""How the series of a record become signals: worked out once, since scrapes repeat."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.core.signals import Term
from services.anomaly.model.bank import Bools, Ints

#: Plans that an entity keeps; a source that names its series anew each time must not fill the memory.
MAX_PLANS = 32
#: Layouts that are kept, by the series in them.
MAX_LAYOUT_SERIES = 400_000
HOWS = {"value": 0, "rate": 1, "increase": 2}


class Plan:
    """One tuple of series of one entity.

    Attributes:
        places: where in the record the known series stand; `samples` their slots, `numbers` theirs in the entity.
        signals: the slots of the signals that they are part of.
        terms: (4, t): each term's place in `samples` and in `signals`, its how, and whether it stands below the line.
        named: terms whose series has a name.
        first: the first of `numbers`, where they go on one by one from there; 0 where they do not.
        fresh: places of series that are looked at and not known yet.
        refused: those of them for which there was no room when the entity's registry had `version`.
    """

    __slots__ = (
        "first", "fresh", "named", "num_series", "num_unwatched", "numbers", "places", "refused", "samples", "signals",
        "terms", "version",
    )  # fmt: skip

    def __init__(
        self,
        series: Sequence[str],
        terms: Sequence[tuple[Term, ...]],
        numbers: dict[str, int],
        slots: Ints,
        signals: dict[str, int],
    ) -> None:
        known = [place for place, name in enumerate(series) if terms[place] and name in numbers]
        keys = list(dict.fromkeys(term.signal.key for place in known for term in terms[place]))
        at = {key: place for place, key in enumerate(keys)}
        rows = [
            (number, at[term.signal.key], HOWS[term.how], term.is_below)
            for number, place in enumerate(known)
            for term in terms[place]
        ]
        self.num_series = len(series)
        self.num_unwatched = sum(not each for each in terms)
        self.places = np.array(known, np.int64)
        self.numbers = np.array([numbers[series[place]] for place in known], np.int64)
        self.first = int(self.numbers[0]) if len(known) and (np.diff(self.numbers) == 1).all() else 0
        self.samples = slots[self.numbers - 1]
        self.signals = np.array([signals[key] for key in keys], np.int64)
        self.terms = np.array(rows, np.int64).reshape(-1, 4).T
        self.named = np.array([bool(series[known[number]]) for number, *_ in rows], bool)
        self.fresh = [place for place, name in enumerate(series) if terms[place] and name not in numbers]
        self.refused: frozenset[int] = frozenset()
        self.version = -1


class Layout(NamedTuple):
    """Several plans one after the other, those of one round. `r` records, `s` series, `g` signals, `t` terms.

    Attributes:
        places: (s,) where in the values of all records each series stands; `samples` its slot, `numbers` its number.
        record_of_sample, record_of_signal: (s,), (g,).
        term_sample, term_signal: (t,) places among the s and the g.
        hows, is_below, is_named: (t,) what is made of the sample (HOWS), whether it stands below the line, whether its
            series has a name.
        firsts, counts: (r,) each plan's `first`, and how many series it knows.
    """

    places: Ints
    samples: Ints
    numbers: Ints
    record_of_sample: Ints
    signals: Ints
    record_of_signal: Ints
    term_sample: Ints
    term_signal: Ints
    hows: Ints
    is_below: Bools
    is_named: Bools
    num_unwatched: int
    firsts: Ints
    counts: Ints


def lay_out(plans: Sequence[Plan]) -> Layout:
    """The plans as one."""
    sizes = np.array([(p.num_series, len(p.samples), len(p.signals), p.terms.shape[1]) for p in plans], np.int64)
    begins = np.cumsum(sizes, axis=0) - sizes
    each = np.arange(len(plans))
    terms = np.concatenate([p.terms for p in plans], axis=1)
    return Layout(
        np.concatenate([p.places for p in plans]) + np.repeat(begins[:, 0], sizes[:, 1]),
        np.concatenate([p.samples for p in plans]),
        np.concatenate([p.numbers for p in plans]),
        np.repeat(each, sizes[:, 1]),
        np.concatenate([p.signals for p in plans]),
        np.repeat(each, sizes[:, 2]),
        terms[0] + np.repeat(begins[:, 1], sizes[:, 3]),
        terms[1] + np.repeat(begins[:, 2], sizes[:, 3]),
        terms[2].copy(),
        terms[3].astype(bool),
        np.concatenate([p.named for p in plans]),
        sum(p.num_unwatched for p in plans),
        np.array([p.first for p in plans], np.int64),
        sizes[:, 1],
    )


class Layouts:
    """The layouts of the last rounds: the same entities come together again and again. Bounded."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[Plan, ...], Layout] = OrderedDict()
        self._num_series = 0

    def of(self, plans: tuple[Plan, ...]) -> Layout:
        """The layout of these plans, in this order."""
        layout = self._held.get(plans)
        if layout is not None:
            self._held.move_to_end(plans)
            return layout
        layout = self._held[plans] = lay_out(plans)
        self._num_series += len(layout.samples)
        while self._num_series > MAX_LAYOUT_SERIES and len(self._held) > 1:
            _, gone = self._held.popitem(last=False)
            self._num_series -= len(gone.samples)
        return layout
