"""Messages of metrics whatever their shape. What each shape becomes stands in tests/golden/data/shapes/."""

import gzip
import math
from itertools import pairwise
from typing import Any

import cramjam
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from services.common.errors import InvalidMessage
from services.common.gen.prometheus.write.v1 import write_pb2 as v1
from services.common.gen.prometheus.write.v2 import write_pb2 as v2
from services.ingest.core.buckets import cumulative, exponential
from services.ingest.core.metric_names import DELTA, TOTAL, ended, opentelemetry_name, plain_name
from services.ingest.core.metric_shapes import METRIC_SHAPES, read_metrics
from services.ingest.core.samples import MAX_SAMPLES, Samples, known_series
from tests.unit.ingest.conftest import Harness
from tests.unit.ingest.requests_of import WRITE_1, otlp_metrics, write_1, write_2

LIMIT = 1 << 24
LINE = "cpu,host=c1 idle=90.5"


def read(value: Any, pinned: str = "", **headers: str) -> tuple[str, Samples]:
    """The shape and the samples of a message."""
    samples = Samples(1)
    data = value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else orjson.dumps(value)
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return read_metrics(data, named, samples, LIMIT, pinned), samples


def pairs(samples: Samples) -> list[tuple[str, float]]:
    """Series with their values."""
    return [pair for record in samples.records() for pair in zip(record["series"], record["values"], strict=True)]


def reason_of(value: Any, pinned: str = "", **headers: str) -> str:
    """Why a message is a dead letter."""
    with pytest.raises(InvalidMessage) as caught:
        read(value, pinned, **headers)[1].records()
    return caught.value.reason


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: bytes(cramjam.zstd.compress(data)),
                                  lambda data: bytes(cramjam.snappy.compress(data))])  # fmt: skip
def test_packed_messages_are_what_is_in_them(pack: Any) -> None:
    """Text and protobuf alike, with or without a header that says so."""
    assert pairs(read(pack(LINE.encode()))[1]) == [('cpu_idle{host="c1"}', 90.5)]
    assert read(pack(otlp_metrics()))[0] == "otlp_proto"


@pytest.mark.parametrize(
    ("value", "shape"),
    [(write_1(), "remote_write_1"), (write_2(), "remote_write_2"), (otlp_metrics(), "otlp_proto"),
     (bytes(cramjam.snappy.decompress_raw(write_1())), "remote_write_1"),
     (bytes(cramjam.snappy.decompress_raw(write_2())), "remote_write_2")],
)  # fmt: skip
def test_protobuf_is_recognised_by_what_it_holds(value: bytes, shape: str) -> None:
    """Without headers, as a bridge of somebody else's may write it; pinned, it need not be looked at."""
    assert read(value)[0] == shape
    assert read(value, shape)[0] == shape


def test_a_newline_or_a_quote_does_not_make_it_protobuf() -> None:
    """Protobuf messages begin with these bytes, and texts may."""
    assert read("\n" + LINE)[0] == "influx"
    assert read('\n\n {"name":"a","fields":{"value":1}}')[0] == "telegraf_json"
    assert reason_of('"cpu" 1') == "not_a_metric"


def test_objects_of_several_shapes_may_share_a_message() -> None:
    """Each is looked at by itself, in an array or on lines."""
    items = [{"name": "a", "fields": {"value": 1}}, {"name": "b", "labels": {"x": "y"}, "value": "2"}, {"c": 3}, 4]
    for value in (orjson.dumps(items), b"\n".join(map(orjson.dumps, items))):
        samples = read(value)[1]
        assert pairs(samples) == [("a", 1.0), ('b{x="y"}', 2.0)]
        assert samples.left_out == {"not_a_metric": 2}


def test_what_stands_before_the_host_in_a_path_is_no_host() -> None:
    """As the setting names it; a path without it is read from its first node."""
    samples = Samples(1, graphite_prefix="servers.")
    read_metrics(b"servers.c1.load 1 1\nc2.load 2 1\nload;host=c3 3 1", {}, samples, LIMIT, "")
    assert pairs(samples) == [('load{host="c1"}', 1.0), ('load{host="c2"}', 2.0), ('load{host="c3"}', 3.0)]


