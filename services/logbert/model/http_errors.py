"""More refused (4xx) or failed (5xx) requests in a window than the entity's access lines ever showed."""

from typing import Literal

import msgspec

from services.common.alerts import Severity
from services.logbert.core.events import Alarm, Learning, LogEvent, Observation
from services.logbert.core.windows import SECOND, Past, burst_score, limit

#: How many beyond the limit one client's mistakes (4xx) or one hiccup (5xx) may bring without being a surge.
ALLOWANCE = {4: 3, 5: 1}


class HttpErrors:
    """4xx and 5xx are judged apart. Needs access lines; says nothing of requests that hang."""

    rule, kind, threshold = "http_errors", "http_errors", 0.5
    reads: Literal["events", "pauses"] = "events"

    def __init__(self, window_seconds: float = 10.0) -> None:
        self._width = int(window_seconds * SECOND)
        self._pasts = {4: Past(), 5: Past()}

    def score(self, seen: Observation) -> float:
        if not isinstance(seen, LogEvent) or not 400 <= seen.status <= 599:
            return 0.0
        family = seen.status // 100
        past = self._pasts[family]
        return burst_score(past.count(seen.event_time, self._width) + 1, past.most, ALLOWANCE[family])

    def explain(self, seen: Observation) -> Alarm:
        assert isinstance(seen, LogEvent)
        family = seen.status // 100
        past = self._pasts[family]
        evidence = (*past.first(seen.event_time, self._width)[:9], seen.evidence())
        severity: Severity = "critical" if family == 5 else "warning"
        count = past.count(seen.event_time, self._width) + 1
        what = "fails" if family == 5 else "refuses"
        return Alarm(
            min(piece.event_time for piece in evidence),
            severity,
            f"{seen.program} on {seen.host} {what} requests: {count} answers {family}xx, the last {seen.status}",
            f"{count} answers {family}xx within {self._width // SECOND} s, where normal is at most "
            f"{int(limit(past.most, ALLOWANCE[family]))} (most ever seen {past.most}). "
            + ("Look at the service's own errors." if family == 5 else "Look at who asks, and at tokens and names."),
            evidence,
        )

    def learn(self, seen: Observation, learning: Learning) -> None:
        if not isinstance(seen, LogEvent) or not 400 <= seen.status <= 599:
            return
        self._pasts[seen.status // 100].take(seen.evidence(), self._width, learning)

    def save(self) -> bytes:
        return msgspec.msgpack.encode(self._pasts)

    def load(self, payload: bytes) -> None:
        self._pasts = msgspec.msgpack.decode(payload, type=dict[int, Past])
