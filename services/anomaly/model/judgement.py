"""Whether values lie outside what is expected and matter, in which direction, by how much."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.model.bank import Bands, Bools, Floats, Ints, Micros, Rows, ratio_scores
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
    for band in reversed(bands[:-1]):
        low, high = np.where(low < band.low, low, band.low), np.where(high > band.high, high, band.high)
    is_known = np.logical_and.reduce([~np.isnan(band.center) for band in bands])
    is_up, is_down = values > usual, values < usual
    matters = is_known & ((is_up & kinds.up[kind]) | (is_down & kinds.down[kind]))
    edge = _edges(low, usual, high, is_up, kinds, kind)
    if lines is not None:
        edge = usual + lines * (edge - usual)
    if is_open.any():
        edge = np.where(is_open, usual + HYSTERESIS * (edge - usual), edge)
    is_inside = (values - edge) * (edge - usual) <= 0
    is_outside = matters & ~is_inside & ((values > edge) == (edge > usual))
    scores = ratio_scores(np.abs(values - usual), np.abs(edge - usual))
    return Judged(is_outside, edge, usual, scores, is_known, matters)


def _edges(low: Floats, usual: Floats, high: Floats, is_up: Bools, kinds: Kinds, kind: Ints) -> Floats:
    """Where it begins to matter on the side of each value."""
    change = kinds.min_change[kind]
    far = np.where(is_up, usual + change, usual - change)
    times = np.where(usual > 0, usual * np.where(is_up, kinds.up_factor[kind], kinds.down_factor[kind]), usual)
    edge = np.where(is_up, high, low)
    for other in (far, times):
        edge = np.where((other > edge) == is_up, np.where(other == edge, edge, other), edge)
    return edge


def mark(rows: Rows, is_out: Bools, times: Micros, fresh_warm_at: Micros, kinds: Kinds, kind: Ints) -> None:
    """Notes of signals that may alert whether they lie outside; in place.

    Args:
        fresh_warm_at: (n,) from when on one that is new may alert.
    """
    alerts = kinds.can_alert[kind]
    is_new = alerts & (rows["has_track"] == 0)
    if is_new.any():
        rows["warm_at"][is_new], rows["has_track"][is_new] = fresh_warm_at[is_new], 1
    is_out = is_out & alerts & (times >= rows["warm_at"])
    recent = kinds.recent[kind]
    marks = rows["marks"].astype(np.int64)
    if is_out.any():
        is_first = is_out & (marks & (recent >> 1) == 0)
        rows["first_out"][is_first] = times[is_first]
        rows["out_since"] = np.where(is_out, np.where(rows["out_since"] != 0, rows["out_since"], times), 0)
    else:
        rows["out_since"] = 0
    rows["marks"] = np.where(alerts, (marks << 1 | is_out) & recent, 0)


def counts(rows: Rows, values: Floats, times: Micros, kinds: Kinds, kind: Ints) -> Bools:
    """Which have lain outside often enough of late to speak; what nobody has any more does at once."""
    may = kinds.can_alert[kind] & (rows["has_track"] > 0) & (times >= rows["warm_at"])
    is_gone = kinds.vanishes[kind] & (values <= 0)
    return np.asarray(may & (is_gone | (np.bitwise_count(rows["marks"]) >= kinds.hits[kind])))


def step_scores(judged: Judged, can_alert: Bools, record_of: Ints, num: int) -> Floats:
    """(num,): the score of each record's farthest signal that may alert; -1.0 where none is known well enough."""
    steps = np.full(num, -1.0)
    which = np.flatnonzero(judged.is_known & can_alert)
    np.maximum.at(steps, record_of[which], np.where(judged.matters, judged.score, 0.0)[which])
    return steps


def shares(outside: Sequence[Outside]) -> Mapping[str, float]:
    """Each signal's part in the trouble, most first; together 1."""
    total = sum(each.score for each in outside)
    ordered = sorted(outside, key=lambda each: (-each.score, each.key))
    return {each.key: each.score / total for each in ordered}
