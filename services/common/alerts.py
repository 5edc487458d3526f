"""An alert's life, the same for every detector family: firing once, updated when it gets worse, resolved once.

What a detector saw is a `Finding`; what lasts across records is an `OpenAlert`, kept in a service's keyed state.
Nothing here reads a clock: event times and the wall time of publishing are handed in.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from services.common.cloudevents import event_headers
from services.common.errors import ArtifactMismatch

STATE_VERSION = 1
MAX_EVIDENCE = 10
#: Updates after the first record; what gets worse after that is counted, not published.
MAX_REVISIONS = 5
#: How much the score must rise for an update by score alone.
CLEARLY_WORSE = 0.15
MAX_QUIET_SECONDS = 300.0
SEVERITIES = ("info", "warning", "critical")

Status = Literal["firing", "updated", "resolved"]
Severity = Literal["info", "warning", "critical"]


class Evidence(msgspec.Struct, frozen=True):
    """A raw line or a sample that was counted; the fields of alerts.v1's Evidence."""

    event_time: int
    entity_id: str
    raw_line: str = ""
    value: float | None = None
    template_id: str = ""
    source_topic: str = ""
    source_partition: int = -1
    source_offsets: tuple[int, ...] = ()
    source_index: int = 0

    @property
    def origin(self) -> tuple[str, int, tuple[int, ...], int, str, int]:
        """What makes two pieces of evidence the same."""
        place = (self.source_topic, self.source_partition, self.source_offsets, self.source_index)
        return (*place, self.raw_line, self.event_time)


class Finding(msgspec.Struct, frozen=True):
    """What a detector saw against what it expected.

    Attributes:
        starts_at: event time of the first event that was counted, microseconds UTC.
        service: the program that misbehaves as far as known, `host` for a fault of the host, empty when unknown.
        members: the parts of the entity that it is about, where an entity has several: process groups, log files
            without their endings, e.g. nova-compute-3 of service:nova-compute@controller-1.
        reason: what was seen, against what, and what to do.
    """

    detector: str
    rule: str
    kind: str
    starts_at: int
    severity: Severity
    score: float
    threshold: float
    summary: str
    reason: str
    service: str = ""
    evidence: tuple[Evidence, ...] = ()
    mentions: tuple[str, ...] = ()
    members: tuple[str, ...] = ()
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    model_version: str = ""
    runbook_url: str = ""


class Subject(msgspec.Struct, frozen=True):
    """Whose alert it is. `program` is the service to name while nothing points elsewhere."""

    cluster: str
    entity_id: str
    parent_entity_ids: tuple[str, ...] = ()
    program: str = ""


class OpenAlert(msgspec.Struct):
    """One lasting trouble of one entity, until it is resolved.

    Attributes:
        rules, detectors: every rule and family that has spoken, the first one names the alert.
        members: the parts of the entity that it is about, at most MAX_EVIDENCE.
        last_bad: the source's watermark when the last bad event was counted, microseconds.
        quiet_seconds: how long the source must be quiet, by its own watermark, to resolve.
        num_bad: how many bad events were counted.
        signatures: template ids of what was counted, at most MAX_EVIDENCE, to know the same trouble when it returns.
    """

    subject: Subject
    finding: Finding
    fingerprint: str
    alert_id: str
    starts_at: int
    detected_at: int
    last_bad: int
    quiet_seconds: float
    revision: int = 0
    num_bad: int = 1
    rules: list[str] = msgspec.field(default_factory=list)
    detectors: list[str] = msgspec.field(default_factory=list)
    members: list[str] = msgspec.field(default_factory=list)
    evidence: list[Evidence] = msgspec.field(default_factory=list)
    mentions: list[str] = msgspec.field(default_factory=list)
    signatures: list[str] = msgspec.field(default_factory=list)


class Resolved(msgspec.Struct, frozen=True):
    """What is remembered of an entity's last alert, to hold one that comes and goes open for longer."""

    resolved_at: int
    quiet_seconds: float
    signatures: tuple[str, ...] = ()
    starts_at: int = 0


def fingerprint(cluster: str, detector: str, rule: str, entity_id: str) -> str:
    """The same trouble whenever it comes: 32 hexadecimal digits, never of model, template, score or wording."""
    return _hash(cluster, detector, rule, entity_id)


