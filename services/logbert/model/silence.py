"""A source that says nothing for much longer than it ever did, while its host's clock goes on."""

from typing import Literal

import msgspec

from services.common.alerts import Severity
from services.logbert.core.events import Alarm, Learning, Observation, Pause

#: "More than twice its longest normal gap": what one longer gap than ever may come to by chance.
FACTOR = 2.0
LEARN_EVERY = 3_600_000_000


class Rhythm(msgspec.Struct, array_like=True):
    """One source's pauses while things were normal; `longest` in seconds, `raised_at` in microseconds."""

    num_pauses: int = 0
    longest: float = 0.0
    raised_at: int = 0


class Silence:
    """Pauses are measured on the host's clock as it stood when the source spoke again, in learning as in judging.

    So whatever delays a source against its neighbours is part of its rhythm and raises nothing. Sources without a
    rhythm (too few events, or a longest gap above `longest_gap_seconds`) are never judged.
    """

    rule, kind, threshold = "silence", "silence", 0.5
    reads: Literal["events", "pauses"] = "pauses"

    def __init__(self, longest_gap_seconds: float = 20.0, floor_seconds: float = 10.0, min_events: int = 50) -> None:
        self._longest_gap = longest_gap_seconds
        self._floor = floor_seconds
        self._min_events = min_events
        self._rhythms: dict[str, Rhythm] = {}

    def limit_seconds(self, source_id: str) -> float | None:
        """The longest pause that is still normal; None for a source without rhythm."""
        rhythm = self._rhythms.get(source_id)
        if rhythm is None or rhythm.num_pauses < self._min_events or rhythm.longest > self._longest_gap:
            return None
        return max(FACTOR * rhythm.longest, self._floor)

    def score(self, seen: Observation) -> float:
        if not isinstance(seen, Pause) or seen.clock <= seen.watermark:
            return 0.0
        line = self.limit_seconds(seen.source_id)
        return 0.0 if line is None else seen.seconds / (seen.seconds + line)

    def explain(self, seen: Observation) -> Alarm:
        assert isinstance(seen, Pause)
        rhythm, line = self._rhythms[seen.source_id], self.limit_seconds(seen.source_id)
        assert line is not None
        severity: Severity = "critical"
        return Alarm(
            # From here on it was quieter than ever; before, nobody could have told.
            seen.watermark + int(min(max(rhythm.longest, 0.5 * self._floor), line) * 1e6),
            severity,
            f"{seen.source_id} has been silent for {seen.seconds:.0f} s",
            f"No event of {seen.source_id} for {seen.seconds:.1f} s while its host goes on; its longest normal "
            f"pause was {rhythm.longest:.1f} s, the limit is {line:.1f} s. "
            "Look whether the process runs and its shipper reads.",
        )

    def learn(self, seen: Observation, learning: Learning) -> None:
        """Takes in a pause that has ended; only `warm_up` and `slow` teach."""
        if not isinstance(seen, Pause) or learning == "held":
            return
        rhythm = self._rhythms.setdefault(seen.source_id, Rhythm())
        rhythm.num_pauses += 1
        if seen.seconds <= rhythm.longest:
            return
        if learning == "warm_up" or rhythm.num_pauses < self._min_events:
            rhythm.longest = seen.seconds
        elif seen.clock - rhythm.raised_at >= LEARN_EVERY:
            rhythm.longest = min(seen.seconds, 1.1 * rhythm.longest)
            rhythm.raised_at = seen.clock

    def forget(self, source_id: str) -> None:
        """The source is gone for good."""
        self._rhythms.pop(source_id, None)

    def save(self) -> bytes:
        return msgspec.msgpack.encode(self._rhythms)

    def load(self, payload: bytes) -> None:
        self._rhythms = msgspec.msgpack.decode(payload, type=dict[str, Rhythm])
