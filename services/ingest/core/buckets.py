"""Histograms as series: `_count`, `_sum`, and `_bucket` with the label `le`, cumulative as in Prometheus.

An exponential (native) histogram has hundreds of buckets whose boundaries change as it grows. Its buckets are merged to
boundaries that are powers of two (coarser ones stay as they are), so that the same `le` comes again each time.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from services.ingest.core.metric_names import DELTA
from services.ingest.core.samples import Labels, Samples

#: Buckets of one histogram; more are left out as a whole.
MAX_BUCKETS = 1000
#: Prometheus' schema of a native histogram whose boundaries are listed.
CUSTOM_SCHEMA = -53

#: (upper boundary, how many are in this bucket).
Bucket = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Histogram:
    """One histogram at one time.

    Attributes:
        sum: None when the sender does not know it.
        buckets: in any order; the one without an upper boundary may be missing.
        kind: `counter` when it only grows, `delta` when it tells of one interval, `gauge` when it may shrink.
    """

    metric: str
    labels: Labels
    micros: int | None
    count: float
    sum: float | None
    buckets: Sequence[Bucket]
    kind: str = "counter"


_ENDINGS = {
    "counter": ("_count", "_sum", "_bucket"),
    "delta": ("_count" + DELTA, "_sum" + DELTA, "_bucket" + DELTA),
    "gauge": ("_gcount", "_gsum", "_gbucket"),
}


def add_histogram(histogram: Histogram, samples: Samples) -> None:
    """Its series as samples."""
    if len(histogram.buckets) > MAX_BUCKETS:
        samples.leave_out("too_many_buckets")
        return
    count, total, bucket = (histogram.metric + ending for ending in _ENDINGS[histogram.kind])
    samples.add(count, histogram.labels, histogram.micros, histogram.count)
    if histogram.sum is not None:
        samples.add(total, histogram.labels, histogram.micros, histogram.sum)
    for upper, number in cumulative(histogram.buckets, histogram.count):
        samples.add(bucket, (*histogram.labels, ("le", boundary(upper))), histogram.micros, number)


def cumulative(buckets: Iterable[Bucket], count: float) -> Iterator[Bucket]:
    """How many lie at or below each boundary; the last one is infinity with all of them."""
    below = 0.0
    merged: dict[float, float] = {}
    for upper, number in buckets:
        merged[upper] = merged.get(upper, 0.0) + number
    for upper in sorted(merged):
        below += merged[upper]
        if math.isfinite(upper):
            yield upper, below
    yield math.inf, count


def boundary(upper: float) -> str:
    """A boundary as the label `le`."""
    return "+Inf" if upper == math.inf else repr(float(upper))


def explicit(bounds: Sequence[float], counts: Sequence[float]) -> list[Bucket]:
    """Buckets with listed upper boundaries; the last count has none."""
    return list(zip([*bounds, math.inf], counts, strict=False))


def exponential(schema: int, positive: Iterable[tuple[int, float]], negative: Iterable[tuple[int, float]],
                zero: Bucket) -> list[Bucket]:  # fmt: skip
    """Buckets of a base-2 exponential histogram, merged to powers of two.

    Args:
        schema: OpenTelemetry's scale; boundaries grow by 2^(2^-schema).
        positive, negative: (index, count) where a bucket's upper boundary, by size, is that factor to the index.
        zero: the widest value that counts as zero, and how many do.
    """
    shift, power = max(schema, 0), 2.0 ** -min(schema, 0)
    buckets = [(_power(-(-index >> shift) * power), number) for index, number in _filled(positive)]
    buckets += [(-_power((-(-index >> shift) - 1) * power), number) for index, number in _filled(negative)]
    return [*buckets, zero] if zero[1] else buckets


def _filled(buckets: Iterable[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    return ((index, number) for index, number in buckets if number)


def _power(exponent: float) -> float:
    """Two to it; infinity, or the smallest number, beyond what a number can be."""
    return math.ldexp(1.0, int(exponent)) if -1074 <= exponent < 1024 else (math.inf if exponent > 0 else 5e-324)
