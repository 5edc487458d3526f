"""Which shape a message has: bytes to raw lines, out of what a shipper wrapped around them.

Recognised by the first byte, then by the names of a record's fields. JSON that cannot be read, or of no known shape, is
text like any other. What one line is: a line of the text that is wrapped, or that is the value itself; of shapes whose
record is the line, and of OpenTelemetry, a record; of an array, each of its members by the same rule.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

import msgspec
import orjson

from services.ingest.core import wrappers
from services.ingest.core.applog import application, has_level, is_application, is_loguru
from services.ingest.core.lines import Origin, RawLine
from services.ingest.core.naming import MAX_NAME_CHARS, Json, file_origin, json_text
from services.ingest.core.payload import check_num_lines, decode, split_lines
from services.ingest.core.records import k8s_event, kolla, oslo_json
from services.ingest.core.wrappers import cri

#: What Windows' programs write before a text.
BYTE_ORDER_MARK = "\ufeff"
#: A wrapper in a wrapper in a wrapper is somebody's joke.
MAX_DEPTH = 3
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,254}")
_PATH = re.compile(r"[\w./@+:-]{1,255}")
_SYSLOG_KEYS = ("syslog-tag", "app_name", "procid", "facility")
_KOLLA_KEYS = ("log_level", "severity_label", "python_module", "programname", "Hostname")
_LOG_WRAPPER_KEYS = ("@timestamp", "stream", "kubernetes", "path")
_EVENT_HOLDERS = ("event", "object")
#: How Fluent Bit's own records begin.
_TAILED = b'{"date":'
_ARRAY_OF_RECORDS = re.compile(r"\[\s*\{")

#: Shapes of text: their lines are told apart by the parser.
HEADER_SHAPES = ("plain", "oslo_text", "uwsgi", "access", "rsyslog_plain", "klog", "timed", "logfmt", "apache_error")
TEXT_SHAPES = (*HEADER_SHAPES, "cri")
#: Shapes whose record is the line.
_RECORDS: dict[str, Callable[[Json, str, Origin], RawLine]] = {
    "oslo_json": oslo_json, "kolla": kolla, "k8s_event": k8s_event, "json": application,
}  # fmt: skip
#: Shapes whose record wraps a text.
_WRAPPERS: dict[str, Callable[[Json, Origin], RawLine]] = {
    "fluent_bit": wrappers.fluent_bit, "fluentd": wrappers.message, "vector": wrappers.vector,
    "filebeat": wrappers.filebeat, "journald": wrappers.journald, "rsyslog_json": wrappers.rsyslog,
}  # fmt: skip
_OTLP = ("otlp_proto", "otlp_json")
#: What the setting `topic_shapes` may name for a topic of logs.
SHAPES = (*TEXT_SHAPES, *_RECORDS, *_WRAPPERS, *_OTLP)


def read_lines(value: bytes, key: str = "", pinned: str = "") -> list[RawLine]:
    """The lines of an unpacked value, in order; at least one.

    Args:
        key: the Kafka key as text, empty when there is none.
        pinned: the one shape that is looked for, as the setting `topic_shapes` has it; empty for any.

    Raises:
        InvalidMessage: `too_many_lines`, `not_utf8`; `bad_otlp` where the topic is pinned to otlp_proto.
    """
    if value.startswith(_TAILED) and not pinned:
        line = _tailed(value, key)
        if line is not None:
            return unwrap(line)
    elif value[:1] == b"\n" or pinned == "otlp_proto":
        lines = _otlp_proto(value, key, pinned)
        if lines is not None:
            return lines
    return recognise(decode(value), key, pinned)


class _Tailed(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What Fluent Bit's tail input makes of a line: the most usual record of all."""

    date: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | float
    host: str
    path: str
    log: str


_decode_tailed = msgspec.json.Decoder(_Tailed).decode


def _tailed(value: bytes, key: str) -> RawLine | None:
    """The short way of such a record; None for one that needs the long one, which would make the same of it."""
    try:
        record = _decode_tailed(value)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if len(record.host) > MAX_NAME_CHARS or len(record.path) > MAX_NAME_CHARS:
        return None
    return RawLine(record.log, _tailed_origin(key, record.host, record.path), "fluent_bit", record.date)


@lru_cache(4096)
def _tailed_origin(key: str, host: str, path: str) -> Origin:
    return file_origin(host, path, _key_origin(key))


def recognise(text: str, key: str = "", pinned: str = "") -> list[RawLine]:
    """The lines of a text, in order; at least one. Raises InvalidMessage `too_many_lines`."""
    origin = _key_origin(key)
    if pinned and pinned in TEXT_SHAPES:
        return _text_lines(text, origin, pinned)
    first = text[:1]
    if first == "{":
        lines = _from_json(text, origin, 0, pinned)
        if lines is not None:
            return lines
    elif first == "[" and _ARRAY_OF_RECORDS.match(text):
        lines = _from_array(text, origin, pinned)
        if lines is not None:
            return lines
    elif first == BYTE_ORDER_MARK:
        return recognise(text.lstrip(BYTE_ORDER_MARK), key, pinned)
    if "\n" not in text:
        return [cri_or_same(RawLine(text, origin))]
    raw_lines: list[RawLine] = []
    for line in split_lines(text):
        found = _from_json(line, origin, 0, pinned) if line.startswith("{") else None
        raw_lines += found or [cri_or_same(RawLine(line, origin))]
        check_num_lines(len(raw_lines))
    return raw_lines


