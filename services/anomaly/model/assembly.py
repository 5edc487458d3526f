"""Samples of one entity, however they arrive, made into one value a signal and scrape."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from services.anomaly.core.events import Samples
from services.anomaly.core.semantics import How
from services.anomaly.core.signals import Signal, Term, Unknown, terms_of
from services.anomaly.model.parts import decode_part, encode_part
from services.common.series import increase

SECOND = 1_000_000
NEVER = -(2**62)
#: Series of one signal, on average, that an entity may have.
SERIES_A_SIGNAL = 8


class Batch(NamedTuple):
    """Signals that are complete at one time, microseconds; `series` names one series of each."""

    time: int
    values: dict[str, float]
    series: dict[str, str]


class Pending(msgspec.Struct, array_like=True):
    """A signal of which some series have come."""

    time: int
    above: float = 0.0
    below: float = 0.0
    num: int = 0
    series: str = ""


class Done(msgspec.Struct, array_like=True):
    """When a signal was complete last, of how many series, and from which scrape."""

    time: int
    num: int
    source_id: str


class Names(msgspec.Struct, array_like=True):
    """What changes only when series come or go: the names to the numbers in `Last`, in its order."""

    series: list[str]
    done: list[str]
    sources: list[str]
    places: list[int]
    latest: list[str]


class Last(msgspec.Struct, array_like=True):
    """What changes with each scrape. Series of one scrape share their time: each time once, and each one's place."""

    times: list[int]
    places: list[int]
    values: list[float]
    done: list[tuple[int, int]]
    pending: dict[str, Pending]
    sources: dict[str, int]
    latest: list[float]