def alert_id(of_fingerprint: str, starts_at: int) -> str:
    """One lasting trouble: 32 hexadecimal digits of the fingerprint and the start, microseconds."""
    return _hash(of_fingerprint, str(starts_at))


def _hash(*parts: str) -> str:
    # Length before text, so that no two lists of parts read the same.
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(joined.encode(), digest_size=16).hexdigest()


def fire(
    subject: Subject, finding: Finding, watermark: int, quiet_seconds: float, last: Resolved | None = None
) -> OpenAlert:
    """A new alert. When the same trouble was resolved a short while ago, it now has to be quiet for twice as long.

    Args:
        watermark: the source's watermark at the decision, microseconds; becomes `detected_at`.
        quiet_seconds: how long the source must be quiet to resolve, when nothing came before.
        last: the entity's alert before this one.
    """
    of = fingerprint(subject.cluster, finding.detector, finding.rule, subject.entity_id)
    # An event that comes late may count from the start of an alert that is over: a new life needs a start of its own.
    starts_at = max(finding.starts_at, last.starts_at + 1) if last is not None else finding.starts_at
    alert = OpenAlert(
        subject, finding, of, alert_id(of, starts_at), starts_at, watermark, watermark, quiet_seconds,
        rules=[finding.rule], detectors=[finding.detector],
    )  # fmt: skip
    add_evidence(alert, finding.evidence, finding.mentions)
    _add_members(alert, finding.members)
    if last is not None and _comes_back(alert, last):
        alert.quiet_seconds = min(2 * last.quiet_seconds, MAX_QUIET_SECONDS)
    return alert


def _comes_back(alert: OpenAlert, last: Resolved) -> bool:
    soon = alert.last_bad - last.resolved_at <= MAX_QUIET_SECONDS * 1e6
    return soon and not set(alert.signatures).isdisjoint(last.signatures)


def add_evidence(alert: OpenAlert, evidence: tuple[Evidence, ...], mentions: tuple[str, ...] = ()) -> None:
    """Keeps the first MAX_EVIDENCE pieces, each once."""
    for piece in evidence:
        if len(alert.evidence) >= MAX_EVIDENCE:
            break
        if all(piece.origin != held.origin for held in alert.evidence):
            alert.evidence.append(piece)
    for name in mentions:
        if name not in alert.mentions and len(alert.mentions) < 4 * MAX_EVIDENCE:
            alert.mentions.append(name)
    for piece in evidence:
        if piece.template_id and piece.template_id not in alert.signatures and len(alert.signatures) < MAX_EVIDENCE:
            alert.signatures.append(piece.template_id)


def _add_members(alert: OpenAlert, members: tuple[str, ...]) -> None:
    for name in members:
        if name not in alert.members and len(alert.members) < MAX_EVIDENCE:
            alert.members.append(name)


def still_bad(alert: OpenAlert, watermark: int) -> None:
    """One more bad event, or the trouble lasts: the quiet time begins anew."""
    alert.last_bad = max(alert.last_bad, watermark)
    alert.num_bad += 1


def join(alert: OpenAlert, findings: Sequence[Finding], watermark: int) -> bool:
    """Takes what was found of one more bad event into the open alert; true when an `updated` record is due.

    That is when the severity rises, the score is clearly worse or the misbehaving service becomes known, and at most
    MAX_REVISIONS times. The alert keeps its rule, start and id.
    """
    still_bad(alert, watermark)
    is_news = [take_in(alert, finding) for finding in findings]
    if not any(is_news) or alert.revision >= MAX_REVISIONS:
        return False
    alert.revision += 1
    alert.detected_at = max(alert.detected_at, watermark)
    return True


