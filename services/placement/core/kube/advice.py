"""What the extender says of a pod: which nodes pass, which marks they get, what preemption may consider.

The scheduler has checked all of its own constraints before it asks. A node is refused for what it cannot know alone,
and never all of them unless the pod itself demanded so: without our word a pod must still find its place.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from services.placement import metrics
from services.placement.core.checks import check_workload
from services.placement.core.constraints import ADMISSION, CONSTRAINTS, Mask
from services.placement.core.decide import NUM_SIGNALS, best_rows, candidates, has_forecasts, infeasible, staleness
from services.placement.core.decision import Candidate, Decision
from services.placement.core.kube.book import Opinion, PodBook, request_id
from services.placement.core.kube.marks import NEUTRAL, marks_of
from services.placement.core.kube.objects import Pod
from services.placement.core.kube.pods import Asked, asked_by, node_id
from services.placement.core.ledger import Entry, new_entry
from services.placement.core.matrix import Bools, Floats, NodeMatrix, node_hash
from services.placement.core.reading import Reading
from services.placement.core.scores import Scored
from services.placement.core.workload import Mode, PlaceRequest

#: What Kubernetes checks itself, and more exactly: it makes a mark 0 and refuses nothing.
_KNOWN_TO_KUBERNETES = frozenset(
    ["is_candidate", "is_not_excluded", "node_labels", "taints_tolerated", "affinity_group", "anti_affinity_group",
     "topology_spread"]
)  # fmt: skip
#: What exporters say of a node, up to two minutes old.
_OBSERVED = frozenset(one.name for one in CONSTRAINTS if one.signals) - {"min_bandwidth"}
#: What we may have wrong, or know late: it refuses nodes as long as one is left.
_SOFT = _OBSERVED | frozenset(
    ["cpu_request_fits", "memory_request_fits", "disk_request_fits", "gpu_request_fits", "extended_request_fits",
     "workload_count_fits", "node_schedulable", ADMISSION]
)  # fmt: skip
#: What a pod demands in words that only we know; it may refuse every node.
DEMANDED = frozenset(one.name for one in CONSTRAINTS) - _KNOWN_TO_KUBERNETES - _SOFT
#: What ending other pods can change.
_RESOLVABLE = _SOFT - {"node_schedulable", "node_ready", "node_uncordoned", "disk_space_fits", ADMISSION}

Rows = NDArray[np.intp]


class Rules(msgspec.Struct, frozen=True):
    """How far our word counts; the settings say what each does."""

    live_percent: int = 0
    reservation_seconds: float = 30.0
    num_alternatives: int = 3


class Passed(NamedTuple):
    """The answer to filter.

    Attributes:
        refused: name to the constraints that it fails; empty when all pass.
        unresolvable: those of the refused that ending other pods cannot help.
    """

    refused: dict[str, tuple[str, ...]]
    unresolvable: frozenset[str]


NOBODY_REFUSED = Passed({}, frozenset())


class Kept:
    """The nodes of a decision, as the finding of reasons wants them."""

    def __init__(self, ids: list[str], node_values: Floats) -> None:
        self.ids = ids
        self._node_values = node_values

    @property
    def node_values(self) -> Floats:
        """(K, n) of node_factors.SIGNALS."""
        return self._node_values


class NodeRows:
    """Rows of nodes by the names that Kubernetes uses."""

    def __init__(self, matrix: NodeMatrix) -> None:
        self._matrix = matrix
        self._generation = -1
        self._rows: dict[str, int] = {}
        self._last: tuple[Sequence[str], Rows] = ((), np.zeros(0, dtype=np.intp))

    def of(self, names: Sequence[str]) -> Rows:
        """(k,) the rows of these nodes, -1 for one that is not known."""
        if self._generation == self._matrix.generation and self._last[0] is names:
            return self._last[1]
        if self._generation != self._matrix.generation:
            self._generation = self._matrix.generation
            start = len(node_id(""))
            self._rows = {
                name[start:]: row for name, row in self._matrix.row_of.items() if name.startswith(node_id(""))
            }
        rows = np.fromiter(map(self._rows.get, names, repeat(-1)), dtype=np.intp, count=len(names))
        self._last = names, rows
        return rows


class Adviser:
    """Answers about pods from the world. Not thread-safe; whoever calls holds the world's lock.

    Args:
        are_alerts_fresh: whether the stream of alerts can be read at present.
        record: hears of every decision made, with what finds its reasons, for a thread that has time.
    """

    def __init__(
        self,
        reading: Reading,
        book: PodBook,
        rules: Rules,
        are_alerts_fresh: Callable[[], bool],
        record: Callable[[PlaceRequest, Entry, Callable[[], Decision]], None],
    ) -> None:
        self._reading = reading
        self._world = reading.world
        self._book = book
        self._rules = rules
        self._are_alerts_fresh = are_alerts_fresh
        self._record = record
        self._rows = NodeRows(reading.world.matrix)
        self._masked: tuple[Asked, tuple[int, int], Mask] | None = None

    def is_live(self, uid: str) -> bool:
        """Whether our word counts for this pod: the same on every replica and at every try."""
        return node_hash(uid) % 100 < self._rules.live_percent

    def filter(self, asked: Asked, names: Sequence[str]) -> Passed:
        """Which of these nodes pass. With one left the scheduler asks no more: then this is the decision."""
        self._book.withdraw(asked.uid)
        now = self._reading.now()
        self._world.prepare(now)
        passed = self._refused(asked, names) if self.is_live(asked.uid) else NOBODY_REFUSED
        left = [name for name in names if name not in passed.refused] if passed.refused else names
        if len(left) == 1:
            self._decide(asked, left, now)
        return passed

    def _refused(self, asked: Asked, names: Sequence[str]) -> Passed:
        mask = self._mask(asked)
        rows = self._rows.of(names)
        hard, soft = _fails(mask, DEMANDED, rows), _fails(mask, _SOFT, rows)
        refused = hard | soft
        if refused.all() and len(names):
            metrics.EXTENDER_ALL_REFUSED.labels("demanded" if hard.all() else "passed").inc()
            refused = hard
        if not refused.any():
            return NOBODY_REFUSED
        why = {names[at]: mask.failed(int(rows[at])) for at in np.flatnonzero(refused).tolist()}
        return Passed(why, frozenset(name for name, failed in why.items() if not _RESOLVABLE.issuperset(failed)))

    def prioritize(self, asked: Asked, names: Sequence[str]) -> list[int]:
        """Marks of these nodes, 0..10, in their order; the decision is recorded and its room held for a while."""
        now = self._reading.now()
        self._book.withdraw(asked.uid)
        self._world.prepare(now)
        marks = self._decide(asked, names, now)
        return marks if self.is_live(asked.uid) else [NEUTRAL] * len(names)

    def _decide(self, asked: Asked, names: Sequence[str], now: int) -> list[int]:
        is_shadow = not self.is_live(asked.uid)
        request = PlaceRequest(
            request_id(asked.uid, now), asked.workload, asked.profile, self._rules.num_alternatives, is_shadow
        )
        decision, marks, tell = self._weigh(request, self._mask(asked), self._rows.of(names), now)
        entry = new_entry(request, b"", now)
        self._world.take(entry, decision)
        self._book.decided(asked.uid, Opinion(entry, decision.node, decision.mode, True))
        self._record(request, entry, tell)
        metrics.DECISIONS.labels(decision.mode, "placed" if decision.node else "infeasible").inc()
        return marks

    def _mask(self, asked: Asked) -> Mask:
        """The constraints' word; between filter and prioritize mostly nothing happens."""
        matrix = self._world.matrix
        state = (matrix.generation, len(matrix.touched))
        if self._masked is None or self._masked[0] is not asked or self._masked[1] != state:
            self._masked = asked, state, self._world.mask(asked.workload)
        return self._masked[2]

    def _weigh(
        self, request: PlaceRequest, mask: Mask, rows: Rows, now: int
    ) -> tuple[Decision, list[int], Callable[[], Decision]]:
        """The decision without its reasons, the marks, and what finds the reasons."""
        world, matrix = self._world, self._world.matrix
        scored = world.scores.ask(request.workload, request.profile)
        among = np.zeros(len(matrix), dtype=np.bool_)
        among[rows[rows >= 0]] = True
        feasible = mask.feasible & among
        is_informed = self._are_alerts_fresh() and has_forecasts(matrix, feasible)
        mode: Mode = "shadow" if request.is_shadow else "live" if is_informed else "fallback"
        best = best_rows(matrix, scored.scores, feasible, request.request_id, request.num_alternatives + 1)
        if not best:
            nothing = infeasible(request, mask, matrix, mode, now)
            return nothing, [NEUTRAL] * len(rows), lambda: nothing
        decision = Decision(
            request.request_id, request.workload.workload_id, mode, now,
            *_bare(matrix, scored, best),
            node_version=matrix.infos[best[0]].version,
            staleness_seconds=staleness(matrix, scored.weighing, best[:1], now),
            reserved_until=0 if request.is_shadow else now + int(self._rules.reservation_seconds * 1e6),
        )  # fmt: skip
        is_known = rows >= 0
        at = int(np.flatnonzero(rows == best[0])[0])
        marks = marks_of(scored.scores[rows], feasible[rows] & is_known, at)
        found: list[int] = np.where(is_known, marks, NEUTRAL).tolist()
        snapshot = Scored(
            scored.weighing, scored.values[:, best], scored.utilities[:, best], scored.scores[best], scored.node_weights
        )
        kept = Kept([matrix.ids[row] for row in best], matrix.node_values[:, best])
        return decision, found, lambda: self._with_reasons(decision, snapshot, kept)

    def _with_reasons(self, decision: Decision, scored: Scored, kept: Kept) -> Decision:
        """The same with every factor's share, in the words of this moment, a little after it was decided."""
        with self._reading.lock:
            rows = [self._world.matrix.row_of.get(node, -1) for node in kept.ids]
            if -1 in rows:
                return decision  # a node has gone meanwhile
            found = candidates(
                kept,
                scored,
                range(len(rows)),
                lambda factor, at, value, is_chosen: self._world.tell(factor, rows[at], value, is_chosen),
                has_chosen=True,
                num_signals=NUM_SIGNALS,
            )
            chosen, *others = found
            return msgspec.structs.replace(decision, chosen=chosen, alternatives=tuple(others))

    def preempt(self, asked: Asked, names: Sequence[str]) -> list[str]:
        """The nodes on which others may be ended for this pod; all of them when none would be left."""
        if not self.is_live(asked.uid):
            return list(names)
        self._world.prepare(self._reading.now())
        mask = self._world.mask(asked.workload)
        rows = self._rows.of(names)
        hard = _fails(mask, DEMANDED, rows)
        out = hard | _fails(mask, {"node_schedulable"}, rows)
        kept = [name for name, is_out in zip(names, out.tolist(), strict=True) if not is_out]
        return kept or [name for name, is_out in zip(names, hard.tolist(), strict=True) if not is_out]


def _bare(matrix: NodeMatrix, scored: Scored, best: Sequence[int]) -> tuple[Candidate, tuple[Candidate, ...]]:
    chosen, *others = [Candidate(matrix.ids[row], float(scored.scores[row])) for row in best]
    return chosen, tuple(others)


def read_asked(pod: Pod) -> Asked:
    """A pod as our question, checked.

    Raises:
        ValueError, InvalidRequest: it cannot be read, or can never work.
    """
    asked = asked_by(pod)
    check_workload(asked.workload)
    return asked


def _fails(mask: Mask, names: frozenset[str] | set[str], rows: Rows) -> Bools:
    """(k,) whether a node fails one of these constraints; one that is not known fails none."""
    found = [number for number, name in enumerate(mask.names) if name in names]
    is_known = rows >= 0
    if not found or not is_known.any():
        return np.zeros(len(rows), dtype=np.bool_)
    fails: Bools = np.logical_or.reduce(mask.fails[found], axis=0)[np.maximum(rows, 0)] & is_known
    return fails
