"""OpenTelemetry logs, `otlp_proto` and `otlp_json`: a request of many records to lines.

Both are brought to one form, `_Record`, so that they mean the same. A record that states a severity is complete: one
line. One without wraps a line, or lines, of a file that the collector did not parse; they are read like any other. What
a line says of itself comes before what the record says.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from services.common.entities import program_name, service_entity
from services.common.errors import InvalidMessage
from services.ingest.core.headers import parse_klog, parse_oslo
from services.ingest.core.lines import Origin, RawLine, Said
from services.ingest.core.naming import (
    MAX_ATTRIBUTES,
    Json,
    attribute,
    first_name,
    json_text,
    name,
    pod_of_file,
    process_id,
)
from services.ingest.core.payload import check_num_lines
from services.ingest.core.records import object_origin, text_lines
from services.ingest.core.secrets import mask
from services.ingest.core.severity import RANGE_NAMES, severity_number
from services.ingest.core.shapes import unwrap

#: Deeper values are shown as `[..]`.
_MAX_DEPTH = 16
#: Where collectors and libraries put the message's template.
_TEMPLATE_KEYS = ("log.record.template", "message_template.text", "{OriginalFormat}")
_MAX_TEMPLATE_CHARS = 4096
_HOLE = re.compile(r"\{[@$]?(?P<name>[\w.-]{0,64})(?:[,:][^{}]{0,32})?\}")
_REQUEST_KEYS = ("request_id", "request.id", "http.request_id")
_USED = frozenset((
    *_TEMPLATE_KEYS, *_REQUEST_KEYS, "exception.type", "exception.message", "exception.stacktrace", "log.file.path",
))  # fmt: skip


class _Record(NamedTuple):
    """A log record in Python's own types; times in nanoseconds, 0 for none; ids in hexadecimal."""

    time: object
    observed_time: object
    number: int
    severity: str
    body: Any
    attributes: Json
    trace_id: str
    span_id: str
    event_name: str


def proto_lines(value: bytes, outer: Origin, is_certain: bool) -> list[RawLine] | None:
    """The lines of a binary request; None when it is none.

    Args:
        is_certain: the topic holds nothing else.

    Raises:
        InvalidMessage: `too_many_lines`; `bad_otlp` when it is certain, and is no request or has no records.
    """
    try:
        request = ExportLogsServiceRequest.FromString(value)
    except DecodeError as error:
        if is_certain:
            raise InvalidMessage("bad_otlp", f"no ExportLogsServiceRequest: {error}") from error
        return None
    lines: list[RawLine] = []
    for part in request.resource_logs:
        resource = _attributes(part.resource.attributes)
        for scope in part.scope_logs:
            for record in scope.log_records:
                lines += _lines(_from_proto(record), resource, scope.scope.name, outer, "otlp_proto")
                check_num_lines(len(lines))
    if not lines and is_certain:
        raise InvalidMessage("bad_otlp", "the request has no log record")
    return lines or None


def json_lines(request: Json, outer: Origin) -> list[RawLine] | None:
    """The lines of a request in JSON; None when it has no record, which makes it a line of text."""
    lines: list[RawLine] = []
    for part in _objects(request.get("resourceLogs")):
        resource = _json_attributes(_object(part.get("resource")).get("attributes"))
        for scope in _objects(part.get("scopeLogs")):
            scope_name = name(_object(scope.get("scope")).get("name"))
            records = scope.get("logRecords")
            for record in records if isinstance(records, list) else ():
                read = _from_json(record) if isinstance(record, dict) else _EMPTY._replace(body=record)
                lines += _lines(read, resource, scope_name, outer, "otlp_json")
                check_num_lines(len(lines))
    return lines or None


def _lines(record: _Record, resource: Json, scope: str, outer: Origin, shape: str) -> list[RawLine]:
    text = _text(record.body) or record.event_name
    said = _said(record, scope)
    path = name(record.attributes.get("log.file.path")) or name(resource.get("log.file.path"))
    stream = name(record.attributes.get("log.iostream"))
    origin = _about(record, resource, outer) or _origin(_who(resource), path, stream, outer)
    pid = process_id(resource.get("process.pid"))
    line = RawLine(text, origin, shape, record.observed_time, pid, said, _others(record))
    is_complete = said.severity_number > 0 and not (parse_oslo(text) or parse_klog(text))
    return [line] if is_complete and text[:1] != "{" else unwrap(line, 1)


def _said(record: _Record, scope: str) -> Said:
    attributes = record.attributes
    number = record.number if 0 < record.number <= 24 else severity_number(record.severity)
    template, parameters = _template(attributes)
    return Said(
        None, record.time, severity_text=record.severity or (RANGE_NAMES[number] if number else ""),
        severity_number=number, logger=name(scope), request_id=first_name(attributes, _REQUEST_KEYS),
        template=template, parameters=parameters,
        traceback=text_lines(attributes.get("exception.stacktrace")),
        exception_type=name(attributes.get("exception.type")),
        exception_message=name(attributes.get("exception.message")),
    )  # fmt: skip


