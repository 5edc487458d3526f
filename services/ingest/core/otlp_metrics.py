"""OpenTelemetry metrics (`otlp_proto`, `otlp_json`) to samples, named as Prometheus names them.

Labels are the point's attributes and those of its resource, without what only describes the resource. Exemplars,
minima and maxima are not read. A point without a recorded value says that its series has ended.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf.json_format import Error, MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, DataPointFlags, Metric
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from services.common.errors import InvalidMessage
from services.ingest.core.buckets import MAX_BUCKETS, Bucket, Histogram, add_histogram, explicit, exponential
from services.ingest.core.metric_names import DELTA, opentelemetry_name, plain_name
from services.ingest.core.samples import MAX_LABELS, MAX_SAMPLES, Labels, Samples, usable

#: Resource attributes that describe a resource and do not tell it from others; their change must not begin new series.
_DESCRIBES = re.compile(
    r"(?:telemetry|os|webengine|container\.image|process\.runtime|process\.command|process\.executable|host\.image|"
    r"host\.cpu)(?:\..*|_.*)|host\.(?:arch|type|ip|mac)|service\.version|deployment\..*|cloud\..*|"
    r"k8s\.(?:.*\.uid|pod\.ip|pod\.start_time|.*\.(?:labels|annotations)\..*)"
)
_MAX_LABEL_CHARS = 1024
_NO_VALUE = DataPointFlags.DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK
_DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA


def decode_otlp(data: bytes) -> Any:
    """The request.

    Raises:
        InvalidMessage: `bad_protobuf`.
    """
    try:
        return ExportMetricsServiceRequest.FromString(data)
    except DecodeError as error:
        raise InvalidMessage("bad_protobuf", f"no ExportMetricsServiceRequest: {error}") from error


def has_metrics(request: Any) -> bool:
    """Whether a request that could be decoded names a metric: other messages decode, too."""
    scopes = (scope for resource in request.resource_metrics for scope in resource.scope_metrics)
    return any(metric.name for scope in scopes for metric in scope.metrics)


def read_otlp(request: Any, samples: Samples) -> None:
    """The samples of a request.

    Raises:
        InvalidMessage: `too_many_samples`.
    """
    for resource in request.resource_metrics:
        labels = _resource_labels(resource.resource)
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                _read_metric(metric, labels, samples)


def read_otlp_json(item: dict[str, Any], samples: Samples) -> None:
    """The same, of a request in JSON; a metric that is not as it must be is left out."""
    for resource in _listed(item, "resourceMetrics", "resource_metrics"):
        parsed = _parsed(resource.get("resource") or {}, Resource(), samples)
        labels = _resource_labels(parsed) if parsed is not None else ()
        for scope in _listed(resource, "scopeMetrics", "scope_metrics"):
            for given in _listed(scope, "metrics"):
                if sum(map(len, _points_of(given))) > MAX_SAMPLES:
                    raise InvalidMessage("too_many_samples", f"more than {MAX_SAMPLES} points in one metric")
                metric = _parsed(given, Metric(), samples)
                if metric is not None:
                    _read_metric(metric, labels, samples)


def _parsed(given: Any, message: Any, samples: Samples) -> Any:
    try:
        return ParseDict(given, message, ignore_unknown_fields=True)
    except (Error, ValueError, TypeError, AttributeError, RecursionError):
        samples.leave_out("bad_json")
        return None


def _points_of(metric: dict[str, Any]) -> Iterator[list[Any]]:
    for data in metric.values():
        points = data.get("dataPoints", data.get("data_points")) if isinstance(data, dict) else None
        if isinstance(points, list):
            yield points


def _listed(item: dict[str, Any], *names: str) -> Iterator[dict[str, Any]]:
    found: list[Any] = next((item[name] for name in names if isinstance(item.get(name), list)), [])
    return (entry for entry in found if isinstance(entry, dict))


def _resource_labels(resource: Any) -> Labels:
    if len(resource.attributes) > MAX_LABELS:
        return _TOO_MANY
    return _labels(pair for pair in resource.attributes if not _DESCRIBES.fullmatch(pair.key))


def _labels(pairs: Iterable[KeyValue]) -> Labels:
    return tuple((pair.key, text) for pair in pairs if (text := _text(pair.value)))


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)[:_MAX_LABEL_CHARS]
    if kind == "bool_value":
        return str(value.bool_value).lower()
    if kind in ("int_value", "double_value"):
        return str(getattr(value, kind))
    return "" if kind is None else str(MessageToDict(value))[:_MAX_LABEL_CHARS]


class _Metric(NamedTuple):
    """What its points need to know of a metric; a message's text is made anew each time it is asked for."""

    name: str
    unit: str
    is_delta: bool
    is_monotonic: bool


