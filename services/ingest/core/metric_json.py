"""Metrics as JSON objects: Telegraf, collectd, prometheus-kafka-adapter, ceilometer."""

import math
from collections.abc import Callable
from typing import Any

import orjson

from services.ingest.core.metric_names import DELTA, MAX_NAME_CHARS, RATE, TOTAL, ended, plain_name
from services.ingest.core.samples import Labels, Samples, text_labels
from services.ingest.core.times import TimeParser

#: A field of one of these names is the metric itself; another one is `metric_field`, as Telegraf's own output has it.
PLAIN_FIELDS = frozenset(("value", "gauge", "counter"))
_UTC = TimeParser("UTC")
#: Of a ceilometer sample's metadata: what tells that its resource is an instance, and of which instance it is a part.
_OF_INSTANCES = ("instance_id", "instance_host", "flavor", "vcpus", "instance_type")

Item = dict[str, Any]
Reader = Callable[[Item, Samples], None]


def shape_of(item: object) -> str:
    """Which shape an object has; empty for none."""
    if not isinstance(item, dict):
        return ""
    return next((shape for shape, (is_it, _) in SHAPES.items() if is_it(item)), "")


def read_item(shape: str, item: Item, samples: Samples) -> None:
    """The samples of one object of that shape. What is wrong in it is left out and counted.

    Raises:
        InvalidMessage: `too_many_samples`.
    """
    is_it, read = SHAPES[shape]
    if isinstance(item, dict) and is_it(item):
        read(item, samples)
    else:
        samples.leave_out("not_a_metric")


def add_fields(name: str, labels: Labels, micros: int | None, fields: Item, samples: Samples) -> None:
    """Telegraf's fields: numbers and truths are samples, texts are none."""
    name = name[: MAX_NAME_CHARS + 1]
    for field, value in fields.items():
        if isinstance(value, (int, float)):
            metric = name if field in PLAIN_FIELDS else f"{name}_{field[:MAX_NAME_CHARS]}"
            samples.add(plain_name(metric), labels, micros, float(value))


def time_of(value: object) -> int | None:
    """Epoch seconds, milli-, micro- or nanoseconds, told apart by size, or RFC 3339; None for no time."""
    return _UTC.field(value)


def _is_telegraf(item: Item) -> bool:
    return isinstance(item.get("fields"), dict) and isinstance(item.get("name"), str)


def _telegraf(item: Item, samples: Samples) -> None:
    """`{"name","tags","fields","timestamp"}`; the time in seconds unless Telegraf was told otherwise."""
    tags = item.get("tags")
    labels = text_labels(tags) if isinstance(tags, dict) else ()
    add_fields(item["name"], labels, time_of(item.get("timestamp")), item["fields"], samples)


def _is_telegraf_batch(item: Item) -> bool:
    return isinstance(item.get("metrics"), list)


def _telegraf_batch(item: Item, samples: Samples) -> None:
    for metric in item["metrics"]:
        if isinstance(metric, dict) and _is_telegraf(metric):
            _telegraf(metric, samples)
        else:
            samples.leave_out("not_a_metric")


_COLLECTD_ENDINGS = {"counter": TOTAL, "derive": TOTAL, "absolute": DELTA}
_METER_ENDINGS = {"cumulative": TOTAL, "delta": DELTA}


def _is_collectd(item: Item) -> bool:
    return (
        isinstance(item.get("values"), list) and isinstance(item.get("dstypes"), list)
        and isinstance(item.get("plugin"), str) and isinstance(item.get("type"), str)
    )  # fmt: skip


def _collectd(item: Item, samples: Samples) -> None:
    """Named as collectd's own write_prometheus does: `collectd_<plugin>_<type>[_<source>][_total]`.

    collectd makes rates of counters unless StoreRates is false (its manual says otherwise), and says `derive` all the
    same; the setting tells which. A broken number is a rate whatever the setting says.
    """
    names = item.get("dsnames")
    sources = names if isinstance(names, list) else ["value"] * len(item["values"])
    plugin, kind = item["plugin"][: MAX_NAME_CHARS + 1], item["type"][: MAX_NAME_CHARS + 1]
    base = "collectd_" + (kind if plugin == kind else f"{plugin}_{kind}")
    labels, micros = _collectd_labels(item), time_of(item.get("time"))
    for value, rule, source in zip(item["values"], item["dstypes"], sources, strict=False):
        name = plain_name(base if source == "value" else f"{base}_{_text(source)[:MAX_NAME_CHARS]}")
        ending = _COLLECTD_ENDINGS.get(_text(rule), "")
        if ending and (samples.collectd_rates or isinstance(value, float)):
            ending = RATE
        metric = ended(name, ending)
        _add_number(metric, labels, micros, math.nan if value is None else value, samples)


