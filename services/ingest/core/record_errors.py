"""The exception that a JSON record names: under the names that loggers use, as text or as objects."""

from typing import Any, NamedTuple

from services.ingest.core.naming import Json, first_name
from services.ingest.core.records import text_lines, text_of
from services.ingest.core.secrets import mask
from services.ingest.core.tracebacks import BEGINNING

STACK_KEYS = (
    "stack", "stacktrace", "stack_trace", "exception", "exc_info", "traceback", "error.stack_trace", "errorVerbose",
)  # fmt: skip
ERROR_KEYS = ("err", "error", "exception", "exc")
_MAX_FRAMES = 200


class RecordError(NamedTuple):
    """Class, message and the lines of the stack; empty where the record does not say."""

    type: str = ""
    message: str = ""
    stack: tuple[str, ...] = ()


def error_of(record: Json) -> RecordError:
    """pino's and bunyan's `err`, ECS's `error`, zap's `error` and `stacktrace`, python-json-logger's `exc_info`,
    structlog's `exception`."""
    kind, message = text_of(record, "error.type"), text_of(record, "error.message")
    stack: tuple[str, ...] = ()
    for key in ERROR_KEYS:
        value = record.get(key)
        if isinstance(value, list) and value and isinstance(value[0], dict):
            found = _structlog(value[0])
        elif isinstance(value, dict):
            found = _object(value)
        elif isinstance(value, str) and key != "exception":
            found = RecordError("", text_of(record, key))
        else:
            continue
        kind, message, stack = kind or found.type, message or found.message, stack or found.stack
    return RecordError(kind, message, stack or _stack(record))


def _object(error: Json) -> RecordError:
    kind = first_name(error, ("type", "class", "name", "exception_class"))
    return RecordError(kind, text_of(error, "message") or text_of(error, "exception_message"), _stack(error))


def _stack(holder: Json) -> tuple[str, ...]:
    for key in STACK_KEYS:
        value = holder.get(key)
        if isinstance(value, list) and any(not isinstance(part, str) for part in value):
            continue
        if found := text_lines(value):
            return found
    return ()


def _structlog(error: Json) -> RecordError:
    """structlog's dict_tracebacks: the exception that was raised in the end comes first, with frames as objects."""
    frames = error.get("frames")
    lines = (
        [_frame(frame) for frame in frames[-_MAX_FRAMES:] if isinstance(frame, dict)]
        if isinstance(frames, list)
        else []
    )
    kind, message = text_of(error, "exc_type"), text_of(error, "exc_value")
    if not lines:
        return RecordError(kind, message)
    return RecordError(kind, message, (BEGINNING, *lines, f"{kind}: {message}"))


def _frame(frame: dict[str, Any]) -> str:
    line = frame.get("lineno")
    number = line if isinstance(line, int) else 0
    return mask(f'  File "{text_of(frame, "filename")}", line {number}, in {text_of(frame, "name")}')
