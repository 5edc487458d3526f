"""Which shape a message has: text to raw lines, out of what a shipper wrapped around them.

JSON that cannot be read, or of no known shape, is text like any other.
"""

import re
from functools import lru_cache
from typing import Any

import orjson

from services.ingest.core.lines import Origin, RawLine
from services.ingest.core.payload import check_num_lines, shown, split_lines
from services.ingest.core.secrets import mask

#: A wrapper in a wrapper in a wrapper is somebody's joke.
MAX_DEPTH = 3
_MAX_NAME = 255
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,254}")
_PATH = re.compile(r"[\w./@+:-]{1,255}")
_SYSLOG_KEYS = ("syslog-tag", "app_name", "procid", "facility")


def recognise(text: str, key: str = "") -> list[RawLine]:
    """The lines of a message, in order; at least one.

    Args:
        key: the Kafka key as text, empty when there is none.

    Raises:
        InvalidMessage: `too_many_lines`.
    """
    origin = _key_origin(key)
    lines = _from_json(text, origin, 0) if text.startswith("{") else None
    if lines is not None:
        return lines
    if "\n" not in text:
        return [RawLine(text, origin)]
    raw_lines: list[RawLine] = []
    for line in split_lines(text):
        found = _from_json(line, origin, 0) if line.startswith("{") else None
        raw_lines += found or [RawLine(line, origin)]
        check_num_lines(len(raw_lines))
    return raw_lines


@lru_cache(4096)
def _key_origin(key: str) -> Origin:
    """The documented key, `host|file`, tells the source of records that do not say it, such as bare oslo JSON."""
    host, bar, path = key.partition("|")
    if _HOST.fullmatch(host) and bar and _PATH.fullmatch(path):
        return Origin(host, path, key=key[:_MAX_NAME])
    return Origin(key=key[:_MAX_NAME])


def json_object(text: str) -> dict[str, Any] | None:
    """The object that the text is, or None."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _from_json(text: str, origin: Origin, depth: int) -> list[RawLine] | None:
    record = json_object(text)
    if record is None:
        return None
    if isinstance(record.get("log"), str):
        return _fluent_bit(record, record["log"], origin, depth)
    if isinstance(record.get("levelname"), str) and isinstance(record.get("message"), str):
        return [_oslo(text, record, origin)]
    if isinstance(record.get("message"), str) and any(name in record for name in _SYSLOG_KEYS):
        return _rsyslog(record, record["message"], origin, depth)
    return None


def _unwrap(
    text: str, origin: Origin, shape: str, time: object, pid: int | None, attributes: dict[str, str] | None, depth: int
) -> list[RawLine]:
    """The lines of a wrapped text, each with what the wrapper says; JSON in it is looked into once more."""
    if text.startswith("{") and depth < MAX_DEPTH:
        inner = _from_json(text, origin, depth + 1)
        if inner is not None:
            return [line if line.record_time is not None else line._replace(record_time=time) for line in inner]
    if "\n" not in text:
        return [RawLine(text, origin, shape, time, pid, None, attributes)]
    return [RawLine(line, origin, shape, time, pid, None, attributes) for line in split_lines(text)]


def _fluent_bit(record: dict[str, Any], log: str, outer: Origin, depth: int) -> list[RawLine]:
    kubernetes = record.get("kubernetes")
    time = record.get("date", record.get("@timestamp"))
    if isinstance(kubernetes, dict):
        origin, attributes = _pod_origin(record, kubernetes), _named(record, ("stream",))
    else:
        host, path = record.get("host") or record.get("hostname"), record.get("path")
        origin = _file_origin(host if isinstance(host, str) else "", path if isinstance(path, str) else "", outer)
        attributes = _named(record, ("stream",)) if "stream" in record else None
    return _unwrap(log, origin, "fluent_bit", time, None, attributes, depth)


@lru_cache(4096)
def _file_origin(host: str, path: str, outer: Origin) -> Origin:
    return Origin(name(host) or outer.host, name(path) or outer.path, outer.app, outer.pod, outer.key)


def _pod_origin(record: dict[str, Any], kubernetes: dict[str, Any]) -> Origin:
    container, pod = name(kubernetes.get("container_name")), name(kubernetes.get("pod_name"))
    namespace = name(kubernetes.get("namespace_name")) or "default"
    host = name(kubernetes.get("host")) or name(record.get("host"))
    path = name(record.get("path")) or (f"{namespace}/{pod}/{container}" if pod else "")
    return Origin(host, path, container, f"{namespace}/{pod}" if pod else "")


def _rsyslog(record: dict[str, Any], message: str, outer: Origin, depth: int) -> list[RawLine]:
    tag = name(record.get("app_name")) or name(record.get("syslog-tag")).partition("[")[0].rstrip(":")
    origin = Origin(name(record.get("host")) or outer.host, outer.path, tag or outer.app, outer.pod, outer.key)
    time = record.get("@timestamp", record.get("timestamp"))
    attributes = {
        f"syslog_{key}": mask(shown(record[key]))[:_MAX_NAME] for key in ("severity", "facility") if key in record
    }
    pid = process_id(record.get("procid"))
    # rsyslog keeps the blank that follows the tag's colon.
    return _unwrap(message.removeprefix(" "), origin, "rsyslog_json", time, pid, attributes, depth)


def _oslo(text: str, record: dict[str, Any], outer: Origin) -> RawLine:
    origin = Origin(outer.host or name(record.get("hostname")), outer.path, outer.app, outer.pod, outer.key)
    pid = process_id(record.get("process"))
    return RawLine(text.removesuffix("\n"), origin, "oslo_json", None, pid, record)


def name(value: object) -> str:
    """A short name out of JSON, masked; empty for anything but text."""
    return _clean(value) if isinstance(value, str) and value != "-" else ""


@lru_cache(4096)
def _clean(value: str) -> str:
    return mask(value[:_MAX_NAME])


def process_id(value: object) -> int | None:
    """A process id out of JSON: a number, or its digits."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 2**53 else None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 10:
        return int(value)
    return None


def _named(record: dict[str, Any], names: tuple[str, ...]) -> dict[str, str] | None:
    found = {key: value for key in names if (value := name(record.get(key)))}
    return found or None
