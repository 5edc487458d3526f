"""Records that entities took since their rows were saved: judged once more at a restart, they lead to the same rows.

What a record does to its entity hangs on nothing but the entity's rows, the record and the settings, unless something
is said or somebody speaks; then the rows are saved at once. So of most records only they themselves are saved, and the
rows of each entity now and then.
"""

import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from services.anomaly.core.events import Samples
from services.anomaly.model.bank import Ints
from services.anomaly.model.desk import Desk
from services.anomaly.model.entity import STATE_VERSION, Entity
from services.anomaly.model.rounds import Round, Waiting
from services.common.errors import ArtifactMismatch
from services.common.state import PartitionState

#: What its keys begin with, and the one that holds the number of the next entity.
JOURNAL = "journal"
_NEXT = f"{JOURNAL}|next"
#: Rows of an entity are saved after so many records at most: fewer cost more to save, more cost more at a restart.
EVERY = 32
#: Smaller segments are written once more with what comes next, so that their keys stay few.
SMALL_BYTES = 4096
#: Entities that are quiet for long hold on to what all wrote: after so many times EVERY records of each their rows are
#: saved, and some more records where there are few entities.
MOST_TIMES, FEW_RECORDS = 2, 1024
#: Entities whose rows are saved for that in one go, at least.
FEW_ENTITIES = 64

#: A record: whose, by its number and scrape; how many of its entity came with it; times; its series: `num` whose
#: numbers go on from `first`, or stand by themselves where that is 0. A pause of -1 is an unknown one.
HEAD: np.dtype[Any] = np.dtype([
    ("entity", "<u4"), ("source", "<u4"), ("nth", "<i8"), ("time", "<i8"), ("pause", "<i8"), ("watermark", "<i8"),
    ("first", "<u4"), ("num", "<u4"),
])  # fmt: skip
Heads = npt.NDArray[np.void]

_encoder = msgspec.msgpack.Encoder()


class Block(msgspec.Struct, array_like=True):
    """Records, packed: their heads, the numbers of series that stand by themselves, all values (float64)."""

    heads: bytes
    numbers: bytes
    values: bytes


class Saved(msgspec.Struct, array_like=True):
    """A segment as saved. `begin`: records that were written before it."""

    begin: int
    blocks: list[Block]


_decoder = msgspec.msgpack.Decoder(Saved)


class Segment:
    """What stands under one key. `pinned`: entities whose first record since their rows were saved is in it."""

    __slots__ = ("begin", "blocks", "key", "pinned", "size")

    def __init__(self, key: str, begin: int, blocks: list[Block]) -> None:
        self.key, self.begin, self.blocks = key, begin, blocks
        self.pinned: dict[int, Entity] = {}
        self.size = 0


