"""A quick reader of oslo.log and uWSGI text files for offline evaluation: lines to records of logs.parsed.v1.

Ingest is what reads logs in service. This is a smaller reader with a plain mask for templates, so that the rules can
be tried on a folder without a broker; figures with ingest's own templates may differ a little.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from services.common.clock import to_micros
from services.common.entities import host_entity, program_name, service_entity

_OSLO = re.compile(
    r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (\d+) "
    r"(TRACE|DEBUG|INFO|WARNING|AUDIT|ERROR|CRITICAL) (\S+) ?(\[[^\]]*\] )?(.*)"
)
_UWSGI = re.compile(
    r"^\[pid: .*? \[(\w{3} \w{3} [\d ]\d \d\d:\d\d:\d\d \d{4})\] (\w+) (\S+) => .*\(HTTP/[\d.]+ (\d{3})\)"
)
_ACCESS = re.compile(r'"([A-Z]+) (\S+) HTTP/[\d.]+" (?:status: )?(\d{3})\b')
_EXCEPTION = re.compile(r"^((?:[\w]+\.)*[A-Z]\w*(?:Error|Exception|Failure|Timeout|[a-z]\w*)): (.*)")
_VARIABLE = re.compile(r"\d|^[0-9a-f]{8,}$|^/|^<|://")
_WORDS = re.compile(r"[\s,=:;()\[\]{}'\"]+")
_NUMBERS = {"TRACE": 1, "DEBUG": 5, "INFO": 9, "AUDIT": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}


def template_of(body: str) -> str:
    """16 hexadecimal digits of the body's first line without its variable words."""
    words = (word for word in _WORDS.split(body.split("\n", 1)[0][:400]) if word and not _VARIABLE.search(word))
    return hashlib.blake2b(" ".join(words).encode(), digest_size=8).hexdigest()


def read_lines(lines: Iterable[str], path: str, host: str, cluster: str = "default") -> Iterator[dict[str, Any]]:
    """The events of one file in its order. A line that continues a traceback joins the event before it."""
    entity = service_entity(program_name(path), host)
    held: dict[str, Any] | None = None
    for offset, line in enumerate(lines):
        line = line.rstrip("\n")
        record = _event(line, path, host, cluster, offset, entity.entity_id)
        if held is not None and _continues(line, record, held):
            _fold(held, line, record, offset)
            continue
        if held is not None:
            yield held
        held = record
    if held is not None:
        yield held


def _continues(line: str, record: dict[str, Any] | None, held: dict[str, Any]) -> bool:
    if record is None:
        return True
    same = all(record[name] == held[name] for name in ("process_id", "logger", "severity_text"))
    return same and record["severity_number"] >= 17 and not record["attributes"]["context"] and "Traceback" in (
        record["body"] + held["attributes"].get("folding", "")
    )  # fmt: skip


def _fold(held: dict[str, Any], line: str, record: dict[str, Any] | None, offset: int) -> None:
    body = record["body"] if record else line
    held["attributes"]["folding"] = "Traceback"
    held["source_offsets"].append(offset)
    held["line_count"] += 1
    match = _EXCEPTION.match(body)
    if match:
        held["exception"] = {"type": match[1], "message": match[2], "innermost_frame": "", "traceback": ""}


def _event(line: str, path: str, host: str, cluster: str, offset: int, entity_id: str) -> dict[str, Any] | None:
    match = _OSLO.match(line)
    if match:
        when = datetime.strptime(match[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
        access = _ACCESS.search(match[6])
        http = _http(*access.groups()) if access else None
        head = (int(match[2]), match[3], match[4], match[6], match[5] or "")
    else:
        match = _UWSGI.match(line)
        if not match:
            return None
        when = datetime.strptime(match[1], "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC)
        http = _http(*match.groups()[1:])
        head = (0, "", "uwsgi", line, "uwsgi")
    process_id, level, logger, body, context = head
    time = to_micros(when)
    return {
        "event_time": time, "event_time_source": "line", "ingest_time": time, "cluster": cluster,
        "entity_id": entity_id, "parent_entity_ids": [host_entity(host).entity_id],
        "service_name": entity_id.partition(":")[2].rpartition("@")[0], "host_name": host,
        "source_id": f"{host}:{path}", "shape": "oslo_text", "severity_number": _NUMBERS.get(level, 9 if http else 0),
        "severity_text": level, "logger": logger, "process_id": process_id, "body": body, "raw_line": line[:8192],
        "template_id": template_of(body) if _NUMBERS.get(level, 0) >= 13 else "0" * 16, "miner_version": "plain-1",
        "parameters": [], "http": http, "exception": None, "source_topic": "logs.raw", "source_partition": 0,
        "source_offsets": [offset], "source_index": 0, "line_count": 1, "attributes": {"context": context},
    }  # fmt: skip


def _http(method: str, target: str, status: str) -> dict[str, Any]:
    return {"method": method, "target": target, "status": int(status), "duration_seconds": None}