def take_in(alert: OpenAlert, finding: Finding) -> bool:
    """Adds what a finding knows: evidence, rule, severity, score, service. Returns whether the alert is news now."""
    held = alert.finding
    add_evidence(alert, finding.evidence, finding.mentions)
    _add_members(alert, finding.members)
    if finding.rule not in alert.rules:
        alert.rules.append(finding.rule)
    if finding.detector not in alert.detectors:
        alert.detectors.append(finding.detector)
    is_worse = SEVERITIES.index(finding.severity) > SEVERITIES.index(held.severity)
    names_service = bool(finding.service) and not held.service
    if not is_worse and not names_service and finding.score < held.score + CLEARLY_WORSE:
        return False
    alert.finding = msgspec.structs.replace(
        held,
        severity=finding.severity if is_worse else held.severity,
        score=max(held.score, finding.score),
        service=held.service or finding.service,
        summary=finding.summary,
        reason=held.reason if finding.reason in held.reason else f"{held.reason} Then: {finding.reason}"[:4000],
    )
    return True


def is_quiet(alert: OpenAlert, watermark: int) -> bool:
    """Whether the source has gone on for long enough with nothing bad."""
    return watermark - alert.last_bad >= alert.quiet_seconds * 1_000_000


def resolve(alert: OpenAlert, watermark: int) -> Resolved:
    """Ends the alert; write its `resolved` record next, and keep what is returned."""
    alert.revision += 1
    alert.detected_at = max(alert.detected_at, watermark)
    return Resolved(alert.detected_at, alert.quiet_seconds, tuple(alert.signatures), alert.starts_at)


def alert_record(alert: OpenAlert, status: Status, published_at: int, why: str = "") -> dict[str, Any]:
    """The record of alerts.v1, all times in microseconds UTC.

    Args:
        published_at: the wall time.
        why: of a `resolved` record, why: a sentence, or `source_silent`.
    """
    finding = alert.finding
    return {
        "fingerprint": alert.fingerprint,
        "alert_id": alert.alert_id,
        "revision": alert.revision,
        "status": status,
        "starts_at": alert.starts_at,
        "ends_at": max(alert.last_bad, alert.starts_at) if status == "resolved" else None,
        "detected_at": alert.detected_at,
        "published_at": published_at,
        "cluster": alert.subject.cluster,
        "entity_id": alert.subject.entity_id,
        "parent_entity_ids": list(alert.subject.parent_entity_ids),
        "service": finding.service or alert.subject.program,
        "detector": finding.detector,
        "rule": finding.rule,
        "kind": finding.kind,
        "severity": finding.severity,
        "score": finding.score,
        "threshold": finding.threshold,
        "summary": finding.summary,
        "reason": f"{why} {finding.reason}".strip() if status == "resolved" else finding.reason,
        "evidence": [_evidence_record(piece) for piece in alert.evidence],
        "mentions": list(alert.mentions),
        "labels": {**finding.labels, **_common_labels(alert)},
        "model_version": finding.model_version,
        "runbook_url": finding.runbook_url,
    }


def _common_labels(alert: OpenAlert) -> dict[str, str]:
    labels = {
        "rules": ",".join(alert.rules),
        "detectors": ",".join(alert.detectors or [alert.finding.detector]),
        "num_bad": str(alert.num_bad),
    }
    return labels | ({"members": ",".join(alert.members)} if alert.members else {})


def _evidence_record(piece: Evidence) -> dict[str, Any]:
    record: dict[str, Any] = msgspec.structs.asdict(piece)
    record["source_offsets"] = list(piece.source_offsets)
    return record


def cloudevent_headers(record: dict[str, Any]) -> list[tuple[str, bytes]]:
    """The CloudEvents 1.0 attributes of an alert's record as Kafka headers (binary content mode)."""
    return event_headers(
        f"{record['alert_id']}:{record['status']}:{record['revision']}",
        f"/moselle/{record['cluster']}/{record['detector']}",
        f"moselle.alert.{record['status']}.v1",
        record["detected_at"],
    )


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(OpenAlert)


def encode_alert(alert: OpenAlert) -> bytes:
    """MessagePack of STATE_VERSION."""
    return _encoder.encode(alert)


def decode_alert(payload: bytes, version: int = STATE_VERSION) -> OpenAlert:
    """What `encode_alert` made.

    Raises:
        ArtifactMismatch: another version, or bytes that are not an open alert.
    """
    if version != STATE_VERSION:
        raise ArtifactMismatch(f"An open alert was saved as version {version}, this program reads {STATE_VERSION}.")
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(f"A saved open alert cannot be read ({error}); delete the state and replay.") from error
