"""Who holds room where: reservations until they are confirmed, released or run out, and what is bound.

The last record of a request in placements.v1 is the truth; what this process decided counts before it is read back.
"""

import heapq
from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Literal

import msgspec

from services.placement.core.decision import Fate
from services.placement.core.groups import Members
from services.placement.core.matrix import NodeMatrix
from services.placement.core.workload import PlaceRequest, Workload

State = Literal["none", "reserved", "bound", "over"]


class Entry(msgspec.Struct):
    """One decision and what became of it.

    Attributes:
        node: where the workload holds room now; empty when it holds none.
        until: end of the reservation, microseconds UTC.
        flies_until: until when its load is taken as not yet visible in the metrics.
        record: the newest record of placements.v1, encoded.
        unread: records that this process wrote and has not read back.
        was_read: whether any record of it was read from the topic.
    """

    request_id: str
    workload: Workload
    request_hash: bytes
    decided_at: int
    batch_size: int
    node: str = ""
    state: State = "none"
    until: int = 0
    flies_until: int = 0
    record: bytes = b""
    unread: deque[bytes] = msgspec.field(default_factory=deque)
    was_read: bool = False


class Ledger:
    """All entries, and their effect on the matrix and the groups.

    Args:
        ramp_seconds: how long after a bind its load is taken as not yet visible.
        max_entries: decisions that are remembered beyond those that hold room; of more, the oldest are forgotten.
    """

    def __init__(self, matrix: NodeMatrix, members: Members, ramp_seconds: float, max_entries: int) -> None:
        self._matrix = matrix
        self._members = members
        self._ramp_micros = int(ramp_seconds * 1e6)
        self._max_entries = max_entries
        self._entries: dict[str, Entry] = {}
        self._idle: OrderedDict[str, None] = OrderedDict()
        self._on_node: dict[str, set[str]] = {}
        self._due: list[tuple[int, str]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def get(self, request_id: str) -> Entry | None:
        return self._entries.get(request_id)

    def add(self, entry: Entry) -> None:
        """Remembers a decision that holds no room yet."""
        self._entries[entry.request_id] = entry
        self._idle[entry.request_id] = None
        while len(self._idle) > self._max_entries:
            oldest, _ = self._idle.popitem(last=False)
            del self._entries[oldest]

    def remove(self, entry: Entry) -> None:
        """Forgets a decision that could not be recorded."""
        self.free(entry, "none")
        self._idle.pop(entry.request_id, None)
        self._entries.pop(entry.request_id, None)

    def reserve(self, entry: Entry, node_id: str, until: int) -> None:
        """Holds room until a time, microseconds UTC."""
        self._hold(entry, node_id, "reserved", until, until)

    def bind(self, entry: Entry, node_id: str, at: int) -> None:
        """The workload runs there since then: its room is held until it is over."""
        self._hold(entry, node_id, "bound", 0, at + self._ramp_micros)

    def _hold(self, entry: Entry, node_id: str, state: State, until: int, flies_until: int) -> None:
        self.free(entry, state)
        self._idle.pop(entry.request_id, None)
        entry.node, entry.until, entry.flies_until = node_id, until, flies_until
        self._on_node.setdefault(node_id, set()).add(entry.request_id)
        self.effect(entry, +1)
        self._matrix.fly(node_id, entry.workload.requests.get("cpu_cores", 0.0), +1)
        heapq.heappush(self._due, (flies_until, entry.request_id))

    def free(self, entry: Entry, state: State = "over") -> bool:
        """Gives its room back; false when it held none."""
        entry.state = state
        if not entry.node:
            return False
        self._land(entry)
        self.effect(entry, -1)
        held = self._on_node[entry.node]
        held.discard(entry.request_id)
        if not held:
            del self._on_node[entry.node]
        entry.node, entry.until = "", 0
        self._idle[entry.request_id] = None
        return True

    def _land(self, entry: Entry) -> None:
        if entry.flies_until:
            entry.flies_until = 0
            self._matrix.fly(entry.node, entry.workload.requests.get("cpu_cores", 0.0), -1)

    def effect(self, entry: Entry, sign: int) -> None:
        """What it holds on its node comes (+1) or goes (-1): amounts, and its place in its groups."""
        workload = entry.workload
        self._matrix.allocate(entry.node, workload.requests, sign)
        owners = [("owner", workload.owner)] if workload.owner else []
        self._members.count([*(("group", name) for name in workload.groups), *owners], entry.node, sign)

    def expire(self, now: int) -> int:
        """Ends reservations that ran out (returns how many), and the time in flight of what is bound."""
        number = 0
        while self._due and self._due[0][0] <= now:
            _, request_id = heapq.heappop(self._due)
            entry = self._entries.get(request_id)
            if entry is None or not entry.node or not 0 < entry.flies_until <= now:
                continue
            if entry.state == "reserved":
                self.free(entry)
                number += 1
            else:
                self._land(entry)
        return number

    def later(self, entry: Entry, node_id: str) -> list[Entry]:
        """Reservations on a node that were decided after this one: of two that both were given the last room, by two
        replicas at once, it belongs to the first. The same order on every replica."""
        others = [self._entries[request_id] for request_id in self._on_node.get(node_id, ())]
        mine = (entry.decided_at, entry.request_id)
        return [one for one in others if one.state == "reserved" and (one.decided_at, one.request_id) > mine]

    def node_came(self, node_id: str) -> None:
        """A node joined the matrix: what is held on it counts there."""
        for request_id in self._on_node.get(node_id, ()):
            entry = self._entries[request_id]
            self._matrix.allocate(node_id, entry.workload.requests, +1)
            if entry.flies_until:
                self._matrix.fly(node_id, entry.workload.requests.get("cpu_cores", 0.0), +1)

    def apply_fate(self, entry: Entry, fate: Fate, now: int) -> None:
        """What the orchestrator said of it: bound to a node, or over."""
        if fate.outcome == "bound":
            self.bind(entry, fate.bound_node, min(fate.outcome_time, now))
        else:
            self.free(entry)

    def apply_reservation(self, entry: Entry, node_id: str, until: int, now: int) -> None:
        """A decision without an outcome: it holds room while its reservation lasts."""
        if node_id and until > now:
            self.reserve(entry, node_id, until)
        else:
            self.free(entry, "none")


def new_entry(request: PlaceRequest, request_hash: bytes, decided_at: int) -> Entry:
    """Of a decision just made."""
    return Entry(request.request_id, request.workload, request_hash, decided_at, request.batch_size)
