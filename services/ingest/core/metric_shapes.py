"""Which shape a message of metrics has, and its samples.

What the record's headers say counts; else its content: packed bytes are unpacked, `{` and `[` begin JSON, each object
of which is looked at by itself, other text is lines, and the rest is protobuf, bare or as a block of snappy.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import orjson

from services.common.errors import InvalidMessage
from services.ingest.core import metric_json, metric_lines, otlp_metrics, remote_write
from services.ingest.core.payload import check_num_lines, decode, unpack, unpack_snappy_block
from services.ingest.core.samples import Samples

OTLP_JSON = "otlp_json"
#: The types of remote_write's messages as `proto=` of a content-type names them.
TYPE_1 = "prometheus.WriteRequest"
TYPE_2 = "io.prometheus.write.v2.Request"


class _Binary(NamedTuple):
    decode: Callable[[bytes], Any]
    is_it: Callable[[Any], bool]
    read: Callable[[Any, Samples], None]


#: In the order in which they are tried on bytes that nothing names.
_BINARY = {
    "otlp_proto": _Binary(otlp_metrics.decode_otlp, otlp_metrics.has_metrics, otlp_metrics.read_otlp),
    "remote_write_2": _Binary(remote_write.decode_2, remote_write.has_names_2, remote_write.read_2),
    "remote_write_1": _Binary(remote_write.decode_1, remote_write.has_names_1, remote_write.read_1),
}
#: What the setting `topic_shapes` may name for a topic of metrics.
METRIC_SHAPES = (*metric_json.SHAPES, OTLP_JSON, *metric_lines.LINE_SHAPES, *_BINARY)
_OTLP_KEYS = ("resourceMetrics", "resource_metrics")
#: How protobuf messages begin: field 1 of OTLP and remote_write 1.0, field 4 of 2.0.
_BEGINS_BINARY = (b"\n", b'"')


def read_metrics(
    value: bytes | None, headers: Mapping[str, str], samples: Samples, max_expanded_bytes: int, pinned: str = ""
) -> str:
    """Adds the samples of a message; returns its shape.

    Args:
        headers: `content-type` and `content-encoding`, where the record has them.
        pinned: the shape that the topic's messages have, by the setting.

    Raises:
        InvalidMessage: with the reason; see README.md.
    """
    data = unpack(value, max_expanded_bytes)
    if headers.get("content-encoding") == "snappy" and data is value:
        data = unpack_snappy_block(data, max_expanded_bytes)
    shape = pinned or shape_by_headers(headers)
    if shape in _BINARY:
        binary = _BINARY[shape]
        # A pinned topic has no headers to tell that its requests are packed.
        request = _try(binary, data, max_expanded_bytes) or binary.decode(data)
        binary.read(request, samples)
        return shape
    if shape in metric_lines.LINE_SHAPES:
        return metric_lines.read_lines(decode(data), samples, shape) or shape
    if shape:
        return _read_json(data, samples, shape)
    return _read_unknown(data, samples, max_expanded_bytes)


def shape_by_headers(headers: Mapping[str, str]) -> str:
    """The shape that a content-type names; empty for none, and for JSON, which may be any of several."""
    media, _, parameters = headers.get("content-type", "").partition(";")
    if media.strip().lower() not in ("application/x-protobuf", "application/protobuf"):
        return ""
    if TYPE_2 in parameters:
        return "remote_write_2"
    # 1.0 packs by snappy and need not name its type; OTLP never packs so.
    is_1 = TYPE_1 in parameters or headers.get("content-encoding") == "snappy"
    return "remote_write_1" if is_1 else "otlp_proto"


def _read_unknown(data: bytes, samples: Samples, max_expanded_bytes: int) -> str:
    if data.startswith(_BEGINS_BINARY):
        shape = _read_binary(data, samples)
        if shape:
            return shape
    if data[:64].lstrip()[:1] in (b"{", b"["):
        return _read_json(data, samples)
    if not _is_utf8(data):
        shape = _read_packed(data, samples, max_expanded_bytes)
        if shape:
            return shape
    return metric_lines.read_lines(decode(data), samples)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _read_binary(data: bytes, samples: Samples) -> str:
    for shape, binary in _BINARY.items():
        request = _try(binary, data, 0)
        if request is not None:
            binary.read(request, samples)
            return shape
    return ""


def _read_packed(data: bytes, samples: Samples, max_expanded_bytes: int) -> str:
    try:
        return _read_binary(unpack_snappy_block(data, max_expanded_bytes), samples)
    except InvalidMessage as error:
        if error.reason == "too_many_samples":
            raise
        return ""


def _try(binary: _Binary, data: bytes, max_expanded_bytes: int) -> Any:
    """The request that the bytes are, as they are or packed as a block of snappy; None when they are none."""
    try:
        request = binary.decode(data)
        if binary.is_it(request):
            return request
    except InvalidMessage:
        pass
    if not max_expanded_bytes:
        return None
    try:
        return binary.decode(unpack_snappy_block(data, max_expanded_bytes))
    except InvalidMessage:
        return None


def _read_json(data: bytes, samples: Samples, pinned: str = "") -> str:
    """Objects and arrays of them, one or several on lines of their own; each has its own shape unless one is pinned."""
    found = ""
    for item in _items(data, samples):
        shape = pinned or _json_shape(item)
        if shape == OTLP_JSON and isinstance(item, dict):
            otlp_metrics.read_otlp_json(item, samples)
        elif shape in metric_json.SHAPES:
            metric_json.read_item(shape, item, samples)
        else:
            samples.leave_out("not_a_metric")
        found = found or shape
    return found


def _json_shape(item: Any) -> str:
    is_otlp = isinstance(item, dict) and any(isinstance(item.get(key), list) for key in _OTLP_KEYS)
    return OTLP_JSON if is_otlp else metric_json.shape_of(item)


def _items(data: bytes, samples: Samples) -> Iterator[Any]:
    for value in _values(data, samples):
        if isinstance(value, list):
            yield from value
        else:
            yield value


def _values(data: bytes, samples: Samples) -> Iterator[Any]:
    try:
        yield orjson.loads(data)
        return
    except orjson.JSONDecodeError as error:
        text = decode(data)
        if "\n" not in text:
            raise InvalidMessage("not_json", str(error)) from error
    check_num_lines(text.count("\n"))
    for line in filter(str.strip, text.split("\n")):
        try:
            value = orjson.loads(line)
        except orjson.JSONDecodeError:
            samples.leave_out("not_json")
        else:
            yield value
