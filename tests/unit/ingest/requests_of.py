"""Requests as Prometheus and an OpenTelemetry Collector send them, and a client that sends them."""

import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, NamedTuple

import cramjam
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from services.common.gen.prometheus.write.v1 import write_pb2 as v1
from services.common.gen.prometheus.write.v2 import write_pb2 as v2

NOON_MS = 1_795_262_400_000
WRITE_1 = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}
WRITE_2 = WRITE_1 | {"Content-Type": "application/x-protobuf;proto=io.prometheus.write.v2.Request"}
OTLP = {"Content-Type": "application/x-protobuf"}


def write_1(value: float = 1.0, millis: int = NOON_MS, **labels: str) -> bytes:
    """A body of remote_write 1.0 with one sample of `up`."""
    named = {"__name__": "up", "instance": "c1:9100", "job": "node"} | labels
    series = v1.TimeSeries(
        labels=[v1.Label(name=name, value=text) for name, text in sorted(named.items())],
        samples=[v1.Sample(value=value, timestamp=millis)],
    )
    return packed(v1.WriteRequest(timeseries=[series]))


def write_2(value: float = 1.0, millis: int = NOON_MS) -> bytes:
    """The same of 2.0."""
    series = v2.TimeSeries(labels_refs=[1, 2, 3, 4], samples=[v1.Sample(value=value, timestamp=millis)])
    return packed(v2.Request(symbols=["", "__name__", "up", "instance", "c1:9100"], timeseries=[series]))


def packed(message: Any) -> bytes:
    """As remote_write sends it."""
    return bytes(cramjam.snappy.compress_raw(message.SerializeToString()))


def otlp_metrics(value: float = 1.0) -> bytes:
    """One gauge of one host."""
    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    attribute = resource.resource.attributes.add(key="host.name")
    attribute.value.string_value = "c1"
    metric = resource.scope_metrics.add().metrics.add(name="system.memory.usage", unit="By")
    metric.gauge.data_points.add(as_double=value, time_unix_nano=NOON_MS * 1_000_000)
    return bytes(request.SerializeToString())


def otlp_logs(body: str = "disk is full") -> bytes:
    """One record of one service."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    for key, text in (("host.name", "c1"), ("service.name", "nova-api")):
        resource.resource.attributes.add(key=key).value.string_value = text
    record = resource.scope_logs.add().log_records.add(time_unix_nano=NOON_MS * 1_000_000, severity_number=17)
    record.body.string_value = body
    return bytes(request.SerializeToString())


class Answer(NamedTuple):
    """What the receiver said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def post(url: str, body: bytes, headers: Mapping[str, str], tls: ssl.SSLContext | None = None) -> Answer:
    """Sends a request, whatever its answer."""
    request = urllib.request.Request(url, body, dict(headers), method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60, context=tls) as response:
            return Answer(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.headers, error.read())
