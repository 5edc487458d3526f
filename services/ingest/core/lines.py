"""A line as it came (`RawLine`) and as it was understood (`ParsedLine`)."""

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
    """

    host: str = ""
    path: str = ""
    app: str = ""
    pod: str = ""
    key: str = ""

    @property
    def fold_key(self) -> str:
        """What keeps this source's open folds apart from others', in memory and in the saved state."""
        return f"{self.host}|{self.path or self.app or self.key}"


class RawLine(NamedTuple):
    """One line as shipped.

    Attributes:
        text: the line itself, out of its wrapper, without its newline.
        origin: who shipped it.
        shape: the wrapper: fluent_bit, rsyslog_json, oslo_json or plain.
        record_time: the wrapper's own time, as given; read only when the line has none.
        process_id: as the wrapper says.
        fields: of oslo_json: the record.
        attributes: further fields of the wrapper.
    """

    text: str
    origin: Origin
    shape: str = "plain"
    record_time: object = None
    process_id: int | None = None
    fields: dict[str, Any] | None = None
    attributes: dict[str, str] | None = None


class ParsedLine(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One line, understood, its secrets already masked. It is saved within open folds: a change needs a new version.

    Attributes:
        event_time: microseconds since 1970 UTC; `event_time_source` is line, record or transport.
        stamp: the header's time as written; empty without one. A traceback's lines repeat it.
        has_header: the line says itself when and by which process it was written.
        has_context: the header had its request block, which a traceback's lines lack.
        is_held: more lines may belong to it.
        text: the line as shipped; `body` is what follows the header.
        template: of oslo JSON: the message's template; None where it must be mined.
        traceback: of oslo JSON: the lines of the exception.
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
