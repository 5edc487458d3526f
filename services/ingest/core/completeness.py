"""How complete what each source sends is: gaps, late and repeated lines, its clock, lines that could not be parsed.

A source is what `source_id` names: host and file, or host and program. docs/completeness.md says each rule for people.
Everything is counted by the source's own event times; nothing here changes or drops a line. What a batch held is
counted when the next one begins: by then its transaction is committed, so that no line is counted twice.
"""

import threading
from collections import Counter, defaultdict, deque
from collections.abc import Mapping, Sequence
from operator import sub, xor
from statistics import median
from typing import Any, NamedTuple

from services.ingest.core.folding import Fold
from services.ingest.core.lines import ParsedLine

MICROS = 1_000_000
#: Behind the newest event time of its source by more: it may come after its rates window was read.
LATE_SECONDS = 10
#: Ahead of the wall time by more: such a line says nothing of the source's pace.
FUTURE_SECONDS = 60
#: A pause is an interval of this much event time or more between a line and the next newer one.
PAUSE_SECONDS = 1
#: Usual is what nine in ten of the last pauses are below; a gap is so many times as long, and no less than..
MAX_PAUSES, USUAL_SHARE, GAP_FACTOR, MIN_PAUSES = 50, 0.9, 5, 20
MIN_GAP_SECONDS = 60
#: Events whose repetition is noticed: the last one to two times so many of this replica; fewer where they are of more
#: sources than are counted.
REPEAT_EVENTS = 100_000
#: Delays whose median is the clock's offset.
MAX_DELAYS = 31
#: The shipper's or Kafka's time stands in for a line's own.
UNTIMED = "transport"
_NONE: frozenset[int] = frozenset()


class SourceCounts:
    """One source. Times are microseconds since 1970 UTC; 0 where there is none yet."""

    __slots__ = (
        "_pauses", "delays", "gap_seconds", "keyless_lines", "last_ingest", "late_lines", "lines",
        "longest_gap_seconds",
        "newest", "num_events", "num_gaps", "repeated_events", "twin_events", "unheaded_lines", "untimed_lines",
    )  # fmt: skip

    def __init__(self) -> None:
        self.lines = self.num_events = self.late_lines = self.repeated_events = self.twin_events = 0
        self.unheaded_lines = self.untimed_lines = self.keyless_lines = 0
        self.newest = self.last_ingest = 0
        self.num_gaps, self.longest_gap_seconds = 0, 0.0
        self._pauses: deque[float] = deque(maxlen=MAX_PAUSES)
        #: From this silence on it is a gap; infinite while the pace is not known.
        self.gap_seconds = float("inf")
        self.delays: deque[float] = deque(maxlen=MAX_DELAYS)

    @property
    def usual_pause_seconds(self) -> float | None:
        """What nine in ten of the last pauses are below; None for fewer than MIN_PAUSES."""
        if len(self._pauses) < MIN_PAUSES:
            return None
        return sorted(self._pauses)[int(USUAL_SHARE * len(self._pauses))]

    def paused(self, seconds: float) -> bool:
        """Notes a pause; True when it was a gap."""
        is_gap = seconds > self.gap_seconds
        if is_gap:
            self.num_gaps += 1
            self.longest_gap_seconds = max(self.longest_gap_seconds, seconds)
        self._pauses.append(seconds)
        usual = self.usual_pause_seconds
        if usual is not None:
            self.gap_seconds = max(MIN_GAP_SECONDS, GAP_FACTOR * usual)
        return is_gap


class Seen:
    """What one batch says of its sources.

    Attributes:
        folds: the closed folds, by source id.
        keyless: lines of records without a Kafka key, by source id.
    """

    __slots__ = ("folds", "keyless")

    def __init__(self) -> None:
        self.folds: defaultdict[str, list[Fold]] = defaultdict(list)
        self.keyless: Counter[str] = Counter()


class Totals(NamedTuple):
    """What one batch adds to the counters of the process."""

    gaps: int
    late_lines: int
    repeated_events: int
    unparsed_lines: int


