"""Samples of many entities, however they arrive, made into one value a signal and scrape."""

from collections import Counter
from typing import NamedTuple

import numpy as np

from services.anomaly.model.bank import Bools, Floats, Ints, Micros, Rows
from services.anomaly.model.compiled import compiled
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
        is_gone = np.empty(len(slots), bool)
        if not _find_gone(rows, slots, sources, before, is_gone):
            return NOTHING
        gone = slots[is_gone]
        return Complete(record_of[is_gone], gone, np.zeros(len(gone)), np.full(len(gone), GONE))

    def take(self, layout: Layout, values: Floats, times: Micros, sources: Ints, fates: Counter[str]) -> Complete:
        """What the records complete; counts in `fates` what their samples met.

        Args:
            values: of all records, one after the other.
            times, sources: (r,) of each record.
        """
        store, num_terms, num_signals = self._store, len(layout.hows), len(layout.signals)
        numbers, is_added = np.empty(num_terms), np.empty(num_terms, bool)
        met = np.zeros(len(FATES), np.int64)
        _take(
            store.samples.rows, layout.samples, layout.places, layout.record_of_sample, values, times, self._gap,
            layout.term_sample, layout.hows, numbers, is_added, met,
        )  # fmt: skip
        for fate, number in zip(FATES, met.tolist(), strict=True):
            fates[fate] += number
        fates["not_watched"] += layout.num_unwatched
        of, done, series = (np.empty(num_signals, np.int64) for _ in range(3))
        completed = np.empty(num_signals)
        num = _merge(
            store.signals.rows, layout.signals, layout.record_of_signal, times, sources, store.kinds.table, store.kind,
            layout.term_sample, layout.term_signal, layout.is_below, layout.is_named, layout.numbers, numbers, is_added,
            np.zeros(num_signals, np.int64), of, done, completed, series,
        )  # fmt: skip
        return Complete(of[:num], done[:num], completed[:num], series[:num])


NOTHING = Complete(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64))
#: What becomes of samples, in the order in which `_take` counts them.
FATES = ("taken", "not_finite", "repeated", "late")


@compiled
def _find_gone(rows: Rows, slots: Ints, sources: Ints, before: Micros, is_gone: Bools) -> bool:
    """Notes which signals their scrape left out the last time; these are 0 from now on. Whether any is."""
    is_any = False
    for place in range(len(slots)):
        row = rows[slots[place]]
        is_gone[place] = row.done_source == sources[place] and row.done_time < before[place]
        if is_gone[place]:
            row.latest, row.has_latest, is_any = 0.0, 1, True
    return is_any


@compiled
def _take(
    rows: Rows, slots: Ints, places: Ints, record_of: Ints, values: Floats, times: Micros, gap: int,
    term_sample: Ints, hows: Ints, numbers: Floats, is_added: Bools, met: Ints,
) -> None:  # fmt: skip
    """Which samples are news, and what each term adds; fills the last three. `hows` as in plans.HOWS.

    A counter gives how much it grew, per second where it is a rate. One that fell was reset and began anew at 0.
    """
    num = len(slots)
    last_times, last_values, is_taken = np.empty(num, np.int64), np.empty(num), np.empty(num, np.bool_)
    for place in range(num):
        row, value, time = rows[slots[place]], values[places[place]], times[record_of[place]]
        last_times[place], last_values[place] = row.time, row.value
        is_taken[place] = np.isfinite(value) and time > row.time
        if is_taken[place]:
            row.time, row.value = time, value
            met[0] += 1
        elif not np.isfinite(value):
            met[1] += 1
        else:
            met[2 if time == row.time else 3] += 1
    for term in range(len(term_sample)):
        place = term_sample[term]
        after = values[places[place]]
        numbers[term], is_added[term] = after, is_taken[place]
        if hows[term]:
            micros = times[record_of[place]] - last_times[place]
            grown = after - last_values[place] if after >= last_values[place] else after
            numbers[term] = grown * SECOND / max(micros, 1) if hows[term] == 1 else grown
            is_added[term] &= micros <= gap


@compiled
def _merge(
    rows: Rows, slots: Ints, record_of: Ints, times: Micros, sources: Ints, kinds: Rows, kind: Ints,
    term_sample: Ints, term_signal: Ints, is_below: Bools, is_named: Bools, names: Ints, numbers: Floats,
    is_added: Bools, coming: Ints, of: Ints, done: Ints, values: Floats, series: Ints,
) -> int:  # fmt: skip
    """Adds the terms to their signals in the order of the records; how many signals are complete: the last four."""
    for term in range(len(term_sample)):
        coming[term_signal[term]] += is_added[term]
    for signal in range(len(slots)):
        row, when = rows[slots[signal]], times[record_of[signal]]
        if not coming[signal]:
            continue
        if row.done_source > 0 and row.done_time == when:
            row.done_num += coming[signal]  # judged without them; from now on they are waited for
            coming[signal] = -1
            continue
        if row.time != when:
            # It waits for a new time. Where a series is gone the rest was not judged, and is expected next.
            if row.done_source > 0 and row.num > 0:
                row.done_num = row.num
            row.time, row.above, row.below, row.num, row.series = when, 0.0, 0.0, 0, 0
        row.num += coming[signal]
    for term in range(len(term_sample)):
        signal = term_signal[term]
        if not is_added[term] or coming[signal] < 0:
            continue
        row = rows[slots[signal]]
        if is_below[term]:
            row.below += numbers[term]
        else:
            row.above += numbers[term]
            if is_named[term] and row.series <= 0:
                row.series = names[term_sample[term]]
    num = 0
    for signal in range(len(slots)):
        row, record = rows[slots[signal]], record_of[signal]
        if not coming[signal] or row.num <= 0 or row.time != times[record] or row.num < row.done_num:
            continue
        value, below, first = row.above, row.below, row.series
        row.done_time, row.done_num, row.done_source = times[record], row.num, sources[record]
        row.time, row.above, row.below, row.num, row.series = 0, 0.0, 0.0, 0, 0
        if kinds[kind[slots[signal]]].is_ratio:
            value = value / below if first > 0 and below != 0 else np.nan
        if np.isfinite(value):
            row.latest, row.has_latest = value, 1
            of[num], done[num], values[num], series[num] = record, slots[signal], value, first
            num += 1
    return num