def test_a_blank_in_a_tag_of_a_point_without_time_makes_no_graphite_line() -> None:
    """Three words, as a path, a value and a time are."""
    assert read(r"cpu,host=ctl\ 1 idle=90.5")[0] == "influx"


def test_a_pinned_topic_takes_no_other_shape() -> None:
    """Its messages are read as the setting says, whatever they look like."""
    assert reason_of(LINE, "graphite") == "not_a_metric"
    assert reason_of({"name": "a", "fields": {"value": 1}}, "collectd_json") == "not_a_metric"
    assert reason_of(b"c1.load 1 1", "remote_write_1") == "bad_protobuf"
    assert read("c1.load 1 1", "graphite")[0] == "graphite"
    assert reason_of("c1.load 1 1", "otlp_json") == "not_json"


def test_wrong_headers_are_a_dead_letter() -> None:
    """The body is not what its sender said."""
    assert reason_of(LINE, content_type="application/x-protobuf") == "bad_protobuf"
    assert reason_of(LINE, content_type=WRITE_1["Content-Type"], content_encoding="snappy") == "bad_snappy"


def test_a_message_of_metadata_alone_is_no_dead_letter() -> None:
    """Prometheus sends it once a minute; so with series that ended or have no value now."""
    request = v1.WriteRequest(metadata=[v1.MetricMetadata()])
    _, samples = read(request.SerializeToString(), "remote_write_1")
    assert (samples.records(), samples.left_out) == ([], {"metadata": 1})
    samples = read({"timestamp": "2026-11-21T06:00:00Z", "value": "nan", "name": "a", "labels": {}})[1]
    assert (samples.records(), samples.left_out) == ([], {"nan": 1})


def test_a_bad_sample_costs_nothing_but_itself() -> None:
    """A label without a symbol, a series without a name or with a name too long."""
    sample = v1.Sample(value=1, timestamp=1_795_262_400_000)
    series = [v2.TimeSeries(labels_refs=refs, samples=[sample]) for refs in ([1, 2], [1, 9], [1], [2, 2], [1, 3])]
    request = v2.Request(symbols=["", "__name__", "up", "x" * 5000], timeseries=series)
    samples = read(request.SerializeToString())[1]
    assert pairs(samples) == [("up", 1.0)]
    assert samples.left_out == {"bad_symbol": 2, "bad_name": 1, "series_too_long": 1}


def test_times_that_are_none_give_way_to_kafkas() -> None:
    """Before 1970 or after 2200."""
    samples = Samples(7)
    for millis in (-1, 0, 2**62):
        read_metrics(write_1(millis=millis), {}, samples, LIMIT)
    assert {record["event_time"] for record in samples.records()} == {7}


def test_a_message_of_too_many_samples_is_a_dead_letter() -> None:
    """A small packed one must not fill a transaction."""
    series = v1.TimeSeries(
        labels=[v1.Label(name="__name__", value="a")], samples=[v1.Sample(value=i) for i in range(MAX_SAMPLES + 1)]
    )
    value = bytes(cramjam.snappy.compress_raw(v1.WriteRequest(timeseries=[series]).SerializeToString()))
    assert reason_of(value) == "too_many_samples"
    assert reason_of("a b=1\n" * (MAX_SAMPLES + 1)) in ("too_many_samples", "too_many_lines")


