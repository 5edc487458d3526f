"""A closed fold to a record of logs.parsed.v1."""

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import astuple

from services.ingest.core.access import HttpAccess
from services.ingest.core.folding import Fold
from services.ingest.core.lines import ParsedLine
from services.ingest.core.sources import Source
from services.ingest.core.tracebacks import bounded, describe, split_message

MAX_RAW_CHARS = 8192
MAX_BODY_CHARS = 32_768
MAX_MESSAGE_CHARS = 4096
MAX_PARAMETER_CHARS = 256


#: What an event says: its whole body, the line that is mined, and the exception if one was folded.
Content = tuple[str, str, dict[str, str] | None]


def content_of(fold: Fold) -> Content:
    """Puts the lines of a fold together."""
    head = fold.head
    body = head.body
    if not fold.lines and not head.traceback and "\n" not in body and not head.exception_type:
        return body[:MAX_BODY_CHARS], body, None
    message_lines, traceback = split_message([*body.split("\n"), *fold.lines])
    message = message_lines[0] if message_lines else traceback[0]
    text = "\n".join(message_lines).rstrip("\n") if message_lines else message
    exception = _exception(head.traceback or tuple(traceback), head)
    return text[:MAX_BODY_CHARS], message, exception


def build_events(
    folds: Sequence[Fold],
    contents: Sequence[Content],
    sources: Sequence[Source],
    mined: Sequence[tuple[str, list[str]]],
    partitions: Sequence[tuple[str, int]],
    miner_version: str,
    cluster: str,
) -> dict[str, Sequence[Any]]:
    """The records of some folds, as columns: for each field the values of all of them. There is one fold at least.

    Args:
        mined: template id and parameters.
        partitions: topic and partition of the raw records.
    """
    fold, head = _columns(folds), _columns([fold.head for fold in folds])
    entity_ids, parents, services, hosts, source_ids, pod_ids = zip(*sources, strict=True)
    bodies, _, exceptions = zip(*contents, strict=True)
    template_ids, parameters = zip(*mined, strict=True)
    topics, numbers = zip(*partitions, strict=True)
    return {
        "event_time": head["event_time"], "event_time_source": head["event_time_source"],
        "ingest_time": fold["ingest_time"], "cluster": [cluster] * len(folds), "entity_id": entity_ids,
        "parent_entity_ids": parents, "service_name": services, "host_name": hosts, "source_id": source_ids,
        "shape": head["shape"], "severity_number": head["severity_number"], "severity_text": head["severity_text"],
        "logger": head["logger"], "process_id": head["process_id"], "body": bodies,
        "raw_line": [text[:MAX_RAW_CHARS] for text in head["text"]], "template_id": template_ids,
        "miner_version": [miner_version] * len(folds), "parameters": parameters, "request_id": head["request_id"],
        "global_request_id": head["global_request_id"], "instance_id": head["instance_id"],
        "pod_id": [said or spoken_of for said, spoken_of in zip(pod_ids, head["pod_id"], strict=True)],
        "project_id": head["project_id"], "user_id": head["user_id"],
        "http": [None if http is None else _http(http) for http in head["http"]], "exception": exceptions,
        "source_topic": topics, "source_partition": numbers, "source_offsets": fold["offsets"],
        "source_index": fold["source_index"], "line_count": fold["line_count"], "attributes": head["attributes"],
    }  # fmt: skip


def _columns(structs: Sequence[msgspec.Struct]) -> dict[str, tuple[Any, ...]]:
    """The values of structs of one type by field."""
    return dict(zip(structs[0].__struct_fields__, zip(*map(astuple, structs), strict=True), strict=True))


def _http(http: HttpAccess) -> dict[str, Any]:
    return {
        "method": http.method, "target": http.target, "status": http.status,
        "duration_seconds": http.duration_seconds,
    }  # fmt: skip


def _exception(traceback: tuple[str, ...], head: ParsedLine) -> dict[str, str] | None:
    """What the record names comes before what its traceback says."""
    if not traceback and not head.exception_type:
        return None
    raised = describe(traceback)
    return {
        "type": head.exception_type or raised.type,
        "message": (head.exception_message or raised.message)[:MAX_MESSAGE_CHARS],
        "innermost_frame": raised.innermost_frame, "traceback": bounded("\n".join(traceback)),
    }  # fmt: skip
