"""Where the rows of many series live: one array that grows, and bytes of declared fields to save them as."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from services.anomaly.model.bank import Ints, Rows
from services.common.errors import ArtifactMismatch

#: Of the bytes that `save` makes; what a row means has a version of its own.
FORMAT = 1
SMALLEST = 16

_encoder = msgspec.msgpack.Encoder()


class Saved(msgspec.Struct, array_like=True):
    """Rows as saved: whose they are, how each field is written (`num:<u4 window:<f8*12`), and their bytes."""

    format: int
    name: str
    version: int
    fields: str
    num: int
    rows: bytes


_decoder = msgspec.msgpack.Decoder(Saved)


class Wire(NamedTuple):
    """How some fields of rows are written: little-endian on every machine; in words, too."""

    dtype: np.dtype[Any]
    fields: tuple[str, ...]
    described: str


class Slots:
    """Rows of one dtype, each at a number that stays its own until it is freed.

    Args:
        name: whose rows they are; rows saved under another name are refused.
        dtype: flat, of numbers and fixed arrays of numbers, without gaps between the fields.
        version: of what the fields mean. A change of meaning that keeps their form is a new version.
    """

    def __init__(self, name: str, dtype: np.dtype[Any], version: int = 1) -> None:
        assert _is_plain(dtype), f"{name}: a row is numbers without gaps, not {dtype}"
        self.name = name
        self.dtype = dtype
        self.version = version
        self._rows: Rows = np.zeros(0, dtype)
        self._num = 0
        self._free: list[int] = []
        self._wires: dict[tuple[str, ...] | None, Wire] = {}

    def __len__(self) -> int:
        """Slots in use."""
        return self._num - len(self._free)

    @property
    def rows(self) -> Rows:
        """All rows, to be worked on where they are; another array after `add`."""
        return self._rows

    @property
    def num_bytes(self) -> int:
        """Memory that is held, in use or not."""
        return self._rows.nbytes

    def take(self, slots: Ints) -> Rows:
        """A copy of these rows, in this order."""
        return self._rows[slots]

    def put(self, slots: Ints, rows: Rows) -> None:
        """Puts rows back where they came from."""
        self._rows[slots] = rows

    def clear(self, slots: Ints) -> None:
        """These series are learnt anew."""
        self._rows[slots] = np.zeros((), self.dtype)

    def add(self, n: int) -> Ints:
        """`n` slots of nothing learnt: freed ones first, then new ones."""
        reused = [self._free.pop() for _ in range(min(n, len(self._free)))]
        first, self._num = self._num, self._num + n - len(reused)
        if self._num > len(self._rows):
            grown = np.zeros(max(SMALLEST, self._num, 2 * len(self._rows)), self.dtype)
            grown[:first] = self._rows[:first]
            self._rows = grown
        return np.concatenate([np.array(reused, np.int64), np.arange(first, self._num)])

    def free(self, slots: Ints) -> None:
        """Gives slots back, each once; whoever gets them next finds nothing learnt."""
        self.clear(slots)
        self._free.extend(slots.tolist())

    def save(self, slots: Ints, fields: Sequence[str] | None = None) -> bytes:
        """These rows, little-endian, headed by name, version and the fields' description; or some fields of them."""
        return self.save_each(slots, [len(slots)], fields)[0]

    def save_each(self, slots: Ints, sizes: Sequence[int], fields: Sequence[str] | None = None) -> list[bytes]:
        """What `save` gives of one group of slots after the other, in one go.

        Args:
            slots: of all groups, one after the other.
            sizes: how many slots each group has.
        """
        rows, described = self.pack(slots, fields), self._wire(fields).described
        packed, width, end = rows.tobytes(), rows.dtype.itemsize, 0
        saved = []
        for size in sizes:
            begin, end = end, end + size * width
            saved.append(_encoder.encode(Saved(FORMAT, self.name, self.version, described, size, packed[begin:end])))
        return saved

    def describe(self, fields: Sequence[str] | None = None) -> str:
        """How rows with these fields are written, whose they are and of which version: what `unpack` must be given."""
        return f"{self.name} {self.version} {self._wire(fields).described}"

    def pack(self, slots: Ints, fields: Sequence[str] | None = None) -> Rows:
        """These rows as they are written: little-endian, without gaps; or some fields of them."""
        wire = self._wire(fields)
        rows = np.empty(len(slots), wire.dtype)
        for field in wire.fields:
            rows[field] = self._rows[field][slots]
        return rows

    def unpack(self, slots: Ints, packed: bytes, fields: Sequence[str] | None = None) -> None:
        """Takes back as many rows as `pack` gave; other fields stay as they are."""
        wire = self._wire(fields)
        rows = np.frombuffer(packed, wire.dtype)
        for field in wire.fields:
            self._rows[field][slots] = rows[field]

    def load(self, slots: Ints, payload: bytes, fields: Sequence[str] | None = None) -> None:
        """Takes back what `save` gave for as many slots and the same fields; other fields stay as they are.

        Raises:
            ArtifactMismatch: no such bytes, or those of another bank, version, form or number of series.
        """
        wire = self._wire(fields)
        saved = self._decoded(payload)
        wanted = (FORMAT, self.name, self.version, wire.described, len(slots), len(slots) * wire.dtype.itemsize)
        seen = (saved.format, saved.name, saved.version, saved.fields, saved.num, len(saved.rows))
        if seen != wanted:
            raise ArtifactMismatch(
                f"Saved rows are {_said(seen)}; this program reads {_said(wanted)}: run the program that wrote them, "
                "or delete anomaly.state.v1 to learn anew."
            )
        self.unpack(slots, saved.rows, fields)

    def _wire(self, fields: Sequence[str] | None) -> Wire:
        key = None if fields is None else tuple(fields)
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = _wire(self.dtype, fields)
        return wire

    def count(self, payload: bytes) -> int:
        """How many rows `save` was given. Raises ArtifactMismatch."""
        return self._decoded(payload).num

    def _decoded(self, payload: bytes) -> Saved:
        try:
            return _decoder.decode(payload)
        except msgspec.MsgspecError as error:
            raise ArtifactMismatch(
                f"Saved rows of {self.name} cannot be read ({error}); wanted bytes that this program wrote: delete "
                "anomaly.state.v1 to learn anew."
            ) from error


def _is_plain(dtype: np.dtype[Any]) -> bool:
    if dtype.names is None:
        return False
    kinds = [dtype[name].base for name in dtype.names]
    sizes = sum(dtype[name].itemsize for name in dtype.names)
    return sizes == dtype.itemsize and all(kind.kind in "biuf" for kind in kinds)


def _wire(dtype: np.dtype[Any], fields: Sequence[str] | None) -> Wire:
    names = dtype.names or () if fields is None else tuple(fields)
    written = np.dtype([(name, dtype[name].base.newbyteorder("<"), dtype[name].shape) for name in names])
    return Wire(written, names, _describe(written))


def _describe(wire: np.dtype[Any]) -> str:
    """`num:<u4 window:<f8*12`: each field, how a number of it is written, and how many there are."""
    words = []
    for name in wire.names or ():
        sizes = "".join(f"*{size}" for size in wire[name].shape)
        words.append(f"{name}:{wire[name].base.str}{sizes}")
    return " ".join(words)


def _said(what: tuple[int, str, int, str, int, int]) -> str:
    form, name, version, fields, num, size = what
    return f"{num} of {name!r} version {version} in format {form} with fields {fields!r} in {size} bytes"