def shape_of(record: Json) -> str:
    """The shape of a record by the names of its fields; empty for none."""
    if isinstance(record.get("log"), str):
        return "fluent_bit" if "date" in record or not _has_own_log(record) else "json"
    if isinstance(record.get("message"), str):
        return _shape_with_message(record)
    if isinstance(record.get("Payload"), str) and any(key in record for key in _KOLLA_KEYS):
        return "kolla"
    if isinstance(record.get("MESSAGE"), str):
        return "journald"
    if isinstance(record.get("resourceLogs"), list):
        return "otlp_json"
    if event_of(record) is not None:
        return "k8s_event"
    return "json" if is_application(record) or is_loguru(record) else ""


def _has_own_log(record: Json) -> bool:
    """Whether `log` is a field of an application's own record, such as its logger, and no wrapper's text."""
    is_wrapper = any(name in record for name in _LOG_WRAPPER_KEYS)
    return not is_wrapper and isinstance(record.get("msg"), str) and has_level(record)


def _shape_with_message(record: Json) -> str:
    if isinstance(record.get("levelname"), str) and "msg" in record:
        return "oslo_json"
    if event_of(record) is not None:
        return "k8s_event"
    if isinstance(record.get("source_type"), str):
        return "vector"
    if "@metadata" in record or "ecs" in record or isinstance(record.get("log"), dict):
        return "json" if has_level(record) else "filebeat"
    if any(name in record for name in _SYSLOG_KEYS):
        return "rsyslog_json"
    return "json" if has_level(record) else "fluentd"


def event_of(record: Json) -> Json | None:
    """The Kubernetes event that a record is, or holds as exporters and watches wrap it; None for none."""
    for holder in (record, *(record.get(key) for key in _EVENT_HOLDERS)):
        if isinstance(holder, dict) and (
            isinstance(holder.get("involvedObject"), dict) or isinstance(holder.get("regarding"), dict)
        ):
            return holder
    return None


def from_record(
    record: Json, text: str | None, origin: Origin, depth: int = 0, pinned: str = ""
) -> list[RawLine] | None:
    """The lines of a record; None when it is of no known shape.

    Args:
        text: the record as shipped, None to have it written anew where it is needed.
        depth: how many wrappers it came out of.
    """
    shape = shape_of(record)
    if pinned and shape != pinned:
        return None
    if shape in _WRAPPERS:
        return unwrap(_WRAPPERS[shape](record, origin), depth)
    if shape in _RECORDS:
        whole = json_text(record) if text is None else text.removesuffix("\n")
        record = (event_of(record) or record) if shape == "k8s_event" else record
        line = _RECORDS[shape](record, whole, origin)
        return [line] if line.said is not None else unwrap(line, depth)
    if shape == "otlp_json" and depth == 0:
        from services.ingest.core.otlp_logs import json_lines

        return json_lines(record, origin)
    return None


def unwrap(line: RawLine, depth: int = 0) -> list[RawLine]:
    """The lines of a wrapped text, each with what the wrapper says; JSON in it is looked into once more."""
    text = line.text
    if line.piece:
        return [line]
    if text[:1] == "{" and depth < MAX_DEPTH:
        inner = _from_json(text, line.origin, depth + 1, "")
        if inner is not None:
            return [_completed(each, line) for each in inner]
    if "\n" in text:
        return [cri_or_same(line._replace(text=each)) for each in split_lines(text)]
    return [line if text[10:11] != "T" else cri_or_same(line)]


def cri_or_same(line: RawLine) -> RawLine:
    """A container runtime's line out of its own header; any other line as it is."""
    return cri(line) or line if line.text[10:11] == "T" else line


def _completed(inner: RawLine, outer: RawLine) -> RawLine:
    """What a record within a wrapper leaves open is the wrapper's: its time, and what it states of the line."""
    if inner.record_time is None:
        inner = inner._replace(record_time=outer.record_time)
    if outer.said is not None:
        inner = inner._replace(said=outer.said if inner.said is None else inner.said.completed(outer.said))
    return inner


def _text_lines(text: str, origin: Origin, pinned: str) -> list[RawLine]:
    lines = [RawLine(line, origin) for line in split_lines(text)]
    return [cri_or_same(line) for line in lines] if pinned == "cri" else lines


def _from_json(text: str, origin: Origin, depth: int, pinned: str) -> list[RawLine] | None:
    try:
        record = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, dict):
        return None
    if "date" in record and not pinned and isinstance(record.get("log"), str):  # the most usual, the short way
        return unwrap(wrappers.fluent_bit(record, origin), depth)
    return from_record(record, text, origin, depth, pinned)


def _from_array(text: str, origin: Origin, pinned: str) -> list[RawLine] | None:
    """Each member is a record; one that is not, or of no known shape, is a line of text."""
    try:
        members = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    lines: list[RawLine] = []
    for member in members:
        found = from_record(member, None, origin, 0, pinned) if isinstance(member, dict) else None
        lines += found or [RawLine(member if isinstance(member, str) else json_text(member), origin)]
        check_num_lines(len(lines))
    return lines


def _otlp_proto(value: bytes, key: str, pinned: str) -> list[RawLine] | None:
    """The records of a binary request; None for what is none. The first byte is a newline's, but text goes on
    without control characters, so that protobuf is not even imported for it."""
    if not pinned and b"\x12" not in value:
        return None
    if pinned and pinned != "otlp_proto":
        return None
    from services.ingest.core.otlp_logs import proto_lines

    return proto_lines(value, _key_origin(key), is_certain=bool(pinned))


@lru_cache(4096)
def _key_origin(key: str) -> Origin:
    """The documented key, `host|file`, tells the source of records that do not say it, such as bare oslo JSON."""
    host, bar, path = key.partition("|")
    if _HOST.fullmatch(host) and bar and _PATH.fullmatch(path):
        return file_origin(host, path, Origin(key=key[:MAX_NAME_CHARS]))
    return Origin(key=key[:MAX_NAME_CHARS])
