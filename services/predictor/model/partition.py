"""The entities of one input partition: which step belongs to whom, what is saved, who is forgotten."""

from services.common.alerts import Subject
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState
from services.predictor.core.steps import SECOND, Step
from services.predictor.model.engine import Due
from services.predictor.model.entity import STATE_VERSION, Entity, restore, subject_of
from services.predictor.model.table import Table


class PartitionModel:
    """Holds the entities of a partition over the table that all partitions of a replica share.

    Args:
        state: the partition's saved state; read here, written by `save`.
        every_seconds: between two predictions of an entity.
        max_entities: how many are held; of more, those quiet for longest are forgotten.

    Raises:
        ArtifactMismatch: a state that this program cannot read.
    """

    def __init__(self, state: PartitionState, table: Table, every_seconds: int, max_entities: int) -> None:
        self._state = state
        self._table = table
        self._every = every_seconds * SECOND
        self._max_entities = max_entities
        self._rows = {name: row for row, name in enumerate(table.layout.targets)}
        self._moved: dict[str, None] = {}
        self._predicted: dict[str, None] = {}
        self.entities: dict[str, Entity] = {}
        self._load()

    def _load(self) -> None:
        for key, saved in list(self._state.items()):
            if saved.version != STATE_VERSION:
                raise ArtifactMismatch(
                    f"predictor.state.v1 holds {key} in version {saved.version}, this program reads {STATE_VERSION}:"
                    " run the program that wrote it, or delete the topic to learn anew."
                )
            kind, _, entity_id = key.partition("|")
            if kind == "steps":
                past = self._state.get(f"past|{entity_id}")
                self.entities[entity_id] = restore(
                    saved.payload, past.payload if past else None, Subject("", entity_id), self._table, self._rows
                )

    def take(self, step: Step) -> tuple[str, Entity | None]:
        """Takes a step in. Returns how it arrived, and the entity when it is due to be predicted now."""
        entity = self.entities.get(step.entity_id) or self._meet(step)
        previous, strange = entity.course.last, entity.course.num_strange
        arrival = entity.course.observe(step.number)
        if arrival == "set_back":
            entity.forget(self._table)
            previous = -1
        elif arrival != "on_time":
            if entity.course.num_strange != strange:
                self._moved[step.entity_id] = None
            return arrival, None
        entity.subject = subject_of(step)
        entity.push(self._table, self._rows, previous, step.number, step.values)
        entity.recent.append((step.number, step.values))
        self._moved[step.entity_id] = None
        turn = step.event_time // self._every
        if turn == entity.turn:
            return arrival, None
        # The steps are in the table, which is saved whole with a prediction.
        entity.turn, entity.recent = turn, []
        self._predicted[step.entity_id] = None
        return arrival, entity

    def must_wait(self, step: Step, is_asked: bool) -> bool:
        """Whether predictions in hand must be made before the step is taken in.

        That is when it begins another turn of an entity that is being predicted, or needs another entity's room.
        """
        entity = self.entities.get(step.entity_id)
        if entity is None:
            return len(self.entities) >= self._max_entities
        return is_asked and step.event_time // self._every != entity.turn

    def due(self, entity: Entity) -> Due:
        """What the engine needs of an entity that is due: a copy, since further steps may follow before it is asked."""
        return Due(entity.slot, entity.turn, self._table.lookback(entity.slot, entity.course.last))

    def changed(self, entity: Entity) -> None:
        """The entity's alerts changed."""
        self._predicted[entity.subject.entity_id] = None
        self._moved[entity.subject.entity_id] = None

    def _meet(self, step: Step) -> Entity:
        if len(self.entities) >= self._max_entities:
            self._forget_quietest()
        entity = Entity(subject_of(step), self._table.take_slot())
        self.entities[step.entity_id] = entity
        return entity

    def _forget_quietest(self) -> None:
        """Makes room: a twentieth of the entities, those without an open alert whose last step is oldest."""
        idle = [(e.course.last, name) for name, e in self.entities.items() if e.watched.open is None]
        for _, name in sorted(idle)[: max(1, len(self.entities) // 20)]:
            self._table.give_slot(self.entities.pop(name).slot)
            self._moved.pop(name, None)
            self._predicted.pop(name, None)
            self._state.delete(f"steps|{name}")
            self._state.delete(f"past|{name}")

    def leave(self) -> None:
        """The partition is somebody else's now."""
        for entity in self.entities.values():
            self._table.give_slot(entity.slot)
        self.entities.clear()

    def save(self) -> None:
        """Puts what changed since the last call into the partition's state."""
        for name in self._predicted:
            self._put_past(name)
        for name in self._moved:
            self._state.put(f"steps|{name}", self.entities[name].save_steps(), STATE_VERSION)
        self._moved.clear()
        self._predicted.clear()

    def _put_past(self, name: str) -> None:
        self._state.put(f"past|{name}", self.entities[name].save_past(self._table), STATE_VERSION)

    @property
    def num_open(self) -> int:
        return sum(entity.watched.open is not None for entity in self.entities.values())
