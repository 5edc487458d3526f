"""Alerts about a partition of the input itself: entities forgotten to make room, troubles that the budget held back."""

from collections.abc import Mapping
from typing import Any

import msgspec

from services.anomaly.core.semantics import ADVICE
from services.anomaly.model.speech import FAMILY, MODEL_VERSION
from services.common.alerts import (
    Finding,
    OpenAlert,
    Resolved,
    Severity,
    Subject,
    alert_record,
    fire,
    is_quiet,
    resolve,
    still_bad,
)
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState

STATE_VERSION = 1
#: Beside the policy's own state.
KEY = "policy|notices"
#: That there was no room is over when there was for so long; a word about what was held back lasts a day.
ROOM_SECONDS, WORD_SECONDS = 3600.0, 86_400.0


class NoticeState(msgspec.Struct):
    """What is saved: by rule, the open alert and the last one."""

    open: dict[str, OpenAlert] = msgspec.field(default_factory=dict)
    last: dict[str, Resolved] = msgspec.field(default_factory=dict)


class Notices:
    """One partition's; its entity is `partition:metrics.samples.v1[3]`. The budget is not asked for these."""

    def __init__(self, name: str, runbooks: Mapping[str, str], runbook_url: str) -> None:
        self._where = f"partition {name}"
        self._entity_id = f"partition:{name}"
        self._runbooks, self._runbook_url = runbooks, runbook_url
        self._changed = False
        self.state = NoticeState()

    def no_room(
        self, cluster: str, num_forgotten: int, limit: int, watermark: int, published_at: int
    ) -> list[dict[str, Any]]:
        """So many entities were forgotten for a new one: said once, until it is over."""
        alert = self.state.open.get("no_room")
        if alert is not None:
            still_bad(alert, watermark)
            self._changed = True
            return []
        text = (
            f"{self._where} has more entities than the {limit} that are kept: the {num_forgotten} that were quiet for "
            "longest were forgotten, and begin anew when they come back."
        )
        finding = self._finding("no_room", "cardinality", "warning", watermark, text, {"limit": str(limit)})
        return self._fire(cluster, finding, watermark, ROOM_SECONDS, published_at)

    def held_back(
        self, cluster: str, told: Mapping[str, str], watermark: int, published_at: int
    ) -> list[dict[str, Any]]:
        """What the budget held back and no alert has told for a day."""
        text = f"{told['held_back']} troubles of {self._where} were held back for the budget and not told for a day"
        finding = self._finding("held_back", "budget", "info", watermark, text, dict(told))
        ended = self._end("held_back", "Told anew.", watermark, published_at)
        return [*ended, *self._fire(cluster, finding, watermark, WORD_SECONDS, published_at)]

    def look(self, watermark: int, published_at: int) -> list[dict[str, Any]]:
        """Ends what is over."""
        over = [rule for rule, alert in self.state.open.items() if is_quiet(alert, watermark)]
        return [record for rule in over for record in self._end(rule, "It is over.", watermark, published_at)]

    def end_all(self, published_at: int) -> list[dict[str, Any]]:
        """Nothing comes any more."""
        held = list(self.state.open.items())
        ends = [self._end(rule, "source_silent:", alert.last_bad, published_at) for rule, alert in held]
        return [record for records in ends for record in records]

    def _finding(
        self, rule: str, kind: str, severity: Severity, time: int, text: str, labels: dict[str, str]
    ) -> Finding:
        return Finding(
            FAMILY, rule, kind, time, severity, 1.0, 0.5, text.partition(":")[0], f"{text} {ADVICE[rule]}",
            labels=labels, model_version=MODEL_VERSION, runbook_url=self._runbooks.get(rule, self._runbook_url),
        )  # fmt: skip

    def _fire(
        self, cluster: str, finding: Finding, watermark: int, quiet_seconds: float, published_at: int
    ) -> list[dict[str, Any]]:
        subject, last = Subject(cluster, self._entity_id), self.state.last.get(finding.rule)
        alert = self.state.open[finding.rule] = fire(subject, finding, watermark, quiet_seconds, last)
        self._changed = True
        return [alert_record(alert, "firing", published_at)]

    def _end(self, rule: str, why: str, watermark: int, published_at: int) -> list[dict[str, Any]]:
        alert = self.state.open.pop(rule, None)
        if alert is None:
            return []
        self.state.last[rule] = resolve(alert, watermark)
        self._changed = True
        return [alert_record(alert, "resolved", published_at, why)]

    def save(self, state: PartitionState) -> None:
        """Puts what has changed since the last call."""
        if self._changed:
            state.put(KEY, msgspec.msgpack.encode(self.state), STATE_VERSION)
            self._changed = False

    def load(self, state: PartitionState) -> None:
        """Takes back what `save` put. Raises ArtifactMismatch."""
        saved = state.get(KEY)
        if saved is None:
            return
        if saved.version != STATE_VERSION:
            raise ArtifactMismatch(
                f"Notices were saved as version {saved.version}, this program reads {STATE_VERSION}."
            )
        try:
            self.state = msgspec.msgpack.decode(saved.payload, type=NoticeState)
        except msgspec.MsgspecError as error:
            raise ArtifactMismatch(f"Saved notices cannot be read ({error}); delete anomaly.state.v1.") from error
