"""A raw line to a parsed one: which header it has, when it was written, how severe, by whom, for which request."""

from collections.abc import Callable
from typing import Any

import msgspec

from services.ingest.core.access import HttpAccess, parse_access, parse_uwsgi
from services.ingest.core.applog import application, logfmt
from services.ingest.core.headers import (
    KNOWN,
    ApacheError,
    SyslogHeader,
    TimedHeader,
    match_oslo,
    parse_apache_error,
    parse_context,
    parse_klog,
    parse_prefixed,
    parse_syslog,
    parse_timed,
    user_and_project,
    writer_of,
)
from services.ingest.core.lines import Origin, ParsedLine, RawLine, Said
from services.ingest.core.secrets import mask
from services.ingest.core.severity import KLOG_LEVELS, leading_level, severity_number
from services.ingest.core.shapes import unwrap
from services.ingest.core.times import TimeParser, fraction_micros

_EMPTY: dict[str, str] = {}
_DIGITS = frozenset("0123456789")
#: A longer line is cut here before anything looks at it; events hold less: MAX_BODY_CHARS and MAX_RAW_CHARS.
MAX_LINE_CHARS = 65_536
#: What a record states and a line of its text may leave open.
_FILLED = (
    "severity_text", "severity_number", "logger", "program", "request_id", "global_request_id", "instance_id",
    "user_id", "project_id", "template", "parameters", "traceback", "exception_type", "exception_message",
)  # fmt: skip
#: A date begins with its century, maybe in brackets.
_TIMED_STARTS = frozenset("12[")
_CARRIES_LINES: dict[str, Callable[[str], object]] = {
    "rsyslog_plain": parse_syslog, "apache_error": parse_apache_error,
}  # fmt: skip
#: Wrappers whose text cannot begin with a syslog header.
_NO_SYSLOG = ("rsyslog_plain", "rsyslog_json", "journald")


