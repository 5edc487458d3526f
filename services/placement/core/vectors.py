"""What features say of machines and of what runs on them: the newest vector of each entity, one column a node.

A node's own vector (by any of its names) speaks before its parents'. Vectors of workloads are brought together over all
that name the node as a parent, and over the node's own where an exporter tells of all of them at once.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.placement.core.inventory import NodeInfo
from services.placement.core.node_factors import NUMBER_OF, SIGNALS, Floats
from services.placement.core.signals import speakers

OF_NODE, OF_WORKLOADS = "metrics.node", "metrics.workload"
#: Beyond any signal's values; what is larger is no number, so that sums stay finite.
LARGEST = 1e30
_MOST_LAYOUTS = 64
_WORKLOADS = np.array([number for number, one in enumerate(SIGNALS) if one.of == "workloads"])
_OVER = {
    over: np.array([place for place, number in enumerate(_WORKLOADS) if SIGNALS[number].over == over], dtype=np.intp)
    for over in ("sum", "mean", "max")
}
_PER = [(number, NUMBER_OF[one.per]) for number, one in enumerate(SIGNALS) if one.per]


class Told(NamedTuple):
    """One vector: (K,) values, NaN where it says nothing; times in microseconds UTC, `until` by Kafka's clock."""

    values: Floats
    event_time: int
    until: int


class Column(NamedTuple):
    """What is known of a node now: `event_time` is the oldest of its vectors', `until` the first end."""

    values: Floats
    event_time: float
    until: float


_UNKNOWN = Column(np.full(len(SIGNALS), np.nan), np.nan, np.inf)


class VectorBook:
    """The newest vectors.

    Args:
        valid_seconds: how long one may be used after Kafka got it.
    """

    def __init__(self, valid_seconds: float) -> None:
        self._valid_micros = int(valid_seconds * 1e6)
        self._machines: dict[str, Told] = {}
        self._workloads: dict[str, dict[str, Told]] = {}
        self._parent_of: dict[str, str] = {}
        #: By node: its inventory, who speaks for it, and whose workloads are its own.
        self._names: dict[str, tuple[NodeInfo, tuple[str, ...], tuple[str, ...]]] = {}
        self._layouts: dict[tuple[str, ...], tuple[NDArray[np.intp], NDArray[np.intp]]] = {}

    def put(self, fields: Mapping[str, Any], heard_at: int) -> str:
        """Takes a record of OF_NODE or OF_WORKLOADS; returns the entity whose node changed, empty when none did."""
        entity_id = fields["entity_id"]
        told = Told(self._values(fields), int(fields["event_time"]), heard_at + self._valid_micros)
        if fields["feature_set"] == OF_NODE:
            return self._put(self._machines, entity_id, entity_id, told)
        parent = next(iter(fields["parent_entity_ids"]), entity_id)
        before = self._parent_of.get(entity_id, parent)
        if before != parent:
            self._workloads[before].pop(entity_id, None)
        self._parent_of[entity_id] = parent
        return self._put(self._workloads.setdefault(parent, {}), entity_id, parent, told)

    @staticmethod
    def _put(words: dict[str, Told], key: str, changed: str, told: Told) -> str:
        held = words.get(key)
        if held is not None and held.event_time > told.event_time and held.until >= told.until:
            return ""
        words[key] = told
        return changed

    def _values(self, fields: Mapping[str, Any]) -> Floats:
        """Any version's names; those that are not known here are left out, and so are numbers that are none."""
        names = tuple(fields["names"])
        if len(names) != len(fields["values"]):
            raise ValueError(f"{len(names)} names and {len(fields['values'])} values of {fields['entity_id']}")
        layout = self._layouts.get(names)
        if layout is None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            places = [place for place, name in enumerate(names) if name in NUMBER_OF]
            numbers = [NUMBER_OF[names[place]] for place in places]
            layout = self._layouts[names] = np.array(places, dtype=np.intp), np.array(numbers, dtype=np.intp)
        found = np.full(len(SIGNALS), np.nan)
        found[layout[1]] = np.array(fields["values"], dtype=np.float64)[layout[0]]
        found[np.abs(found) > LARGEST] = np.nan
        return found

    def of(self, info: NodeInfo, now: int) -> Column:
        """What is known of a node."""
        _, speaking, own_names = self._named(info)
        own = self._machine(speaking, now)
        workloads = [told for name in own_names for told in self._workloads.get(name, {}).values() if now <= told.until]
        if not workloads:
            return _UNKNOWN if own is None else Column(own.values, own.event_time, own.until)
        values = own.values.copy() if own else np.full(len(SIGNALS), np.nan)
        values[_WORKLOADS] = together(np.array([one.values[_WORKLOADS] for one in workloads]))
        for number, per in _PER:
            values[number] = values[number] / values[per] if values[per] > 0 else np.nan
        told = [*workloads, *([own] if own else [])]
        return Column(values, min(one.event_time for one in told), min(one.until for one in told))

    def _named(self, info: NodeInfo) -> tuple[NodeInfo, tuple[str, ...], tuple[str, ...]]:
        found = self._names.get(info.node_id)
        if found is None or found[0] is not info:
            of_itself = tuple(dict.fromkeys(speakers(info, with_parents=False)))
            found = self._names[info.node_id] = info, tuple(speakers(info)), of_itself
        return found

    def _machine(self, speaking: tuple[str, ...], now: int) -> Told | None:
        for entity_id in speaking:
            told = self._machines.get(entity_id)
            if told is not None and now <= told.until:
                return told
        return None

    def forget_old(self, now: int) -> None:
        """Drops what may not be used any more."""
        self._names.clear()
        self._machines = {key: told for key, told in self._machines.items() if told.until >= now}
        kept = {
            parent: {key: told for key, told in words.items() if told.until >= now}
            for parent, words in self._workloads.items()
        }
        self._workloads = {parent: words for parent, words in kept.items() if words}
        self._parent_of = {key: parent for parent, words in self._workloads.items() for key in words}


def together(values: Floats) -> Floats:
    """(n, W) numbers of n workloads as (W,) of their node, each over those that know it; NaN where none does."""
    known = ~np.isnan(values)
    num_known = known.sum(axis=0)
    found: Floats = np.where(known, values, 0.0).sum(axis=0)
    means = _OVER["mean"]
    found[means] /= np.maximum(num_known[means], 1)
    largest = _OVER["max"]
    if len(largest):
        found[largest] = np.where(known, values, -np.inf)[:, largest].max(axis=0)
    found[num_known == 0] = np.nan
    return found
