"""What an HTTP request must be before it goes to a raw topic: read once to know that ingest can read it.

The body is written as it came. What can never work is refused with a 4xx status, so that senders drop it.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from services.common.errors import InvalidMessage
from services.ingest.core import remote_write
from services.ingest.core.metric_shapes import TYPE_1, TYPE_2
from services.ingest.core.payload import unpack, unpack_snappy_block
from services.ingest.core.requests import digest_of

BAD_REQUEST, TOO_LARGE, UNSUPPORTED = 400, 413, 415
PROTOBUF, JSON = "application/x-protobuf", "application/json"
_PACKED = ("gzip", "zstd")


class Refused(Exception):
    """A request that can never work.

    Args:
        status: of the answer.
        sentence: what was seen, what was wanted.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Taken(NamedTuple):
    """A request that may be written.

    Attributes:
        digest: of the unpacked body.
        headers: of the Kafka record: `content-type`, and `content-encoding` where the body is packed.
        answer: headers of the HTTP answer.
        is_empty: whether there is nothing in it.
    """

    digest: bytes
    headers: dict[str, str]
    answer: Mapping[str, str] = {}
    is_empty: bool = False


def take_write(body: bytes, content_type: str, encoding: str, max_expanded_bytes: int) -> Taken:
    """A request of remote_write, 1.0 or 2.0.

    Raises:
        Refused: wrong type, packing or content.
    """
    media, proto = split_type(content_type)
    if media != PROTOBUF or proto not in (TYPE_1, TYPE_2):
        raise Refused(UNSUPPORTED, f"content-type {content_type!r}: wanted {PROTOBUF};proto={TYPE_1} or ={TYPE_2}")
    # Prometheus' own receiver takes a missing one for snappy.
    if encoding not in ("", "snappy"):
        raise Refused(UNSUPPORTED, f"content-encoding {encoding!r}: wanted snappy")
    data = _unpacked(lambda: unpack_snappy_block(body, max_expanded_bytes))
    headers = {"content-type": f"{PROTOBUF};proto={proto}", "content-encoding": "snappy"}
    return Taken(digest_of(data), headers, _written(_unpacked(lambda: _DECODERS[proto](data)), proto))


_DECODERS: dict[str, Callable[[bytes], Any]] = {TYPE_1: remote_write.decode_1, TYPE_2: remote_write.decode_2}


def _written(request: Any, proto: str) -> dict[str, str]:
    """The headers in which 2.0 is told how much was taken. Exemplars are not read, so none were."""
    if proto == TYPE_1:
        return {}
    num_samples, num_histograms = remote_write.count_2(request)
    prefix = "X-Prometheus-Remote-Write-"
    return {
        f"{prefix}Samples-Written": str(num_samples), f"{prefix}Histograms-Written": str(num_histograms),
        f"{prefix}Exemplars-Written": "0",
    }  # fmt: skip


def take_metrics(body: bytes, content_type: str, encoding: str, max_expanded_bytes: int) -> Taken:
    """A request of OTLP/HTTP with metrics. Raises Refused."""
    return _take_otlp(body, content_type, encoding, max_expanded_bytes, ExportMetricsServiceRequest, "resource_metrics")


def take_logs(body: bytes, content_type: str, encoding: str, max_expanded_bytes: int) -> Taken:
    """A request of OTLP/HTTP with logs. Raises Refused."""
    return _take_otlp(body, content_type, encoding, max_expanded_bytes, ExportLogsServiceRequest, "resource_logs")


def _take_otlp(body: bytes, content_type: str, encoding: str, max_expanded_bytes: int, kind: Any, field: str) -> Taken:
    media, _ = split_type(content_type)
    if media not in (PROTOBUF, JSON):
        raise Refused(UNSUPPORTED, f"content-type {content_type!r}: wanted {PROTOBUF} or {JSON}")
    if encoding not in ("", "identity", *_PACKED):
        raise Refused(UNSUPPORTED, f"content-encoding {encoding!r}: wanted gzip, zstd or none")
    data = _unpacked(lambda: unpack(body, max_expanded_bytes)) if encoding in _PACKED else body
    if encoding in _PACKED and data is body:
        raise Refused(BAD_REQUEST, f"content-encoding is {encoding}, and the body is not")
    headers = {"content-type": media} | ({"content-encoding": encoding} if encoding in _PACKED else {})
    is_empty = _is_empty_json(data, field) if media == JSON else _is_empty_protobuf(data, kind, field)
    return Taken(digest_of(data), headers, is_empty=is_empty)


def _is_empty_protobuf(data: bytes, kind: Any, field: str) -> bool:
    try:
        return not getattr(kind.FromString(data), field)
    except DecodeError as error:
        raise Refused(BAD_REQUEST, f"the body is no {kind.DESCRIPTOR.full_name}: {error}") from error


def _is_empty_json(data: bytes, field: str) -> bool:
    try:
        request = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Refused(BAD_REQUEST, f"the body is not JSON: {error}") from error
    first, _, second = field.partition("_")
    found = request.get(first + second.title(), request.get(field, [])) if isinstance(request, dict) else None
    if not isinstance(found, list):
        raise Refused(BAD_REQUEST, f"the body is no object with a list {first + second.title()}")
    return not found


def split_type(content_type: str) -> tuple[str, str]:
    """Media type in lower case, and the message that `proto=` names; 1.0's where nothing does."""
    media, _, rest = content_type.partition(";")
    parameters = dict(part.strip().partition("=")[::2] for part in rest.split(";") if part)
    return media.strip().lower(), parameters.get("proto", TYPE_1).strip('"')


def _unpacked(unpack_it: Callable[[], Any]) -> Any:
    try:
        return unpack_it()
    except InvalidMessage as error:
        raise Refused(TOO_LARGE if error.reason == "too_large" else BAD_REQUEST, str(error)) from error
