"""One partition's entities and clocks as keyed state: few values an entity, packed rows, only what changed."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.anomaly.core.semantics import unknown
from services.anomaly.core.signals import Signal, terms_of
from services.anomaly.model.bank import Ints
from services.anomaly.model.calibration import QUICK_FIELDS, SCORES
from services.anomaly.model.conformal import Conformal
from services.anomaly.model.desk import Desk
from services.anomaly.model.drift import PARTS, DriftBank
from services.anomaly.model.entity import STATE_VERSION, Alerting, Clock, Entity, Who
from services.anomaly.model.half_space_forest import HalfSpaceForest, Trees
from services.anomaly.model.journal import EVERY, JOURNAL, Journal
from services.anomaly.model.policy import STATE_KEY as POLICY_KEY
from services.anomaly.model.slots import Slots
from services.anomaly.model.store import SAMPLE_PARTS, SIGNAL_PARTS, Store
from services.anomaly.model.team import Team
from services.anomaly.model.together import FEWEST, MOST, SMALLEST_WIDTH, Course, Whole
from services.anomaly.model.watch import RARE_PARTS, Watch
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState
from services.common.watermarks import STATE_VERSION as CLOCK_VERSION
from services.common.watermarks import Watermarks

TREE_PARTS = ("looking", "drawn", "window", "before")
TOGETHER_PARTS = ("together.names", "together.course", "together.rows")
SCORES_PART = f"{Conformal.name}.scores"
#: Rows that are read by themselves.
APART = (Conformal.name, DriftBank.name)
#: Parts that change with each scrape.
QUICK = ("done", "recent", "row")


class Names(msgspec.Struct, array_like=True):
    """What changes only when series come: their names in order, each signal's key, and a series that it is made of.

    Attributes:
        origins: empty where the series has the signal's own name.
        layout: what stands in `samples.last` one after the other: rows of what, and bytes a row.
    """

    samples: list[str]
    signals: list[str]
    origins: list[str]
    layout: list[tuple[str, int]]


class Columns(msgspec.Struct, array_like=True):
    """Which signals an entity's row of `model/together.py` has, in order; width 0 for a row a signal."""

    width: int
    names: list[str]


