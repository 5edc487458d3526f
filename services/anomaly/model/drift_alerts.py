"""The life of an entity's alert of kind `drift`: it fires once, and is resolved when its signals are learnt anew."""

from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import Any, NamedTuple

import msgspec

from services.anomaly.core.semantics import shown
from services.anomaly.core.words import place
from services.anomaly.model.drift import CONFIRM
from services.common.alerts import (
    MAX_REVISIONS,
    Evidence,
    Finding,
    OpenAlert,
    Resolved,
    Subject,
    alert_record,
    fire,
    resolve,
    still_bad,
    take_in,
)
from services.common.clock import EPOCH

FAMILY = "metric.anomaly"
RULE = "drift"
MODEL_VERSION = "drift-1"
ADVICE = (
    "Nothing need be wrong: what is normal for it has changed, and is being learnt anew. Look what was deployed, "
    "configured or moved then."
)


class Drifted(NamedTuple):
    """A signal that changed for good, as `DriftBank` found it.

    Attributes:
        words, unit: of its meaning (core/semantics.py).
        since: microseconds.
        errors: standard errors by which fresh points differ.
    """

    signal: str
    words: str
    unit: str
    is_spread: bool
    since: int
    before: float
    after: float
    errors: float


class DriftState(msgspec.Struct):
    """What is saved of an entity's drift: the open alert, the last one, and the signals that drift now."""

    open: OpenAlert | None = None
    last: Resolved | None = None
    signals: list[str] = msgspec.field(default_factory=list)


def drifted(
    state: DriftState,
    subject: Subject,
    found: Iterable[Drifted],
    watermark: int,
    published_at: int,
    runbook_url: str = "",
) -> list[dict[str, Any]]:
    """The records to write, none or one: `firing`, or `updated` when another signal joins or goes on changing.

    Args:
        watermark: event time of the decision; `published_at`: the wall time; both microseconds UTC.
    """
    findings = [_finding(each, subject, runbook_url) for each in found]
    if not findings:
        return []
    state.signals = list(dict.fromkeys([*state.signals, *(each.labels["signals"] for each in findings)]))
    is_new = state.open is None
    alert = state.open
    if alert is None:
        alert = state.open = fire(subject, findings[0], watermark, 0.0, state.last)
    else:
        still_bad(alert, watermark)
    for finding in findings[1:] if is_new else findings:
        take_in(alert, finding)
        alert.finding = msgspec.structs.replace(
            alert.finding, summary=finding.summary, reason=_joined(alert.finding.reason, finding.reason)
        )
    alert.finding = msgspec.structs.replace(alert.finding, labels={"signals": ",".join(state.signals)})
    if is_new:
        return [alert_record(alert, "firing", published_at)]
    if alert.revision >= MAX_REVISIONS:
        return []
    alert.revision += 1
    alert.detected_at = max(alert.detected_at, watermark)
    return [alert_record(alert, "updated", published_at)]


def relearnt(
    state: DriftState,
    signals: Iterable[str],
    watermark: int,
    published_at: int,
    why: str = "The new normal has been learnt.",
) -> list[dict[str, Any]]:
    """The `resolved` record, once none of its signals drifts any more: each was learnt anew, or is gone."""
    over = set(signals)
    state.signals = [signal for signal in state.signals if signal not in over]
    if state.open is None or state.signals:
        return []
    alert, state.open = state.open, None
    state.last = resolve(alert, watermark)
    return [alert_record(alert, "resolved", published_at, why)]


def _finding(each: Drifted, subject: Subject, runbook_url: str) -> Finding:
    where = place(subject.entity_id)
    what = "changes by" if each.is_spread else "lies at"
    since = (EPOCH + timedelta(microseconds=each.since)).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    before, after = shown(each.before, each.unit), shown(each.after, each.unit)
    summary = f"{each.words} of {where} {what} {after} since {since}, {before} before"
    reason = (
        f"{each.signal} {what} {after} on average since about {since} and {before} before, without its daily pattern; "
        f"fresh points after that was seen differ by {each.errors:.1f} standard errors (line {CONFIRM:g}). {ADVICE}"
    )
    evidence = (Evidence(each.since, subject.entity_id, each.signal, each.after),)
    return Finding(
        FAMILY, RULE, "drift", each.since, "info", each.errors / (each.errors + CONFIRM), 0.5, summary, reason,
        subject.program, evidence, labels={"signals": each.signal}, model_version=MODEL_VERSION,
        runbook_url=runbook_url,
    )  # fmt: skip


def _joined(before: str, after: str) -> str:
    return before if after in before else f"{before} Then: {after}"[:4000]
