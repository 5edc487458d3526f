"""What a workload's past looks like: /analyze/workload and workload_pattern_recognition/analyze_patterns.

Everything is computed from the samples that come with the question, or, when none come, from the newest features of the
instance. Of samples x in order: mean; coefficient of variation std / mean; correlation with their order; highest
autocorrelation after it first fell below 0 (Box, Jenkins, Reinsel, Time Series Analysis, 2.1.4). The first that holds:
periodic from 0.5 on, trending from |r| 0.8 on, steady up to a variation of 0.1, bursty from 0.5 on, else variable.
Confidence = samples / 30, at most 1, times how far over its line the pattern is.
"""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from msgspec import Struct, field

from services.placement.core.dwcp.demand import NEVER
from services.placement.core.dwcp.given import check_rows, column, share
from services.placement.core.dwcp.known import Known

_ENOUGH_SAMPLES = 30
#: Autocorrelation is looked for in this many samples at most.
_LAST_SAMPLES = 2000
_PERIODIC, _TRENDING, _STEADY, _BURSTY = 0.5, 0.8, 0.1, 0.5
_BUSY, _IDLE = 0.6, 0.1
#: Columns of NovaCron's samples to what they are of.
_COLUMNS = {
    "cpu": ("cpu_usage", "cpu", "cpu_percent"), "memory": ("memory_usage", "memory", "memory_percent"),
    "io": ("disk_usage", "disk_io", "io_usage"), "network": ("network_usage", "network"),
}  # fmt: skip
_ADVICE = {
    "periodic": "place it beside workloads whose peaks lie at other times",
    "trending": "ask again before it has grown: what it requests today is not what it will use",
    "bursty": "leave room for its peaks: its mean says little",
    "steady_state": "it can be packed tightly",
}


class Shape(Struct):
    """What a series looks like; `period` in samples, 0 for none."""

    kind: str = "unknown"
    strength: float = 0.0
    mean: float = 0.0
    peak: float = 0.0
    variation: float = 0.0
    trend: float = 0.0
    period: float = 0.0
    num_samples: float = 0.0

    @property
    def confidence(self) -> float:
        return min(1.0, self.num_samples / _ENOUGH_SAMPLES) * self.strength


def shape(values: Sequence[float]) -> Shape:
    """The shape of a series; unknown below three samples."""
    if not values:
        return Shape()
    xs = np.clip(np.array(values[-_LAST_SAMPLES:], dtype=np.float64), -1e15, 1e15)
    mean, spread = float(xs.mean()), float(xs.std())
    found = Shape(mean=mean, peak=float(xs.max()), num_samples=float(len(values)))
    if len(xs) < 3:
        return found
    found.variation = min(spread / abs(mean), 1e9) if mean else 0.0
    if spread <= 1e-9 * max(1.0, abs(mean)):
        found.kind, found.strength = "steady_state", 1.0
        return found
    order = np.arange(len(xs))
    found.trend = float(np.clip(np.corrcoef(order, xs)[0, 1], -1.0, 1.0))
    lag, cycle = _cycle(xs - mean)
    found.period = float(lag) if cycle >= _PERIODIC else 0.0
    found.kind, found.strength = _kind(cycle, found.trend, found.variation)
    return found


