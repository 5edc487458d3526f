"""The resident matrix: one row a node, updated by row as events arrive, read whole by every decision.

float64 throughout: sums of bytes stay exact, and contributions add up to the score.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.placement.core import node_factors
from services.placement.core.amounts import demanded, offered
from services.placement.core.inventory import FACTS, NodeInfo
from services.placement.core.workload import CORE_RESOURCES, Taint

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
#: Rows of an array: their numbers, or a slice with a start and an end.
Picked = NDArray[np.intp] | slice

#: What the streams say of a node; NaN where nothing is known, but health, which is 1 while nobody complains.
SIGNALS = ("health", "cpu_load", "memory_load", "disk_load", "cpu_forecast", "memory_forecast")
_SIGNAL_ROWS = {name: number for number, name in enumerate(SIGNALS)}
_FIRST_ROWS = 64
_MOST_TOUCHED = 100_000
#: Rows whose signals are scored at once: as many as a processor's cache holds.
_SCORED_ROWS = 512


class Columns(Protocol):
    """Nodes as arrays of one length: a whole matrix, or some of its rows. What the factors see."""

    def __len__(self) -> int: ...

    def signal(self, name: str) -> Floats: ...

    def fact(self, name: str) -> Floats: ...

    def largest(self, name: str) -> float: ...

    def capacity(self, name: str) -> Floats: ...

    def inverse(self, name: str) -> Floats: ...

    def allocated(self, name: str) -> Floats: ...

    def node_weights(self, profile: int) -> Floats: ...

    def node_scores(self, profile: int) -> Floats: ...

    @property
    def num_workloads(self) -> Floats: ...

    @property
    def num_in_flight(self) -> Floats: ...

    @property
    def cpu_in_flight(self) -> Floats: ...


class NodeMatrix:
    """The nodes as arrays. Rows 0..n-1 are in use; a removed row is filled by the last one.

    Args:
        max_utilisation: share of a node's processors from which on it takes no more; 1 for no such limit.

    Attributes:
        ids, infos: of each row.
        row_of: entity_id to row.
        generation: another one when rows came, went or changed their inventory.
        known: (K,) which signals of nodes at least one node has; the others take no part.
        touched: rows of this generation whose numbers changed, in order, some of them several times.
    """

    def __init__(self, max_utilisation: float = 1.0) -> None:
        self.max_utilisation = max_utilisation
        self.ids: list[str] = []
        self.infos: list[NodeInfo] = []
        self.row_of: dict[str, int] = {}
        self.column_of = {name: number for number, name in enumerate(CORE_RESOURCES)}
        self._capacity = np.zeros((len(CORE_RESOURCES), _FIRST_ROWS))
        self._inverse = np.full_like(self._capacity, np.nan)
        self._allocated = np.zeros_like(self._capacity)
        self._signals = np.full((len(SIGNALS), _FIRST_ROWS), np.nan)
        self._times = np.full((len(SIGNALS), _FIRST_ROWS), np.nan)
        self._untils = np.full((len(SIGNALS), _FIRST_ROWS), np.inf)
        self._facts = np.full((len(FACTS), _FIRST_ROWS), np.nan)
        # Rows: workloads, those of them in flight, processor units in flight, whether cpu_load is the node's own.
        self._counts = np.zeros((4, _FIRST_ROWS))
        # Signals of nodes: their values, event time and end of each row, and what they add to the score by profile.
        self._node = np.full((len(node_factors.SIGNALS), _FIRST_ROWS), np.nan)
        self._node_times = np.full((2, _FIRST_ROWS), np.nan)
        self._node_scores = np.zeros((len(node_factors.PROFILES), _FIRST_ROWS))
        self._unscored: list[int] = []
        self.known = np.zeros(len(node_factors.SIGNALS), dtype=np.bool_)
        self._hashes = np.zeros(_FIRST_ROWS, dtype=np.uint64)
        self._labels: dict[str, list[str | None]] = {}
        self._taints: dict[int, tuple[Taint, ...]] | None = None
        self._closed: set[int] | None = None
        self._largest: dict[str, float] = {}
        self.generation = 0
        self.touched: list[int] = []

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def _arrays(self) -> tuple[NDArray[np.generic], ...]:
        return (
            self._capacity, self._inverse, self._allocated, self._signals, self._times, self._untils, self._facts,
            self._counts, self._node, self._node_times, self._node_scores, self._hashes,
        )  # fmt: skip

    def put(self, info: NodeInfo) -> None:
        """Adds a node, or takes its new inventory; what is allocated on it stays."""
        row = self.row_of.get(info.node_id)
        if row is None:
            row = self._append(info)
        self.infos[row] = info
        for name in info.capacity:
            if name not in FACTS:
                self._column(name)
        for name, column in self.column_of.items():
            units = offered(name, info.capacity.get(name, 0.0))
            self._capacity[column, row] = units
            self._inverse[column, row] = 1.0 / units if units else np.nan
        for number, name in enumerate(FACTS):
            self._facts[number, row] = info.capacity.get(name, np.nan)
        self._forget_derived()

    def _append(self, info: NodeInfo) -> int:
        row = len(self.ids)
        if row == self._hashes.shape[-1]:
            self._grow()
        self.ids.append(info.node_id)
        self.infos.append(info)
        self.row_of[info.node_id] = row
        for array in (self._capacity, self._allocated, self._counts):
            array[:, row] = 0.0
        self._signals[:, row] = self._times[:, row] = np.nan
        self._untils[:, row] = np.inf
        self._signals[0, row] = 1.0
        self._node[:, row] = self._node_times[:, row] = np.nan
        self._unscored.append(row)
        self._hashes[row] = node_hash(info.node_id)
        return row

    def _grow(self) -> None:
        rows = 2 * self._hashes.shape[-1]
        for name in (
            "_capacity", "_inverse", "_allocated", "_signals", "_times", "_untils", "_facts", "_counts", "_node",
            "_node_times", "_node_scores",
        ):  # fmt: skip
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros((len(array), rows - array.shape[1]))], axis=1))
        self._hashes = np.concatenate([self._hashes, np.zeros(rows - len(self._hashes), dtype=np.uint64)])

    def remove(self, node_id: str) -> None:
        """Forgets a node; one that is not there is fine."""
        row = self.row_of.pop(node_id, None)
        if row is None:
            return
        last = len(self.ids) - 1
        if row != last:
            for array in self._arrays:
                array[..., row] = array[..., last]
            self.ids[row], self.infos[row] = self.ids[last], self.infos[last]
            self.row_of[self.ids[row]] = row
            self._unscored.append(row)
        self.ids.pop()
        self.infos.pop()
        self._forget_derived()

    def _forget_derived(self) -> None:
        """The inventory changed: what is remembered of labels, taints and service states holds no more."""
        self._labels.clear()
        self._largest.clear()
        self._taints = self._closed = None
        self._begin_generation()

    def _begin_generation(self) -> None:
        self.generation += 1
        self.touched = []

    def _touch(self, row: int) -> None:
        self.touched.append(row)
        if len(self.touched) > _MOST_TOUCHED:
            self._begin_generation()

    def _column(self, name: str) -> int:
        """The number of a resource's row of `capacity`; made when it is new."""
        column = self.column_of.get(name)
        if column is None:
            column = self.column_of[name] = len(self.column_of)
            empty = np.zeros((1, self._capacity.shape[1]))
            self._capacity = np.concatenate([self._capacity, empty])
            self._inverse = np.concatenate([self._inverse, empty * np.nan])
            self._allocated = np.concatenate([self._allocated, empty])
        return column

    def allocate(self, node_id: str, requests: Mapping[str, float], sign: int) -> None:
        """Takes (+1) or gives back (-1) what a workload holds of a node. A node that is gone is fine."""
        row = self.row_of.get(node_id)
        if row is None:
            return
        for name, amount in requests.items():
            self._allocated[self._column(name), row] += sign * demanded(name, amount)
        self._counts[0, row] += sign
        self._touch(row)

    def fly(self, node_id: str, cpu_cores: float, sign: int) -> None:
        """A workload is on its way to a node (+1), or its load shows in the metrics by now (-1)."""
        row = self.row_of.get(node_id)
        if row is not None:
            self._counts[1, row] += sign
            self._counts[2, row] += sign * demanded("cpu_cores", cpu_cores)
            self._touch(row)

    def set_signal(
        self, node_id: str, name: str, value: float, event_time: float = np.nan, until: float = np.inf
    ) -> None:
        """What a stream says of a node now.

        Args:
            event_time: when it was so, microseconds UTC.
            until: until when it may be used, microseconds UTC; `expired` finds it afterwards.
        """
        row = self.row_of.get(node_id)
        if row is not None:
            number = SIGNALS.index(name)
            self._signals[number, row] = value
            self._times[number, row] = event_time
            self._untils[number, row] = until
            self._touch(row)

    def set_owned(self, node_id: str, is_own: bool) -> None:
        """Whether `cpu_load` was said of the node itself, not of what it belongs to. Counts in no score."""
        row = self.row_of.get(node_id)
        if row is not None:
            self._counts[3, row] = is_own

    @property
    def own_load(self) -> Floats:
        """(n,) `cpu_load` where it was said of the node itself, else NaN."""
        load: Floats = np.where(self._counts[3, : len(self.ids)] > 0, self.signal("cpu_load"), np.nan)
        return load

    def set_health(self, node_id: str, value: float) -> None:
        """The signal `health`; the same as before is no change."""
        row = self.row_of.get(node_id)
        if row is not None and self._signals[0, row] != value:
            self._signals[0, row] = value
            self._touch(row)

    def expired(self, now: int) -> list[tuple[str, str]]:
        """(node, signal) of everything that may not be used any more."""
        found = np.argwhere(self._untils[:, : len(self.ids)] < now)
        return [(self.ids[row], SIGNALS[number]) for number, row in found]

    def set_node(self, node_id: str, values: Floats, event_time: float, until: float) -> None:
        """What the exporters say of a node now.

        Args:
            values: (K,) of node_factors.SIGNALS; NaN where nothing is known.
            event_time, until: as in `set_signal`.
        """
        row = self.row_of.get(node_id)
        if row is not None:
            self._node[:, row] = values
            self._node_times[:, row] = event_time, until
            self._unscored.append(row)
            known = values == values
            if (known > self.known).any():
                self._now_known(self.known | known)
            self._touch(row)

    def review_known(self) -> None:
        """Signals that no node has any more take no part from now on."""
        if self.known.any():
            self._now_known(~np.isnan(self._node[:, : len(self.ids)]).all(axis=1))

    def _now_known(self, known: Bools) -> None:
        if not np.array_equal(known, self.known):
            self.known = known
            self._unscored = list(range(len(self.ids)))
            self._begin_generation()

    def node_expired(self, now: int) -> list[str]:
        """The nodes of which something may not be used any more."""
        return [self.ids[row] for row in np.flatnonzero(self._node_times[1, : len(self.ids)] < now)]

    @property
    def node_values(self) -> Floats:
        """(K, n) of node_factors.SIGNALS."""
        return self._node[:, : len(self.ids)]

    @property
    def node_times(self) -> Floats:
        """(n,) event times of what is known of them, microseconds; NaN where nothing is."""
        return self._node_times[0, : len(self.ids)]

    def node_signal(self, name: str) -> Floats:
        """(n,) of one of them."""
        return self._node[node_factors.NUMBER_OF[name], : len(self.ids)]

    def node_weights(self, profile: int) -> Floats:
        """(K,) shares of the score in a profile, of what takes part."""
        found: Floats = node_factors.WEIGHTS[profile] * self.known
        return found

    def node_scores(self, profile: int) -> Floats:
        """(n,) what signals of nodes add to the score."""
        if self._unscored:
            rows = np.array([row for row in set(self._unscored) if row < len(self.ids)], dtype=np.intp)
            self._unscored.clear()
            weights = node_factors.WEIGHTS * self.known
            for start in range(0, len(rows), _SCORED_ROWS):
                some = rows[start : start + _SCORED_ROWS]
                self._node_scores[:, some] = weights @ node_factors.utilities(self._node[:, some])
        return self._node_scores[profile, : len(self.ids)]

    def signal(self, name: str) -> Floats:
        """(n,) of one of SIGNALS."""
        view: Floats = self._signals[_SIGNAL_ROWS[name], : len(self.ids)]
        return view

    def time(self, name: str) -> Floats:
        """(n,) event times of one of SIGNALS, microseconds; NaN where nothing is known."""
        view: Floats = self._times[_SIGNAL_ROWS[name], : len(self.ids)]
        return view

    def fact(self, name: str) -> Floats:
        """(n,) of one of FACTS; NaN where the inventory is silent."""
        view: Floats = self._facts[FACTS.index(name), : len(self.ids)]
        return view

    def largest(self, name: str) -> float:
        """The largest of one of FACTS over all nodes; 0 when nobody has it."""
        if name not in self._largest:
            known = self.fact(name)[~np.isnan(self.fact(name))]
            self._largest[name] = float(known.max()) if len(known) else 0.0
        return self._largest[name]

    def capacity(self, name: str) -> Floats:
        """(n,) units of a resource that each node has; 0 where the inventory is silent."""
        return self._of(self._capacity, name)

    def inverse(self, name: str) -> Floats:
        """(n,) 1 / capacity; NaN where a node has none."""
        column = self.column_of.get(name)
        return np.full(len(self.ids), np.nan) if column is None else self._inverse[column, : len(self.ids)]

    def allocated(self, name: str) -> Floats:
        """(n,) units that placed and reserved workloads hold."""
        return self._of(self._allocated, name)

    def _of(self, array: Floats, name: str) -> Floats:
        column = self.column_of.get(name)
        view: Floats = np.zeros(len(self.ids)) if column is None else array[column, : len(self.ids)]
        return view

    @property
    def num_workloads(self) -> Floats:
        """(n,) workloads that hold room."""
        return self._counts[0, : len(self.ids)]

    @property
    def num_in_flight(self) -> Floats:
        """(n,) of those, the ones whose load does not show yet."""
        return self._counts[1, : len(self.ids)]

    @property
    def cpu_in_flight(self) -> Floats:
        """(n,) processor units that these asked for."""
        return self._counts[2, : len(self.ids)]

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """(n,) a number for each node that depends on its name only."""
        return self._hashes[: len(self.ids)]

    def labels(self, name: str) -> list[str | None]:
        """(n,) values of one label; None where it is missing. Remembered until the inventory changes."""
        found = self._labels.get(name)
        if found is None:
            found = self._labels[name] = [info.labels.get(name) for info in self.infos]
        return found

    @property
    def taints(self) -> dict[int, tuple[Taint, ...]]:
        """The hard taints by row, of rows that have some."""
        if self._taints is None:
            hard = {row: tuple(t for t in info.taints if t.is_hard) for row, info in enumerate(self.infos)}
            self._taints = {row: taints for row, taints in hard.items() if taints}
        return self._taints

    @property
    def closed(self) -> set[int]:
        """The rows of nodes that are out of service."""
        if self._closed is None:
            self._closed = {row for row, info in enumerate(self.infos) if not info.is_schedulable}
        return self._closed

    def where_named(self, names: "frozenset[str] | set[str]") -> Bools:
        """(n,) whether a node is one of these."""
        mask = np.zeros(len(self.ids), dtype=np.bool_)
        mask[[self.row_of[name] for name in names if name in self.row_of]] = True
        return mask


