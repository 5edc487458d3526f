"""JSON logs of applications: zap, logrus, zerolog, bunyan, pino, python-json-logger, structlog, ECS and their kin.

Such a record has a message, and a level or a time, under one of the names in the tables below. The level is the
record's own, so it is the line's.
"""

import re
from itertools import islice

from services.ingest.core.lines import Origin, RawLine, Said
from services.ingest.core.naming import Json, completed, first_name, name, others, process_id
from services.ingest.core.record_errors import ERROR_KEYS, STACK_KEYS, error_of
from services.ingest.core.records import text_of
from services.ingest.core.severity import NUMBERS, leading_level, severity_number

MESSAGE_KEYS = ("message", "msg", "event", "@message", "short_message")
LEVEL_KEYS = ("level", "levelname", "lvl", "severity", "log.level", "log_level", "loglevel", "@level", "level_name")
TIME_KEYS = ("time", "ts", "timestamp", "@timestamp", "asctime", "t", "datetime", "created", "eventTime")
_LOGGER_KEYS = ("logger", "logger_name", "name", "log.logger", "loggerName", "caller")
_PID_KEYS = ("pid", "process", "process.pid")
_APP_KEYS = ("service", "service.name", "service_name", "app", "application", "program")
_REQUEST_KEYS = ("request_id", "requestId", "req_id", "reqId", "requestID")
_KNOWN = frozenset((
    *MESSAGE_KEYS, *LEVEL_KEYS, *TIME_KEYS, *_LOGGER_KEYS, *STACK_KEYS, *ERROR_KEYS, *_PID_KEYS, *_APP_KEYS,
    *_REQUEST_KEYS, "hostname", "host.name", "global_request_id", "instance_id", "user_id", "project_id", "tenant_id",
    "v",
))  # fmt: skip
#: How a line of logfmt begins.
_LOGFMT_STARTS = ("time=", "ts=", "t=", "level=", "lvl=", "msg=", "timestamp=")
_PAIR = re.compile(r'([A-Za-z_][\w.-]{0,63})=(?:"((?:[^"\\]|\\.)*+)"|([^\s"]*+))(?=\s|$)')
_UNESCAPE = re.compile(r'\\(["\\])')
_MAX_PAIRS = 64
MAX_LOGFMT_CHARS = 32_768
#: bunyan's and pino's numbers; pino's silent levels between them belong to the next lower one.
_NODE_LEVELS = ((60, "FATAL"), (50, "ERROR"), (40, "WARN"), (30, "INFO"), (20, "DEBUG"), (10, "TRACE"))
#: syslog's, as GELF has them.
_SYSLOG_LEVELS = ("EMERG", "ALERT", "CRIT", "ERR", "WARNING", "NOTICE", "INFO", "DEBUG")


def logfmt(text: str) -> Json | None:
    """`time=".." level=info msg=".."`, as logrus, containerd and Prometheus write it; None for other text."""
    if not text.startswith(_LOGFMT_STARTS):
        return None
    pairs = {key: quoted or bare for key, quoted, bare in islice(_PAIR.findall(text[:MAX_LOGFMT_CHARS]), _MAX_PAIRS)}
    record: Json = {key: _UNESCAPE.sub(r"\1", value) if "\\" in value else value for key, value in pairs.items()}
    return record if message_of(record) is not None and has_level(record) else None


def message_of(record: Json) -> str | None:
    """The record's message; None when it has none."""
    for key in MESSAGE_KEYS:
        value = record.get(key)
        if isinstance(value, str):
            return value
    return None


def level_of(record: Json) -> str:
    """The level's name; empty when the record has none."""
    for key in LEVEL_KEYS:
        value = record.get(key)
        if isinstance(value, str) and value:
            return text_of(record, key)
        if isinstance(value, int) and not isinstance(value, bool):
            return _numbered(value)
    log = record.get("log")
    return text_of(log, "level") if isinstance(log, dict) else ""


def _numbered(level: int) -> str:
    if 0 <= level < len(_SYSLOG_LEVELS):
        return _SYSLOG_LEVELS[level]
    return next((text for number, text in _NODE_LEVELS if level >= number), "")


def is_application(record: Json) -> bool:
    """Whether the record is a log line: it has a message, and a level that is known or a time."""
    return message_of(record) is not None and (has_level(record) or any(key in record for key in TIME_KEYS))


def has_level(record: Json) -> bool:
    """Whether the record states a level that is known."""
    level = level_of(record)
    return bool(level) and severity_number(level) > 0


def application(record: Json, text: str, outer: Origin) -> RawLine:
    """The record as a line."""
    record = _flattened(record)
    message = message_of(record) or ""
    level = level_of(record) or leading_level(message)
    error = error_of(record)
    said = Said(
        message, next((value for key in TIME_KEYS if (value := record.get(key)) is not None), None),
        severity_text=level, severity_number=severity_number(level),
        logger=first_name(record, _LOGGER_KEYS) or _nested(record, "log", "logger"),
        request_id=first_name(record, _REQUEST_KEYS) or _nested(record, "context", "request_id"),
        global_request_id=_id(record, "global_request_id"), instance_id=_id(record, "instance_id"),
        user_id=_id(record, "user_id"), project_id=_id(record, "project_id") or _id(record, "tenant_id"),
        traceback=error.stack, exception_type=error.type, exception_message=error.message,
    )  # fmt: skip
    attributes = others(record, _KNOWN)
    if error.message and not error.type and not error.stack:
        attributes["error"] = error.message
    origin = completed(outer, record, _APP_KEYS)
    return RawLine(text, origin, "json", None, _process(record), said, attributes)


def _flattened(record: Json) -> Json:
    """loguru's own JSON, which has the record one level down, as others have it."""
    inner = record.get("record")
    if not is_loguru(record) or not isinstance(inner, dict):
        return record
    time, level, process = inner.get("time"), inner.get("level"), inner.get("process")
    return {
        "message": inner.get("message"), "logger": inner.get("name"),
        "time": time.get("timestamp") if isinstance(time, dict) else None,
        "level": level.get("name") if isinstance(level, dict) else None,
        "pid": process.get("id") if isinstance(process, dict) else None,
        "stack": record["text"] if inner.get("exception") else None,
    }  # fmt: skip


def is_loguru(record: Json) -> bool:
    """Whether loguru wrote a record with `serialize=True`."""
    inner = record.get("record")
    return isinstance(inner, dict) and isinstance(record.get("text"), str) and isinstance(inner.get("message"), str)


def _id(record: Json, key: str) -> str:
    """Of the record, else of the request's context, as oslo.log's FluentFormatter has it."""
    return name(record.get(key)) or _nested(record, "context", key)


def _process(record: Json) -> int | None:
    process = record.get("process")
    numbers = [record.get(key) for key in _PID_KEYS] + ([process.get("pid")] if isinstance(process, dict) else [])
    return next((found for number in numbers if (found := process_id(number)) is not None), None)


def _nested(record: Json, outer: str, inner: str) -> str:
    value = record.get(outer)
    return name(value.get(inner)) if isinstance(value, dict) else ""


assert {"FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", *_SYSLOG_LEVELS} <= NUMBERS.keys()
