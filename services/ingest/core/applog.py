"""JSON logs of applications: zap, logrus, zerolog, bunyan, pino, python-json-logger, structlog, ECS and their kin.

Such a record has a message, and a level or a time, under one of the names in the tables below. The level is the
record's own, so it is the line's.
"""

import re
from itertools import islice

from services.ingest.core.lines import Origin, RawLine, Said
from services.ingest.core.naming import Json, completed, first_name, name, others, process_id
from services.ingest.core.records import text_lines, text_of
from services.ingest.core.severity import NUMBERS, leading_level, severity_number

MESSAGE_KEYS = ("message", "msg", "event", "@message", "short_message")
LEVEL_KEYS = ("level", "levelname", "lvl", "severity", "log.level", "log_level", "loglevel", "@level", "level_name")
TIME_KEYS = ("time", "ts", "timestamp", "@timestamp", "asctime", "t", "datetime", "created", "eventTime")
_LOGGER_KEYS = ("logger", "logger_name", "name", "log.logger", "loggerName", "caller")
_STACK_KEYS = (
    "stack", "stacktrace", "stack_trace", "exception", "exc_info", "traceback", "error.stack_trace", "errorVerbose",
)  # fmt: skip
_ERROR_KEYS = ("err", "error", "exception", "exc")
_PID_KEYS = ("pid", "process", "process.pid")
_APP_KEYS = ("service", "service.name", "service_name", "app", "application", "program")
_REQUEST_KEYS = ("request_id", "requestId", "req_id", "reqId", "requestID")
_KNOWN = frozenset((
    *MESSAGE_KEYS, *LEVEL_KEYS, *TIME_KEYS, *_LOGGER_KEYS, *_STACK_KEYS, *_ERROR_KEYS, *_PID_KEYS, *_APP_KEYS,
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
    message = message_of(record) or ""
    level = level_of(record) or leading_level(message)
    kind, error_message, traceback = _error(record)
    logger = first_name(record, _LOGGER_KEYS) or _nested(record, "log", "logger")
    said = Said(
        message, next((value for key in TIME_KEYS if (value := record.get(key)) is not None), None),
        severity_text=level, severity_number=severity_number(level), logger=logger,
        request_id=first_name(record, _REQUEST_KEYS), global_request_id=name(record.get("global_request_id")),
        instance_id=name(record.get("instance_id")), user_id=name(record.get("user_id")),
        project_id=name(record.get("project_id")) or name(record.get("tenant_id")), traceback=traceback,
        exception_type=kind, exception_message=error_message,
    )  # fmt: skip
    attributes = others(record, _KNOWN)
    if error_message and not kind and not traceback:
        attributes["error"] = error_message
    pid = next((found for key in _PID_KEYS if (found := process_id(record.get(key))) is not None), None)
    origin = completed(outer, record, _APP_KEYS)
    return RawLine(text, origin, "json", None, pid, said, attributes)


def _error(record: Json) -> tuple[str, str, tuple[str, ...]]:
    """(class, message, stack) of the exception that the record names: pino's `err{type,message,stack}`, ECS's
    `error{type,message,stack_trace}`, zap's `error` and `stacktrace`, python-json-logger's `exc_info`."""
    kind, message = "", ""
    stack: tuple[str, ...] = ()
    for key in _ERROR_KEYS:
        value = record.get(key)
        if isinstance(value, dict):
            kind = kind or first_name(value, ("type", "class", "name", "exception_class"))
            message = message or text_of(value, "message") or text_of(value, "exception_message")
            stack = stack or next((found for k in _STACK_KEYS if (found := text_lines(value.get(k)))), ())
        elif isinstance(value, str) and key != "exception":
            message = message or text_of(record, key)
    kind = kind or text_of(record, "error.type")
    message = message or text_of(record, "error.message")
    stack = stack or next((found for k in _STACK_KEYS if (found := text_lines(record.get(k)))), ())
    return kind, message, stack


def _nested(record: Json, outer: str, inner: str) -> str:
    value = record.get(outer)
    return name(value.get(inner)) if isinstance(value, dict) else ""


assert {"FATAL", "ERROR", "WARN", "INFO", "DEBUG", "TRACE", *_SYSLOG_LEVELS} <= NUMBERS.keys()