class Rows:
    """Some rows of a matrix. Implements `Columns`."""

    def __init__(self, matrix: NodeMatrix, rows: Picked) -> None:
        self._matrix = matrix
        self._rows = rows
        self._number = rows.stop - rows.start if isinstance(rows, slice) else len(rows)

    def __len__(self) -> int:
        return self._number

    def signal(self, name: str) -> Floats:
        return self._matrix.signal(name)[self._rows]

    def fact(self, name: str) -> Floats:
        return self._matrix.fact(name)[self._rows]

    def largest(self, name: str) -> float:
        return self._matrix.largest(name)

    def capacity(self, name: str) -> Floats:
        return self._matrix.capacity(name)[self._rows]

    def inverse(self, name: str) -> Floats:
        return self._matrix.inverse(name)[self._rows]

    def allocated(self, name: str) -> Floats:
        return self._matrix.allocated(name)[self._rows]

    def node_weights(self, profile: int) -> Floats:
        return self._matrix.node_weights(profile)

    def node_scores(self, profile: int) -> Floats:
        return self._matrix.node_scores(profile)[self._rows]

    @property
    def num_workloads(self) -> Floats:
        return self._matrix.num_workloads[self._rows]

    @property
    def num_in_flight(self) -> Floats:
        return self._matrix.num_in_flight[self._rows]

    @property
    def cpu_in_flight(self) -> Floats:
        return self._matrix.cpu_in_flight[self._rows]


def node_hash(text: str) -> int:
    """FNV-1a of 64 bits: the same in every process."""
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value
