"""Samples of many entities, however they arrive, made into one value a signal and scrape."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows
from services.anomaly.model.plans import Layout
from services.anomaly.model.store import Store

SECOND = 1_000_000
#: In place of a series, of a signal that is no longer sent.
GONE = -1


class Complete(NamedTuple):
    """Signals that are complete: `n` of them, those of one record together and at one time.

    Attributes:
        record_of: (n,) places among the records.
        slots, values: (n,).
        series: (n,) the number of one series of each in its entity, 0 for one without a name; GONE.
    """

    record_of: Ints
    slots: Ints
    values: Floats
    series: Ints


class Assembly:
    """Merges by (time, series): records of one scrape may come apart, twice and late.

    A series takes no sample that is as old as its newest or older: the first one counts, so repeating changes nothing.
    A sample that is not finite is as good as not sent. A counter gives its growth since its sample before; after a
    longer pause than `gap_seconds` it begins anew. A signal is complete when as many of its series have come as the
    scrape before had; with fewer it is not judged, and fewer are expected next time.
    """

    def __init__(self, store: Store, gap_seconds: float) -> None:
        self._store = store
        self._gap = int(gap_seconds * SECOND)

    def vanished(self, slots: Ints, record_of: Ints, sources: Ints, before: Micros) -> Complete:
        """Signals that their scrape left out the last time, and that are 0 when they vanish.

        Args:
            slots: (n,) of signals whose scrape may have moved on.
            sources, before: of each of them, its record's scrape and when that was heard before.
        """
        rows = self._store.signals.rows
        is_gone = (rows["done_source"][slots] == sources) & (rows["done_time"][slots] < before)
        gone = slots[is_gone]
        rows["latest"][gone], rows["has_latest"][gone] = 0.0, 1
        return Complete(record_of[is_gone], gone, np.zeros(len(gone)), np.full(len(gone), GONE))

    def take(self, layout: Layout, values: Floats, times: Micros, sources: Ints, fates: Counter[str]) -> Complete:
        """What the records complete; counts in `fates` what their samples met.

        Args:
            values: of all records, one after the other.
            times, sources: (r,) of each record.
        """
        values, when = values[layout.places], times[layout.record_of_sample]
        is_taken, last = self._taken(layout, values, when, fates)
        numbers, is_added = values[layout.term_sample], is_taken[layout.term_sample]
        if len(layout.counters):
            of = layout.term_sample[layout.counters]
            numbers[layout.counters] = grown(last["value"][of], values[of], when[of] - last["time"][of], layout.is_rate)
            is_added[layout.counters] &= when[of] - last["time"][of] <= self._gap
        return self._merged(layout, numbers, is_added, times, sources)

    def _taken(self, layout: Layout, values: Floats, when: Micros, fates: Counter[str]) -> tuple[Bools, Rows]:
        """Which samples are news, and what each series had before."""
        rows, slots = self._store.samples.rows, layout.samples
        last = rows[slots]
        is_finite = np.isfinite(values)
        is_taken = is_finite & (when > last["time"])
        num_taken, num_finite = int(is_taken.sum()), int(is_finite.sum())
        fates["taken"] += num_taken
        fates["not_watched"] += layout.num_unwatched
        if num_taken < len(values):
            fates["not_finite"] += len(values) - num_finite
            num_repeated = int((is_finite & (when == last["time"])).sum())
            fates["repeated"] += num_repeated
            fates["late"] += num_finite - num_taken - num_repeated
            slots, when, values = slots[is_taken], when[is_taken], values[is_taken]
        rows["time"][slots] = when
        rows["value"][slots] = values
        return is_taken, last

    def _merged(self, layout: Layout, numbers: Floats, is_added: Bools, times: Micros, sources: Ints) -> Complete:
        table = self._store.signals
        coming = np.bincount(layout.term_signal[is_added], minlength=len(layout.signals))
        touched = coming > 0
        rows, when = table.take(layout.signals), times[layout.record_of_signal]
        is_after = touched & (rows["done_source"] > 0) & (rows["done_time"] == when)
        rows["done_num"][is_after] += coming[is_after]  # judged without them; from now on they are waited for
        joins = touched & ~is_after
        self._begin(rows, joins & (rows["time"] != when), when)
        _add(layout, rows, numbers, is_added & joins[layout.term_signal], coming * joins)
        is_complete = touched & (rows["num"] > 0) & (rows["time"] == when) & (rows["num"] >= rows["done_num"])
        complete = self._completed(layout, rows, np.flatnonzero(is_complete), when, sources)
        table.put(layout.signals, rows)
        return complete

    def _begin(self, rows: Rows, is_new: Bools, when: Micros) -> None:
        """These signals wait for a new time. Where a series is gone the rest was not judged, and is expected next."""
        stale = is_new & (rows["done_source"] > 0) & (rows["num"] > 0)
        rows["done_num"][stale] = rows["num"][stale]
        rows["time"][is_new] = when[is_new]
        for field in ("above", "below", "num", "series"):
            rows[field][is_new] = 0

    def _completed(self, layout: Layout, rows: Rows, done: Ints, when: Micros, sources: Ints) -> Complete:
        """Marks these signals as done, and gives those that have a value."""
        slots, record_of = layout.signals[done], layout.record_of_signal[done]
        values, series, below = rows["above"][done], rows["series"][done].astype(np.int64), rows["below"][done]
        rows["done_time"][done], rows["done_num"][done] = when[done], rows["num"][done]
        rows["done_source"][done] = sources[record_of]
        for field in ("time", "above", "below", "num", "series"):
            rows[field][done] = 0
        is_ratio = self._store.kinds.is_ratio[self._store.kind[slots]]
        has_value = np.isfinite(values)
        if is_ratio.any():
            can_divide = (series > 0) & (below != 0)
            values = np.divide(values, below, out=values, where=is_ratio & can_divide)
            has_value = np.isfinite(values) & (can_divide | ~is_ratio)
        if not has_value.all():
            done, slots, record_of = done[has_value], slots[has_value], record_of[has_value]
            values, series = values[has_value], series[has_value]
        rows["latest"][done], rows["has_latest"][done] = values, 1
        return Complete(record_of, slots, values, series)


def _add(layout: Layout, rows: Rows, numbers: Floats, is_added: Bools, coming: Ints) -> None:
    """Adds the terms to their signals, in the order of the records."""
    above = is_added & ~layout.is_below
    for field, terms in (("above", above), ("below", is_added & layout.is_below)):
        which = np.flatnonzero(terms)
        if len(which):
            sums = rows[field].copy()
            np.add.at(sums, layout.term_signal[which], numbers[which])
            rows[field] = sums
    rows["num"] += coming.astype(np.int32)
    first = layout.first[is_added[layout.first]]
    named = np.zeros(len(rows), np.int64)
    named[layout.term_signal[first]] = layout.numbers[layout.term_sample[first]]
    rows["series"] = np.where(rows["series"] > 0, rows["series"], named)


def grown(before: Floats, after: Floats, micros: Micros, is_rate: Bools) -> Floats:
    """How much counters grew, per second where that is asked for. One that fell was reset and began anew at 0."""
    grown = np.where(after >= before, after - before, after)
    return np.where(is_rate, grown * SECOND / np.maximum(micros, 1), grown)