class Completeness:
    """The sources that a replica reads. Written by the stage, read by the page: safe between threads.

    Args:
        max_sources: beyond it, those that wrote longest ago are forgotten.
    """

    def __init__(self, max_sources: int = 10_000) -> None:
        self._max_sources = max_sources
        self._sources: dict[str, SourceCounts] = {}
        self._num_forgotten = 0
        #: Hashes of lines by source, of the last two spans of REPEAT_EVENTS.
        self._recent: defaultdict[str, set[int]] = defaultdict(set)
        self._older: Mapping[str, set[int]] = {}
        self._num_recent = 0
        self._lock = threading.Lock()
        self.begin()

    def __len__(self) -> int:
        return len(self._sources)

    def begin(self) -> None:
        """A session begins: what the last batch of the one before held was never committed."""
        self._waiting = Seen()
        self._now = 0

    def take(self, seen: Seen, now: int) -> None:
        """Keeps what a batch wrote until it is committed; a turn's records and its tick are one transaction.

        Args:
            now: wall time, microseconds.
        """
        if not (seen.folds or seen.keyless):
            return
        if self._waiting.folds:
            for key, folds in seen.folds.items():
                self._waiting.folds[key] += folds
        else:
            self._waiting.folds = seen.folds
        self._waiting.keyless += seen.keyless
        self._now = now

    def settle(self, is_live: bool) -> Totals | None:
        """Counts what was taken last, which is committed now; None when there is nothing.

        Args:
            is_live: the partitions are read to their ends, so that a delay is no backlog of ours.
        """
        waiting = self._waiting
        if not (waiting.folds or waiting.keyless):
            return None
        with self._lock:
            totals = [self._count(key, folds, is_live) for key, folds in waiting.folds.items()]
            for key, number in waiting.keyless.items():
                self._sources.setdefault(key, SourceCounts()).keyless_lines += number
            self._forget()
        self.begin()
        return Totals(*map(sum, zip(*totals, strict=True))) if totals else None

    def rows(self) -> list[dict[str, Any]]:
        """Each source's counts, as `/sources.json` has them."""
        with self._lock:
            return [_row(key, source) for key, source in self._sources.items() if source.lines]

    @property
    def _horizon(self) -> int:
        """Later times are of a wrong clock, or of a line that states nonsense."""
        return self._now + FUTURE_SECONDS * MICROS

    @property
    def num_forgotten(self) -> int:
        """Sources that were forgotten since there were too many."""
        return self._num_forgotten

    def _count(self, key: str, folds: Sequence[Fold], is_live: bool) -> tuple[int, int, int, int]:
        source = self._sources.pop(key, None) or SourceCounts()
        self._sources[key] = source  # to the end: it wrote last
        # A list for each question: a loop over all of them would take twice as long.
        heads = [fold.head for fold in folds]
        times = [head.event_time for head in heads]
        lines = sum([fold.line_count for fold in folds])
        headless = [fold for fold, head in zip(folds, heads, strict=True) if not head.has_header]
        repeated, twins = self._repeated(key, heads, times, source.newest)
        gaps, late = self._follow(source, folds, times)
        unheaded = sum(fold.line_count for fold in headless if fold.head.text)
        untimed = sum(fold.line_count for fold in headless if fold.head.event_time_source == UNTIMED)
        if is_live and heads[-1].event_time_source != UNTIMED:
            source.delays.append((folds[-1].ingest_time - heads[-1].event_time) / MICROS)
        source.last_ingest = self._now
        source.lines += lines
        source.num_events += len(folds)
        source.late_lines += late
        source.unheaded_lines += unheaded
        source.untimed_lines += untimed
        source.repeated_events += repeated
        source.twin_events += twins
        return gaps, late, repeated, unheaded if source.unheaded_lines < source.lines else untimed

    def _follow(self, source: SourceCounts, folds: Sequence[Fold], times: list[int]) -> tuple[int, int]:
        """Moves the source's newest time on; returns gaps and late lines."""
        newest = source.newest or times[0]
        horizon = self._horizon
        steps = list(map(sub, times, [newest, *times]))
        if min(steps) >= 0 and max(steps) < PAUSE_SECONDS * MICROS and times[-1] <= horizon:
            source.newest = times[-1]
            return 0, 0
        gaps = late = 0
        for fold, time in zip(folds, times, strict=True):
            step = time - newest
            if 0 < step and time <= horizon:
                if step >= PAUSE_SECONDS * MICROS:
                    gaps += source.paused(step / MICROS)
                newest = time
            elif step < -LATE_SECONDS * MICROS:
                late += fold.line_count
        source.newest = newest
        return gaps, late

    def _repeated(self, key: str, heads: list[ParsedLine], times: list[int], newest: int) -> tuple[int, int]:
        """How many events were seen before: sent again after newer ones, and at one moment, as programs do, too.

        Where lines tell only the second there is no such moment: some are alike and nobody's mistake.
        """
        marks = list(map(xor, map(hash, [head.text for head in heads]), times))
        fresh = set(marks)
        recent, older = self._recent[key], self._older.get(key, _NONE)
        repeated = twins = 0
        if len(fresh) < len(marks) or not recent.isdisjoint(fresh) or not older.isdisjoint(fresh):
            seen: set[int] = set()
            horizon = self._horizon
            for head, mark, time in zip(heads, marks, times, strict=True):
                if (mark in recent or mark in older or mark in seen) and head.event_time_source != UNTIMED:
                    if time < newest:
                        repeated += 1
                    elif time % MICROS != 0:
                        twins += 1
                seen.add(mark)
                if newest < time <= horizon:
                    newest = time
        recent |= fresh
        self._num_recent += len(fresh)
        return repeated, twins

    def _forget(self) -> None:
        if self._num_recent >= REPEAT_EVENTS or len(self._recent) > self._max_sources:
            self._older, self._recent, self._num_recent = self._recent, defaultdict(set), 0
        while len(self._sources) > self._max_sources:
            del self._sources[next(iter(self._sources))]
            self._num_forgotten += 1


def _row(key: str, source: SourceCounts) -> dict[str, Any]:
    gap_seconds = source.gap_seconds if source.gap_seconds != float("inf") else None
    return {
        "source_id": key, "lines": source.lines, "events": source.num_events,
        "last_event_time": source.newest, "last_ingest_time": source.last_ingest,
        "usual_pause_seconds": source.usual_pause_seconds, "gap_seconds": gap_seconds,
        "gaps": source.num_gaps, "longest_gap_seconds": source.longest_gap_seconds,
        "late_lines": source.late_lines, "repeated_events": source.repeated_events,
        "twin_events": source.twin_events,
        "delay_seconds": median(source.delays) if source.delays else None,
        "unheaded_lines": source.unheaded_lines, "untimed_lines": source.untimed_lines,
        "keyless_lines": source.keyless_lines,
    }  # fmt: skip
