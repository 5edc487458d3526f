"""A record of features.v1 as the predictor needs it, and when in its entity's life it comes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from services.common.errors import InvalidMessage
from services.predictor.core.targets import FEATURE_SET_VERSION, STEP_SECONDS

SECOND = 1_000_000
STEP = STEP_SECONDS * SECOND
#: How far a step may lie from its entity's last one before several must agree on it, and how many.
JUMP_STEPS = 360
#: No load is this large in any unit; sums and squares of what is smaller stay finite.
TOO_LARGE = 1e30
NUM_TO_JUMP, NUM_TO_SET_BACK = 3, 30


class Step(NamedTuple):
    """One entity at one step.

    Attributes:
        number: the step's start over STEP.
        values: by feature name; what is NaN, infinite, below zero or TOO_LARGE is not among them.
    """

    entity_id: str
    cluster: str
    parent_entity_ids: tuple[str, ...]
    number: int
    values: dict[str, float]

    @property
    def event_time(self) -> int:
        """The step's start, microseconds UTC."""
        return self.number * STEP


def read_step(fields: Mapping[str, Any], targets: frozenset[str]) -> Step:
    """The step in a record of the feature set that is read.

    Only the targets are taken; a value that is NaN, infinite, negative or TOO_LARGE counts as missing, and a name that
    nobody predicts is left out.

    Raises:
        InvalidMessage: another version of the set, another length of step, or fields of another form.
    """
    try:
        version, step_seconds = fields["feature_set_version"], fields["step_seconds"]
        if version != FEATURE_SET_VERSION:
            raise InvalidMessage("feature_set_version", f"version {version}, wanted {FEATURE_SET_VERSION}")
        if step_seconds != STEP_SECONDS:
            raise InvalidMessage("step_seconds", f"steps of {step_seconds} s, wanted {STEP_SECONDS} s")
        names, values = fields["names"], fields["values"]
        if len(names) != len(values):
            raise InvalidMessage("not_a_feature_vector", f"{len(names)} names for {len(values)} values")
        taken = {n: v for n, v in zip(names, values, strict=True) if n in targets and 0.0 <= v < TOO_LARGE}
        parents = tuple(fields.get("parent_entity_ids") or ())
        return Step(str(fields["entity_id"]), str(fields["cluster"]), parents, fields["event_time"] // STEP, taken)
    except (KeyError, TypeError, AttributeError) as error:
        raise InvalidMessage("not_a_feature_vector", f"{type(error).__name__}: {error}") from error


class Course:
    """Which steps of one entity count, in the order in which they come.

    A step that was seen or is older than the last one is dropped. A clock that leaps by more than JUMP_STEPS must be
    borne out: ahead by NUM_TO_JUMP steps that follow each other, back by NUM_TO_SET_BACK.
    """

    __slots__ = ("last", "num_strange", "strange")

    def __init__(self, last: int = -1, num_strange: int = 0, strange: int = 0) -> None:
        self.last = last
        self.num_strange = num_strange
        self.strange = strange

    def observe(self, number: int) -> str:
        """How the step arrives: on_time, repeated, late, future, or set_back when the past has to be forgotten."""
        if self.last < 0 or self.last < number <= self.last + JUMP_STEPS:
            self.last, self.num_strange = number, 0
            return "on_time"
        if number > self.last:
            if not self._is_borne_out(number, NUM_TO_JUMP):
                return "future"
            self.last, self.num_strange = number, 0
            return "on_time"
        if self.last - number <= JUMP_STEPS:
            return "repeated" if number == self.last else "late"
        if not self._is_borne_out(number, NUM_TO_SET_BACK):
            return "late"
        self.last, self.num_strange = number, 0
        return "set_back"

    def _is_borne_out(self, number: int, num_needed: int) -> bool:
        agrees = self.num_strange > 0 and 0 < number - self.strange <= JUMP_STEPS
        self.num_strange = self.num_strange + 1 if agrees else 1
        self.strange = number
        return self.num_strange >= num_needed
