"""What a rule or BERT saw, as a finding that an alert is made of."""

from services.common.alerts import Finding
from services.logbert.core.events import Alarm, LogEvent, member_of
from services.logbert.core.verdict import ALONE_THRESHOLD, FAMILY, RULE
from services.logbert.model.abstract import Detector
from services.logbert.model.entity import EntityModel
from services.logbert.model.sequence_watch import Finished

RULES_FAMILY = "log.rules"
RULES_VERSION = "rules-1"


class Findings:
    """Makes findings that all name the same versions.

    Args:
        bert_version: of the artifact that gives its verdict; empty without one.
        runbook_url: copied into every finding.
    """

    def __init__(self, bert_version: str, runbook_url: str) -> None:
        self._model_version = f"{RULES_VERSION}+bert-{bert_version}" if bert_version else RULES_VERSION
        self._runbook_url = runbook_url

    def by_rule(
        self, detector: Detector, alarm: Alarm, score: float, service: str, named: tuple[str, ...], source_id: str
    ) -> Finding:
        """What a rule says of an observation of one source."""
        return Finding(
            RULES_FAMILY, detector.rule, detector.kind, alarm.starts_at, alarm.severity, score, detector.threshold,
            alarm.summary, alarm.reason, service, alarm.evidence, named, (member_of(source_id),),
            model_version=self._model_version, runbook_url=self._runbook_url,
        )  # fmt: skip

    def alone(self, entity: EntityModel, event: LogEvent, finished: Finished) -> Finding:
        """What BERT says when no rule says anything; `finished` has evidence."""
        assert finished.score is not None
        state, member = entity.state, member_of(event.source_id)
        lines = "; ".join(piece.raw_line[:120] for piece in finished.evidence)
        return Finding(
            FAMILY, RULE, "novelty", finished.evidence[0].event_time, "warning", finished.score, ALONE_THRESHOLD,
            f"{state.program} on {state.host} writes its lines in an order that is unlikely",
            f"{finished.num_unlikely} windows of {member} in a row were far less likely than anything normal. The "
            f"least likely lines: {lines}. In place of the least likely BERT expected: {finished.expected[:200]}. "
            "Look at what changed in the work of the service; an unusual request mix looks the same.",
            state.subject.program, finished.evidence, (), (member,),
            model_version=self._model_version, runbook_url=self._runbook_url,
        )  # fmt: skip