def test_names_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones, up to a number; what is known stays, until very many others came."""
    monkeypatch.setattr("services.ingest.core.samples.KNOWN_SERIES", 3)
    known_series.clear()
    names = [known_series.get(f"m{i}", (("host", "c1"),)).series for i in range(5)]
    assert (names[4], len(known_series)) == ('m4{host="c1"}', 3)
    known_series.clear()
    known_series.get("m", (("password", "x" * 5000),))
    assert len(known_series) == 0
    known_series.clear()
    for i in range(31):
        known_series.get(f"n{i}", ())
    assert len(known_series) == 1
    known_series.clear()


def test_histograms_that_do_not_fit_together_are_left_out() -> None:
    """Spans without counts, a boundary rule that nobody knows, thousands of buckets; a gauge's have other names."""
    wrong = [
        v1.Histogram(positive_spans=[v1.BucketSpan(length=4_000_000_000)]), v1.Histogram(schema=99),
        v1.Histogram(positive_spans=[v1.BucketSpan(length=2000)], positive_deltas=[1] * 2000),
    ]  # fmt: skip
    fine = v1.Histogram(count_float=1.5, sum=2, schema=-53, custom_values=[1.0], reset_hint="GAUGE",
                        positive_spans=[v1.BucketSpan(length=1)], positive_counts=[1.5])  # fmt: skip
    labels = [v1.Label(name="__name__", value="h")]
    request = v1.WriteRequest(timeseries=[v1.TimeSeries(labels=labels, histograms=[*wrong, fine])])
    samples = read(request.SerializeToString())[1]
    assert samples.left_out == {"bad_histogram": 3}
    assert pairs(samples) == [
        ("h_gcount", 1.5), ("h_gsum", 2.0), ('h_gbucket{le="1.0"}', 1.5), ('h_gbucket{le="+Inf"}', 1.5),
    ]  # fmt: skip


COUNTS = st.lists(st.integers(0, 9), max_size=40)


@given(st.integers(-10, 20), st.integers(-(2**31), 2**31 - 1), COUNTS, COUNTS, st.integers(0, 9))
def test_merged_buckets_rise_to_the_count(schema: int, offset: int, up: list[int], down: list[int], zeros: int) -> None:
    """Whatever the scale and the offsets: boundaries and counts rise, and the last bucket holds all."""
    positive, negative = (list(enumerate(side, offset)) for side in (up, down))
    count = sum(up) + sum(down) + zeros
    buckets = list(cumulative(exponential(schema, positive, negative, (0.0, zeros)), count))
    assert all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(buckets))
    assert buckets[-1] == (math.inf, count)


@pytest.mark.parametrize(
    ("schema", "index", "upper"), [(0, 0, 1.0), (0, 3, 8.0), (2, 4, 2.0), (2, 5, 4.0), (-1, 2, 16.0), (3, -8, 0.5)]
)
def test_a_bucket_goes_to_the_power_of_two_above_it(schema: int, index: int, upper: float) -> None:
    """Bucket i ends at 2^(i * 2^-schema), as Prometheus has it."""
    assert exponential(schema, [(index, 1.0)], [], (0.0, 0)) == [(upper, 1.0)]
    assert 2.0 ** (index * 2.0**-schema) <= upper


@pytest.mark.parametrize(
    ("name", "unit", "kind", "wanted"),
    [
        ("system.cpu.time", "s", "counter", "system_cpu_time_seconds_total"),
        ("http.server.request.duration", "ms", "histogram", "http_server_request_duration_milliseconds"),
        ("system.cpu.utilization", "1", "gauge", "system_cpu_utilization_ratio"),
        ("requests", "1", "counter", "requests_total"), ("requests_total", "{request}", "counter", "requests_total"),
        ("disk.io", "By/s", "gauge", "disk_io_bytes_per_second"), ("memory_bytes", "By", "gauge", "memory_bytes"),
        ("9lives", "", "gauge", "_9lives"), ("a.b", "furlong", "gauge", "a_b_furlong"),
    ],
)  # fmt: skip
def test_opentelemetry_names_are_as_prometheus_writes_them(name: str, unit: str, kind: str, wanted: str) -> None:
    """Unit, and `_total` behind what only grows; nothing twice."""
    assert opentelemetry_name(name, unit, kind) == wanted


def test_endings_come_once() -> None:
    """A name may have its ending already."""
    assert [ended(name, TOTAL) for name in ("a", "a_total")] == ["a_total", "a_total"]
    assert (ended("a", DELTA), plain_name("cpu-0.idle")) == ("a_delta", "cpu_0_idle")