def _read_metric(metric: Any, labels: Labels, samples: Samples) -> None:
    kind = metric.WhichOneof("data")
    name = metric.name
    if kind is None or not plain_name(name):
        samples.leave_out("not_a_metric")
        return
    data = getattr(metric, kind)
    is_delta = getattr(data, "aggregation_temporality", None) == _DELTA
    about = _Metric(name, metric.unit, is_delta, getattr(data, "is_monotonic", False))
    for point in data.data_points:
        known = _merged(labels, point.attributes)
        if point.flags & _NO_VALUE:
            samples.leave_out("stale")
        elif len(known) > MAX_LABELS:
            samples.leave_out("too_many_labels")
        else:
            _POINTS[kind](about, point, known, samples)


def _merged(labels: Labels, attributes: Any) -> Labels:
    """The point's attribute wins over its resource's."""
    if len(attributes) > MAX_LABELS or len(labels) > MAX_LABELS:
        return _TOO_MANY
    own = _labels(attributes)
    return tuple({**dict(labels), **dict(own)}.items()) if own else labels


#: Stands for labels that are too many.
_TOO_MANY: Labels = (("", ""),) * (MAX_LABELS + 1)


def _time(point: Any) -> int | None:
    return usable(point.time_unix_nano // 1000)


def _number(metric: _Metric, kind: str, ending: str, point: Any, labels: Labels, samples: Samples) -> None:
    which = point.WhichOneof("value")
    if which is None:
        samples.leave_out("no_value")
        return
    name = opentelemetry_name(metric.name, metric.unit, kind) + ending
    samples.add(name, labels, _time(point), float(getattr(point, which)))


def _gauge(metric: _Metric, point: Any, labels: Labels, samples: Samples) -> None:
    _number(metric, "gauge", "", point, labels, samples)


def _sum(metric: _Metric, point: Any, labels: Labels, samples: Samples) -> None:
    """A cumulative sum that only grows is a counter; another one is a gauge; a delta keeps its increments."""
    if metric.is_delta:
        _number(metric, "sum", DELTA, point, labels, samples)
    else:
        _number(metric, "counter" if metric.is_monotonic else "sum", "", point, labels, samples)


def _histogram(metric: _Metric, point: Any, labels: Labels, samples: Samples) -> None:
    if len(point.bucket_counts) > MAX_BUCKETS:
        samples.leave_out("too_many_buckets")
    else:
        _add(metric, point, labels, explicit(point.explicit_bounds, point.bucket_counts), samples)


def _exponential(metric: _Metric, point: Any, labels: Labels, samples: Samples) -> None:
    sides = (point.positive, point.negative)
    if sum(len(side.bucket_counts) for side in sides) > MAX_BUCKETS:
        samples.leave_out("too_many_buckets")
        return
    # OpenTelemetry's bucket i begins at base^i, Prometheus' ends there.
    positive, negative = (
        [(side.offset + i + 1, count) for i, count in enumerate(side.bucket_counts)] for side in sides
    )
    buckets = exponential(point.scale, positive, negative, (point.zero_threshold, point.zero_count))
    _add(metric, point, labels, buckets, samples)


def _add(metric: _Metric, point: Any, labels: Labels, buckets: Sequence[Bucket], samples: Samples) -> None:
    name = opentelemetry_name(metric.name, metric.unit, "histogram")
    kind = "delta" if metric.is_delta else "counter"
    total = point.sum if point.HasField("sum") else None
    add_histogram(Histogram(name, labels, _time(point), point.count, total, buckets, kind), samples)


def _summary(metric: _Metric, point: Any, labels: Labels, samples: Samples) -> None:
    name, time = opentelemetry_name(metric.name, metric.unit, "summary"), _time(point)
    samples.add(f"{name}_count", labels, time, point.count)
    samples.add(f"{name}_sum", labels, time, point.sum)
    for quantile in point.quantile_values:
        samples.add(name, (*labels, ("quantile", repr(quantile.quantile))), time, quantile.value)


_POINTS = {
    "gauge": _gauge, "sum": _sum, "histogram": _histogram, "exponential_histogram": _exponential, "summary": _summary,
}  # fmt: skip
