"""Prometheus' remote_write, 1.0 and 2.0, to samples.

Metadata and exemplars are counted and not read. A native histogram becomes the series of a classic one.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from google.protobuf.message import DecodeError

from services.common.errors import InvalidMessage
from services.common.gen.prometheus.write.v1 import write_pb2 as v1
from services.common.gen.prometheus.write.v2 import write_pb2 as v2
from services.ingest.core.buckets import (
    CUSTOM_SCHEMA,
    MAX_BUCKETS,
    Bucket,
    Histogram,
    add_histogram,
    explicit,
    exponential,
)
from services.ingest.core.samples import MAX_LABELS, Labels, Samples, is_stale, usable

_NAME = "__name__"
_SCHEMAS = range(-4, 9)
_GAUGE = v1.Histogram.ResetHint.GAUGE


def decode_1(data: bytes) -> Any:
    """A WriteRequest. Raises InvalidMessage `bad_protobuf`."""
    return _decoded(v1.WriteRequest, data)


def decode_2(data: bytes) -> Any:
    """A Request of remote_write 2.0. Raises InvalidMessage `bad_protobuf`."""
    return _decoded(v2.Request, data)


def _decoded(kind: Any, data: bytes) -> Any:
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise InvalidMessage("bad_protobuf", f"no {kind.DESCRIPTOR.full_name}: {error}") from error


def has_names_1(request: Any) -> bool:
    """Whether a message that could be decoded is a WriteRequest indeed: other messages decode, too."""
    return any(label.name == _NAME for series in request.timeseries for label in series.labels)


def has_names_2(request: Any) -> bool:
    """The same for 2.0, whose first symbol is empty."""
    return bool(request.timeseries) and request.symbols[:1] == [""] and _NAME in request.symbols


def read_1(request: Any, samples: Samples) -> None:
    """The samples of a WriteRequest. Raises InvalidMessage `too_many_samples`."""
    samples.leave_out("metadata", len(request.metadata))
    for series in request.timeseries:
        _read_series([(label.name, label.value) for label in series.labels], series, samples)


def read_2(request: Any, samples: Samples) -> None:
    """The samples of a Request of 2.0; a series whose labels point nowhere is left out.

    Raises:
        InvalidMessage: `too_many_samples`.
    """
    symbols = list(request.symbols)
    for series in request.timeseries:
        refs = series.labels_refs
        if len(refs) % 2 or any(ref >= len(symbols) for ref in refs):
            samples.leave_out("bad_symbol", len(series.samples) + len(series.histograms))
            continue
        texts = [symbols[ref] for ref in refs]
        _read_series(zip(texts[::2], texts[1::2], strict=True), series, samples)


def count_2(request: Any) -> tuple[int, int]:
    """How many samples and how many histograms a Request of 2.0 has."""
    series = request.timeseries
    return sum(len(one.samples) for one in series), sum(len(one.histograms) for one in series)


def _read_series(pairs: Iterable[tuple[str, str]], series: Any, samples: Samples) -> None:
    name, labels = "", []
    for pair in pairs:
        if pair[0] == _NAME:
            name = pair[1]
        else:
            labels.append(pair)
    samples.leave_out("exemplar", len(series.exemplars))
    if not name:
        samples.leave_out("bad_name", len(series.samples) + len(series.histograms))
        return
    if len(labels) > MAX_LABELS:
        samples.leave_out("too_many_labels", len(series.samples) + len(series.histograms))
        return
    known = tuple(labels)
    for sample in series.samples:
        samples.add(name, known, usable(sample.timestamp * 1000), sample.value)
    for histogram in series.histograms:
        _read_histogram(name, known, histogram, samples)


def _read_histogram(name: str, labels: Labels, given: Any, samples: Samples) -> None:
    if is_stale(given.sum):
        samples.leave_out("stale")
        return
    buckets = _buckets(given)
    if buckets is None:
        samples.leave_out("bad_histogram")
        return
    kind = "gauge" if given.reset_hint == _GAUGE else "counter"
    count = getattr(given, given.WhichOneof("count") or "count_int")
    add_histogram(Histogram(name, labels, usable(given.timestamp * 1000), count, given.sum, buckets, kind), samples)


def _buckets(given: Any) -> Sequence[Bucket] | None:
    """None when spans and counts do not fit together, or the schema is not known."""
    if len(given.custom_values) > MAX_BUCKETS:
        return None
    positive = _side(given.positive_spans, given.positive_deltas, given.positive_counts)
    negative = _side(given.negative_spans, given.negative_deltas, given.negative_counts)
    if positive is None or negative is None:
        return None
    if given.schema == CUSTOM_SCHEMA:
        counts = dict(positive)
        return explicit(given.custom_values, [counts.get(i, 0) for i in range(len(given.custom_values) + 1)])
    if given.schema not in _SCHEMAS:
        return None
    zeros = getattr(given, given.WhichOneof("zero_count") or "zero_count_int")
    return exponential(given.schema, positive, negative, (given.zero_threshold, zeros))


def _side(spans: Any, deltas: Any, counts: Any) -> list[tuple[int, float]] | None:
    """(index, count) of one side's buckets."""
    if max(len(spans), len(deltas), len(counts)) > MAX_BUCKETS:
        return None
    numbers = list(counts) if counts else list(accumulate(deltas))
    if sum(span.length for span in spans) != len(numbers):
        return None
    return list(zip(_indexes(spans), numbers, strict=True))


def _indexes(spans: Any) -> Iterator[int]:
    index = 0
    for span in spans:
        index += span.offset
        yield from range(index, index + span.length)
        index += span.length
