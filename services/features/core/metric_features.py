"""The feature set `metrics.core`: what a step's samples say of cpu, memory, disk, network, latency and errors.

The rules of samples: one that is NaN or infinite is no sample; of two for one series and time the first counts; a
counter that fell was reset and began anew at 0; a rate reaches back over a gap of up to MAX_GAP_SECONDS, and begins
anew after a longer one.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise

from services.common.series import increase, parse_series
from services.common.signal_forms import Pick
from services.features.core.rolling import SECOND, Recent, added, maximum, mean, ratio, slope, standard_deviation, total
from services.features.core.sources import (
    BUSY,
    ERRORS,
    LATENCY_COUNTERS,
    LATENCY_MEANS,
    PROCESSORS,
    SUMS,
    Group,
    Source,
)

#: A counter's samples further apart than this say nothing of the rate between them.
MAX_GAP_SECONDS = 300

#: (event time in microseconds, value).
Point = tuple[int, float]


class MetricStep:
    """One entity's samples of one step.

    Args:
        step_seconds: length of the step.
        points: series to its finite samples in the step, by time, one a time.
        before: series to its last sample before the step.

    Attributes:
        picked: what was worked out for signals of nodes already.
    """

    def __init__(self, step_seconds: int, points: Mapping[str, Sequence[Point]], before: Mapping[str, Point]) -> None:
        self.step_seconds = step_seconds
        self._points = points
        self._before = before
        self.picked: dict[Pick, float] = {}

    @cached_property
    def _by_metric(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, list[str]] = {}
        for series in self._points:
            found.setdefault(parse_series(series).metric, []).append(series)
        return found

    @property
    def metrics(self) -> Collection[str]:
        """The metrics that have a sample in this step."""
        return self._by_metric.keys()

    def named(self, metric: str) -> Sequence[str]:
        """The series of a metric in this step."""
        return self._by_metric.get(metric, ())

    def series(self, source: Source) -> Iterable[str]:
        """The series of this step that fit a source."""
        return (s for s in self._by_metric.get(source.metric, ()) if source.fits(parse_series(s).labels))

    def value(self, series: str, source: Source) -> float:
        """What the samples of one series come to, in the feature's unit."""
        return source.factor * _KINDS[source.kind](self, series)

    def rate(self, series: str) -> float:
        """A counter's growth per second from its last sample before the step to its last one in it."""
        points = list(self._points[series])
        before = self._before.get(series)
        if before is not None and points[0][0] - before[0] <= MAX_GAP_SECONDS * SECOND:
            points.insert(0, before)
        if len(points) < 2:
            return math.nan
        grown = added(increase(a[1], b[1]) for a, b in pairwise(points))
        return grown / ((points[-1][0] - points[0][0]) / SECOND)

    def last(self, series: str) -> float:
        """The newest value."""
        return self._points[series][-1][1]

    def per_second(self, series: str) -> float:
        """Counts of single scrapes, added up, over the length of the step."""
        return added(value for _, value in self._points[series]) / self.step_seconds

    def points(self, series: str) -> Sequence[Point]:
        """The samples of one series."""
        return self._points.get(series, ())


_KINDS = {"rate": MetricStep.rate, "last": MetricStep.last, "per_second": MetricStep.per_second}


def group_value(step: MetricStep, group: Group) -> float:
    """The exact sum of a group's series; a series that fits two sources counts once."""
    chosen: dict[str, Source] = {}
    for source in group.sources:
        before = len(chosen)
        for series in step.series(source):
            chosen.setdefault(series, source)
        if group.needs_all and len(chosen) == before:
            return math.nan
    return total(step.value(series, source) for series, source in chosen.items())


def first_value(step: MetricStep, groups: Iterable[Group]) -> float:
    """The value of the first group that has one."""
    values = (group_value(step, group) for group in groups)
    return next((value for value in values if not math.isnan(value)), math.nan)


def cpu_cores(step: MetricStep) -> float:
    return first_value(step, SUMS["cpu_cores"])


def memory_used_bytes(step: MetricStep) -> float:
    return first_value(step, SUMS["memory_used_bytes"])


def disk_io_bytes_per_second(step: MetricStep) -> float:
    return first_value(step, SUMS["disk_io_bytes_per_second"])