class Assembly:
    """Merges by (time, series): records of one scrape may come apart, twice and late.

    A series takes no sample that is as old as its newest or older: the first one counts, so repeating changes nothing.
    A sample that is not finite is as good as not sent. A counter gives its growth since its sample before; after a
    longer pause than `gap_seconds` it begins anew. A signal is complete when as many of its series have come as the
    scrape before had; with fewer it is not judged, and fewer are expected next time.
    """

    def __init__(self, unknown_metrics: Unknown = "join", gap_seconds: float = 300.0, max_signals: int = 1000) -> None:
        self._unknown = unknown_metrics
        self._gap = int(gap_seconds * SECOND)
        self._max_signals = max_signals
        self._last: dict[str, tuple[int, float]] = {}
        self._pending: dict[str, Pending] = {}
        self._done: dict[str, Done] = {}
        self._sources: dict[str, int] = {}
        self.signals: dict[str, Signal] = {}
        self.latest: dict[str, float] = {}

    def take(self, samples: Samples) -> tuple[list[Batch], Counter[str]]:
        """What the record completes, oldest first; and how many samples met which fate."""
        fates: Counter[str] = Counter()
        ready: dict[int, Batch] = {}
        touched: set[str] = set()
        self._miss(samples, ready)
        for series, value in zip(samples.series, samples.values, strict=True):
            terms = terms_of(series, self._unknown)
            fate = self._fate(series, terms, value, samples.event_time)
            fates[fate] += 1
            if fate == "taken":
                for term, number in self._numbers(series, terms, value, samples.event_time):
                    self._add(term, number, series, samples, ready)
                    touched.add(term.signal.key)
        for key in touched:
            held = self._pending.get(key)
            done = self._done.get(key)
            if held is not None and held.time == samples.event_time and (done is None or held.num >= done.num):
                self._complete(key, held, samples.source_id, ready)
        return [ready[time] for time in sorted(ready)], fates

    def _fate(self, series: str, terms: tuple[Term, ...], value: float, time: int) -> str:
        if not terms:
            return "not_watched"
        if not math.isfinite(value):
            return "not_finite"
        last = self._last.get(series)
        if last is None:
            is_known = all(term.signal.key in self.signals for term in terms)
            is_full = len(self._last) >= SERIES_A_SIGNAL * self._max_signals
            return "over_limit" if is_full or (not is_known and len(self.signals) >= self._max_signals) else "taken"
        return "taken" if time > last[0] else "repeated" if time == last[0] else "late"

    def _numbers(self, series: str, terms: tuple[Term, ...], value: float, time: int) -> list[tuple[Term, float]]:
        """What the sample adds to each of its signals, none where a counter has nothing to be compared with."""
        last = self._last.get(series)
        self._last[series] = (time, value)
        for term in terms:
            self.signals.setdefault(term.signal.key, term.signal)
        is_fresh = last is None or time - last[0] > self._gap
        return [(term, _number(term.how, last, value, time)) for term in terms if term.how == "value" or not is_fresh]

    def _add(self, term: Term, number: float, series: str, samples: Samples, ready: dict[int, Batch]) -> None:
        key, time = term.signal.key, samples.event_time
        done, held = self._done.get(key), self._pending.get(key)
        if done is not None and done.time == time:
            done.num += 1  # its signal was judged without it; from now on it is waited for
            return
        if held is None or held.time != time:
            if done is not None and held is not None:
                done.num = held.num  # a series is gone: the rest was not judged, and is expected next time
            held = self._pending[key] = Pending(time)
        held.num += 1
        if term.is_below:
            held.below += number
        else:
            held.above += number
            held.series = held.series or series

    def _complete(self, key: str, held: Pending, source_id: str, ready: dict[int, Batch]) -> None:
        del self._pending[key]
        self._done[key] = Done(held.time, held.num, source_id)
        value = held.above
        if self.signals[key].meaning.over:
            if not held.series or held.below == 0:
                return
            value = held.above / held.below
        self._put(key, held.time, value, held.series, ready)

    def _put(self, key: str, time: int, value: float, series: str, ready: dict[int, Batch]) -> None:
        if math.isfinite(value):
            batch = ready.setdefault(time, Batch(time, {}, {}))
            batch.values[key] = self.latest[key] = value
            batch.series[key] = series

    def _miss(self, samples: Samples, ready: dict[int, Batch]) -> None:
        """A scrape has moved on: signals that it left out the last time are 0, where that is what vanishing means."""
        before = self._sources.get(samples.source_id, NEVER)
        if samples.event_time <= before:
            return
        self._sources[samples.source_id] = samples.event_time
        for key, done in self._done.items():
            if done.time < before and done.source_id == samples.source_id:
                if self.signals[key].meaning.vanishing_is_zero:
                    self._put(key, before, 0.0, key, ready)

    def forget(self, key: str) -> None:
        """The signal is begun anew, or over."""
        for held in (self._pending, self._done, self.latest):
            held.pop(key, None)

    def forget_times(self) -> None:
        """The source's clock was set back: what comes now is newer than anything before."""
        self._last.clear()
        self._pending.clear()
        self._sources.clear()
        for done in self._done.values():
            done.time = NEVER

    def save(self) -> dict[str, bytes]:
        """`names` changes when series come or go, `last` with each scrape."""
        sources = list(dict.fromkeys(done.source_id for done in self._done.values()))
        places = [sources.index(done.source_id) for done in self._done.values()]
        names = Names(list(self._last), list(self._done), sources, places, list(self.latest))
        times = list(dict.fromkeys(time for time, _ in self._last.values()))
        at = {time: place for place, time in enumerate(times)}
        last = Last(
            times, [at[time] for time, _ in self._last.values()], [value for _, value in self._last.values()],
            [(done.time, done.num) for done in self._done.values()], self._pending, self._sources,
            list(self.latest.values()),
        )  # fmt: skip
        return {"names": encode_part(names), "last": encode_part(last)}

    def load(self, parts: Mapping[str, bytes]) -> None:
        """Takes back what `save` gave. Raises ArtifactMismatch for something else."""
        names, last = decode_part(parts, "names", Names), decode_part(parts, "last", Last)
        numbers = zip(last.places, last.values, strict=True)
        self._last = dict(zip(names.series, ((last.times[place], value) for place, value in numbers), strict=True))
        self._done = {
            key: Done(time, num, names.sources[place])
            for key, (time, num), place in zip(names.done, last.done, names.places, strict=True)
        }
        self._pending, self._sources = last.pending, last.sources
        self.latest = dict(zip(names.latest, last.latest, strict=True))
        for name in names.series:
            for term in terms_of(name, self._unknown):
                self.signals.setdefault(term.signal.key, term.signal)
        # A setting that looks at fewer metrics may have come in between.
        for key in [key for key in {*self._done, *self._pending, *self.latest} if key not in self.signals]:
            self.forget(key)


def _number(how: How, last: tuple[int, float] | None, value: float, time: int) -> float:
    if how == "value" or last is None:
        return value
    grown = increase(last[1], value)
    return grown if how == "increase" else grown * SECOND / (time - last[0])
