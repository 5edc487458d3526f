"""Limits that a forecast will reach: one alert an entity at a time, from the first sure warning to the all-clear."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from services.common.alerts import (
    Evidence,
    Finding,
    OpenAlert,
    Resolved,
    Severity,
    Subject,
    fire,
    is_quiet,
    join,
    resolve,
    still_bad,
    take_in,
)
from services.predictor.core.conformal import share_above
from services.predictor.core.targets import Floats

FAMILY = "forecast"
KIND = "forecast"
#: A limit that is reached sooner than this is critical.
SOON_SECONDS = 300
#: While it is at least this likely that the limit is reached, an open alert lasts.
STILL_LIKELY = 0.5
#: An open alert lasts while the value is above this part of the limit.
STILL_NEAR = 0.98


class Outlook(NamedTuple):
    """What a forecast says of one target's limit.

        Attributes:
            recent_high: the highest of the last minute's values.
            probability: how likely the limit is reached within the horizons, by the errors of the past.
            expected, earliest, latest: seconds until the value, the upper and the lower end of the interval reach it;
    XX"""

    target: str
    limit: float
    last: float
    recent_high: float
    probability: float
    expected: int | None
    earliest: int | None
    latest: int | None
    ahead: int


def outlook(
    target: str, limit: float, steps: Floats, values: Floats, quantiles: Floats, residuals: np.ndarray, scale: float,
    horizons: Sequence[int], anchors: Sequence[int],
) -> Outlook:  # fmt: skip
    """The outlook of one series.

    Args:
        steps: (L,) its lookback; values: (H,); quantiles: (H, V); residuals: (A, R) in units of `scale`.
        anchors: the horizons that the residuals belong to.
    """
    needed = (limit - values[list(anchors)]) / scale
    likely = share_above(residuals, needed)
    return Outlook(
        target, limit, float(steps[-1]), float(np.nanmax(steps[-6:])), float(likely.max()),
        _first(values, limit, horizons), _first(quantiles[:, -1], limit, horizons),
        _first(quantiles[:, 0], limit, horizons), horizons[-1],
    )  # fmt: skip


def _first(values: Floats, limit: float, horizons: Sequence[int]) -> int | None:
    reached = np.flatnonzero(values >= limit)
    return horizons[int(reached[0])] if len(reached) else None


class Watched(msgspec.Struct):
    """One entity's alerts: how many predictions in a row warned, by target; what is open; what was last."""

    streaks: dict[str, int] = msgspec.field(default_factory=dict)
    open: OpenAlert | None = None
    last: Resolved | None = None


class Rule(NamedTuple):
    """When a warning is an alert; see settings.py."""

    probability: float
    num_predictions: int
    quiet_seconds: float
    runbook_url: str = ""


def watch(
    watched: Watched,
    subject: Subject,
    outlooks: Sequence[Outlook],
    at: int,
    model_versions: Mapping[str, str],
    rule: Rule,
) -> str:
    """Takes one prediction's outlooks into the entity's alerts.

    Args:
        at: event time of the prediction, microseconds.
        model_versions: by target, of the forecaster that spoke.

    Returns:
        The status of the record that is due, or an empty string.
    """
    findings = [
        _finding(seen, watched.streaks[seen.target], at, subject, model_versions[seen.target], rule)
        for seen in outlooks
        if _count(watched, seen, rule) >= rule.num_predictions
    ]
    if watched.open is None:
        return _open(watched, subject, findings, at, rule)
    if findings:
        return "updated" if join(watched.open, findings, at) else ""
    if any(_is_near(seen, watched.open) for seen in outlooks):
        still_bad(watched.open, at)
    return "resolved" if is_quiet(watched.open, at) else ""


def _count(watched: Watched, seen: Outlook, rule: Rule) -> int:
    """How many predictions in a row warned. What is above its limit already needs no forecast."""
    warns = seen.probability >= rule.probability and seen.expected is not None and seen.recent_high < seen.limit
    watched.streaks[seen.target] = watched.streaks.get(seen.target, 0) + 1 if warns else 0
    return watched.streaks[seen.target]


def _open(watched: Watched, subject: Subject, findings: Sequence[Finding], at: int, rule: Rule) -> str:
    if not findings:
        return ""
    watched.open = fire(subject, findings[0], at, rule.quiet_seconds, watched.last)
    for finding in findings[1:]:
        take_in(watched.open, finding)
    return "firing"


def _is_near(seen: Outlook, alert: OpenAlert) -> bool:
    is_high = seen.last >= STILL_NEAR * seen.limit or seen.probability >= STILL_LIKELY
    return rule_name(seen.target) in alert.rules and is_high


def close(watched: Watched, at: int) -> OpenAlert:
    """Ends the open alert; write its `resolved` record next."""
    alert = watched.open
    assert alert is not None
    watched.last = resolve(alert, at)
    watched.open = None
    return alert


def rule_name(target: str) -> str:
    """The rule that watches a target."""
    return f"{target}_limit"


def _finding(seen: Outlook, streak: int, at: int, subject: Subject, model_version: str, rule: Rule) -> Finding:
    expected = seen.expected if seen.expected is not None else 0
    severity: Severity = "critical" if expected <= SOON_SECONDS else "warning"
    soon, name = expected // 60, seen.target
    summary = f"{name} of {subject.entity_id} will reach {seen.limit:g} in about {soon} min"
    reason = (
        f"{name} is {seen.last:.3g}; the forecast reaches {seen.limit:g} in {soon} min (90 % interval: "
        f"{_minutes(seen.earliest)} to {_minutes(seen.latest)}), by the forecaster's past errors {seen.probability:.0%}"
        f" likely within {seen.ahead // 60} min, as {streak} predictions in a row said. Free some, move work away or"
        " add capacity before then."
    )
    evidence = Evidence(at, subject.entity_id, seen.target, seen.last)
    return Finding(
        FAMILY, rule_name(seen.target), KIND, at, severity, min(seen.probability, 1.0), rule.probability, summary,
        reason, subject.program, (evidence,), labels={"target": seen.target, "limit": f"{seen.limit:g}"},
        model_version=model_version, runbook_url=rule.runbook_url,
    )  # fmt: skip


def _minutes(seconds: int | None) -> str:
    return "later" if seconds is None else f"{seconds // 60} min"
