"""One partition's entities and clocks from keyed state, as `saving.py` wrote it; what cannot be read is said."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

import msgspec
import numpy as np

from services.anomaly.core.semantics import unknown
from services.anomaly.core.signals import Signal, terms_of
from services.anomaly.model.blocks import APART, SCORES_PART, TOGETHER_PARTS, TREE_PARTS, Blocks, Columns, Names
from services.anomaly.model.calibration import SCORES
from services.anomaly.model.conformal import Conformal
from services.anomaly.model.desk import Desk
from services.anomaly.model.drift import DriftBank
from services.anomaly.model.entity import STATE_VERSION, Alerting, Clock, Entity, Who
from services.anomaly.model.half_space_forest import HalfSpaceForest, Trees
from services.anomaly.model.journal import JOURNAL, Journal
from services.anomaly.model.policy import STATE_KEY as POLICY_KEY
from services.anomaly.model.team import Team
from services.anomaly.model.together import FEWEST, MOST, SMALLEST_WIDTH, Course, Whole
from services.anomaly.model.watch import RARE_PARTS
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState
from services.common.watermarks import Watermarks

#: In place of the meaning of a signal that is not looked at any more.
UNWATCHED = unknown("", "value", "joins")


class Loading:
    """Reads a partition's state."""

    def __init__(self, state: PartitionState, team: Team, blocks: Blocks, journal: Journal) -> None:
        self._state = state
        self._team = team
        self._store = team.store
        self._watch = team.store.watch
        self._blocks = blocks
        self._journal = journal

    def load_hosts(self, marks: Watermarks) -> None:
        """Reads all hosts' clocks. Raises ArtifactMismatch."""
        for key, saved in self._state.items():
            kind, _, name = key.partition("|")
            if kind == "host":
                marks.load_host(name, saved.payload, saved.version)

    def load_entities(self, desk: Desk) -> list[Entity]:
        """Reads all entities; deletes what is left of detectors that were switched off.

        Raises:
            ArtifactMismatch: another version, or a part that cannot be read.
        """
        entities = [self._loaded(parts, desk) for parts in self._held()]
        self._journal.load(entities, self._team.rounds.repeat)
        for entity in entities:
            self._drop_unwatched(entity)
            self._store.line[entity.signal_slots] = 1.0  # until what people say is read again
            desk.keep(entity)
        return entities

    def _held(self) -> list[dict[str, bytes]]:
        """The parts of each entity."""
        held: dict[str, dict[str, bytes]] = {}
        known = set(self._blocks.parts)
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
        for name in dict.fromkeys(
            block.name for block in (*self._blocks.quick, *self._blocks.rare) if block.name not in APART
        ):
            self._load_rare(name, entity, parts, name in unread)
        self._load_trees(entity, parts)
        self._load_together(entity, parts)
        self._team.panel.individuals.load(entity, parts)
        self._load_scores(entity, parts)
        self._load_drift(entity, parts)
        entity.is_who_changed = entity.is_alert_changed = False
        entity.has_new_names = names.layout != self._blocks.layout
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
        for block in self._blocks.quick:
            own, slots = rows.get(block.table.describe(block.fields)), block.slots_of(entity)
            if own is None:
                unread.add(block.name)
            else:
                num = min(len(slots), len(own) // block.width)
                block.table.unpack(slots[:num], own[: num * block.width], block.fields)
        return unread

    def _load_rare(self, name: str, entity: Entity, parts: Mapping[str, bytes], is_unread: bool) -> None:
        """A detector of which nothing is saved begins to learn now; so does an adviser of which something else is."""
        blocks = [block for block in self._blocks.rare if block.name == name]
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
