"""A line as it came (`RawLine`), what its record said of it (`Said`), and as it was understood (`ParsedLine`)."""

from typing import Any, NamedTuple

import msgspec

from services.ingest.core.access import HttpAccess


class Origin(NamedTuple):
    """Who shipped a line. Empty strings where nothing says.

    Attributes:
        host: the host's name as the shipper gives it.
        path: the log file.
        app: the program as the shipper names it: a syslog tag, a container.
        pod: `namespace/name` of a Kubernetes pod.
        key: the Kafka key, when the value names neither path nor program: it keeps such sources apart.
        stream: stdout or stderr of a container: lines of one never continue those of the other.
        entity: the entity_id where the record states it: an OpenTelemetry service, the object of a Kubernetes event.
    """

    host: str = ""
    path: str = ""
    app: str = ""
    pod: str = ""
    key: str = ""
    stream: str = ""
    entity: str = ""

    @property
    def fold_key(self) -> str:
        """What keeps this source's open folds apart from others', in memory and in the saved state."""
        key = f"{self.host}|{self.path or self.app or self.key}"
        return f"{key}|{self.stream}" if self.stream else key


class Limits(NamedTuple):
    """When a fold is closed although its source says nothing.

    Attributes:
        max_seconds: event time of the source beyond the fold's first line.
        max_lines, max_chars: size of one event; max_chars is also that of all open events of a source together.
        idle_micros: wall time since its last line, when it looks complete.
        traceback_idle_micros: the same for a traceback in progress.
    """

    max_seconds: float = 30.0
    max_lines: int = 1000
    max_chars: int = 131_072
    idle_micros: int = 300_000
    traceback_idle_micros: int = 5_000_000


class Said(NamedTuple):
    """What a record says of a line beside its text. Empty where it says nothing; masked already, but for `message`.

    Attributes:
        message: the message, where the line's text is the whole record; None where the text is itself the line, and
            what the line says of itself comes first.
        time: the writer's own time, as given: it counts as the line's.
        stamp: the same as written, for shapes whose tracebacks repeat it line by line.
        has_context, is_held: as of `ParsedLine`.
        template, parameters, traceback, exception_type, exception_message: as of `ParsedLine`.
    """

    message: str | None = None
    time: object = None
    stamp: str = ""
    has_context: bool = True
    is_held: bool = False
    severity_text: str = ""
    severity_number: int = 0
    logger: str = ""
    program: str = ""
    request_id: str = ""
    global_request_id: str = ""
    instance_id: str = ""
    user_id: str = ""
    project_id: str = ""
    template: str | None = None
    parameters: tuple[str, ...] = ()
    traceback: tuple[str, ...] = ()
    exception_type: str = ""
    exception_message: str = ""

    def completed(self, outer: "Said") -> "Said":
        """The same, with what it leaves open from a record around it."""
        missing: dict[str, Any] = {
            field: theirs for field, mine, theirs in zip(self._fields, self, outer, strict=True) if not mine
        }
        return self._replace(**{**missing, "message": self.message, "is_held": self.is_held})


class RawLine(msgspec.Struct, frozen=True, gc=False):
    """One line as shipped.

    Attributes:
        text: the line itself, out of its wrapper, without its newline.
        origin: who shipped it.
        shape: the wrapper or the record's shape; plain for none.
        record_time: the wrapper's own time, as given; read only when the line has none.
        process_id: as the wrapper says.
        said: what its record says; None where it wraps a text and nothing else.
        attributes: further fields of the wrapper.
        piece: P for a part of a line that a container runtime cut, F for its last part, each with the line's id after
            it where the runtime gives one; empty for a whole line.
    """

    text: str
    origin: Origin
    shape: str = "plain"
    record_time: object = None
    process_id: int | None = None
    said: Said | None = None
    attributes: dict[str, str] | None = None
    piece: str = ""

    def _replace(self, **changes: Any) -> "RawLine":
        """As of a NamedTuple, which it is not: it is made for every line, and that takes a third of the time."""
        return msgspec.structs.replace(self, **changes)


class ParsedLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line, understood, its secrets already masked. It is saved within open folds: a change needs a new version.

    Attributes:
        event_time: microseconds since 1970 UTC; `event_time_source` is line, record or transport.
        stamp: the header's time as written; empty without one. A traceback's lines repeat it.
        has_header: the line says itself when and by which process it was written.
        has_context: the header had its request block, which a traceback's lines lack.
        is_held: more lines may belong to it.
        text: the line as shipped; `body` is what follows the header.
        template: the message's template where the record has it; None where it must be mined.
        traceback: of a record that has it as a field: the lines of the exception.
        exception_type, exception_message: where the record names them; else they are read from the traceback.
        pod_id: `namespace/name` of the pod that the line speaks of, where its origin is not that pod.
    """

    shape: str
    event_time: int
    event_time_source: str
    text: str
    body: str
    stamp: str = ""
    has_header: bool = False
    has_context: bool = False
    is_held: bool = False
    process_id: int | None = None
    severity_text: str = ""
    severity_number: int = 0
    logger: str = ""
    program: str = ""
    request_id: str = ""
    global_request_id: str = ""
    instance_id: str = ""
    user_id: str = ""
    project_id: str = ""
    http: HttpAccess | None = None
    template: str | None = None
    parameters: tuple[str, ...] = ()
    traceback: tuple[str, ...] = ()
    attributes: dict[str, str] = {}
    exception_type: str = ""
    exception_message: str = ""
    pod_id: str = ""
