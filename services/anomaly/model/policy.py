"""What an alert must pass before it is written, and what it carries: budget, past alerts like it, a runbook."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from services.anomaly.model import budget as budgets
from services.anomaly.model import past as pasts
from services.anomaly.model.budget import Budget, decode_budget, encode_budget
from services.anomaly.model.feedback import Feedback
from services.anomaly.model.past import Like, PastAlerts, Signature, label, signature_shares
from services.common.alerts import Finding, OpenAlert, Subject
from services.common.state import PartitionState

#: Labels that stay as they were when the alert fired.
KEPT_LABELS = ("similar", "held_back", "held_back_worst")
#: What the keys of its state begin with.
STATE_KEY = "policy"
_SHARE = re.compile(r"[01]\.\d\d")


class Policy:
    """One partition's.

    Args:
        per_day: alerts a day that this partition may write; None for no limit.
        runbooks: by rule, where to read what to do; `runbook_url` for the others.

    Attributes:
        feedback: what people said, once it is known.
        held_back: troubles that were held back since that was taken, by why: `line` or `day`.
    """

    def __init__(self, per_day: float | None, runbooks: Mapping[str, str], runbook_url: str) -> None:
        self._per_day = per_day
        self._runbooks = runbooks
        self._runbook_url = runbook_url
        self._budget = Budget(per_day) if per_day is not None else None
        self._past = PastAlerts()
        self._changed: set[str] = set()
        self.feedback: Feedback | None = None
        self.held_back: Counter[str] = Counter()

    def admits(self, subject: Subject, findings: Sequence[Finding], watermark: int) -> bool:
        """Whether an alert may fire for these findings, the worst first; counted where not."""
        if self._budget is None:
            return True
        first = findings[0]
        score = _comparable(findings)
        critical = next((finding for finding in findings if finding.severity == "critical"), first)
        answer = self._budget.ask(f"{subject.entity_id}|{first.rule}", watermark, score, critical.severity)
        self._changed.add("budget")
        if answer.is_new:
            self.held_back[answer.why] += 1
        return answer.fires

    def summary(self, watermark: int) -> dict[str, str]:
        """Labels that say what was held back and no alert has told for a day; empty for nothing."""
        if self._budget is None or not self._budget.is_summary_due(watermark):
            return {}
        self._changed.add("budget")
        return self._budget.tell(watermark)

    def dressed(self, subject: Subject, finding: Finding, watermark: int) -> Finding:
        """The finding of an alert that fires now: with what was held back before it, alerts like it, its runbook."""
        told = self._budget.tell(watermark) if self._budget is not None else {}
        shares = signature_shares(shares_of(finding.labels), {})
        similar = label([self._told(like) for like in self._past.similar(subject.program, shares, subject.entity_id)])
        return msgspec.structs.replace(
            finding, labels={**finding.labels, **similar, **told}, runbook_url=self._runbook(finding.rule)
        )

    def _told(self, like: Like) -> Like:
        """With what people said of it."""
        verdict = self.feedback.verdict(like.alert_id, like.entity_id) if self.feedback is not None else None
        return msgspec.structs.replace(like, verdict=verdict or "")

    def _runbook(self, rule: str) -> str:
        return self._runbooks.get(rule, self._runbook_url)

    def ended(self, alert: OpenAlert) -> None:
        """Remembers an alert that is resolved."""
        shares = signature_shares(shares_of(alert.finding.labels), {})
        subject = alert.subject
        ends_at = max(alert.last_bad, alert.starts_at)
        signature = Signature(alert.alert_id, subject.entity_id, alert.starts_at, ends_at, shares)
        forgotten = self._past.remember(subject.program, signature)
        self._changed.update({f"past:{subject.program}", *([f"past:{forgotten}"] if forgotten else ())})

    def save(self, state: PartitionState) -> None:
        """Puts what has changed since the last call."""
        for name in sorted(self._changed):
            kind, _, program = name.partition(":")
            if kind == "past" and not self._past.alert_ids(program):
                state.delete(f"{STATE_KEY}|{name}")
            elif kind == "past":
                state.put(f"{STATE_KEY}|{name}", self._past.save(program), pasts.STATE_VERSION)
            elif self._budget is not None:
                state.put(f"{STATE_KEY}|{name}", encode_budget(self._budget.state), budgets.STATE_VERSION)
        self._changed.clear()

    def load(self, state: PartitionState) -> None:
        """Takes back what `save` put. Raises ArtifactMismatch."""
        for key, saved in list(state.items()):
            part, _, name = key.partition("|")
            kind, _, program = name.partition(":")
            if part == STATE_KEY and kind == "past":
                self._past.load(program, saved.payload, saved.version)
            elif part == STATE_KEY and kind == "budget" and self._per_day is not None:
                self._budget = Budget(self._per_day, decode_budget(saved.payload, saved.version))


def _comparable(findings: Sequence[Finding]) -> float:
    """The score to ask the budget for: how rare it is for this entity, if that is known, else how far out it lies.

    At least 0.5 in any case: whether it is a trouble was decided; the budget only chooses among troubles.
    """
    known = findings[0].labels.get("calibrated")
    return max(0.5, float(known)) if known else max(finding.score for finding in findings)


def shares_of(labels: Mapping[str, str]) -> dict[str, float]:
    """The label `shares` of an alert, `latency=0.62;errors=0.38`, as numbers, without what strange names spoil."""
    shares = {}
    for part in labels.get("shares", "").split(";"):
        name, _, share = part.rpartition("=")
        if name and _SHARE.fullmatch(share):
            shares[name] = float(share)
    return shares


def kept(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """An open alert's labels when something joins: those of what is so now, and those that stay."""
    return {**after, **{name: before[name] for name in KEPT_LABELS if name in before}}