class LineParser:
    """Parses raw lines; one per process, since it remembers the times it has seen."""

    def __init__(self, times: TimeParser) -> None:
        self._times = times
        self._seconds, self._ctimes = times.seconds, times.ctimes

    def parse(self, raw: RawLine, transport_micros: int) -> tuple[Origin, ParsedLine]:
        """The line, and its origin, which a syslog header completes."""
        if len(raw.text) > MAX_LINE_CHARS:
            raw = _cut(raw)
        if raw.said is not None:
            return self._told(raw, raw.said, transport_micros)
        text = mask(raw.text)
        first = text[:1]
        if first in _DIGITS:
            if (line := self._oslo_text(raw, text)) is not None:
                return raw.origin, line
        elif first == "[" and (uwsgi := parse_uwsgi(text)) is not None:
            micros = self._ctimes[uwsgi.stamp]
            return raw.origin, self._access_line(raw, text, uwsgi.body, uwsgi.http, micros, "uwsgi",
                                                 uwsgi.process_id, transport_micros)  # fmt: skip
        elif first in "IWEF" and (line := self._klog(raw, text, transport_micros)) is not None:
            return raw.origin, line
        return self._other(raw, text, transport_micros)

    def parse_as(self, shape: str, raw: RawLine, transport_micros: int) -> tuple[Origin, ParsedLine]:
        """The same on a topic that is pinned to a shape of text: a line of any other shape is plain text."""
        origin, line = self.parse(raw, transport_micros)
        carries = _CARRIES_LINES.get(shape)  # a header around a line with a shape of its own
        if carries(raw.text) is not None if carries else line.shape == shape:
            return origin, line
        text = mask(raw.text)
        time, source = self._fallback(raw, transport_micros)
        return raw.origin, ParsedLine("plain", time, source, text, text, process_id=raw.process_id)

    def _told(self, raw: RawLine, said: Said, transport: int) -> tuple[Origin, ParsedLine]:
        """A record's line: the record itself, or a text that it wraps and says more of."""
        if said.message is not None:
            return raw.origin, self._record(raw, said, said.message, transport)
        origin, line = self.parse(raw._replace(said=None), transport)
        changes: dict[str, Any] = {
            name: value for name in _FILLED if (value := getattr(said, name)) and not getattr(line, name)
        }
        if line.event_time_source != "line" and (time := self._times.field(said.time)) is not None:
            changes.update(event_time=time, event_time_source="line")
        if said.severity_number and not line.has_header:  # a record that is complete, and no line of a file
            changes.update(has_header=True, has_context=True)
        return origin, msgspec.structs.replace(line, **changes)

    def _record(self, raw: RawLine, said: Said, message: str, transport: int) -> ParsedLine:
        time = self._times.field(said.time)
        time, source = (time, "line") if time is not None else self._fallback(raw, transport)
        body = mask(message)
        access = parse_access(body)
        return ParsedLine(
            raw.shape, time, source, mask(raw.text), body, said.stamp, True, said.has_context, said.is_held,
            raw.process_id, said.severity_text, said.severity_number, said.logger, said.program, said.request_id,
            said.global_request_id, said.instance_id, said.user_id, said.project_id, access[0] if access else None,
            said.template, said.parameters, said.traceback, raw.attributes or _EMPTY, said.exception_type,
            said.exception_message,
        )  # fmt: skip

    def _klog(self, raw: RawLine, text: str, transport: int) -> ParsedLine | None:
        """Kubernetes' own components: month and day without a year."""
        header = parse_klog(text)
        if header is None:
            return None
        near = self._times.field(raw.record_time) or transport
        micros = self._times.without_year(header.month, header.day, header.clock, near)
        time, source = (micros + header.micros, "line") if micros is not None else self._fallback(raw, transport)
        level = KLOG_LEVELS[text[0]]
        return ParsedLine(
            "klog", time, source, text, header.body, has_header=True, has_context=True, is_held=True,
            process_id=header.thread, severity_text=level, severity_number=severity_number(level), logger=header.file,
            attributes={**(raw.attributes or _EMPTY), "code_lineno": header.line}, pod_id=header.pod,
        )  # fmt: skip

    def _oslo_text(self, raw: RawLine, text: str) -> ParsedLine | None:
        """As `parse_oslo` reads it, without making objects of its parts: most lines come this way."""
        found = match_oslo(text)
        if found is None:
            return None
        second, fraction, writer, block, first, request, people, instance, body = found.groups()
        micros = self._seconds[second]
        if micros is None:
            return None
        pid, level, severity, logger, program = writer_of(writer)
        if request is None:
            request, global_id, user, project = parse_context(block)
        else:
            user, project = user_and_project(people)
            global_id = KNOWN.get(first, first)
        access = parse_access(body) if block is not None and '"' in body else None
        # By position, all 24 of them: by name each line would pay a microsecond more.
        return ParsedLine(
            "oslo_text", micros + fraction_micros(fraction), "line", text, body, f"{second}.{fraction}",
            True, block is not None, access is None,  # has_header, has_context, is_held
            pid, level, severity, logger, program, request, global_id, instance or "", user, project,
            access[0] if access else None, None, (), (), raw.attributes or _EMPTY,
        )  # fmt: skip

    def _access_line(
        self, raw: RawLine, text: str, body: str, http: HttpAccess, micros: int | None, shape: str,
        pid: int | None, transport: int,
    ) -> ParsedLine:  # fmt: skip
        time, source = (micros, "line") if micros is not None else self._fallback(raw, transport)
        return ParsedLine(
            shape, time, source, text, body, has_header=True, process_id=pid, http=http,
            attributes=raw.attributes or _EMPTY,
        )  # fmt: skip

    def _other(self, raw: RawLine, text: str, transport: int) -> tuple[Origin, ParsedLine]:
        """A header with a line of its own inside, an access line, a line that begins with its time, or plain text."""
        syslog = parse_syslog(text) if raw.shape not in _NO_SYSLOG else None
        if syslog is not None:
            return self._syslog(raw, syslog, transport)
        access = parse_access(text)
        if access is not None:
            http, stamp = access
            micros = self._times.access(stamp) if stamp else None
            line = self._access_line(raw, text, text, http, micros, "access", raw.process_id, transport)
            return raw.origin, line
        return self._begins_with_time(raw, text, transport) or self._text(raw, text, transport)

    def _syslog(self, raw: RawLine, syslog: SyslogHeader, transport: int) -> tuple[Origin, ParsedLine]:
        """What follows the header is a line of its own, or a record in JSON."""
        origin = raw.origin._replace(host=syslog.host or raw.origin.host, app=syslog.program or raw.origin.app)
        near = self._times.field(raw.record_time) or transport
        time = self._times.iso(syslog.stamp) or self._times.syslog(syslog.stamp, near)
        inner = RawLine(
            syslog.body, origin, "rsyslog_plain", None if time is None else time / 1e6, syslog.process_id, None,
            _priority(syslog.priority, raw.attributes),
        )  # fmt: skip
        return self.parse(_record_within(inner), transport)

    def _begins_with_time(self, raw: RawLine, text: str, transport: int) -> tuple[Origin, ParsedLine] | None:
        if text[:1] not in _TIMED_STARTS:
            return None
        if (error := parse_apache_error(text)) is not None:
            return self._apache_error(raw, text, error, transport)
        header = parse_timed(text)
        timed = self._timed(raw, text, header) if header is not None else None
        return None if timed is None else (raw.origin, timed)

    def _apache_error(
        self, raw: RawLine, text: str, error: ApacheError, transport: int
    ) -> tuple[Origin, ParsedLine] | None:
        """Apache's own line; what a program behind mod_wsgi wrote to stderr is a line of that process."""
        second = self._times.ctime(error.stamp)
        if second is None:
            return None
        micros = second + fraction_micros(error.fraction)
        if error.module == "wsgi":
            origin = raw.origin._replace(stream=f"wsgi-{error.process_id}")
            return self.parse(
                RawLine(error.body, origin, "apache_error", micros / 1e6, error.process_id, None, raw.attributes),
                transport,
            )
        return raw.origin, ParsedLine(
            "apache_error", micros, "line", text, error.body, has_header=True, has_context=True, is_held=True,
            process_id=error.process_id, severity_text=error.level, severity_number=severity_number(error.level),
            logger=error.module, attributes=raw.attributes or _EMPTY,
        )  # fmt: skip

    def _text(self, raw: RawLine, text: str, transport: int) -> tuple[Origin, ParsedLine]:
        if (record := logfmt(raw.text)) is not None:
            told = application(record, raw.text, raw.origin)._replace(shape="logfmt", record_time=raw.record_time)
            return self.parse(told, transport)
        if (prefixed := parse_prefixed(text)) is not None:
            program, rest = prefixed
            return self.parse(raw._replace(text=rest, origin=_named(raw.origin, program)), transport)
        time, source = self._fallback(raw, transport)
        level = leading_level(text)
        return raw.origin, ParsedLine(
            raw.shape, time, source, text, text, process_id=raw.process_id, severity_text=level,
            severity_number=severity_number(level) if level else 0, attributes=raw.attributes or _EMPTY,
        )  # fmt: skip

    def _timed(self, raw: RawLine, text: str, header: TimedHeader) -> ParsedLine | None:
        micros = self._times.iso(header.stamp)
        if micros is None:
            return None
        return ParsedLine(
            "timed", micros, "line", text, header.body, has_header=True, has_context=True, is_held=True,
            process_id=raw.process_id, severity_text=header.level, severity_number=severity_number(header.level),
            attributes=raw.attributes or _EMPTY,
        )  # fmt: skip

    def _fallback(self, raw: RawLine, transport: int) -> tuple[int, str]:
        time = self._times.field(raw.record_time) if raw.record_time is not None else None
        return (transport, "transport") if time is None else (time, "record")


def _record_within(line: RawLine) -> RawLine:
    """A text that is one record in JSON, as that record; any other text as it is."""
    if line.text[:1] != "{":
        return line
    lines = unwrap(line, 1)
    return lines[0] if len(lines) == 1 and not lines[0].piece else line


def _named(origin: Origin, program: str) -> Origin:
    return origin if origin.path or origin.app else origin._replace(app=program)


def _cut(raw: RawLine) -> RawLine:
    """The line's first MAX_LINE_CHARS. What masks secrets takes one that is cut off for one that goes to the end."""
    said = raw.said
    if said is not None and said.message is not None:
        said = said._replace(message=said.message[:MAX_LINE_CHARS])
    return raw._replace(text=raw.text[:MAX_LINE_CHARS], said=said)


def _priority(priority: int | None, attributes: dict[str, str] | None) -> dict[str, str] | None:
    if priority is None:
        return attributes
    return {**(attributes or {}), "syslog_severity": str(priority % 8), "syslog_facility": str(priority // 8)}
