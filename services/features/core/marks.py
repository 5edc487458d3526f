"""Which steps of an entity are open: its own watermark, by its own records. Nobody else's clock is looked at.

A step closes when the latest event time, less the lateness, has passed its end; or when nothing of the entity has come
for a while by Kafka's time. What comes for a closed step is late. Everything follows from the records and the times at
which Kafka took them, so that whoever reads the same topic comes to the same rows.
"""

from enum import Enum

import msgspec

SECOND = 1_000_000
#: A clock that shows a time so far after Kafka's is doubted.
JUMP = 600 * SECOND
#: Records in a row, near each other, that make us believe a doubted time.
NUM_TO_JUMP = 3


class Verdict(Enum):
    """What became of a record."""

    ADMITTED = "admitted"
    #: Its step was closed.
    LATE = "late"
    #: Further ahead of its entity and of Kafka than a clock may be, and not yet borne out.
    FUTURE = "future"
    #: The entity's clock had been ahead of Kafka's and is right again: its steps begin anew.
    BEGUN_ANEW = "begun_anew"


class StepRules(msgspec.Struct, frozen=True):
    """How steps are cut and closed; seconds.

    Args:
        step_seconds: length of a step.
        lateness_seconds: event time for which a step stays open after its end.
        quiet_seconds: without a record for so long by Kafka's time, all open steps close.
        settle_seconds: Kafka's time for which a step stays open after its watermark has passed. For entities that
            several others report to, each over its own way.
    """

    step_seconds: int = 10
    lateness_seconds: float = 10.0
    quiet_seconds: float = 10.0
    settle_seconds: float = 0.0

    @property
    def step(self) -> int:
        """Length of a step, microseconds."""
        return self.step_seconds * SECOND

    def start_of(self, event_time: int) -> int:
        """Start of the step that a time lies in; all microseconds."""
        return event_time - event_time % self.step


class Mark(msgspec.Struct, array_like=True):
    """How far one entity is. Microseconds.

    Attributes:
        highest: the latest event time admitted; None before the first.
        closed_until: steps that begin earlier are closed.
        heard_at: Kafka's time of the last record admitted.
        passings: (Kafka's time, event time) at which the latest event time rose and did not close steps yet.
        num_ahead, ahead_time: doubted records in a row, and the last one's event time.
    """

    highest: int | None = None
    closed_until: int = 0
    heard_at: int = 0
    passings: list[tuple[int, int]] = msgspec.field(default_factory=list)
    num_ahead: int = 0
    ahead_time: int = 0

    def advance(self, now: int, rules: StepRules) -> None:
        """Kafka's time is `now`, and every earlier record has been admitted: moves `closed_until`."""
        settle = int(rules.settle_seconds * SECOND)
        while self.passings and self.passings[0][0] + settle < now:
            self._close_before(self.passings.pop(0)[1], rules)
        if self.highest is not None and now - self.heard_at >= rules.quiet_seconds * SECOND:
            self.closed_until = max(self.closed_until, rules.start_of(self.highest) + rules.step)
            self.passings.clear()

    def admit(self, event_time: int, appended: int | None, rules: StepRules) -> Verdict:
        """Judges a record and moves `closed_until`.

        Args:
            event_time: of the record.
            appended: when Kafka took it; None when nobody knows, as in a file: then no clock is doubted, nothing
                is quiet, and what has to settle never closes.
        """
        if appended is not None:
            self.advance(appended, rules)
        verdict = self._judge(event_time, appended, rules)
        if verdict in (Verdict.LATE, Verdict.FUTURE):
            return verdict
        if verdict is Verdict.BEGUN_ANEW:
            self.highest, self.closed_until = None, 0
            self.passings.clear()
        self.num_ahead = 0
        self.heard_at = max(self.heard_at, appended or 0)
        if self.highest is None or event_time > self.highest:
            self._pass(event_time, appended, rules)
        return verdict

    def _judge(self, event_time: int, appended: int | None, rules: StepRules) -> Verdict:
        is_ahead = appended is not None and event_time > appended + JUMP
        if self.highest is None:
            return Verdict.ADMITTED
        if rules.start_of(event_time) < self.closed_until:
            was_ahead = appended is not None and self.closed_until > appended + JUMP
            return Verdict.BEGUN_ANEW if was_ahead and not is_ahead else Verdict.LATE
        if is_ahead and event_time > self.highest + JUMP and not self._is_borne_out(event_time):
            return Verdict.FUTURE
        return Verdict.ADMITTED

    def _is_borne_out(self, event_time: int) -> bool:
        is_near = self.num_ahead > 0 and abs(event_time - self.ahead_time) <= JUMP
        self.num_ahead = self.num_ahead + 1 if is_near else 1
        self.ahead_time = event_time
        return self.num_ahead >= NUM_TO_JUMP

    def _pass(self, event_time: int, appended: int | None, rules: StepRules) -> None:
        self.highest = event_time
        if rules.settle_seconds == 0:
            self._close_before(event_time, rules)
        elif appended is not None:
            self.passings.append((appended, event_time))

    def _close_before(self, event_time: int, rules: StepRules) -> None:
        passed = rules.start_of(event_time - int(rules.lateness_seconds * SECOND))
        self.closed_until = max(self.closed_until, passed)
