"""One partition's entities and clocks into keyed state: few values an entity, packed rows, only what changed."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec
import numpy as np

from services.anomaly.model.blocks import SCORES_PART, Block, Blocks, Columns, Group, Names
from services.anomaly.model.calibration import SCORES
from services.anomaly.model.desk import Desk
from services.anomaly.model.drift import PARTS, DriftBank
from services.anomaly.model.entity import STATE_VERSION, Entity
from services.anomaly.model.journal import EVERY, Journal
from services.anomaly.model.team import Team
from services.anomaly.model.watch import RARE_PARTS
from services.common.state import PartitionState
from services.common.watermarks import STATE_VERSION as CLOCK_VERSION
from services.common.watermarks import Watermarks


class Saving:
    """Writes a partition's state."""

    def __init__(self, state: PartitionState, team: Team, blocks: Blocks, journal: Journal) -> None:
        self._state = state
        self._team = team
        self._store = team.store
        self._watch = team.store.watch
        self._blocks = blocks
        self._journal = journal
        self._encoder = msgspec.msgpack.Encoder()

    def save_hosts(self, marks: Watermarks, hosts: Iterable[str]) -> None:
        """Puts these hosts' clocks."""
        for host in hosts:
            self._state.put(f"host|{host}", marks.save_host(host), CLOCK_VERSION)

    def save(self, entities: Sequence[Entity], num_entities: int, desk: Desk) -> None:
        """Puts the records of these, or, in turn and where it is needed at once, their rows.

        Args:
            num_entities: of the partition.
        """
        saves_all = bool(self._team.panel.individuals.names)
        due = {entity.number: entity for entity in entities if saves_all or _is_due(entity)}
        due.update((entity.number, entity) for entity in self._journal.overdue(num_entities))
        if due:
            self._save_entities(list(due.values()))
        self._journal.write(self._team.rounds.judged, desk)

    def _save_entities(self, entities: Sequence[Entity]) -> None:
        """Puts what has changed of these."""
        for entity in entities:
            self._save_plain(entity)
            self._journal.forget(entity)
        signals = Group.of([entity.signal_slots for entity in entities])
        self._save_last(entities, signals)
        is_new = [entity.has_new_names or entity.is_unsaved for entity in entities]
        for entity in entities:
            entity.has_new_names = entity.is_unsaved = False
        for block in self._blocks.rare:
            self._save_rare(block, entities, signals, is_new)
        self._save_trees(entities)
        self._save_together(entities)
        self._save_individuals(entities)
        self._save_scores(entities)
        self._save_drift(entities)

    def _save_scores(self, entities: Sequence[Entity]) -> None:
        """Those of a step in twelve."""
        calibration = self._store.calibration
        rows = [entity.calibrated_at(self._store) for entity in entities]
        due = calibration.due(rows)
        payloads = calibration.table.save_each(np.array([rows[n] for n in due], np.int64), [1] * len(due), SCORES)
        for place, payload in zip(due, payloads, strict=True):
            self._put(SCORES_PART, entities[place], payload)

    def _save_drift(self, entities: Sequence[Entity]) -> None:
        """Of those entities of which any row has changed, each part at its own pace; rows of nothing are not saved."""
        if self._watch is None:
            return
        rows = [entity.watched for entity in entities]
        all_rows = np.concatenate([np.zeros(0, np.int64), *rows])
        owner = np.repeat(np.arange(len(rows)), [len(own) for own in rows])
        for part in RARE_PARTS:
            due = self._watch.due(part, all_rows, owner)
            if due:
                sizes, own = [len(rows[place]) for place in due], np.concatenate([rows[place] for place in due])
                for place, payload in zip(due, self._watch.table.save_each(own, sizes, PARTS[part]), strict=True):
                    self._put(f"{DriftBank.name}.{part}", entities[place], payload)

    def _save_plain(self, entity: Entity) -> None:
        self._put("clock", entity, self._encoder.encode(entity.clock(self._store)))
        entity.is_disturbed = False
        if entity.is_who_changed:
            self._put("entity", entity, self._encoder.encode(entity.who))
            entity.is_who_changed = False
        if entity.is_alert_changed:
            self._put("alert", entity, self._encoder.encode(entity.alerting))
            entity.is_alert_changed = False
        if entity.has_new_names:
            origins = [self._store.origins[slot] for slot in entity.signals.values()]
            short = ["" if origin == key else origin for key, origin in zip(entity.signals, origins, strict=True)]
            names = Names(list(entity.samples), list(entity.signals), short, self._blocks.layout)
            self._put("names", entity, self._encoder.encode(names))

    def _save_last(self, entities: Sequence[Entity], signals: Group) -> None:
        """What changes with each scrape is one value."""
        parts = []
        for block in self._blocks.quick:
            is_of_signals = type(block) is Block and block.name != "samples"
            group = signals if is_of_signals else Group.of([block.slots_of(entity) for entity in entities])
            packed, width = block.table.pack(group.slots, block.fields).tobytes(), block.width
            parts.append([packed[width * begin : width * end] for begin, end in pairwise(group.bounds)])
        for entity, rows in zip(entities, zip(*parts, strict=True), strict=True):
            self._put("samples.last", entity, b"".join(rows))

    def _save_rare(
        self, block: Block, entities: Sequence[Entity], signals: Group, is_new: Sequence[bool]
    ) -> None:  # fmt: skip
        """Only of those entities of which any row has changed since it was looked at last."""
        table, fields = block.sign
        changed = self._team.memory.changed(block.name, block.part, table, signals.slots, fields)
        is_due = np.array(is_new, bool)
        is_due[signals.owner[changed]] = True
        due = np.flatnonzero(is_due).tolist()
        if due:
            bounds, slots = signals.bounds, signals.slots
            if len(due) < len(entities):
                slots = slots[is_due[signals.owner]]
            saved = block.table.save_each(slots, [bounds[place + 1] - bounds[place] for place in due], block.fields)
            for place, payload in zip(due, saved, strict=True):
                self._put(f"{block.name}.{block.part}", entities[place], payload)

    def _save_trees(self, entities: Sequence[Entity]) -> None:
        forest = self._team.panel.forest
        grown = [entity for entity in entities if entity.trees is not None]
        if forest is None or not grown:
            return
        for entity, parts in zip(grown, forest.save([entity.trees for entity in grown]), strict=True):
            for part, saved in parts.items():
                self._put(f"{forest.name}.{part}", entity, saved)
            if "drawn" in parts:
                self._state.delete(f"{forest.name}.looking|{entity.entity_id}")

    def _save_individuals(self, entities: Sequence[Entity]) -> None:
        for entity in entities if self._team.panel.individuals.names else ():
            for part, payload in self._team.panel.individuals.save(entity).items():
                self._put(part, entity, payload)

    def _save_together(self, entities: Sequence[Entity]) -> None:
        """Rows change with each scrape, the names of their columns only when signals come."""
        together = self._team.together
        groups: dict[int, list[Entity]] = {}
        for entity in entities:
            if together is not None and entity.together is not None:
                groups.setdefault(entity.together.width, []).append(entity)
                layout = Columns(entity.together.width, entity.together.names)
                self._put("together.names", entity, self._encoder.encode(layout))
                self._put("together.course", entity, self._encoder.encode(entity.together.course))
        for width, group in groups.items():
            assert together is not None
            slots = [entity.together.slots for entity in group]
            saved = together.table(width).save_each(np.concatenate(slots), [len(own) for own in slots])
            for entity, payload in zip(group, saved, strict=True):
                self._put("together.rows", entity, payload)

    def _put(self, part: str, entity: Entity, payload: bytes) -> None:
        key = f"{part}|{entity.entity_id}"
        held = self._state.get(key)
        if held is None or held.payload != payload:
            self._state.put(key, payload, STATE_VERSION)

    def forget(self, entity: Entity) -> None:
        """Deletes all of the entity's state."""
        self._journal.forget(entity)
        for part in (*self._blocks.parts, *self._team.panel.individuals.save(entity)):
            self._state.delete(f"{part}|{entity.entity_id}")


def _is_due(entity: Entity) -> bool:
    """Whether its rows are to be saved, and not only what came."""
    return entity.is_to_save or entity.count // EVERY > entity.saved_count // EVERY
