"""Line headers: oslo.log's, and syslog's old and new one."""

import re
from functools import lru_cache
from typing import NamedTuple

from services.ingest.core.severity import severity_number

#: The request block begins with `-`, `None` or `req-`; a message in brackets is not one.
_OSLO_FORM = (
    r"(?P<second>\d{{4}}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:[.,](?P<fraction>\d{{1,9}}))? "
    r"(?P<writer>\d{{1,10}} (?:TRACE|DEBUG|INFO|AUDIT|WARNING|WARN|ERROR|CRITICAL|FATAL) [A-Za-z0-9_.:\-]{{1,200}})"
    r"(?: |$)(?:\[(?P<context>-|(?P<first>None|-|req-[A-Za-z0-9_-]{{1,64}})"
    r"(?: (?P<request>req-[A-Za-z0-9_-]{{1,64}})(?=[ \]]))?(?: (?P<people>{within}{{0,512}}))?)\](?: |$))?"
    r"(?:\[instance: (?P<instance>[A-Za-z0-9_-]{{1,64}})\](?: |$))?(?P<body>.*)"
)
_OSLO = re.compile(_OSLO_FORM.format(within=r"[^\]]"), re.ASCII | re.DOTALL)
#: No newline is in a request block. All but one character are passed over much faster than all but two.
_OSLO_LINES = re.compile(_OSLO_FORM.format(within=r"[^\]\n]"), re.ASCII | re.DOTALL)
_ISO = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_TAG = r"(?P<tag>[\w./\-@]{1,128}?)(?:\([^)\s]{1,64}\))?(?:\[(?P<pid>\d{1,10})\])?:(?: |$)(?P<body>.*)"
_RSYSLOG = re.compile(rf"(?P<stamp>{_ISO}) (?P<host>\S{{1,255}}) {_TAG}", re.ASCII | re.DOTALL)
_RFC3164 = re.compile(
    rf"(?:<(?P<priority>\d{{1,3}})>)?(?P<stamp>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d) (?P<host>\S{{1,255}}) {_TAG}",
    re.ASCII | re.DOTALL,
)
#: A message in UTF-8 may begin with the byte order mark.
_RFC5424 = re.compile(
    rf"<(?P<priority>\d{{1,3}})>\d{{1,2}} (?P<stamp>{_ISO}|-) (?P<host>\S{{1,255}}) "
    r"(?P<tag>\S{1,128}) (?P<pid>\S{1,128}) "
    r'\S{1,64} (?:-|(?:\[(?:[^\]\\"]|\\.|"(?:[^"\\]|\\.)*+")*+\]){1,16})(?: |$)\ufeff?(?P<body>.*)',
    re.ASCII | re.DOTALL,
)
#: klog and glog: level, month and day, time, thread, file and line.
_KLOG = re.compile(
    r"[IWEF](?P<month>\d\d)(?P<day>\d\d) (?P<clock>\d\d:\d\d:\d\d)\.(?P<micros>\d{6}) {1,7}(?P<thread>\d{1,10}) "
    r"(?P<file>[\w./@-]{1,200}):(?P<line>\d{1,9})\] ?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
#: Any line that begins with a date and time, as RabbitMQ, MariaDB, libvirt, Open vSwitch, nginx and loggers write it.
_TIMED = re.compile(
    r"\[?(?P<day>\d{4}[-/]\d\d[-/]\d\d)[T ] ?(?P<clock>\d{1,2}:\d\d:\d\d)(?P<fraction>[.,]\d{1,9})?"
    r"(?: ?(?P<zone>Z|UTC|GMT|[+-]\d\d:?\d\d))?\]?(?=[\s|:,-]|$)[\s|:,-]{0,4}(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
#: The level near the beginning of such a line: a word in capitals, or any case in brackets, bars or colons.
_NEAR_LEVEL = re.compile(
    r"[^\n]{0,64}?(?:(?<![\w-])(?P<word>TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL|SEVERE)(?![\w-])"
    r"|[\[<|](?P<closed>trace|debug|info|note|notice|warn|warning|error|crit|critical|fatal|alert|emerg)[\]>|]"
    r"|: (?P<spaced>debug|info|warning|error) :)",
    re.ASCII | re.IGNORECASE,
)
#: Apache's error log, old and new.
_APACHE_ERROR = re.compile(
    r"\[(?P<day>[A-Z][a-z]{2} [A-Z][a-z]{2} {1,2}\d{1,2}) (?P<clock>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,6}))? "
    r"(?P<year>\d{4})\] \[(?:(?P<module>[\w-]{1,64}):)?(?P<level>[a-z]{2,9}\d?)\] "
    r"(?:\[pid (?P<pid>\d{1,10})(?::tid \d{1,20})?\] )?(?:\[(?:client|remote) [^\]\n]{1,64}\] )?(?P<body>.*)",
    re.ASCII | re.DOTALL,
)
#: A file's name before oslo.log's header, as collections of several files have it.
_PREFIXED = re.compile(r"(?P<program>[A-Za-z][A-Za-z_-]{0,64})[\w.:-]{0,128} {1,4}(?:\| )?(?=\d{4}-)")
#: As klog's structured logging names the pod that a line speaks of.
_KLOG_POD = re.compile(r'\bpods?=(?:"|\[?"?)(?P<pod>[a-z0-9-]{1,63}/[a-z0-9.-]{1,253})"')


class Writer(NamedTuple):
    """Who wrote an oslo.log line, and how severe it is; `program` is the logger's first word."""

    process_id: int
    severity_text: str
    severity_number: int
    logger: str
    program: str


class OsloHeader(NamedTuple):
    """An oslo.log text header, as written; `context` is None when the block is missing, as in a traceback's lines."""

    second: str
    fraction: str | None
    writer: Writer
    context: str | None
    ids: "Context"
    instance_id: str
    body: str


class SyslogHeader(NamedTuple):
    """A syslog header; `stamp` is as written and `body` is a line of its own."""

    stamp: str
    host: str
    program: str
    process_id: int | None
    priority: int | None
    body: str


class KlogHeader(NamedTuple):
    """klog's header; `pod` is `namespace/name` where the message names one."""

    month: int
    day: int
    clock: str
    micros: int
    thread: int
    file: str
    line: str
    body: str
    pod: str


class ApacheError(NamedTuple):
    """Apache's error header; `stamp` is as ctime writes it. What a program behind wsgi wrote is a line of its own."""

    stamp: str
    fraction: str | None
    module: str
    level: str
    process_id: int | None
    body: str


class TimedHeader(NamedTuple):
    """A date and time at the beginning of a line, in ISO form, with the level that stands near it, as written."""

    stamp: str
    level: str
    body: str


class Context(NamedTuple):
    """Who asked: ids as written, empty when there is none."""

    request_id: str = ""
    global_request_id: str = ""
    user_id: str = ""
    project_id: str = ""


NO_CONTEXT = Context()
#: How nobody is written.
KNOWN = {"-": "", "None": ""}


def parse_oslo(line: str) -> OsloHeader | None:
    """oslo.log's default format of all releases; None for other lines."""
    found = match_oslo(line)
    if found is None:
        return None
    second, fraction, writer, context, _, _, _, instance, body = found.groups()
    return OsloHeader(second, fraction, writer_of(writer), context, parse_context(context), instance or "", body)


def match_oslo(line: str, start: int = 0) -> re.Match[str] | None:
    """An oslo.log header and its body. Groups: second, fraction, writer, context with first, request and people in it,
    instance, body."""
    return _OSLO_LINES.match(line, start) if "\n" in line else _OSLO.match(line, start)


@lru_cache(4096)
def writer_of(words: str) -> Writer:
    """Process id, level and logger."""
    pid, level, logger = words.split(" ")
    return Writer(int(pid), level, severity_number(level), logger, logger.partition(".")[0])


def parse_context(block: str | None) -> Context:
    """The request block's words: one or two request ids, then user and project.

    New releases write `global request user project domain system user_domain project_domain`, with None for a
    missing global id; older ones `request user project - - -`.
    """
    if not block or block == "-":
        return NO_CONTEXT
    first, second, people = [*block.split(" ", 2), "", ""][:3]
    if second.startswith("req-") or first == second == "None":
        return Context(_known(second), _known(first), *user_and_project(people))
    return Context(_known(first), "", *user_and_project(f"{second} {people}"))


# Few people write many lines, each request of theirs under an id of its own.
@lru_cache(4096)
def user_and_project(words: str | None) -> tuple[str, str]:
    """The first two words of those that follow the request ids."""
    if not words:
        return "", ""
    user, project, *_ = [*words.split(" ", 2), "", ""]
    return _known(user), _known(project)


def parse_klog(line: str) -> KlogHeader | None:
    """klog's header; None for other lines."""
    found = _KLOG.match(line)
    if found is None:
        return None
    month, day, clock, micros, thread, file, number, body = found.groups()
    pod = _KLOG_POD.search(body) if "/" in body else None
    return KlogHeader(
        int(month), int(day), clock, int(micros), int(thread), file, number, body, pod["pod"] if pod else ""
    )


def parse_apache_error(line: str) -> ApacheError | None:
    """Apache's error log; None for other lines."""
    found = _APACHE_ERROR.match(line)
    if found is None:
        return None
    day, clock, fraction, year, module, level, pid, body = found.groups()
    return ApacheError(f"{day} {clock} {year}", fraction, module or "", level, int(pid) if pid else None, body)


def parse_prefixed(line: str) -> tuple[str, str] | None:
    """(program, the line behind it) of an oslo.log line that a file's name precedes; None for other lines."""
    found = _PREFIXED.match(line)
    if found is None or match_oslo(line, found.end()) is None:
        return None
    return found["program"], line[found.end() :]


def parse_timed(line: str) -> TimedHeader | None:
    """A line that begins with its time; None for other lines."""
    found = _TIMED.match(line)
    if found is None:
        return None
    day, clock, fraction, zone, body = found.groups()
    zone = "Z" if zone in ("UTC", "GMT") else zone or ""
    return TimedHeader(f"{day.replace('/', '-')} {clock:0>8}{fraction or ''}{zone}", near_level(body), body)


def near_level(text: str) -> str:
    """The level that stands within the first words of a text, as written; empty for none."""
    found = _NEAR_LEVEL.match(text)
    if found is None:
        return ""
    word = found["word"]
    return (word if word.isupper() else "") if word else found["closed"] or found["spaced"]


def parse_syslog(line: str) -> SyslogHeader | None:
    """rsyslog's file format, RFC 3164 with or without priority, or RFC 5424; None for other lines."""
    first = line[:1]
    if first == "<":
        found = _RFC5424.match(line) or _RFC3164.match(line)
    else:
        found = _RSYSLOG.match(line) if first.isdigit() else _RFC3164.match(line)
    if found is None:
        return None
    parts = found.groupdict()
    pid, priority = parts["pid"], parts.get("priority")
    process_id = int(pid) if pid and pid.isascii() and pid.isdigit() and len(pid) <= 10 else None
    host, program = _known(parts["host"]), _known(parts["tag"])
    return SyslogHeader(parts["stamp"], host, program, process_id, int(priority) if priority else None, parts["body"])


def _known(word: str) -> str:
    return KNOWN.get(word, word)