def _template(attributes: Json) -> tuple[str | None, tuple[str, ...]]:
    """The template with `<*>` for `{name}`, and the attributes that fill it; a collector's miner writes `<*>`."""
    stated = next((value for key in _TEMPLATE_KEYS if isinstance(value := attributes.get(key), str) and value), None)
    if stated is None:
        return None, ()
    text = mask(stated[:_MAX_TEMPLATE_CHARS])
    names = [found["name"] for found in _HOLE.finditer(text)]
    return _HOLE.sub("<*>", text), tuple(attribute(key, _text(attributes.get(key))) for key in names)


def _others(record: _Record) -> dict[str, str]:
    found = {key: value for key, value in (("trace_id", record.trace_id), ("span_id", record.span_id)) if value}
    if record.event_name:
        found["event_name"] = record.event_name
    for key, value in record.attributes.items():
        if key not in _USED and len(found) < MAX_ATTRIBUTES:
            found[name(key)] = attribute(key, _text(value))
    return found


class _Who(NamedTuple):
    """What a resource's attributes say of the writer."""

    service: str
    host: str
    pod: str
    container: str


def _who(resource: Json) -> _Who:
    service, pod = name(resource.get("service.name")), name(resource.get("k8s.pod.name"))
    # A pod's host.name is often the pod's, or the collector's.
    host_keys = ("k8s.node.name", "host.name") if pod else ("host.name", "k8s.node.name", "host.id")
    return _Who(
        "" if service.startswith("unknown_service") else service, first_name(resource, host_keys),
        f"{name(resource.get('k8s.namespace.name')) or 'default'}/{pod}" if pod else "",
        first_name(resource, ("k8s.container.name", "container.name")),
    )  # fmt: skip


@lru_cache(4096)
def _origin(who: _Who, path: str, stream: str, outer: Origin) -> Origin:
    """A service that is named is the entity; else the container, else the file tells the program."""
    file_pod, file_container = pod_of_file(path)
    host = who.host or outer.host
    entity = service_entity(program_name(who.service), host or "unknown").entity_id if who.service else ""
    app = who.service or who.container or file_container or outer.app
    return Origin(host, path or outer.path, app, who.pod or file_pod or outer.pod, outer.key, stream, entity)


def _about(record: _Record, resource: Json, outer: Origin) -> Origin | None:
    """The object of a Kubernetes event, as the collector's k8s_events receiver names it; None for other records."""
    if "k8s.object.kind" not in resource:
        return None
    about = {
        "kind": resource["k8s.object.kind"], "name": resource.get("k8s.object.name"),
        "namespace": record.attributes.get("k8s.namespace.name"),
    }  # fmt: skip
    return object_origin(about, "kubernetes-events", name(resource.get("k8s.node.name")) or outer.host, outer)


def _from_proto(record: Any) -> _Record:
    return _Record(
        record.time_unix_nano or None, record.observed_time_unix_nano or None, record.severity_number,
        name(record.severity_text), _value(record.body), _attributes(record.attributes), record.trace_id.hex(),
        record.span_id.hex(), name(record.event_name),
    )  # fmt: skip


def _attributes(attributes: Any) -> Json:
    return {each.key: _value(each.value) for each in attributes}


def _value(value: Any, depth: int = 0) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if depth == _MAX_DEPTH:
        return "[..]"
    if kind == "array_value":
        return [_value(each, depth + 1) for each in value.array_value.values]
    if kind == "kvlist_value":
        return {each.key: _value(each.value, depth + 1) for each in value.kvlist_value.values}
    return getattr(value, kind)


def _from_json(record: Json) -> _Record:
    number = record.get("severityNumber")
    return _Record(
        _nanos(record.get("timeUnixNano")), _nanos(record.get("observedTimeUnixNano")),
        number if isinstance(number, int) else _json_severity(number), name(record.get("severityText")),
        _json_value(record.get("body")), _json_attributes(record.get("attributes")), name(record.get("traceId")),
        name(record.get("spanId")), name(record.get("eventName")),
    )  # fmt: skip


_EMPTY = _Record(None, None, 0, "", None, {}, "", "", "")


def _json_severity(value: object) -> int:
    """protobuf's JSON may name an enumeration's value: `SEVERITY_NUMBER_WARN`."""
    return severity_number(value.removeprefix("SEVERITY_NUMBER_")) if isinstance(value, str) else 0


def _nanos(value: object) -> object:
    return None if value in (0, "0", "", None) else value


def _json_attributes(attributes: object) -> Json:
    return {
        each["key"]: _json_value(each.get("value")) for each in _objects(attributes) if isinstance(each.get("key"), str)
    }


def _json_value(value: object, depth: int = 0) -> Any:
    """An AnyValue: an object with one field that names the type."""
    if not isinstance(value, dict) or not value:
        return None
    if depth == _MAX_DEPTH:
        return "[..]"
    kind, inner = next(iter(value.items()))
    if kind == "arrayValue":
        return [_json_value(each, depth + 1) for each in _objects(_object(inner).get("values"))]
    if kind == "kvlistValue":
        return {
            each["key"]: _json_value(each.get("value"), depth + 1)
            for each in _objects(_object(inner).get("values"))
            if isinstance(each.get("key"), str)
        }
    if kind == "intValue" and isinstance(inner, str) and inner.lstrip("-").isdigit() and len(inner) < 20:
        return int(inner)
    return inner


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return json_text(value)


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> Iterator[Json]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())
