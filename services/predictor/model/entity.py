"""One entity: where its steps stand, its slot in the table, its alerts, and how all of it is saved."""

from collections.abc import Mapping

import msgspec

from services.common.alerts import Subject
from services.common.errors import ArtifactMismatch
from services.predictor.core.steps import Course, Step
from services.predictor.model.table import SavedRows, Table
from services.predictor.model.watch import Watched

STATE_VERSION = 1


class SavedSteps(msgspec.Struct, frozen=True):
    """Small, written with each step: the course, and the steps since the last prediction."""

    last: int
    num_strange: int
    strange: int
    steps: list[tuple[int, dict[str, float]]]


class SavedPast(msgspec.Struct, frozen=True):
    """Large, written with each prediction.

    Attributes:
        number: the last step that its rows hold.
        turn: of the last prediction; -1 for none.
    """

    subject: Subject
    number: int
    turn: int
    rows: SavedRows
    watched: Watched


class Entity:
    """What is known of one entity beside its rows in the table."""

    __slots__ = ("course", "heard_at", "recent", "slot", "subject", "turn", "watched")

    def __init__(self, subject: Subject, slot: int) -> None:
        self.subject = subject
        self.slot = slot
        self.course = Course()
        self.turn = -1
        self.recent: list[tuple[int, dict[str, float]]] = []
        self.watched = Watched()
        #: Wall time, microseconds; of a restored one 0 until something is heard.
        self.heard_at = 0

    def push(
        self, table: Table, rows: Mapping[str, int], previous: int, step_number: int, values: dict[str, float]
    ) -> None:
        """Puts a step into the table."""
        known = {name: value for name, value in values.items() if name in rows}
        table.push(self.slot, previous, step_number, [rows[name] for name in known], list(known.values()))

    def forget(self, table: Table) -> None:
        """Begins anew, after a clock that was set back; an open alert stays."""
        table.clear(self.slot)
        self.recent, self.turn = [], -1

    def save_steps(self) -> bytes:
        """MessagePack of `SavedSteps`."""
        course = self.course
        return _encoder.encode(SavedSteps(course.last, course.num_strange, course.strange, self.recent))

    def save_past(self, table: Table) -> bytes:
        """MessagePack of `SavedPast`."""
        rows = table.save(self.slot)
        return _encoder.encode(SavedPast(self.subject, self.course.last, self.turn, rows, self.watched))


def subject_of(step: Step) -> Subject:
    """Whose alerts these are; a host's trouble names `host`."""
    kind, _, name = step.entity_id.partition(":")
    program = "host" if kind in ("host", "node") else name.rpartition("@")[0] or name
    return Subject(step.cluster, step.entity_id, step.parent_entity_ids, program)


def restore(steps: bytes, past: bytes | None, subject: Subject, table: Table, rows: Mapping[str, int]) -> Entity:
    """The entity as it was when it was saved last.

    Args:
        past: None for an entity that was never predicted.

    Raises:
        ArtifactMismatch: bytes that are no entity's state.
    """
    entity = Entity(subject, table.take_slot())
    try:
        saved = _steps_decoder.decode(steps)
        previous = _restore_past(entity, past, table) if past is not None else -1
    except (msgspec.MsgspecError, ValueError) as error:
        raise ArtifactMismatch(
            f"{subject.entity_id} in predictor.state.v1 cannot be read ({error}): delete the topic to learn anew."
        ) from error
    for number, values in saved.steps:
        if number > previous:
            entity.push(table, rows, previous, number, values)
            previous = number
    entity.course = Course(saved.last, saved.num_strange, saved.strange)
    entity.recent = list(saved.steps)
    return entity


def _restore_past(entity: Entity, past: bytes, table: Table) -> int:
    saved = _past_decoder.decode(past)
    entity.subject, entity.turn, entity.watched = saved.subject, saved.turn, saved.watched
    table.load(entity.slot, saved.rows)
    return saved.number


_encoder = msgspec.msgpack.Encoder()
_steps_decoder = msgspec.msgpack.Decoder(SavedSteps)
_past_decoder = msgspec.msgpack.Decoder(SavedPast)