SEEDS = [LINE.encode(), b"c1.load 1 1795241380", write_1(), write_2(), otlp_metrics(),
         b'{"name":"a","tags":{"host":"c1"},"fields":{"value":1},"timestamp":1}',
         b'[{"values":[1],"dstypes":["derive"],"dsnames":["value"],"time":1.5,"host":"c","plugin":"p","type":"t"}]',
         b'{"oslo.message":"{\\"payload\\":[{\\"counter_name\\":\\"cpu\\",\\"counter_volume\\":1}]}"}',
         b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","sum":{"dataPoints":[{"asInt":"1"}]}}]}]}]}',
]  # fmt: skip
CHANGE = st.tuples(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=4))


def changed(value: bytes, changes: list[tuple[int, int, bytes]]) -> bytes:
    """A message with bytes put in, taken out and replaced."""
    for place, length, given_bytes in changes:
        start = place % (len(value) + 1)
        value = value[:start] + given_bytes + value[start + length :]
    return value


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SEEDS), st.lists(CHANGE, max_size=6), st.sampled_from(["", *METRIC_SHAPES]))
def test_changed_messages_are_samples_or_refused(seed: bytes, changes: list[tuple[int, int, bytes]], pin: str) -> None:
    """Never another exception, whatever the topic is pinned to; every value is a number."""
    try:
        found = pairs(read(changed(seed, changes), pin)[1])
    except InvalidMessage:
        return
    assert not any(math.isnan(value) for _, value in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["key", "value", "stringValue", "attributes", "asDouble", "asInt", "timeUnixNano", "flags",
                         "bucketCounts", "explicitBounds", "count", "sum", "scale", "positive", "offset", "unit",
                         "dataPoints", "aggregationTemporality", "quantileValues", "resource"]), inner, max_size=5),
    max_leaves=15,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(["gauge", "sum", "histogram", "exponentialHistogram", "summary"]), JSON)
def test_any_json_in_a_metric_is_samples_or_refused(kind: str, data: Any) -> None:
    """Wrong types anywhere below a metric."""
    metric = {"name": "a", kind: {"dataPoints": [data]}}
    try:
        read(
            {
                "resourceMetrics": [
                    {"resource": data, "scopeMetrics": [{"metrics": [metric, {"name": "b", kind: data}]}]}
                ]
            }
        )
    except InvalidMessage:
        return


def test_an_empty_request_is_told() -> None:
    """Not one number in it."""
    assert reason_of(ExportMetricsServiceRequest().SerializeToString(), "otlp_proto") == "no_samples"


SECRET = "gAAAAABq7wZk3Jd_QzQzQzQzQz"
PLANTED: dict[str, Any] = {
    "telegraf": {"name": SECRET, "tags": {"host": SECRET, SECRET: f"http://u:{SECRET}@h/"}, "fields": {SECRET: 1}},
    "influx": f"m{SECRET},host={SECRET},password=hunter2secret {SECRET}=1",
    "graphite": f"{SECRET}.a.{SECRET} 1 1795241380",
    "graphite with tags": f"a;host={SECRET};token=hunter2secret 1 1795241380",
    "collectd": [{"values": [1], "dstypes": ["gauge"], "dsnames": [SECRET], "host": SECRET, "plugin": SECRET,
                  "plugin_instance": SECRET, "type": SECRET, "type_instance": SECRET}],
    "adapter": {"name": SECRET, "value": "1", "labels": {"host": SECRET, "api_key": "hunter2secret", "job": SECRET}},
    "ceilometer": {"oslo.message": orjson.dumps({"payload": [{
        "counter_name": SECRET, "counter_volume": 1, "resource_id": SECRET, "counter_unit": SECRET,
        "resource_metadata": {"host": SECRET, "instance_id": SECRET, "disk_name": SECRET}}]}).decode()},
    "remote_write_1": write_1(instance=SECRET, password="hunter2secret", job=SECRET),
    "otlp": {"resourceMetrics": [{
        "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": SECRET}}]},
        "scopeMetrics": [{"metrics": [{"name": SECRET, "unit": SECRET, "gauge": {"dataPoints": [{
            "asInt": "1", "attributes": [{"key": "password", "value": {"stringValue": "hunter2secret"}}]}]}}]}]}]},
}  # fmt: skip