def network_io_bytes_per_second(step: MetricStep) -> float:
    return first_value(step, SUMS["network_io_bytes_per_second"])


def requests_per_second(step: MetricStep) -> float:
    return first_value(step, SUMS["requests_per_second"])


def latency_seconds(step: MetricStep) -> float:
    """Mean over requests: means of scrapes weighted by their requests, else seconds spent by requests served."""
    for mean_metric, count_metric in LATENCY_MEANS:
        weighted = _weighted_mean(step, mean_metric, count_metric)
        if not math.isnan(weighted):
            return weighted
    ratios = (ratio(group_value(step, spent), group_value(step, served)) for spent, served in LATENCY_COUNTERS)
    return next((value for value in ratios if not math.isnan(value)), math.nan)


def _weighted_mean(step: MetricStep, mean_metric: str, count_metric: str) -> float:
    spent, served = [], []
    for series in step.series(Source(mean_metric)):
        counts = dict(step.points(count_metric + series.removeprefix(mean_metric)))
        for time, value in step.points(series):
            if counts.get(time, 0.0) > 0:
                spent.append(value * counts[time])
                served.append(counts[time])
    return ratio(added(spent), added(served))


def error_ratio(step: MetricStep) -> float:
    """Failed requests by all requests; NaN without any request. No series of failures is no failure."""
    for failed, whole in ERRORS:
        requests = group_value(step, whole)
        if requests > 0:
            failures = group_value(step, failed)
            return 0.0 if math.isnan(failures) else failures / requests
    return math.nan


def cpu_used_ratio(step: MetricStep) -> float:
    processors = sum(1 for _ in step.series(PROCESSORS))
    return ratio(cpu_cores(step), processors)


def memory_used_ratio(step: MetricStep) -> float:
    return ratio(memory_used_bytes(step), first_value(step, SUMS["memory_total_bytes"]))


def disk_busy_ratio(step: MetricStep) -> float:
    """Of the busiest device; a scrape's jitter may show a little more than all of the time, which is cut off."""
    rates = [rate for rate in (step.rate(series) for series in step.series(BUSY)) if not math.isnan(rate)]
    return min(1.0, max(rates)) if rates else math.nan


#: Feature name to (function, unit, description): declared once, in the order in which vectors hold them.
BASE = {
    "cpu_cores": (cpu_cores, "processors", "busy processors: time not idle, not waiting for I/O, not stolen"),
    "memory_used_bytes": (memory_used_bytes, "bytes", "memory in use; of processes their proportional share"),
    "disk_io_bytes_per_second": (disk_io_bytes_per_second, "bytes/s", "read and written"),
    "network_io_bytes_per_second": (network_io_bytes_per_second, "bytes/s", "received and sent, loopback left out"),
    "latency_seconds": (latency_seconds, "seconds", "mean time of a request"),
    "error_ratio": (error_ratio, "0 to 1", "failed requests by all requests; NaN when there was none"),
    "cpu_used_ratio": (cpu_used_ratio, "0 to 1", "busy processors by processors"),
    "memory_used_ratio": (memory_used_ratio, "0 to 1", "memory in use by memory there is"),
    "disk_busy_ratio": (disk_busy_ratio, "0 to 1", "time that the busiest disk was busy"),
    "requests_per_second": (requests_per_second, "1/s", "requests served"),
}
#: The six core metrics, which get rolling features.
CORE = tuple(BASE)[:6]
ROLLING = {
    "mean_5m": (mean, "mean"),
    "std_5m": (standard_deviation, "standard deviation"),
    "max_5m": (maximum, "largest value"),
    "slope_5m": (slope, "least-squares change per second"),
}


def base_values(step: MetricStep) -> list[float]:
    """The values of BASE, in its order."""
    return [function(step) for function, _, _ in BASE.values()]


def with_rolling(base: Sequence[float], recent: Mapping[str, Recent]) -> list[float]:
    """The whole vector.

    Args:
        base: this step's `base_values`.
        recent: core metric to its values in the steps of the last five minutes, this one last.
    """
    return [*base, *(function(recent[name]) for name in CORE for function, _ in ROLLING.values())]
