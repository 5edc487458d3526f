"""One partition's entities and clocks as keyed state: few values an entity, packed rows, only what changed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from services.anomaly.core.semantics import unknown
from services.anomaly.core.signals import Signal, terms_of
from services.anomaly.model.bank import Ints
from services.anomaly.model.columns import Columns
from services.anomaly.model.desk import Desk
from services.anomaly.model.entity import STATE_VERSION, Alerting, Clock, Entity, Who
from services.anomaly.model.half_space_forest import Trees
from services.anomaly.model.policy import STATE_KEY as POLICY_KEY
from services.anomaly.model.slots import Slots
from services.anomaly.model.store import SAMPLE_PARTS, SIGNAL_PARTS
from services.anomaly.model.team import Team
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState
from services.common.watermarks import STATE_VERSION as CLOCK_VERSION
from services.common.watermarks import Watermarks

TREE_PARTS = ("looking", "drawn", "window", "before")


class Names(msgspec.Struct, array_like=True):
    """What changes only when series come: their names in order, each signal's key, and a series that it is made of."""

    samples: list[str]
    signals: list[str]
    origins: list[str]


class Saving:
    """Reads and writes a partition's state.

    Of an entity there are: `entity`, `clock`, `alert` and `names` as MessagePack; `samples.*`, `signals.*` and each
    detector's parts as packed rows, one a series or signal in the order of `names`.
    """

    def __init__(self, state: PartitionState, team: Team) -> None:
        self._state = state
        self._team = team
        self._store = team.store
        self._encoder = msgspec.msgpack.Encoder()

    def save_hosts(self, marks: Watermarks, hosts: Iterable[str]) -> None:
        """Puts these hosts' clocks."""
        for host in hosts:
            self._state.put(f"host|{host}", marks.save_host(host), CLOCK_VERSION)

    def load_hosts(self, marks: Watermarks) -> None:
        """Reads all hosts' clocks. Raises ArtifactMismatch."""
        for key, saved in self._state.items():
            kind, _, name = key.partition("|")
            if kind == "host":
                marks.load_host(name, saved.payload, saved.version)

    def save_entities(self, entities: Sequence[Entity]) -> None:
        """Puts what has changed of these."""
        for entity in entities:
            self._save_plain(entity)
        if not entities:
            return
        samples, signals = self._store.samples, self._store.signals
        self._save_rows("samples", samples, SAMPLE_PARTS, entities, [each.sample_slots for each in entities])
        slots = [each.signal_slots for each in entities]
        self._save_rows("signals", signals, SIGNAL_PARTS, entities, slots)
        for column in self._team.panel.columns:
            for table, parts in column.tables:
                self._save_rows(column.bank.name, table, parts, entities, slots)
        self._save_trees(entities)

    def _save_plain(self, entity: Entity) -> None:
        self._put("clock", entity, self._encoder.encode(entity.clock))
        if entity.is_who_changed:
            self._put("entity", entity, self._encoder.encode(entity.who))
            entity.is_who_changed = False
        if entity.is_alert_changed:
            self._put("alert", entity, self._encoder.encode(entity.alerting))
            entity.is_alert_changed = False
        if entity.has_new_names:
            origins = [self._store.origins[slot] for slot in entity.signals.values()]
            short = ["" if origin == key else origin for key, origin in zip(entity.signals, origins, strict=True)]
            names = Names(list(entity.samples), list(entity.signals), short)
            self._put("names", entity, self._encoder.encode(names))
            entity.has_new_names = False

    def _save_rows(
        self, name: str, table: Slots, parts: Mapping[str, Any], entities: Sequence[Entity], slots: Sequence[Ints]
    ) -> None:
        all_slots, sizes = np.concatenate(slots), [len(own) for own in slots]
        for part, fields in parts.items():
            for entity, saved in zip(entities, table.save_each(all_slots, sizes, fields), strict=True):
                self._put(f"{name}.{part}", entity, saved)

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

    def _put(self, part: str, entity: Entity, payload: bytes) -> None:
        key = f"{part}|{entity.entity_id}"
        held = self._state.get(key)
        if held is None or held.payload != payload:
            self._state.put(key, payload, STATE_VERSION)

    @property
    def _parts(self) -> list[str]:
        """The names of all parts that an entity may have."""
        rows: list[tuple[str, Mapping[str, Any]]] = [("samples", SAMPLE_PARTS), ("signals", SIGNAL_PARTS)]
        rows += [(column.bank.name, parts) for column in self._team.panel.columns for _, parts in column.tables]
        if self._team.panel.forest is not None:
            rows.append((self._team.panel.forest.name, dict.fromkeys(TREE_PARTS, ())))
        return ["entity", "clock", "alert", "names", *(f"{name}.{part}" for name, parts in rows for part in parts)]

    def forget(self, entity: Entity) -> None:
        """Deletes all of the entity's state."""
        for part in self._parts:
            self._state.delete(f"{part}|{entity.entity_id}")

    def load_entities(self, desk: Desk) -> Iterator[Entity]:
        """Reads all entities; deletes what is left of detectors that were switched off.

        Raises:
            ArtifactMismatch: another version, or a part that cannot be read.
        """
        held: dict[str, dict[str, bytes]] = {}
        known = set(self._parts)
        for key, saved in list(self._state.items()):
            part, _, entity_id = key.partition("|")
            if part in ("host", POLICY_KEY):
                continue
            if self._state.get(f"entity|{entity_id}") is None or (saved.version == STATE_VERSION and part not in known):
                self._state.delete(key)
            else:
                _check(saved.version)
                held.setdefault(entity_id, {})[part] = saved.payload
        for parts in held.values():
            yield self._loaded(parts, desk)

    def _loaded(self, parts: Mapping[str, bytes], desk: Desk) -> Entity:
        entity = Entity(_decoded(parts, "entity", Who), desk)
        clock = _decoded(parts, "clock", Clock)
        entity.watermark, entity.rhythms = clock.watermark, clock.rhythms
        entity.alerting = _decoded(parts, "alert", Alerting)
        entity.source_times += [time for _, time in clock.sources]
        entity.sources = {source_id: number for number, (source_id, _) in enumerate(clock.sources, 1)}
        self._load_names(entity, _decoded(parts, "names", Names) if "names" in parts else Names([], [], []))
        self._load_rows("samples", self._store.samples, SAMPLE_PARTS, entity.sample_slots, parts)
        self._load_rows("signals", self._store.signals, SIGNAL_PARTS, entity.signal_slots, parts)
        for column in self._team.panel.columns:
            self._load_column(column, entity, parts)
        self._load_trees(entity, parts)
        entity.is_who_changed = entity.is_alert_changed = entity.has_new_names = False
        self._drop_unwatched(entity)
        slots = [entity.signals[key] for key in entity.alerting.worst if key in entity.signals]
        self._store.is_worst[slots] = True
        if entity.alerting.open is not None:
            desk.open[entity.entity_id] = entity
        return entity

    def _load_names(self, entity: Entity, names: Names) -> None:
        origins = [origin or key for key, origin in zip(names.signals, names.origins, strict=True)]
        signals = [self._signal(key, origin) for key, origin in zip(names.signals, origins, strict=True)]
        entity.keep(self._store, names.samples, signals, origins)

    def _signal(self, key: str, origin: str) -> Signal:
        terms = terms_of(origin, self._team.registry.unknown_metrics)
        return next((term.signal for term in terms if term.signal.key == key), Signal(key, UNWATCHED))

    def _drop_unwatched(self, entity: Entity) -> None:
        """A setting that looks at fewer metrics may have come in between."""
        gone = [key for key, slot in entity.signals.items() if self._store.signal(slot).meaning is UNWATCHED]
        if gone:
            entity.drop(self._store, gone)

    def _load_rows(
        self, name: str, table: Slots, parts: Mapping[str, Any], slots: Ints, held: Mapping[str, bytes]
    ) -> None:
        for part, fields in parts.items():
            table.load(slots, _found(held, f"{name}.{part}"), fields)

    def _load_column(self, column: Columns, entity: Entity, parts: Mapping[str, bytes]) -> None:
        """A detector of which nothing is saved begins to learn now; so does an adviser of which something else is."""
        name = column.bank.name
        if not any(part.startswith(f"{name}.") for part in parts):
            return
        try:
            for table, fields in column.tables:
                self._load_rows(name, table, fields, entity.signal_slots, parts)
        except ArtifactMismatch:
            if column in self._team.panel.voters:
                raise
            column.clear(entity.signal_slots)

    def _load_trees(self, entity: Entity, parts: Mapping[str, bytes]) -> None:
        forest = self._team.panel.forest
        own = {part: parts[f"half_space_trees.{part}"] for part in TREE_PARTS if f"half_space_trees.{part}" in parts}
        if forest is None or not own:
            return
        try:
            entity.trees = forest.load(own)
        except ArtifactMismatch:
            entity.trees = Trees()


#: In place of the meaning of a signal that is not looked at any more.
UNWATCHED = unknown("", "value", "joins")


def _check(version: int) -> None:
    if version != STATE_VERSION:
        raise ArtifactMismatch(
            f"anomaly.state.v1 holds an entity of version {version}, this program reads {STATE_VERSION}: "
            "run the program that wrote it, or delete the topic to learn anew."
        )


def _found(parts: Mapping[str, bytes], part: str) -> bytes:
    if part not in parts:
        raise ArtifactMismatch(
            f"An entity in anomaly.state.v1 lacks its part {part!r} and holds {sorted(parts)}; delete the topic to "
            "learn anew."
        )
    return parts[part]


def _decoded(parts: Mapping[str, bytes], part: str, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(_found(parts, part), type=kind)
    except msgspec.MsgspecError as error:
        raise ArtifactMismatch(
            f"The part {part!r} of an entity in anomaly.state.v1 cannot be read ({error}); delete the topic to learn "
            "anew."
        ) from error
