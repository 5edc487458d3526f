"""A raw line to a parsed one: which header it has, when it was written, how severe, by whom, for which request."""

from typing import Any

from services.ingest.core.access import HttpAccess, parse_access, parse_uwsgi
from services.ingest.core.headers import OsloHeader, parse_context, parse_oslo, parse_syslog
from services.ingest.core.lines import Origin, ParsedLine, RawLine
from services.ingest.core.payload import shown
from services.ingest.core.secrets import mask
from services.ingest.core.severity import leading_level, severity_number
from services.ingest.core.times import TimeParser, fraction_micros

_MAX_PARAMETERS = 64
_MAX_PARAMETER_CHARS = 256
_EMPTY: dict[str, str] = {}


class LineParser:
    """Parses raw lines; one per process, since it remembers the times it has seen."""

    def __init__(self, times: TimeParser) -> None:
        self._times = times

    def parse(self, raw: RawLine, transport_micros: int) -> tuple[Origin, ParsedLine]:
        """The line, and its origin, which a syslog header completes."""
        if raw.fields is not None:
            return raw.origin, self._oslo_json(raw, raw.fields, transport_micros)
        text = mask(raw.text)
        first = text[:1]
        if first.isdigit() and (header := parse_oslo(text)) is not None:
            line = self._oslo_text(raw, text, header, transport_micros)
            if line is not None:
                return raw.origin, line
        elif first == "[" and (uwsgi := parse_uwsgi(text)) is not None:
            micros = self._times.ctime(uwsgi.stamp)
            return raw.origin, self._access_line(raw, text, uwsgi.body, uwsgi.http, micros, "uwsgi",
                                                 uwsgi.process_id, transport_micros)  # fmt: skip
        return self._other(raw, text, transport_micros)

    def _oslo_text(self, raw: RawLine, text: str, header: OsloHeader, transport: int) -> ParsedLine | None:
        second, fraction, pid, level, logger, block, instance, body = header
        micros = self._times.second(second)
        if micros is None:
            return None
        request_id, global_id, user, project = parse_context(block)
        access = parse_access(body) if block is not None else None
        # By position, all 24 of them: by name each line would pay a microsecond more.
        return ParsedLine(
            "oslo_text", micros + fraction_micros(fraction), "line", text, body, f"{second}.{fraction}",
            True, block is not None, access is None,  # has_header, has_context, is_held
            pid, level, severity_number(level), logger, logger.partition(".")[0],
            request_id, global_id, instance, user, project,
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
        """A syslog header with a line of its own inside, a bare access line, or plain text."""
        syslog = parse_syslog(text) if raw.shape in ("plain", "fluent_bit") else None
        if syslog is not None:
            origin = raw.origin._replace(host=syslog.host or raw.origin.host, app=syslog.program or raw.origin.app)
            near = self._times.field(raw.record_time) or transport
            time = self._times.iso(syslog.stamp) or self._times.syslog(syslog.stamp, near)
            inner = RawLine(
                syslog.body, origin, "rsyslog_plain", None if time is None else time / 1e6, syslog.process_id, None,
                _priority(syslog.priority, raw.attributes),
            )  # fmt: skip
            return self.parse(inner, transport)
        access = parse_access(text)
        if access is not None:
            http, stamp = access
            micros = self._times.access(stamp) if stamp else None
            line = self._access_line(raw, text, text, http, micros, "access", raw.process_id, transport)
            return raw.origin, line
        time, source = self._fallback(raw, transport)
        level = leading_level(text)
        return raw.origin, ParsedLine(
            raw.shape, time, source, text, text, process_id=raw.process_id, severity_text=level,
            severity_number=severity_number(level) if level else 0, attributes=raw.attributes or _EMPTY,
        )  # fmt: skip

    def _fallback(self, raw: RawLine, transport: int) -> tuple[int, str]:
        time = self._times.field(raw.record_time) if raw.record_time is not None else None
        return (transport, "transport") if time is None else (time, "record")

    def _oslo_json(self, raw: RawLine, record: dict[str, Any], transport: int) -> ParsedLine:
        time = self._times.field(record.get("created"))
        if time is None:
            time, source = self._fallback(raw, transport)
        else:
            source = "line"
        body, level = mask(record["message"]), text_of(record, "levelname")
        template, parameters = _json_template(record)
        context = record.get("context")
        ids = context if isinstance(context, dict) else {}
        access = parse_access(body)
        return ParsedLine(
            "oslo_json", time, source, mask(raw.text), body, has_header=True, has_context=True,
            process_id=raw.process_id, severity_text=level, severity_number=severity_number(level),
            logger=text_of(record, "name"), program=text_of(record, "name").partition(".")[0],
            request_id=text_of(ids, "request_id"), global_request_id=text_of(ids, "global_request_id"),
            instance_id=_instance(record, ids), user_id=text_of(ids, "user") or text_of(ids, "user_id"),
            project_id=text_of(ids, "project") or text_of(ids, "project_id"), http=access[0] if access else None,
            template=template, parameters=parameters, traceback=_traceback(record.get("traceback")),
            attributes=_code_place(record),
        )  # fmt: skip


def text_of(record: dict[str, Any], key: str) -> str:
    """A short masked text of a JSON record; empty for anything else."""
    value = record.get(key)
    return mask(value[:_MAX_PARAMETER_CHARS]) if isinstance(value, str) else ""


def _priority(priority: int | None, attributes: dict[str, str] | None) -> dict[str, str] | None:
    if priority is None:
        return attributes
    return {**(attributes or {}), "syslog_severity": str(priority % 8), "syslog_facility": str(priority // 8)}


def _json_template(record: dict[str, Any]) -> tuple[str | None, tuple[str, ...]]:
    """oslo's `msg` is the template when it was given arguments; otherwise the text came rendered and must be mined."""
    template, arguments = record.get("msg"), record.get("args")
    if not isinstance(template, str) or not arguments or template == record["message"]:
        return None, ()
    values = arguments.values() if isinstance(arguments, dict) else arguments if isinstance(arguments, list) else ()
    texts = [mask(shown(value))[:_MAX_PARAMETER_CHARS] for value in list(values)[:_MAX_PARAMETERS]]
    return mask(template), tuple(texts)


def _instance(record: dict[str, Any], context: dict[str, Any]) -> str:
    """The instance of oslo's adapter: `extra.instance` is a UUID, or an object that holds one."""
    extra = record.get("extra")
    for holder, key in (
        (extra, "instance_uuid"),
        (extra, "instance"),
        (record, "instance"),
        (context, "resource_uuid"),
    ):
        value = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(value, dict):
            value = value.get("uuid")
        if isinstance(value, str) and value:
            return mask(value.strip().removeprefix("[instance: ").removesuffix("]")[:64])
    return ""


def _traceback(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = value.split("\n")
    if not isinstance(value, list):
        return ()
    text = mask("\n".join(part for part in value if isinstance(part, str)))
    return tuple(text.split("\n")) if text else ()


def _code_place(record: dict[str, Any]) -> dict[str, str]:
    place = {
        f"code_{key}": mask(str(record[key]))[:_MAX_PARAMETER_CHARS]
        for key in ("pathname", "lineno", "funcname")
        if isinstance(record.get(key), (str, int))
    }
    summary = text_of(record, "error_summary")
    return {**place, "error_summary": summary} if summary else place
