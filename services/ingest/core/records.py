"""Records that are the line themselves: oslo.log's JSONFormatter, kolla's parsed fields, Kubernetes events.

What they say is masked here, all but the message, which the parser masks with the line.
"""

import re
from typing import Any

from services.common.entities import service_entity
from services.ingest.core.lines import Origin, RawLine, Said
from services.ingest.core.naming import Json, completed, first_name, name, others, process_id
from services.ingest.core.payload import shown
from services.ingest.core.secrets import mask
from services.ingest.core.severity import severity_number

MAX_PARAMETERS = 64
MAX_PARAMETER_CHARS = 256
_INSTANCE = re.compile(r"\[instance: ([\w-]{1,64})\] ?")
_ID = re.compile(r"[0-9a-fA-F-]{32,36}")
_OSLO_APP: tuple[str, ...] = ()
_KOLLA_KNOWN = frozenset((
    "Timestamp", "timestamp", "@timestamp", "Pid", "log_level", "severity_label", "python_module", "module",
    "global_request_id", "request_id", "user_id", "tenant_id", "Payload", "Hostname", "programname", "message",
))  # fmt: skip
_KOLLA_PARSED = ("log_level", "severity_label", "python_module", "Timestamp")
#: Of a Kubernetes event: these objects are entities; of others the reporter speaks.
_OBJECT_KINDS = {"Pod": "pod", "Node": "node"}


def text_of(record: Json, key: str) -> str:
    """A short masked text of a record; empty for anything else."""
    value = record.get(key)
    return mask(value[:MAX_PARAMETER_CHARS]) if isinstance(value, str) else ""


def text_lines(value: object) -> tuple[str, ...]:
    """A traceback out of JSON, a text or a list of texts, as masked lines."""
    if isinstance(value, list):
        value = "\n".join(part.removesuffix("\n") for part in value if isinstance(part, str))
    if not isinstance(value, str) or not value:
        return ()
    return tuple(mask(value).split("\n"))


def oslo_json(record: Json, text: str, outer: Origin) -> RawLine:
    """oslo.log's JSONFormatter: `msg` is the template."""
    context = record.get("context")
    ids: Json = context if isinstance(context, dict) else {}
    level, logger = name(record.get("levelname")), name(record.get("name"))
    template, parameters = _template(record)
    said = Said(
        record["message"], record.get("created", record.get("asctime")), severity_text=level,
        severity_number=severity_number(level), logger=logger, program=logger.partition(".")[0],
        request_id=text_of(ids, "request_id"), global_request_id=text_of(ids, "global_request_id"),
        instance_id=_instance(record, ids), user_id=text_of(ids, "user") or text_of(ids, "user_id"),
        project_id=text_of(ids, "project") or text_of(ids, "project_id"), template=template, parameters=parameters,
        traceback=text_lines(record.get("traceback")),
    )  # fmt: skip
    pid, place = process_id(record.get("process")), _code_place(record)
    return RawLine(text, completed(outer, record, _OSLO_APP), "oslo_json", None, pid, said, place)


def _template(record: Json) -> tuple[str | None, tuple[str, ...]]:
    """oslo's `msg` is the template when it was given arguments; otherwise the text came rendered and must be mined."""
    template, arguments = record.get("msg"), record.get("args")
    if not isinstance(template, str) or not arguments or template == record["message"]:
        return None, ()
    values = arguments.values() if isinstance(arguments, dict) else arguments if isinstance(arguments, list) else ()
    texts = [mask(shown(value))[:MAX_PARAMETER_CHARS] for value in list(values)[:MAX_PARAMETERS]]
    return mask(template), tuple(texts)


def _instance(record: Json, context: Json) -> str:
    """The instance of oslo's adapter: `extra.instance` is a UUID, or an object that holds one."""
    extra = record.get("extra")
    holders: tuple[tuple[Any, str], ...] = (
        (extra, "instance_uuid"), (extra, "instance"), (record, "instance"), (context, "resource_uuid"),
    )  # fmt: skip
    for holder, key in holders:
        value = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(value, dict):
            value = value.get("uuid")
        if isinstance(value, str) and value:
            return mask(value.strip().removeprefix("[instance: ").removesuffix("]")[:64])
    return ""


def _code_place(record: Json) -> dict[str, str]:
    place = {f"code_{key}": found for key in ("pathname", "funcname") if (found := name(record.get(key)))}
    line, summary = record.get("lineno"), text_of(record, "error_summary")
    if isinstance(line, (int, str)):
        place["code_lineno"] = name(str(line))
    if summary:
        place["error_summary"] = summary
    return place