def _cycle(centred: "np.ndarray[Any, np.dtype[np.float64]]") -> tuple[int, float]:
    """The lag of the highest autocorrelation after it has first fallen below 0, and how high it is."""
    size = len(centred)
    spectrum = np.abs(np.fft.rfft(centred, 2 * size)) ** 2
    correlation = np.fft.irfft(spectrum)[:size]
    correlation /= correlation[0]
    below = np.flatnonzero(correlation < 0)
    first = int(below[0]) if len(below) else size
    ahead = correlation[max(first, 2) : size // 2 + 1]
    if not len(ahead):
        return 0, 0.0
    lag = int(ahead.argmax()) + max(first, 2)
    return lag, float(correlation[lag])


def _kind(cycle: float, trend: float, variation: float) -> tuple[str, float]:
    if cycle >= _PERIODIC:
        return "periodic", min(1.0, cycle)
    if abs(trend) >= _TRENDING:
        return "trending", min(1.0, abs(trend))
    if variation <= _STEADY:
        return "steady_state", 1.0 - variation / (2 * _STEADY)
    if variation >= _BURSTY:
        return "bursty", min(1.0, variation)
    return "variable", _PERIODIC


class Asked(Struct):
    """A question of scheduler.go."""

    vm_id: str
    workload_data: list[dict[str, Any]] | None = None


class Workload(Struct):
    """The answer; shares in `characteristics` are 0..1."""

    vm_id: str = ""
    workload_type: str = "unknown"
    pattern_type: str = "unknown"
    resource_pattern: str = "unknown"
    confidence: float = 0.0
    characteristics: dict[str, float] = field(default_factory=dict)
    recommendations: list[str] = field(default_factory=list)
    timestamp: str = NEVER
    reason: str = "nothing is known"


def analyze(known: Known, asked: Asked) -> Workload:
    """The busiest resource names the type, its shape the pattern."""
    rows = asked.workload_data or []
    check_rows("workload_data", rows)
    series = {name: [share(value) for value in column(rows, *names)] for name, names in _COLUMNS.items()}
    series = {name: values for name, values in series.items() if values} or _of_instance(known, asked.vm_id)
    if not series:
        return Workload(asked.vm_id, timestamp=known.timestamp, reason="no sample came, and none is known of it")
    means = {name: statistics.fmean(values) for name, values in series.items()}
    busiest = max(means, key=lambda name: (means[name], name))
    found = shape(series[busiest])
    return Workload(
        asked.vm_id,
        _type(busiest, means[busiest]),
        found.kind,
        found.kind,
        found.confidence,
        {
            **{f"{name}_mean": mean for name, mean in means.items()},
            **{f"{name}_peak": max(values) for name, values in series.items()},
            "variation": found.variation, "trend": found.trend, "period_samples": found.period,
            "num_samples": found.num_samples,
        },
        [_ADVICE[found.kind]] if found.kind in _ADVICE else [],
        known.timestamp,
        "",
    )  # fmt: skip


def _of_instance(known: Known, vm_id: str) -> dict[str, list[float]]:
    """The newest shares in use of a virtual machine that features.v1 knows: one sample each."""
    figures = known.world.figures
    found = {
        name: figures.newest(f"instance:{vm_id}", feature, known.now)
        for name, feature in (("cpu", "cpu_used_ratio"), ("memory", "memory_used_ratio"), ("io", "disk_busy_ratio"))
    }
    return {name: [share(value)] for name, value in found.items() if value is not None}


def _type(busiest: str, mean: float) -> str:
    if mean >= _BUSY:
        return f"{busiest}_intensive"
    return "idle" if mean < _IDLE else "balanced"


class DataPoint(Struct):
    """One measurement."""

    value: float = 0.0
    timestamp: str = ""


class ProcessAsked(Struct):
    """A question of integration_layer.go."""

    workload_id: str = ""
    metric_types: list[str] | None = None
    data_points: list[DataPoint] | None = None


class Pattern(Struct):
    """One pattern; times RFC 3339."""

    type: str
    start_time: str
    end_time: str
    intensity: float
    frequency: str
    confidence: float
    description: str


class Seasonality(Struct):
    """`period` in nanoseconds, a whole number, as Go's time.Duration."""

    has_seasonality: bool = False
    period: int = 0
    strength: float = 0.0
    components: list[str] = field(default_factory=list)
    peak_times: list[str] = field(default_factory=list)
    low_times: list[str] = field(default_factory=list)


class ProcessPatterns(Struct):
    """The answer."""

    patterns: list[Pattern] = field(default_factory=list)
    classification: str = "unknown"
    seasonality: Seasonality = field(default_factory=Seasonality)
    recommendations: list[str] = field(default_factory=list)
    confidence: float = 0.0
    reason: str = "nothing is known"


def process(known: Known, asked: ProcessAsked) -> ProcessPatterns:
    """The shape of the points in the order in which they came, as one series."""
    points = asked.data_points or []
    check_rows("data_points", points)
    if not points:
        return ProcessPatterns(reason="no data point came")
    found = shape([point.value for point in points])
    times = [moment for point in points if (moment := _time(point.timestamp)) is not None]
    start, end = (times[0], times[-1]) if len(times) == len(points) else (None, None)
    seconds = (end - start).total_seconds() / max(1, len(points) - 1) if start and end else 0.0
    seconds = min(max(seconds, 0.0), 1e8)
    pattern = Pattern(
        found.kind,
        _stamp(start),
        _stamp(end),
        found.mean,
        f"{found.period * seconds:.0f} s" if found.period and seconds else "",
        found.confidence,
        f"{found.kind}: mean {found.mean:.4g}, peak {found.peak:.4g}, variation {found.variation:.2f}",
    )
    season = Seasonality(
        bool(found.period), round(found.period * seconds * 1e9), found.strength if found.period else 0.0
    )
    advice = [_ADVICE[found.kind]] if found.kind in _ADVICE else []
    return ProcessPatterns([pattern], found.kind, season, advice, found.confidence, "")


def _time(text: str) -> datetime | None:
    """A time with its zone; None for what is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _stamp(time: datetime | None) -> str:
    return NEVER if time is None else time.astimezone(UTC).isoformat().replace("+00:00", "Z")
