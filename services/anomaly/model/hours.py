"""What each hour of the week was like, so that what comes every night is no news at night."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from services.anomaly.model.bank import (
    Bands,
    Bank,
    Bools,
    Floats,
    Ints,
    Micros,
    Rows,
    bands_at,
    learn_at,
    parts_of,
    ratio_scores,
)
from services.anomaly.model.compiled import compiled

HOUR = 3_600_000_000
#: A job does not start to the second: this near to its end an hour is as the next one too, likewise at its beginning.
EDGE = 600_000_000
#: How far beyond what the hour was like a value may lie, as a share of the distance from the usual value to there.
MARGIN = 0.25
#: Days on which the same hour must have been like this.
MIN_DAYS = 2
LARGEST_FLOAT = 3e38
DAYS, HOURS = 7, 24

Singles = npt.NDArray[np.float32]

#: The hour that runs (counted from 1, 0 for none), its least and most, and what the hour before, this one and the next
#: one usually reach (low, high; NaN for nothing): 40 bytes, changed by samples.
RUNNING = [("hour", "i8"), ("usual", "f4", (3, 2)), ("least", "f4"), ("most", "f4")]
#: Of each day of the week the least and the most of each hour UTC, and which of them were ever seen, a bit a day: 1,368
#: bytes, changed only when an hour closes, and then but one day's.
LONG: np.dtype[Any] = np.dtype([
    *((f"day{day}", "f4", (2, HOURS)) for day in range(DAYS)), ("seen", "u1", (HOURS,)),
])  # fmt: skip
#: The same bytes as one table.
WEEK: np.dtype[Any] = np.dtype([("edges", "f4", (DAYS, 2, HOURS)), ("seen", "u1", (HOURS,))])
LEAST, MOST = 0, 1


class MemoryBank(Bank, Protocol):
    """A bank with a second row a series, which changes rarely: it need not be held ready or saved with each value.

    Whoever holds the rows turns those that are due, before anything else is asked of them for that time, and lets the
    bank remember each value, also one that must not be learnt.
    """

    #: Of the second row.
    long: np.dtype[Any]
    #: Its fields, by what is worth saving apart.
    long_parts: Mapping[str, tuple[str, ...]]

    def due(self, rows: Rows, at: Ints, times: Micros) -> Bools | None:
        """(n,) which of the rows `at` stand in another hour; None for none."""
        ...

    def turn(self, rows: Rows, long: Rows, times: Micros) -> None:
        """Closes their hour and opens that of `times`; changes both rows in place."""
        ...

    def remember(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        """Notes values of the rows `at`, whatever was thought of them; twice the same changes nothing."""
        ...


class Remembering:
    """Widens a bank's bands by what the same hour reached on two of the last seven days, or a week ago.

    So a nightly job is news on two nights and a weekly one once; a fault that comes once each day at the same hour is
    no news from its third day on either. It knows of an hour only what it was let `remember`, and never narrows a
    band. Hours are UTC: after a change of the clocks a job that follows local time is news again on two nights. What is
    not reached again is forgotten by half a week.
    """

    long = LONG

    def __init__(self, bank: Bank) -> None:
        self.long_parts: Mapping[str, tuple[str, ...]] = {name: (name,) for name in LONG.names or ()}
        self._bank = bank
        self.name = bank.name
        self.dtype: np.dtype[Any] = np.dtype([*bank.dtype.descr, *RUNNING])
        running = tuple(np.dtype(RUNNING).names or ())
        self.parts: Mapping[str, tuple[str, ...]] = {**parts_of(bank), "hour": running}

    def due(self, rows: Rows, at: Ints, times: Micros) -> Bools | None:
        is_due = np.empty(len(at), bool)
        return is_due if _due(rows, at, times, is_due) else None

    def turn(self, rows: Rows, long: Rows, times: Micros) -> None:
        hour, week = times // HOUR + 1, long.view(WEEK)
        before = _usual(week, hour - 1)  # without the hour that closes now: what lasts is no habit yet
        _close(rows, week)
        rows["usual"] = np.stack([before, _usual(week, hour), _usual(week, hour + 1)], axis=1)
        rows["hour"], rows["least"], rows["most"] = hour, np.inf, -np.inf

    def remember(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        _remember(rows, at, values, times)

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        scores = self._bank.score(rows, values, times)
        inner = self._bank.bands(rows, times)
        outer = self._widened(inner, rows, np.arange(len(rows)), times)
        is_above = values > inner.center
        is_wider = np.where(is_above, outer.high > inner.high, outer.low < inner.low)
        if not is_wider.any():
            return scores
        edge = np.where(is_above, outer.high, outer.low)[is_wider]
        center = inner.center[is_wider]
        wider = ratio_scores(np.abs(values[is_wider] - center), np.abs(edge - center))
        scores[is_wider] = np.minimum(scores[is_wider], wider)
        return scores

    def bands(self, rows: Rows, times: Micros) -> Bands:
        return self._widened(self._bank.bands(rows, times), rows, np.arange(len(rows)), times)

    def bands_at(self, rows: Rows, at: Ints, times: Micros) -> Bands:
        return self._widened(bands_at(self._bank, rows, at, times), rows, at, times)

    def _widened(self, bands: Bands, rows: Rows, at: Ints, times: Micros) -> Bands:
        low, center, high = bands.low.copy(), bands.center, bands.high.copy()
        _widen(rows, at, times, low, center, high)
        return Bands(low, center, high)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        self._bank.learn(rows, values, times)

    def learn_at(self, rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
        learn_at(self._bank, rows, at, values, times)


@compiled
def _due(rows: Rows, at: Ints, times: Micros, is_due: Bools) -> bool:
    """Notes which rows stand in another hour than their times; whether any does."""
    is_any = False
    for place in range(len(at)):
        is_due[place] = rows[at[place]].hour != times[place] // HOUR + 1
        is_any |= is_due[place]
    return is_any


@compiled
def _remember(rows: Rows, at: Ints, values: Floats, times: Micros) -> None:
    for place in range(len(at)):
        row = rows[at[place]]
        if row.hour == times[place] // HOUR + 1:
            value = np.float32(min(max(values[place], -LARGEST_FLOAT), LARGEST_FLOAT))
            if not row.least < value:
                row.least = value
            if not row.most > value:
                row.most = value


@compiled
def _widen(rows: Rows, at: Ints, times: Micros, low: Floats, center: Floats, high: Floats) -> None:
    """Bands reach at least to what is usual at these times, in place; NaN is an hour of which nothing is known."""
    for place in range(len(at)):
        row, before = rows[at[place]], times[place] // HOUR
        if row.hour != before + 1:
            continue
        usual, within, middle = row.usual, times[place] - before * HOUR, center[place]
        least, most = np.float64(usual[1, 0]), np.float64(usual[1, 1])
        near = 0 if within < EDGE else 2 if within >= HOUR - EDGE else 1
        if not usual[near, 0] >= least and not np.isnan(usual[near, 0]):
            least = np.float64(usual[near, 0])
        if not usual[near, 1] <= most and not np.isnan(usual[near, 1]):
            most = np.float64(usual[near, 1])
        edge = middle + (1 + MARGIN) * (least - middle)
        if edge < low[place]:
            low[place] = edge
        edge = middle + (1 + MARGIN) * (most - middle)
        if edge > high[place]:
            high[place] = edge


def _place(hour: Ints) -> tuple[Ints, Ints]:
    """Day of the week and hour of the day; the weeks begin on whichever day 1970 did."""
    return (hour - 1) // HOURS % DAYS, (hour - 1) % HOURS


def _usual(week: Rows, hour: Ints) -> Singles:
    """(n, 2): the least and the most that the same hour reached often enough; NaN for nothing."""
    each, (day, of_day) = np.arange(len(week)), _place(hour)
    is_seen = (week["seen"][each, of_day][:, None] >> np.arange(DAYS, dtype=np.uint8)) & 1 == 1
    edges = week["edges"][each, :, :, of_day]  # (n, DAYS, 2)
    least = np.where(is_seen, edges[:, :, LEAST], np.float32(np.inf))
    most = np.where(is_seen, edges[:, :, MOST], np.float32(-np.inf))
    usual = np.stack([
        np.minimum(np.sort(least, axis=1)[:, MIN_DAYS - 1], least[each, day]),
        np.maximum(np.sort(most, axis=1)[:, -MIN_DAYS], most[each, day]),
    ], axis=1)  # fmt: skip
    return np.where(np.isfinite(usual), usual, np.float32(np.nan))


def _close(rows: Rows, week: Rows) -> None:
    """Notes the hour that ran: what goes beyond the same hour of earlier weeks at once, what falls short by half."""
    held = np.flatnonzero((rows["hour"] > 0) & (rows["least"] <= rows["most"]))
    day, of_day = _place(rows["hour"][held])
    bit = np.left_shift(1, day).astype(np.uint8)
    was_seen = week["seen"][held, of_day] & bit != 0
    for side, name, wider in ((LEAST, "least", np.minimum), (MOST, "most", np.maximum)):
        new, old = rows[name][held], week["edges"][held, day, side, of_day]
        week["edges"][held, day, side, of_day] = np.where(was_seen, wider(new, new / 2 + old / 2), new)
    week["seen"][held, of_day] |= bit