def kolla(record: Json, text: str, outer: Origin) -> RawLine:
    """kolla's fluentd: the header's fields, and the rest of the line, with a folded traceback, in `Payload`.

    A traceback that was not folded repeats time, process and module without a request, record by record. Of files that
    kolla does not parse, such as access logs, `Payload` is the line as it was, and this wraps it.
    """
    origin = outer._replace(
        host=name(record.get("Hostname")) or outer.host, app=name(record.get("programname")) or outer.app
    )
    attributes = others(record, _KOLLA_KNOWN)
    if not any(key in record for key in _KOLLA_PARSED):
        time = record.get("@timestamp", record.get("timestamp"))
        return RawLine(record["Payload"], origin, "kolla", time, None, None, attributes)
    payload, instance = record["Payload"], ""
    if found := _INSTANCE.match(payload):
        payload, instance = payload[found.end() :], found[1]
    level = text_of(record, "log_level") or text_of(record, "severity_label")
    logger, stamp = name(record.get("python_module")) or name(record.get("module")), name(record.get("Timestamp"))
    request = _request_id(record.get("request_id"))
    said = Said(
        payload, stamp or record.get("timestamp"), stamp, bool(request) or not stamp, is_held=bool(logger),
        severity_text=level, severity_number=severity_number(level), logger=logger, program=logger.partition(".")[0],
        request_id=request, global_request_id=_request_id(record.get("global_request_id")), instance_id=instance,
        user_id=name(record.get("user_id")), project_id=name(record.get("tenant_id")),
    )  # fmt: skip
    return RawLine(text, origin, "kolla", record.get("@timestamp"), process_id(record.get("Pid")), said, attributes)


def _request_id(value: object) -> str:
    """kolla's pattern leaves `req-` out; with it the id joins with those of other shapes."""
    text = name(value)
    return f"req-{text}" if _ID.fullmatch(text) else "" if text == "None" else text


def k8s_event(record: Json, text: str, outer: Origin) -> RawLine:
    """An Event of Kubernetes, of `v1` or `events.k8s.io/v1`, as event exporters ship it."""
    about = record.get("involvedObject") or record.get("regarding")
    about = about if isinstance(about, dict) else {}
    source = record.get("source") or record.get("deprecatedSource")
    source = source if isinstance(source, dict) else {}
    metadata = record.get("metadata")
    kind, said_type = name(about.get("kind")), name(record.get("type"))
    program = name(source.get("component")) or first_name(record, ("reportingComponent", "reportingController"))
    host = name(source.get("host")) or (name(record.get("reportingInstance")) if program == "kubelet" else "")
    attributes = {
        "k8s_kind": kind, "k8s_object": _object_name(about), "k8s_reason": name(record.get("reason")),
        "k8s_count": _count(record),
        "k8s_event": name(metadata.get("name")) if isinstance(metadata, dict) else "",
    }  # fmt: skip
    message = record.get("message") if isinstance(record.get("message"), str) else record.get("note")
    said = Said(
        message if isinstance(message, str) else name(record.get("reason")), _event_time(record),
        severity_text=said_type, severity_number=severity_number(said_type), logger=name(record.get("reason")),
        program=program,
    )  # fmt: skip
    origin = object_origin(about, program, host or outer.host, outer)
    return RawLine(text, origin, "k8s_event", None, None, said, {k: v for k, v in attributes.items() if v})


def _count(record: Json) -> str:
    """How often it happened: in `v1` beside, in `events.k8s.io/v1` within the series."""
    series = record.get("series")
    count = series.get("count") if isinstance(series, dict) else record.get("count", record.get("deprecatedCount"))
    return str(count) if isinstance(count, int) else ""


def _event_time(record: Json) -> object:
    """When it happened last; exporters leave out, or write null, what the cluster's version does not set."""
    series, metadata = record.get("series"), record.get("metadata")
    times = (
        series.get("lastObservedTime") if isinstance(series, dict) else None,
        record.get("lastTimestamp"), record.get("deprecatedLastTimestamp"), record.get("eventTime"),
        record.get("firstTimestamp"), metadata.get("creationTimestamp") if isinstance(metadata, dict) else None,
    )  # fmt: skip
    return next((time for time in times if time), None)


def _object_name(about: Json) -> str:
    return "/".join(part for part in (name(about.get("namespace")), name(about.get("name"))) if part)


def object_origin(about: Json, program: str, host: str, outer: Origin) -> Origin:
    """A pod's and a node's event is theirs; any other object's is its reporter's, with the object as attributes."""
    kind = _OBJECT_KINDS.get(name(about.get("kind")), "")
    entity = ""
    pod = ""
    if kind == "pod" and _object_name(about):
        pod = f"{name(about.get('namespace')) or 'default'}/{name(about.get('name'))}"
        entity = f"pod:{pod}"
    elif kind == "node" and name(about.get("name")):
        entity, host = f"node:{name(about.get('name'))}", host or name(about.get("name"))
    elif program:
        entity = service_entity(program, host or "unknown").entity_id
    return Origin(host, "", program, pod, outer.key, "", entity)