def _collectd_labels(item: Item) -> Labels:
    plugin, instance, kind = item["plugin"], _text(item.get("plugin_instance")), _text(item.get("type_instance"))
    labels = {"instance": _text(item.get("host"))}
    if instance:
        labels[plugin] = instance
    if kind:
        labels["type" if instance else plugin] = kind
    return tuple(labels.items())


def _is_adapter(item: Item) -> bool:
    return isinstance(item.get("labels"), dict) and isinstance(item.get("name"), str) and "value" in item


def _adapter(item: Item, samples: Samples) -> None:
    """prometheus-kafka-adapter: one sample, its value a text, since JSON has neither NaN nor infinity."""
    labels = {name: value for name, value in item["labels"].items() if name != "__name__"}
    _add_number(item["name"], text_labels(labels), time_of(item.get("timestamp")), item["value"], samples)


def _is_envelope(item: Item) -> bool:
    return isinstance(item.get("oslo.message"), str) or "counter_name" in item or isinstance(item.get("payload"), dict)


def _envelope(item: Item, samples: Samples) -> None:
    """oslo.messaging's envelope, whose message is JSON in JSON, around ceilometer's samples."""
    message: Any = item
    if "oslo.message" in item:
        try:
            message = orjson.loads(item["oslo.message"])
        except orjson.JSONDecodeError:
            samples.leave_out("bad_envelope")
            return
    meters = message.get("payload", message) if isinstance(message, dict) else message
    meters = meters.get("samples", meters) if isinstance(meters, dict) else meters
    for meter in meters if isinstance(meters, list) else [meters]:
        _meter(meter, samples)


def _meter(meter: object, samples: Samples) -> None:
    """One of ceilometer's samples; its times are UTC."""
    if not isinstance(meter, dict) or not isinstance(meter.get("counter_name"), str):
        samples.leave_out("not_a_metric")
        return
    ending = _METER_ENDINGS.get(_text(meter.get("counter_type")), "")
    metric = ended(plain_name(f"ceilometer_{meter['counter_name']}"), ending)
    _add_number(metric, _meter_labels(meter), time_of(meter.get("timestamp")), meter.get("counter_volume"), samples)


def _meter_labels(meter: Item) -> Labels:
    """`resource_id` names an instance only where the metadata says so; a disk or tap is a `part` of its instance."""
    given = meter.get("resource_metadata")
    metadata: Item = given if isinstance(given, dict) else {}
    resource, instance = _text(meter.get("resource_id")), _text(metadata.get("instance_id"))
    labels = {"unit": _text(meter.get("counter_unit")), "project_id": _text(meter.get("project_id"))}
    if any(name in metadata for name in _OF_INSTANCES):
        labels["resource_id"] = instance or resource
        labels["part"] = resource if instance and instance != resource else ""
    else:
        labels["resource"] = resource
    labels["host"] = _text(metadata.get("instance_host") or metadata.get("node") or metadata.get("host"))
    labels["device"] = _text(metadata.get("disk_name") or metadata.get("vnic_name"))
    return tuple((name, value) for name, value in labels.items() if value)


def _add_number(metric: str, labels: Labels, micros: int | None, value: object, samples: Samples) -> None:
    number = number_of(value)
    if number is None:
        samples.leave_out("not_a_number")
    else:
        samples.add(metric, labels, micros, number)


def number_of(value: object) -> float | None:
    """A number, or the text of one as Go and C write it, NaN and infinities too; None for anything else."""
    if isinstance(value, (int, float)):
        return float(value)
    if not isinstance(value, str) or len(value) > 64 or "_" in value or not value.isascii():
        return None
    try:
        return float(value)
    except ValueError:
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


#: In the order in which they are looked for.
SHAPES: dict[str, tuple[Callable[[Item], bool], Reader]] = {
    "telegraf_json": (lambda item: _is_telegraf_batch(item) or _is_telegraf(item),
                      lambda item, samples: (_telegraf_batch if "metrics" in item else _telegraf)(item, samples)),
    "collectd_json": (_is_collectd, _collectd),
    "prometheus_kafka_adapter": (_is_adapter, _adapter),
    "ceilometer": (_is_envelope, _envelope),
}  # fmt: skip