class Block:
    """Some fields of the rows of all series, or of all signals; `width` bytes a row.

    Args:
        sign: where it shows whether they have changed, when not by themselves.
    """

    def __init__(
        self, table: Slots, name: str, part: str, fields: Sequence[str] | None,
        sign: tuple[Slots, Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        self.table, self.name, self.part, self.fields = table, name, part, fields
        self.sign = sign or (table, fields)
        self.width = table.pack(np.zeros(0, np.int64), fields).dtype.itemsize

    def slots_of(self, entity: Entity) -> Ints:
        """The entity's rows."""
        return entity.sample_slots if self.name == "samples" else entity.signal_slots


class CalibrationBlock(Block):
    """One row of an entity."""

    def __init__(self, store: Store) -> None:
        super().__init__(store.calibration.table, store.calibration.table.name, "quick", QUICK_FIELDS)
        self._store = store

    def slots_of(self, entity: Entity) -> Ints:
        return np.array([entity.calibrated_at(self._store)])


class DriftBlock(Block):
    """What drift takes in with each value, of the signals that are watched; the last block there is."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(watch.table, watch.table.name, "sums", PARTS["sums"])

    def slots_of(self, entity: Entity) -> Ints:
        return entity.watched


class Group(NamedTuple):
    """Slots of several entities, one after the other; `owner` of each, by place; where each one's begin and end."""

    slots: Ints
    owner: Ints
    bounds: list[int]

    @classmethod
    def of(cls, slots: Sequence[Ints]) -> "Group":
        """Of each entity's."""
        sizes = [len(own) for own in slots]
        return cls(np.concatenate(slots), np.repeat(np.arange(len(slots)), sizes), list(accumulate(sizes, initial=0)))


class Saving:
    """Reads and writes a partition's state.

    Of an entity there are: `entity`, `clock`, `alert` and `names` as MessagePack; `samples.last`, packed rows of all
    that changes with each scrape; and parts that change less often, of the signals and of each detector, as packed
    rows, one a series or signal in the order of `names`. Parts of drift are of the signals that are watched: the first
    ones in that order.
    """

    def __init__(self, state: PartitionState, team: Team) -> None:
        self._state = state
        self._team = team
        self._store = team.store
        self._encoder = msgspec.msgpack.Encoder()
        self.journal = Journal(state)
        signals = [Block(self._store.signals, "signals", part, fields) for part, fields in SIGNAL_PARTS.items()]
        for column in team.panel.columns:
            name = column.bank.name
            for (table, parts), sign in zip(column.tables, (None, column.sign), strict=False):
                signals += [Block(table, name, part, fields, sign) for part, fields in parts.items()]
        self._blocks = [Block(self._store.samples, "samples", "last", SAMPLE_PARTS["last"])]
        self._blocks += [block for block in signals if block.part in QUICK]
        self._rare = [block for block in signals if block.part not in QUICK]
        self._blocks.append(CalibrationBlock(self._store))
        self._watch = self._store.watch
        if self._watch is not None:
            self._blocks.append(DriftBlock(self._watch))
        self._layout = [(block.table.describe(block.fields), block.width) for block in self._blocks]

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

    def save(self, entities: Sequence[Entity], num_entities: int, desk: Desk) -> None:
        """Puts the records of these, or, in turn and where it is needed at once, their rows.

        Args:
            num_entities: of the partition.
        """
        saves_all = bool(self._team.panel.individuals.names)
        due = {entity.number: entity for entity in entities if saves_all or _is_due(entity)}
        due.update((entity.number, entity) for entity in self.journal.overdue(num_entities))
        if due:
            self._save_entities(list(due.values()))
        self.journal.write(self._team.rounds.judged, desk)

    def _save_entities(self, entities: Sequence[Entity]) -> None:
        """Puts what has changed of these."""
        for entity in entities:
            self._save_plain(entity)
            self.journal.forget(entity)
        signals = Group.of([entity.signal_slots for entity in entities])
        self._save_last(entities, signals)
        is_new = [entity.has_new_names or entity.is_unsaved for entity in entities]
        for entity in entities:
            entity.has_new_names = entity.is_unsaved = False
        for block in self._rare:
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
            names = Names(list(entity.samples), list(entity.signals), short, self._layout)
            self._put("names", entity, self._encoder.encode(names))

    def _save_last(self, entities: Sequence[Entity], signals: Group) -> None:
        """What changes with each scrape is one value."""
        parts = []
        for block in self._blocks:
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

    @property
    def _parts(self) -> list[str]:
        """The names of all parts that an entity may have."""
        rows = [f"{block.name}.{block.part}" for block in self._rare]
        trees = [f"{HalfSpaceForest.name}.{part}" for part in TREE_PARTS] if self._team.panel.forest is not None else []
        together = TOGETHER_PARTS if self._team.together is not None else ()
        drift = [f"{DriftBank.name}.{part}" for part in RARE_PARTS] if self._watch is not None else []
        return ["entity", "clock", "alert", "names", "samples.last", SCORES_PART, *rows, *trees, *together, *drift]

    def forget(self, entity: Entity) -> None:
        """Deletes all of the entity's state."""
        self.journal.forget(entity)
        for part in (*self._parts, *self._team.panel.individuals.save(entity)):
            self._state.delete(f"{part}|{entity.entity_id}")

    def load_entities(self, desk: Desk) -> list[Entity]:
        """Reads all entities; deletes what is left of detectors that were switched off.

        Raises:
            ArtifactMismatch: another version, or a part that cannot be read.
        """
        entities = [self._loaded(parts, desk) for parts in self._held()]
        self.journal.load(entities, self._team.rounds.repeat)
        for entity in entities:
            self._drop_unwatched(entity)
            self._store.line[entity.signal_slots] = 1.0  # until what people say is read again
            desk.keep(entity)
        return entities

    def _held(self) -> list[dict[str, bytes]]:
        """The parts of each entity."""
        held: dict[str, dict[str, bytes]] = {}
        known = set(self._parts)
        for key, saved in list(self._state.items()):
            part, _, entity_id = key.partition("|")
            if part in ("host", POLICY_KEY):
                continue
            if part == JOURNAL:
                _check(saved.version)
                continue
            is_known = part in known or bool(self._team.panel.individuals.owner(part))
            if self._state.get(f"entity|{entity_id}") is None or (saved.version == STATE_VERSION and not is_known):
                self._state.delete(key)
            else:
                _check(saved.version)
                held.setdefault(entity_id, {})[part] = saved.payload
        return list(held.values())

    def _loaded(self, parts: Mapping[str, bytes], desk: Desk) -> Entity:
        entity = Entity(_decoded(parts, "entity", Who), desk)
        clock = _decoded(parts, "clock", Clock)
        entity.watermark, entity.rhythms = clock.watermark, clock.rhythms
        entity.number, entity.count, entity.saved_count = clock.number, clock.count, clock.count
        entity.alerting = _decoded(parts, "alert", Alerting)
        entity.source_times += [time for _, time in clock.sources]
        entity.sources = {source_id: number for number, (source_id, _) in enumerate(clock.sources, 1)}
        names = _decoded(parts, "names", Names)
        self._load_names(entity, names)
        if len(clock.lines) == len(entity.signal_slots):
            self._store.move_lines(entity.signal_slots, np.array(clock.lines))
        unread = self._load_last(entity, names, _found(parts, "samples.last"))
        for name in dict.fromkeys(block.name for block in (*self._blocks, *self._rare) if block.name not in APART):
            self._load_rare(name, entity, parts, name in unread)
        self._load_trees(entity, parts)
        self._load_together(entity, parts)
        self._team.panel.individuals.load(entity, parts)
        self._load_scores(entity, parts)
        self._load_drift(entity, parts)
        entity.is_who_changed = entity.is_alert_changed = False
        entity.has_new_names = names.layout != self._layout
        entity.is_disturbed = False
        slots = [entity.signals[key] for key in entity.alerting.worst if key in entity.signals]
        self._store.is_worst[slots] = True
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

    def _load_last(self, entity: Entity, names: Names, payload: bytes) -> set[str]:
        """Reads what changes with each scrape; returns the detectors of which something is missing."""
        nums = [len(entity.sample_slots)] + [len(entity.signal_slots)] * (len(names.layout) - 1)
        nums = [
            1 if word.startswith(f"{Conformal.name} ") else num
            for num, (word, _) in zip(nums, names.layout, strict=True)
        ]
        sizes = [num * width for num, (_, width) in zip(nums, names.layout, strict=True)]
        if names.layout[-1][0].startswith(f"{DriftBank.name} "):
            # Of how many signals that was may be another setting now.
            width, sizes[-1] = names.layout[-1][1], 0
            sizes[-1] = max(0, (len(payload) - sum(sizes)) // width * width)
        if sum(sizes) != len(payload):
            raise ArtifactMismatch(
                f"The part 'samples.last' of an entity in anomaly.state.v1 cannot be read: it has {len(payload)} "
                f"bytes, wanted {sum(sizes)}; delete the topic to learn anew."
            )
        ends = list(accumulate(sizes))
        words = [described for described, _ in names.layout]
        rows = {each: payload[end - size : end] for each, size, end in zip(words, sizes, ends, strict=True)}
        unread = set()
        for block in self._blocks:
            own, slots = rows.get(block.table.describe(block.fields)), block.slots_of(entity)
            if own is None:
                unread.add(block.name)
            else:
                num = min(len(slots), len(own) // block.width)
                block.table.unpack(slots[:num], own[: num * block.width], block.fields)
        return unread

    def _load_rare(self, name: str, entity: Entity, parts: Mapping[str, bytes], is_unread: bool) -> None:
        """A detector of which nothing is saved begins to learn now; so does an adviser of which something else is."""
        blocks = [block for block in self._rare if block.name == name]
        held = [block for block in blocks if f"{name}.{block.part}" in parts]
        columns = [column for column in self._team.panel.columns if column.bank.name == name]
        if is_unread and not held:
            return
        try:
            if is_unread:
                raise ArtifactMismatch(
                    f"Rows of {name} in anomaly.state.v1 are of another form than this program reads; run the program "
                    "that wrote them, or delete the topic to learn anew."
                )
            for block in blocks:
                block.table.load(entity.signal_slots, _found(parts, f"{name}.{block.part}"), block.fields)
        except ArtifactMismatch:
            if not columns or columns[0] in self._team.panel.voters:
                raise
            columns[0].clear(entity.signal_slots)

    def _load_together(self, entity: Entity, parts: Mapping[str, bytes]) -> None:
        """What only advises begins anew when it cannot be read."""
        together = self._team.together
        if together is None or not any(part in parts for part in TOGETHER_PARTS):
            return
        whole = Whole()
        try:
            columns, whole.course = (
                _decoded(parts, "together.names", Columns),
                _decoded(parts, "together.course", Course),
            )
            whole.width, whole.names = columns.width, columns.names
            _check_columns(columns)
            whole.slots = together.table(columns.width).add(1 if columns.width else len(columns.names))
            entity.together = whole
            together.table(columns.width).load(whole.slots, _found(parts, "together.rows"))
            together.place(entity, whole)
            whole.version = -1  # there may be signals that are not among its names yet
        except ArtifactMismatch:
            together.free(entity)
            if together.is_heard:
                raise

    def _load_trees(self, entity: Entity, parts: Mapping[str, bytes]) -> None:
        forest = self._team.panel.forest
        own = {
            part: parts[f"{HalfSpaceForest.name}.{part}"]
            for part in TREE_PARTS
            if f"{HalfSpaceForest.name}.{part}" in parts
        }
        if forest is None or not own:
            return
        try:
            entity.trees = forest.load(own)
        except ArtifactMismatch:
            entity.trees = Trees()

    def _load_scores(self, entity: Entity, parts: Mapping[str, bytes]) -> None:
        """What cannot be read begins anew: it decides on no alert but by a budget."""
        calibration, row = self._store.calibration, entity.calibrated_at(self._store)
        try:
            if calibration.table.rows["num"][row] or SCORES_PART in parts:
                calibration.table.load(np.array([row]), _found(parts, SCORES_PART), SCORES)
        except ArtifactMismatch:
            calibration.clear(row)

    def _load_drift(self, entity: Entity, parts: Mapping[str, bytes]) -> None:
        """What cannot be read begins anew: drift decides on no alert but its own."""
        if self._watch is None:
            return
        rows = entity.watched
        names = [(part, f"{DriftBank.name}.{part}") for part in RARE_PARTS]
        try:
            self._watch.load(rows, [(part, parts[name]) for part, name in names if name in parts])
        except ArtifactMismatch:
            self._watch.table.clear(rows)
            self._watch.mark(rows)


#: In place of the meaning of a signal that is not looked at any more.
UNWATCHED = unknown("", "value", "joins")


def _is_due(entity: Entity) -> bool:
    """Whether its rows are to be saved, and not only what came."""
    return entity.is_to_save or entity.count // EVERY > entity.saved_count // EVERY


def _check_columns(columns: Columns) -> None:
    width, num = columns.width, len(columns.names)
    is_width = width in (0, SMALLEST_WIDTH, 2 * SMALLEST_WIDTH, 4 * SMALLEST_WIDTH, 8 * SMALLEST_WIDTH)
    if not is_width or len(set(columns.names)) < num or num > (width or FEWEST - 1):
        raise ArtifactMismatch(
            f"An entity in anomaly.state.v1 is judged together by {num} signals in {width} columns; wanted each signal "
            f"once, in a power of two from {SMALLEST_WIDTH} to {MOST}: delete the topic to learn anew."
        )


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
