"""A log event as the detectors see it, and the pause that a silent source makes."""

import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from services.common.alerts import Evidence, Severity

WARNING_NUMBER = 13
ERROR_NUMBER = 17
FATAL_NUMBER = 21
#: A line of evidence is for eyes; the offsets lead to the whole.
MAX_EVIDENCE_CHARS = 1000

#: How much an event may teach: everything, slowly, or nothing while an alert is open.
Learning = Literal["warm_up", "slow", "held"]


class LogEvent(NamedTuple):
    """The fields of logs.parsed.v1 that are judged; times in microseconds UTC. `status` is 0 without an access line."""

    event_time: int
    entity_id: str
    parent_entity_ids: tuple[str, ...]
    program: str
    host: str
    source_id: str
    severity: int
    logger: str
    body: str
    raw_line: str
    template_id: str
    status: int
    exception_type: str
    exception_message: str
    source_topic: str
    source_partition: int
    source_offsets: tuple[int, ...]
    source_index: int
    ingest_time: int

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "LogEvent":
        """A record of logs.parsed.v1. Raises KeyError or TypeError for one that is not."""
        http, exception = record["http"], record["exception"]
        return cls(
            record["event_time"], record["entity_id"], tuple(record["parent_entity_ids"]), record["service_name"],
            record["host_name"], record["source_id"], record["severity_number"], record["logger"], record["body"],
            record["raw_line"], record["template_id"], http["status"] if http else 0,
            exception["type"] if exception else "", exception["message"] if exception else "",
            record["source_topic"], record["source_partition"], tuple(record["source_offsets"]),
            record["source_index"], record["ingest_time"],
        )  # fmt: skip

    @property
    def is_counted(self) -> bool:
        """Whether any rule counts it: WARNING or above, or an access line that was refused or failed."""
        return self.severity >= WARNING_NUMBER or self.status >= 400

    @property
    def origin(self) -> str:
        """Which raw records it was made of; two events with the same origin are one."""
        offsets = self.source_offsets
        ends = f"{offsets[0]}-{offsets[-1]}" if offsets else ""
        return f"{self.source_topic}/{self.source_partition}/{ends}/{self.source_index}"

    def evidence(self) -> Evidence:
        """The event as an alert shows it."""
        return Evidence(
            self.event_time, self.entity_id, self.raw_line[:MAX_EVIDENCE_CHARS], None, self.template_id,
            self.source_topic, self.source_partition, self.source_offsets, self.source_index,
        )  # fmt: skip


class Pause(NamedTuple):
    """A source that has said nothing between its watermark and a clock; microseconds UTC."""

    source_id: str
    watermark: int
    clock: int

    @property
    def seconds(self) -> float:
        return (self.clock - self.watermark) / 1e6


Observation = LogEvent | Pause

_ENDINGS = re.compile(r"(\.(log|txt|json|out|err|gz|xz|bz2|zst|\d+))+$")


def member_of(source_id: str) -> str:
    """Which part of its entity a source is: the log file's name without path and endings, e.g. nova-compute-3."""
    name = source_id.rpartition("|")[2].rpartition("/")[2]
    return _ENDINGS.sub("", name) or name


class Alarm(NamedTuple):
    """What a detector says beside its score: which events, how bad, why."""

    starts_at: int
    severity: Severity
    summary: str
    reason: str
    evidence: tuple[Evidence, ...] = ()
