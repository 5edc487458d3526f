"""How many alerts a day people want: the line rises where there would be more, and no day has more."""

import math
from typing import Literal, NamedTuple

import msgspec

from services.common.alerts import Severity
from services.common.errors import ArtifactMismatch

STATE_VERSION = 1
SECOND = 1_000_000
DAY = 86_400 * SECOND

#: The share of a day's alerts that is kept for critical and clear ones.
RESERVE = 0.25
#: A score that is clear whatever the line: three times as far from the usual value as its own line is.
CLEAR = 0.75
#: Log-odds by which an alert raises the line at most; it sinks so much, times the alerts a day, in a day.
STEP = 0.1
#: The line never rises above CLEAR: log-odds of it.
HIGHEST = math.log(CLEAR / (1 - CLEAR))
#: What was held back is told in detail for so many; of more only the number.
MAX_HELD = 50

Why = Literal["fires", "line", "day"]


class Held(msgspec.Struct, array_like=True):
    """One trouble that was held back: by entity and rule, its first and last time, its worst score, how often asked."""

    key: str
    first: int
    last: int
    score: float
    num: int = 1


class BudgetState(msgspec.Struct):
    """What is saved of a budget; times in microseconds of event time.

    Attributes:
        fired: times of the alerts of the last day, oldest first: at most as many as the budget allows.
        raised: how far the line lies above 0.5, in log-odds, at `at`.
        held: troubles held back since they were last told, MAX_HELD at most.
        num_untold: troubles held back since then, in all; `num_held`: ever.
        told_at: when a summary was given last.
    """

    fired: list[int] = msgspec.field(default_factory=list)
    raised: float = 0.0
    at: int = 0
    held: dict[str, Held] = msgspec.field(default_factory=dict)
    num_untold: int = 0
    num_held: int = 0
    told_at: int = 0


class Answer(NamedTuple):
    """Whether an alert may fire; if not, why, and whether its trouble was not held back before since the last word."""

    why: Why
    is_new: bool = False

    @property
    def fires(self) -> bool:
        return self.why == "fires"


class Budget:
    """Alerts a day, kept for any stream.

    Two rules. The line: each alert raises it by STEP in log-odds, with time it sinks by STEP for each alert that the
    budget allows; so a stream that would always alert more comes to the budget, spread over the day (adaptive conformal
    inference with the target rate `per_day`). It never rises above CLEAR, which lets clear troubles through. The day:
    in no 24 hours more than `per_day` fire; the last RESERVE of these (one at least, where it is two or more) only for
    critical alerts and scores of CLEAR or more.

    What is held back is not lost: it is counted, once for a trouble, and told with the next alert or once a day. An
    open alert's updates and its end are never asked for, and cost nothing.

    Args:
        per_day: above 0; below 1, one in so many days.

    Source:
        Gibbs, Candes. Adaptive Conformal Inference Under Distribution Shift. NeurIPS 2021.
    """

    def __init__(self, per_day: float, state: BudgetState | None = None) -> None:
        if not per_day > 0:
            raise ValueError(f"a budget is a number of alerts a day above 0, not {per_day}")
        self._per_day = per_day
        # Of less than one a day the day is longer.
        self._most = max(1, math.floor(per_day))
        self._window = int(DAY * self._most / per_day) if per_day < 1 else DAY
        self._kept = max(1, round(RESERVE * self._most)) if self._most > 1 else 0
        self.state = state or BudgetState()

    def line(self, time: int) -> float:
        """The score that an alert needs now, in [0.5, CLEAR]."""
        return 1.0 / (1.0 + math.exp(-self._raised(time)))

    def _raised(self, time: int) -> float:
        sunk = STEP * self._per_day * max(0, time - self.state.at) / DAY
        return max(0.0, self.state.raised - sunk)

    def ask(self, key: str, time: int, score: float, severity: Severity = "warning") -> Answer:
        """Whether a trouble may be alerted at `time`; if so it is counted as an alert.

        Asked again for a trouble that was held back, as often as it lasts: it counts once.

        Args:
            key: of the trouble: its entity and rule.
            score: in [0, 1], 0.5 at its own line.
        """
        state = self.state
        time = max(time, state.at)
        state.raised, state.at = self._raised(time), time
        state.fired = [fired for fired in state.fired if time - fired < self._window]
        is_clear = severity == "critical" or score >= CLEAR
        if not is_clear and score < self.line(time):
            return self._hold(key, time, score, "line")
        if len(state.fired) >= self._most - (0 if is_clear else self._kept):
            return self._hold(key, time, score, "day")
        state.fired.append(time)
        state.raised = min(HIGHEST, state.raised + STEP)
        if state.held.pop(key, None) is not None:
            state.num_untold -= 1  # it is told now by itself
        return Answer("fires")

    def _hold(self, key: str, time: int, score: float, why: Why) -> Answer:
        state = self.state
        held = state.held.get(key)
        if held is not None:
            state.held[key] = Held(key, held.first, time, max(held.score, score), held.num + 1)
            return Answer(why)
        state.num_held += 1
        state.num_untold += 1
        if len(state.held) >= MAX_HELD:
            del state.held[min(state.held, key=lambda name: state.held[name].score)]
        state.held[key] = Held(key, time, time, score)
        return Answer(why, is_new=True)

    def is_summary_due(self, time: int) -> bool:
        """Whether something was held back that no alert told for a day."""
        state = self.state
        if not state.num_untold:
            return False
        since = max(state.told_at, min((held.first for held in state.held.values()), default=time))
        return time - since >= DAY

    def tell(self, time: int) -> dict[str, str]:
        """Labels for an alert that is written now: what was held back since the last; empty for nothing.

        `held_back` is how many troubles, `held_back_worst` names up to five of them, the worst first.
        """
        state = self.state
        state.told_at = time
        if not state.num_untold:
            return {}
        worst = sorted(state.held.values(), key=lambda held: (-held.score, held.key))[:5]
        words = {
            "held_back": str(state.num_untold),
            "held_back_worst": ";".join(f"{held.key}={held.score:.2f}" for held in worst),
        }
        state.held, state.num_untold = {}, 0
        return words


def share_of(per_day: float, num_partitions: int) -> float:
    """The part of a service's budget that one of its input partitions keeps, since each is judged by itself.

    Raises:
        ValueError: no partition at all.
    """
    if num_partitions < 1:
        raise ValueError(f"a budget is shared by one partition or more, not by {num_partitions}")
    return per_day / num_partitions


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(BudgetState)


def encode_budget(state: BudgetState) -> bytes:
    """MessagePack of STATE_VERSION."""
    return _encoder.encode(state)


def decode_budget(payload: bytes, version: int = STATE_VERSION) -> BudgetState:
    """What `encode_budget` made.

    Raises:
        ArtifactMismatch: another version, or bytes that are no budget.
    """
    if version != STATE_VERSION:
        raise ArtifactMismatch(f"A budget was saved as version {version}, this program reads {STATE_VERSION}.")
    try:
        return _decoder.decode(payload)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(f"A saved budget cannot be read ({error}); delete anomaly.state.v1.") from error
