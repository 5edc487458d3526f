"""More ERROR events in a window than the entity ever wrote while things were normal."""

from typing import Literal

import msgspec

from services.common.alerts import Severity
from services.logbert.core.events import ERROR_NUMBER, FATAL_NUMBER, Alarm, Learning, LogEvent, Observation
from services.logbert.core.windows import SECOND, Past, burst_score, limit

#: From this score on a burst is critical: ten errors where there never were any.
CRITICAL_SCORE = 0.95


class ErrorBurst:
    """Decided as soon as the count crosses, not when the window closes.

    Says nothing about an entity that always writes errors at the same pace while its work fails.
    """

    rule, kind, threshold = "error_burst", "errors", 0.5
    reads: Literal["events", "pauses"] = "events"

    def __init__(self, window_seconds: float = 10.0) -> None:
        self._width = int(window_seconds * SECOND)
        self._past = Past()

    def score(self, seen: Observation) -> float:
        if not isinstance(seen, LogEvent) or seen.severity < ERROR_NUMBER:
            return 0.0
        return burst_score(self._past.count(seen.event_time, self._width) + 1, self._past.most, 0)

    def explain(self, seen: Observation) -> Alarm:
        assert isinstance(seen, LogEvent)
        before = self._past.first(seen.event_time, self._width)
        evidence = (*before[:9], seen.evidence())
        count = self._past.count(seen.event_time, self._width) + 1
        return Alarm(
            min(piece.event_time for piece in evidence),
            self._severity(seen),
            f"{seen.program} on {seen.host} logs errors: {_short(seen)}",
            f"{count} ERROR events within {self._width // SECOND} s, where normal is at most "
            f"{int(limit(self._past.most, 0))} (most ever seen {self._past.most}, with room for chance). "
            f"The last one: {_short(seen)}. Look at the evidence first, then at what it names.",
            evidence,
        )

    def _severity(self, seen: LogEvent) -> Severity:
        return "critical" if seen.severity >= FATAL_NUMBER or self.score(seen) >= CRITICAL_SCORE else "warning"

    def learn(self, seen: Observation, learning: Learning) -> None:
        if not isinstance(seen, LogEvent) or seen.severity < ERROR_NUMBER:
            return
        self._past.take(seen.evidence(), self._width, learning)

    def save(self) -> bytes:
        return msgspec.msgpack.encode(self._past)

    def load(self, payload: bytes) -> None:
        self._past = msgspec.msgpack.decode(payload, type=Past)


def _short(seen: LogEvent) -> str:
    return seen.body[:200].replace("\n", " ")
