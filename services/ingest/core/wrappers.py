"""Shippers that wrap a text: the text out of the record, and what the record says of it.

Each decoder takes a record that `shapes.shape_of` recognised. The text may be anything: a line with a header of its
own, several lines, JSON once more.
"""

import re

from services.ingest.core.lines import Origin, RawLine
from services.ingest.core.naming import (
    MAX_NAME_CHARS,
    Json,
    attributes_of,
    file_origin,
    first_name,
    name,
    origin_of,
    process_id,
)
from services.ingest.core.payload import shown
from services.ingest.core.secrets import mask

_TIME_KEYS = ("date", "@timestamp", "timestamp", "time", "_SOURCE_REALTIME_TIMESTAMP", "__REALTIME_TIMESTAMP")
_CRI = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{1,9}(?:Z|[+-]\d\d:\d\d)) (?P<stream>stdout|stderr) "
    r"(?P<tags>[PF](?::[\w:]{0,64})?) (?P<text>.*)",
    re.ASCII | re.DOTALL,
)
_DOCKER_KEYS = frozenset(("log", "stream", "time", "attrs"))
_DOCKER_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z", re.ASCII)
_SHORT_ID_CHARS = 12


def fluent_bit(record: Json, outer: Origin) -> RawLine:
    """Fluent Bit and Fluentd: the text is `log`. Fluentd adds no time of its own."""
    time = record.get("date", record.get("@timestamp"))
    if time is None or "stream" in record or "kubernetes" in record:
        return _container_log(record, outer, time)
    host, path = record.get("host") or record.get("hostname"), record.get("path")
    if not isinstance(path, str):
        if "container_id" in record:
            return _container_log(record, outer, time)
        path = ""
    # Cut before they are remembered: a name may be as long as a message.
    origin = file_origin(host[:MAX_NAME_CHARS] if isinstance(host, str) else "", path[:MAX_NAME_CHARS], outer)
    return RawLine(record["log"], origin, "fluent_bit", time)


def _container_log(record: Json, outer: Origin, time: object) -> RawLine:
    shape = "fluentd" if time is None else "fluent_bit"
    origin, piece = origin_of(record, outer), piece_of(record)
    if container := record.get("container_id"):
        # Docker's fluentd driver names no host, and containers of several hosts may have one name.
        stream = f"{name(record.get('source'))}-{name(container)[:_SHORT_ID_CHARS]}"
        origin, piece = origin._replace(stream=stream), _marked_piece(record) or piece
    elif time is None and is_docker_file(record):
        piece = "F" if record["log"].endswith("\n") else "P"
    return RawLine(record["log"], origin, shape, time_of(record), None, None, attributes_of(record, ("stream",)), piece)


def is_docker_file(record: Json) -> bool:
    """Whether Docker's json-file driver wrote a record as it is: a text that no newline ends then goes on in the next.

    Of any other record that is no sign: shippers take the newline off.
    """
    time = record.get("time")
    return (
        record.keys() <= _DOCKER_KEYS
        and isinstance(time, str)
        and _DOCKER_TIME.fullmatch(time) is not None
        and record.get("stream") in ("stdout", "stderr")
    )


def _marked_piece(record: Json) -> str:
    """Docker's marks of a line that it cut: which line, and whether this is its end. Without them it is whole."""
    last = record.get("partial_last")
    if last not in ("true", "false", True, False):
        return ""
    return ("F" if last in ("true", True) else "P") + name(record.get("partial_id"))


def message(record: Json, outer: Origin) -> RawLine:
    """Fluentd, and Fluent Bit's own CRI parser: the text is `message`."""
    return _wrapped(record, record["message"], outer, "fluentd" if "@timestamp" not in record else "fluent_bit")


def vector(record: Json, outer: Origin) -> RawLine:
    """Vector: `message`, with `source_type` and what that source adds."""
    wrapped = _wrapped(record, record["message"], outer, "vector", ("stream", "source_type", "severity", "facility"))
    return wrapped._replace(process_id=process_id(record.get("procid") or record.get("_PID")))


def filebeat(record: Json, outer: Origin) -> RawLine:
    """Filebeat and its kin: ECS fields around `message`."""
    wrapped = _wrapped(record, record["message"], outer, "filebeat", ("stream",))
    origin = wrapped.origin
    if not origin.host:
        agent = record.get("agent")
        host = first_name(agent, ("hostname", "name")) if isinstance(agent, dict) else ""
        origin = origin._replace(host=host)
    systemd = record.get("systemd")
    if isinstance(systemd, dict) and not origin.app and not origin.path:
        origin = origin._replace(app=first_name(systemd, ("unit",)))
    return wrapped._replace(origin=origin)


def journald(record: Json, outer: Origin) -> RawLine:
    """The journal's fields: `MESSAGE`, `_SYSTEMD_UNIT`, `_PID`; its PRIORITY is the transport's."""
    pid = process_id(record.get("_PID") or record.get("SYSLOG_PID"))
    attributes = {
        f"syslog_{ours}": mask(shown(record[key]))[:MAX_NAME_CHARS]
        for ours, key in (("severity", "PRIORITY"), ("facility", "SYSLOG_FACILITY"))
        if key in record
    }
    if unit := name(record.get("_SYSTEMD_UNIT")):
        attributes["systemd_unit"] = unit
    return RawLine(
        record["MESSAGE"], origin_of(record, outer), "journald", time_of(record), pid, None, attributes or None
    )


def rsyslog(record: Json, outer: Origin) -> RawLine:
    """rsyslog's list template of JSON properties."""
    tag = name(record.get("app_name")) or name(record.get("syslog-tag")).partition("[")[0].rstrip(":")
    host = name(record.get("host")) or name(record.get("hostname")) or outer.host
    origin = outer._replace(host=host, app=tag or outer.app)
    attributes = {
        f"syslog_{key}": mask(shown(record[key]))[:MAX_NAME_CHARS] for key in ("severity", "facility") if key in record
    }
    # rsyslog keeps the blank that follows the tag's colon.
    return RawLine(
        record["message"].removeprefix(" "), origin, "rsyslog_json", record.get("@timestamp", record.get("timestamp")),
        process_id(record.get("procid")), None, attributes,
    )  # fmt: skip


def cri(line: RawLine) -> RawLine | None:
    """A line of a container runtime's file, `time stream P|F text`, out of whatever wraps it; None for other lines."""
    found = _CRI.match(line.text)
    if found is None:
        return None
    time, stream, tags, text = found.groups()
    attributes = {**(line.attributes or {}), "stream": stream}
    return line._replace(
        text=text, origin=line.origin._replace(stream=stream), shape="cri", record_time=time, attributes=attributes,
        piece=tags[0],
    )  # fmt: skip


def time_of(record: Json) -> object:
    """The shipper's time, under the first of the names that shippers use."""
    return next((value for key in _TIME_KEYS if (value := record.get(key)) is not None), None)


def piece_of(record: Json) -> str:
    """CRI's tag as Fluent Bit's and Fluentd's parsers keep it."""
    tag = record.get("logtag")
    return tag[:1] if isinstance(tag, str) and tag[:1] in ("P", "F") else ""


def _wrapped(record: Json, text: str, outer: Origin, shape: str, attributes: tuple[str, ...] = ("stream",)) -> RawLine:
    return RawLine(
        text, origin_of(record, outer), shape, time_of(record), None, None, attributes_of(record, attributes),
        piece_of(record),
    )  # fmt: skip