class Journal:
    """One partition's. Segments are deleted, oldest first, when no entity needs a record of them; keys come again."""

    def __init__(self, state: PartitionState) -> None:
        self._state = state
        self._segments: list[Segment] = []
        self._free: list[str] = []
        self._num_keys = 0
        self._num_records = 0
        self._next = 1

    def meet(self, entity: Entity) -> None:
        """Gives a new entity its number. Each begins its count elsewhere, so that they take turns in being saved."""
        entity.number, self._next = self._next, self._next + 1
        entity.count = entity.saved_count = zlib.crc32(entity.entity_id.encode()) % EVERY
        self._state.put(_NEXT, _encoder.encode(self._next), STATE_VERSION)

    def forget(self, entity: Entity) -> None:
        """The entity's rows are saved, or it is gone: its records so far are of no use."""
        entity.saved_count = entity.count
        if entity.segment is not None:
            del entity.segment.pinned[entity.number]
            entity.segment = None

    def overdue(self, num_entities: int) -> Sequence[Entity]:
        """Entities that were quiet for so long that their rows should be saved, though nothing came of them.

        Args:
            num_entities: of the partition.
        """
        if not self._segments:
            return ()
        oldest = self._segments[0]
        if self._num_records - oldest.begin <= MOST_TIMES * EVERY * num_entities + FEW_RECORDS:
            return ()
        return list(oldest.pinned.values())[: max(FEW_ENTITIES, num_entities // EVERY)]

    def write(self, rounds: Sequence[Round], desk: Desk) -> None:
        """Puts the records of a desk's entities that came after their rows were saved last."""
        for each in rounds:
            own = [
                place
                for place, record in enumerate(each.records)
                if record.nth > record.entity.saved_count and record.entity.desk is desk
            ]
            if own:
                records = [each.records[place] for place in own]
                segment = self._open(_block(each, records, np.array(own, np.int64)))
                self._num_records += len(records)
                for entity in [record.entity for record in records if record.entity.segment is None]:
                    entity.segment = segment
                    segment.pinned[entity.number] = entity
        self._trim()

    def _open(self, block: Block) -> Segment:
        """The segment that the block is put into: the newest one while it is small."""
        size = len(block.heads) + len(block.numbers) + len(block.values)
        newest = self._segments[-1] if self._segments else None
        if newest is None or not newest.blocks or newest.size + size > SMALL_BYTES:
            newest = Segment(self._key(), self._num_records, [])
            self._segments.append(newest)
        newest.blocks.append(block)
        newest.size += size
        self._state.put(newest.key, _encoder.encode(Saved(newest.begin, newest.blocks)), STATE_VERSION)
        if newest.size > SMALL_BYTES:
            newest.blocks = []
        return newest

    def _key(self) -> str:
        if self._free:
            return self._free.pop()
        self._num_keys += 1
        return f"{JOURNAL}|{self._num_keys}"

    def _trim(self) -> None:
        num = next((n for n, segment in enumerate(self._segments) if segment.pinned), len(self._segments))
        for segment in self._segments[:num]:
            self._state.delete(segment.key)
            self._free.append(segment.key)
        del self._segments[:num]

    def load(self, entities: Sequence[Entity], repeat: Callable[[Iterator[Waiting]], None]) -> None:
        """Brings entities, as their rows say, to where they were.

        Args:
            repeat: judges records without saying anything; each entity's come in order.

        Raises:
            ArtifactMismatch: bytes that are no journal, or one of other entities or of fewer records than there were.
        """
        blocks = self._read(bool(entities))
        by_number = {entity.number: entity for entity in entities}
        if blocks:
            repeat(_again(blocks, by_number))
        self._trim()

    def _read(self, has_entities: bool) -> list[tuple[Segment, Heads, Block]]:
        keys = {key: saved for key, saved in self._state.items() if key.startswith(f"{JOURNAL}|")}
        if has_entities:
            self._next = _decoded(_NEXT, keys[_NEXT].payload if _NEXT in keys else b"", int)
        blocks = []
        for key in sorted(keys.keys() - {_NEXT}):
            saved = _decoded(key, keys[key].payload, Saved)
            segment = Segment(key, saved.begin, [])
            self._segments.append(segment)
            own = [(segment, _checked(key, block), block) for block in saved.blocks]
            self._num_records = max(self._num_records, saved.begin + sum(len(heads) for _, heads, _ in own))
            blocks += own
        self._segments.sort(key=lambda segment: segment.begin)
        self._num_keys = max((int(key.partition("|")[2]) for key in keys if key != _NEXT), default=0)
        self._free = [f"{JOURNAL}|{n}" for n in range(1, self._num_keys) if f"{JOURNAL}|{n}" not in keys]
        return blocks


def _block(each: Round, records: Sequence[Waiting], own: Ints) -> Block:
    """These records of a round, packed."""
    layout, heads = each.layout, np.empty(len(records), HEAD)
    heads["entity"] = [record.entity.number for record in records]
    heads["nth"] = [record.nth for record in records]
    heads["pause"] = [-1 if record.pause is None else record.pause for record in records]
    heads["watermark"] = [record.watermark for record in records]
    heads["time"], heads["source"] = each.times[own], each.sources[own]
    heads["first"], heads["num"] = layout.firsts[own], layout.counts[own]
    values, numbers = each.values[layout.places], layout.numbers
    is_single = layout.firsts == 0
    if len(own) < len(each.records):
        is_own = np.zeros(len(each.records), bool)
        is_own[own] = True
        values, is_single = values[is_own[layout.record_of_sample]], is_single & is_own
    apart = numbers[is_single[layout.record_of_sample]] if is_single.any() else numbers[:0]
    return Block(heads.tobytes(), apart.astype("<u4").tobytes(), values.astype("<f8", copy=False).tobytes())


def _again(blocks: Sequence[tuple[Segment, Heads, Block]], entities: Mapping[int, Entity]) -> Iterator[Waiting]:
    """Records that came after their entities' rows were saved: the first ones of all, then the second ones, ..."""
    heads = np.concatenate([heads for _, heads, _ in blocks])
    block_of = np.repeat(np.arange(len(blocks)), [len(heads) for _, heads, _ in blocks])
    begins = np.concatenate([_begins(heads, np.ones(len(heads), bool)) for _, heads, _ in blocks])
    apart = np.concatenate([_begins(heads, heads["first"] == 0) for _, heads, _ in blocks])
    known = {number: entity.saved_count for number, entity in entities.items()}
    since = heads["nth"] - np.array([known.get(number, 2**62) for number in heads["entity"].tolist()], np.int64)
    readers: dict[int, _Reader] = {}
    order = np.argsort(since, kind="stable")
    for place in order[np.searchsorted(since[order], 1) :].tolist():
        head = heads[place]
        number = int(head["entity"])
        reader = readers.get(number)
        if reader is None:
            reader = readers[number] = _Reader(entities[number])
        segment, _, block = blocks[block_of[place]]
        yield reader.read(segment, head, block, int(begins[place]), int(apart[place]))


def _begins(heads: Heads, which: npt.NDArray[np.bool_]) -> Ints:
    """Where the numbers or values of each record begin, of those that have any."""
    sizes = np.where(which, heads["num"], 0).astype(np.int64)
    return np.asarray(np.cumsum(sizes) - sizes)


class _Reader:
    """Reads one entity's records."""

    def __init__(self, entity: Entity) -> None:
        self._entity = entity
        self._names = list(entity.samples)
        self._sources = list(entity.sources)
        self._known: dict[Any, tuple[str, ...]] = {}

    def read(self, segment: Segment, head: Any, block: Block, begin: int, apart: int) -> Waiting:
        """One record, which its entity counts."""
        entity = self._entity
        _, source, nth, time, pause, watermark, first, num = head.tolist()
        is_known = 1 <= source <= len(self._sources) and self._sources[source - 1] in entity.rhythms
        if nth != entity.count + 1 or not is_known:
            raise _mismatch(
                segment.key, f"it has record {nth} of {entity.entity_id} by scrape {source}, wanted record "
                f"{entity.count + 1} by one of {len(self._sources)} scrapes"
            )  # fmt: skip
        if entity.segment is None:
            entity.segment = segment
            segment.pinned[entity.number] = entity
        entity.count, entity.watermark = nth, watermark
        numbers = (first, num) if first else np.frombuffer(block.numbers, "<u4")[apart : apart + num].tobytes()
        series = self._known.get(numbers)
        if series is None:
            series = self._known[numbers] = self._series(segment, numbers)
        values = array("d", np.frombuffer(block.values, "<f8")[begin : begin + num].tobytes())
        source_id = self._sources[source - 1]
        samples = Samples(time, "", entity.entity_id, (), series, values, "", "", 0, (), 0, 0)
        return Waiting(0, entity, samples, source_id, source, None if pause < 0 else pause, watermark, nth)

    def _series(self, segment: Segment, numbers: tuple[int, int] | bytes) -> tuple[str, ...]:
        if isinstance(numbers, bytes):
            places = np.frombuffer(numbers, "<u4").astype(np.int64)
        else:
            places = np.arange(numbers[0], sum(numbers))
        if len(places) and not 1 <= places.min() <= places.max() <= len(self._names):
            raise _mismatch(
                segment.key, f"it has series {places.max()} of {self._entity.entity_id}, which has {len(self._names)}"
            )  # fmt: skip
        return tuple(self._names[place - 1] for place in places.tolist())


def _checked(key: str, block: Block) -> Heads:
    if len(block.heads) % HEAD.itemsize == 0:
        heads = np.frombuffer(block.heads, HEAD)
        num, num_apart = int(heads["num"].sum()), int(heads["num"][heads["first"] == 0].sum())
        if (8 * num, 4 * num_apart) == (len(block.values), len(block.numbers)):
            return heads
    raise _mismatch(key, f"it has heads of {len(block.heads)} bytes with values of {len(block.values)} bytes")


def _decoded(key: str, payload: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(payload, type=kind)
    except msgspec.MsgspecError as error:
        raise _mismatch(key, str(error)) from error


def _mismatch(key: str, why: str) -> ArtifactMismatch:
    return ArtifactMismatch(
        f"The part {key!r} in anomaly.state.v1 cannot be read ({why}); delete the topic to learn anew."
    )
