"""A closed fold to a record of logs.parsed.v1."""

from typing import Any, NamedTuple

from services.ingest.core.access import HttpAccess
from services.ingest.core.folding import Fold
from services.ingest.core.lines import ParsedLine
from services.ingest.core.sources import Source
from services.ingest.core.tracebacks import bounded, describe, split_message

MAX_RAW_CHARS = 8192
MAX_BODY_CHARS = 32_768
MAX_MESSAGE_CHARS = 4096
MAX_PARAMETER_CHARS = 256


class Content(NamedTuple):
    """What an event says: its whole body, the line that is mined, and the exception if one was folded."""

    body: str
    message: str
    exception: dict[str, str] | None


def content_of(fold: Fold) -> Content:
    """Puts the lines of a fold together."""
    head = fold.head
    body = head.body
    if not fold.lines and not head.traceback and "\n" not in body and not head.exception_type:
        return Content(body[:MAX_BODY_CHARS], body, None)
    message_lines, traceback = split_message([*body.split("\n"), *fold.lines])
    message = message_lines[0] if message_lines else traceback[0]
    text = "\n".join(message_lines).rstrip("\n") if message_lines else message
    exception = _exception(head.traceback or tuple(traceback), head)
    return Content(text[:MAX_BODY_CHARS], message, exception)


def build_event(
    fold: Fold,
    content: Content,
    source: Source,
    mined: tuple[str, list[str]],
    miner_version: str,
    cluster: str,
    partition: tuple[str, int],
) -> dict[str, Any]:
    """The record.

    Args:
        mined: template id and parameters.
        partition: topic and partition of the raw records.
    """
    head = fold.head
    template_id, parameters = mined
    entity_id, parent_entity_ids, service_name, host_name, source_id, pod_id = source
    topic, number = partition
    return {
        "event_time": head.event_time, "event_time_source": head.event_time_source, "ingest_time": fold.ingest_time,
        "cluster": cluster, "entity_id": entity_id, "parent_entity_ids": parent_entity_ids,
        "service_name": service_name, "host_name": host_name, "source_id": source_id,
        "shape": head.shape, "severity_number": head.severity_number, "severity_text": head.severity_text,
        "logger": head.logger, "process_id": head.process_id, "body": content.body,
        "raw_line": head.text[:MAX_RAW_CHARS], "template_id": template_id, "miner_version": miner_version,
        "parameters": parameters, "request_id": head.request_id, "global_request_id": head.global_request_id,
        "instance_id": head.instance_id, "pod_id": pod_id or head.pod_id,
        "project_id": head.project_id, "user_id": head.user_id,
        "http": _http(head.http) if head.http is not None else None, "exception": content.exception,
        "source_topic": topic, "source_partition": number,
        "source_offsets": fold.offsets, "source_index": fold.source_index, "line_count": fold.line_count,
        "attributes": head.attributes,
    }  # fmt: skip


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
