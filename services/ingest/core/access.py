"""Access lines: what a web server says of one request."""

import re

import msgspec

#: eventlet in nova (`"GET /v2 HTTP/1.1" status: 200 len: 1 time: 0.2`), eventlet in glance and neutron, placement,
#: Apache and nginx (`1.2.3.4 - user [21/Nov/2026:06:13:21 +0000] "GET / HTTP/1.1" 200 12 "referer" "agent"`).
#: Apache may end with a whole number of something else; times have a point.
_ACCESS = re.compile(
    r'\S{1,200}+ (?:\S{1,200}+ \S{1,200}+ \[(?P<stamp>[^\]]{1,40})\] )?'
    r'"(?P<method>[A-Z]{3,10}+) (?P<target>[^ \t-\r"]{1,8192}+)(?: HTTP/[\d.]{1,4}+)?" '
    r"(?:status: (?P<status>\d{3})(?: {1,2}+|$)(?:len: \S{1,20}+(?: time: (?P<time>\d{1,9}\.\d{1,12})(?![\d.]))?)?"
    r"|(?P<code>\d{3}) (?:\d{1,20}|-)(?: (?P<last>\d{1,9}\.\d{1,12})(?= |$))?)",
    re.ASCII,
)  # fmt: skip
_UWSGI = re.compile(
    r"\[pid: (?P<pid>\d{1,10})\|app: [^|\]]{1,8}\|req: [^\]]{1,32}\] \S{1,64} \([^)]{0,200}\) \{[^}]{0,64}\} "
    r"\[(?P<stamp>[^\]]{1,32})\] "
    r"(?P<body>(?P<method>[A-Z]{3,10}) (?P<target>\S{1,8192}) => generated \d{1,15} bytes in (?P<time>\d{1,12}) "
    r"(?P<unit>msecs|micros|secs) \([^ )]{1,16} (?P<status>\d{3})\).*)",
    re.ASCII | re.DOTALL,
)
_UNIT_SECONDS = {"msecs": 1e-3, "micros": 1e-6, "secs": 1.0}


class HttpAccess(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request. `duration_seconds` is None when the line does not say it."""

    method: str
    target: str
    status: int
    duration_seconds: float | None


class UwsgiLine(msgspec.Struct, frozen=True):
    """uWSGI's access line; `stamp` is local time, `body` begins with the method."""

    process_id: int
    stamp: str
    body: str
    http: HttpAccess


def parse_access(body: str) -> tuple[HttpAccess, str | None] | None:
    """The request of an access line with the time in its brackets, if there is one; None for other texts."""
    if '"' not in body:
        return None
    found = _ACCESS.match(body)
    if found is None:
        return None
    stamp, method, target, status, time, code, last = found.groups()
    seconds = time or last
    return HttpAccess(method, target, int(status or code), float(seconds) if seconds else None), stamp


def parse_uwsgi(line: str) -> UwsgiLine | None:
    """uWSGI's default log format; None for other texts."""
    found = _UWSGI.match(line)
    if found is None:
        return None
    pid, stamp, body, method, target, amount, unit, status = found.groups()
    seconds = int(amount) * _UNIT_SECONDS[unit]
    return UwsgiLine(int(pid), stamp, body, HttpAccess(method, target, int(status), seconds))