@pytest.mark.parametrize("shape", PLANTED)
def test_no_sample_holds_a_secret(shape: str, ingest: Harness) -> None:
    """Neither a token by its looks, wherever it stands, nor a value by its label's name."""
    value = PLANTED[shape]
    ingest.send(value if isinstance(value, (bytes, str)) else orjson.dumps(value), topic="metrics.raw")
    assert ingest.of("metrics.samples.v1")
    assert not any(secret in repr(ingest.written) for secret in (SECRET, "hunter2secret"))


def many(kind: Any, number: int, **fields: Any) -> list[Any]:
    """So many equal messages."""
    return [kind(**fields)] * number


HUGE = "x" * 1_000_000
MANY_LABELS = [v1.Label(name=f"l{i}", value="v") for i in range(50_000)]
NAMED = v1.Label(name="__name__", value="a")
HOSTILE: dict[str, Any] = {
    "many labels, many samples": v1.WriteRequest(timeseries=[
        v1.TimeSeries(labels=[NAMED, *MANY_LABELS], samples=many(v1.Sample, 100_000, value=1))]).SerializeToString(),
    "long label, many samples": v1.WriteRequest(timeseries=[v1.TimeSeries(
        labels=[NAMED, v1.Label(name="l", value=HUGE)], samples=many(v1.Sample, 99_999, value=1))]).SerializeToString(),
    "many buckets": v1.WriteRequest(timeseries=[v1.TimeSeries(labels=[NAMED], histograms=many(
        v1.Histogram, 50, positive_deltas=[1] * 50_000, positive_spans=many(v1.BucketSpan, 50_000, length=1)))],
    ).SerializeToString(),
    "long symbol, many series": v2.Request(symbols=["", "__name__", HUGE], timeseries=many(
        v2.TimeSeries, 100_000, labels_refs=[1, 2], samples=[v1.Sample(value=1)])).SerializeToString(),
    "long name, many fields": {"name": HUGE, "fields": {f"f{i}": 1 for i in range(40_000)}},
    "long plugin, many values": {"values": [1] * 99_999, "dstypes": ["gauge"] * 99_999, "plugin": HUGE, "type": HUGE,
                                 "dsnames": ["x"] * 99_999},
    "many tags": "m," + ",".join(f"t{i}=v" for i in range(80_000)) + " f=1",
    "many items": [{}] * 300_000,
    "many items of a batch": {"metrics": [1] * 300_000},
    "many points": {"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": "a", "gauge": {"dataPoints": [{"asInt": 1}] * 200_000}}]}]}]},
    "many attributes, many points": {"resourceMetrics": [{
        "resource": {"attributes": [{"key": f"k{i}", "value": {"stringValue": "v"}} for i in range(2000)]},
        "scopeMetrics": [{"metrics": [{"name": "a", "gauge": {"dataPoints": [{"asInt": 1}] * 20_000}}]}]}]},
    "long name, many points": {"resourceMetrics": [{"scopeMetrics": [{"metrics": [
        {"name": HUGE, "unit": HUGE, "gauge": {"dataPoints": [{"asInt": 1}] * 20_000}}]}]}]},
}  # fmt: skip


@pytest.mark.timeout(120)  # against hanging
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_messages_take_no_more_than_their_size(what: str) -> None:
    """Each would take minutes or hours, were its parts looked at for each of its samples."""
    value = HOSTILE[what]
    assert reason_of(value) in {
        "too_many_labels", "too_many_samples", "series_too_long", "bad_histogram", "not_a_metric", "bad_name",
    }  # fmt: skip
