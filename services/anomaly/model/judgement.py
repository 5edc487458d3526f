"""Whether values lie outside what is expected and matter, in which direction, by how much."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows
from services.anomaly.model.compiled import compiled
from services.anomaly.model.store import Kinds

#: While an alert is open a signal is bad until it has come back by a quarter of the way from its edge to its median.
HYSTERESIS = 0.75


class Outside(NamedTuple):
    """A signal beyond its edge. The score is 0.5 at the edge and grows with the distance from the usual value."""

    key: str
    value: float
    score: float
    edge: float
    usual: float


class Judged(NamedTuple):
    """(n,) each: which values lie outside; the edge, the usual value and the score, which mean nothing inside.

    `is_known`: of which enough is known to judge; `matters`: which of these lie on the bad side of the usual value.
    """

    is_outside: Bools
    edge: Floats
    usual: Floats
    score: Floats
    is_known: Bools
    matters: Bools

    def of(self, own: slice) -> "Judged":
        """Of these values only."""
        return Judged(
            self.is_outside[own],
            self.edge[own],
            self.usual[own],
            self.score[own],
            self.is_known[own],
            self.matters[own],
        )


def judge(
    values: Floats, kinds: Kinds, kind: Ints, bands: Sequence[Bands], is_open: Bools, lines: Floats | None = None
) -> Judged:
    """None is outside that is inside by any of the voters, too small a change, good news, or not known well enough.

    Args:
        kind: (n,) which of the kinds each signal is.
        bands: of each voter. All must agree: the widest counts. The last one says what is usual: the robust one's
            median in the default order.
        is_open: (n,) signals of an alert that is firing; for them the way back is a little longer.
        lines: (n,) how many times as far from the usual value the edge lies, by what people said; None for 1.
    """
    low, usual, high = bands[-1]
    is_known = ~np.isnan(usual)
    for band in reversed(bands[:-1]):
        low, high = np.where(low < band.low, low, band.low), np.where(high > band.high, high, band.high)
        is_known &= ~np.isnan(band.center)
    n = len(values)
    judged = Judged(np.empty(n, bool), np.empty(n), usual, np.empty(n), is_known, np.empty(n, bool))
    _judge(
        values, low, usual, high, is_known, kinds.table, kind, is_open, np.ones(0) if lines is None else lines,
        judged.is_outside, judged.edge, judged.score, judged.matters,
    )  # fmt: skip
    return judged


@compiled
def _judge(
    values: Floats, low: Floats, center: Floats, high: Floats, is_known: Bools, kinds: Rows, kind: Ints,
    is_open: Bools, lines: Floats, is_outside: Bools, edges: Floats, scores: Floats, matters: Bools,
) -> None:  # fmt: skip
    """Fills the last four; `lines` is empty for 1 everywhere."""
    for place in range(len(values)):
        value, usual, meaning = values[place], center[place], kinds[kind[place]]
        is_up, is_down = value > usual, value < usual
        matters[place] = is_known[place] and ((is_up and meaning.up) or (is_down and meaning.down))
        # Where it begins to matter on the side of the value.
        far = usual + meaning.min_change if is_up else usual - meaning.min_change
        times = usual * (meaning.up_factor if is_up else meaning.down_factor) if usual > 0 else usual
        edge = high[place] if is_up else low[place]
        if (far > edge) == is_up and far != edge:
            edge = far
        if (times > edge) == is_up and times != edge:
            edge = times
        # Where nobody said anything it stays to the last bit, whatever was said of others.
        if len(lines) and lines[place] != 1.0:
            edge = usual + lines[place] * (edge - usual)
        if is_open[place]:
            edge = usual + HYSTERESIS * (edge - usual)
        is_inside = (value - edge) * (edge - usual) <= 0
        is_outside[place] = matters[place] and not is_inside and (value > edge) == (edge > usual)
        apart = abs(value - usual)
        scores[place] = apart / (apart + abs(edge - usual)) if apart > 0 else 0.0
        edges[place] = edge


@compiled
def mark(
    rows: Rows, slots: Ints, is_outside: Bools, times: Micros, fresh_warm_at: Micros, kinds: Rows, kind: Ints
) -> None:
    """Notes of signals that may alert whether they lie outside; in place.

    Args:
        rows, slots: all signals, and which of them these are.
        fresh_warm_at: (n,) from when on one that is new may alert.
    """
    for place in range(len(slots)):
        row, meaning, time = rows[slots[place]], kinds[kind[place]], times[place]
        if meaning.can_alert and row.has_track == 0:
            row.warm_at, row.has_track = fresh_warm_at[place], 1
        is_out = is_outside[place] and meaning.can_alert and time >= row.warm_at
        marks = np.int64(row.marks)
        if is_out and marks & (meaning.recent >> 1) == 0:
            row.first_out = time
        if not is_out:
            row.out_since = 0
        elif row.out_since == 0:
            row.out_since = time
        row.marks = ((marks << 1) | np.int64(is_out)) & meaning.recent if meaning.can_alert else 0


def counts(rows: Rows, values: Floats, times: Micros, kinds: Kinds, kind: Ints) -> Bools:
    """Which have lain outside often enough of late to speak; what nobody has any more does at once."""
    may = kinds.can_alert[kind] & (rows["has_track"] > 0) & (times >= rows["warm_at"])
    is_gone = kinds.vanishes[kind] & (values <= 0)
    return np.asarray(may & (is_gone | (np.bitwise_count(rows["marks"]) >= kinds.hits[kind])))


def step_scores(judged: Judged, can_alert: Bools, record_of: Ints, num: int) -> Floats:
    """(num,): the score of each record's farthest signal that may alert; -1.0 where none is known well enough."""
    steps = np.full(num, -1.0)
    _farthest(judged.is_known & can_alert, judged.matters, judged.score, record_of, steps)
    return steps


@compiled
def _farthest(counts: Bools, matters: Bools, scores: Floats, record_of: Ints, steps: Floats) -> None:
    for place in range(len(counts)):
        if counts[place]:
            step = record_of[place]
            steps[step] = max(steps[step], scores[place] if matters[place] else 0.0)


def shares(outside: Sequence[Outside]) -> Mapping[str, float]:
    """Each signal's part in the trouble, most first; together 1."""
    total = sum(each.score for each in outside)
    ordered = sorted(outside, key=lambda each: (-each.score, each.key))
    return {each.key: each.score / total for each in ordered}
