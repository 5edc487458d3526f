"""One decision: mask, score, choose, say why. Changes nothing."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.placement.core import factors as f
from services.placement.core.constraints import Mask, evaluate, remedy
from services.placement.core.decision import Candidate, Decision, Reason, by_size, total
from services.placement.core.groups import Members
from services.placement.core.matrix import Floats, NodeMatrix, node_hash
from services.placement.core.workload import Mode, PlaceRequest, Profile, Workload

#: Scores that differ by less are equal: the node is then chosen by a hash of request and node.
TIE = 1e-9

#: (factor, row, value, whether it speaks for the chosen node) to words.
Tell = Callable[[f.Factor, int, float, bool], str]


class Scored(NamedTuple):
    """Every node's score.

    Attributes:
        values, utilities: (F, n) of the factors that count in the profile.
        scores: (n,) 0..1, whether feasible or not.
    """

    weighing: f.Weighing
    values: Floats
    utilities: Floats
    scores: Floats


def score_all(matrix: NodeMatrix, workload: Workload, profile: Profile) -> Scored:
    """Scores of all nodes, feasible or not."""
    weighing = f.weighing(profile)
    values = f.values_of(weighing.factors, matrix, workload)
    utilities = f.utilities_of(weighing.factors, values)
    return Scored(weighing, values, utilities, weighing.weights @ utilities)


def best_rows(
    matrix: NodeMatrix, scored: Scored, feasible: NDArray[np.bool_], request_id: str, number: int
) -> list[int]:
    """The `number` best feasible rows, best first.

    Equal scores are ordered by a hash of the request and the node's name: the same on every replica and after every
    restart, and different requests spread over equal nodes.
    """
    rows = np.flatnonzero(feasible)
    steps = np.rint(scored.scores[rows] / TIE).astype(np.uint64)
    ties = _mixed(matrix.hashes[rows], node_hash(request_id))
    keys = (steps << np.uint64(33)) | (ties >> np.uint64(31))
    if len(rows) > number:
        best = np.argpartition(keys, len(keys) - number)[-number:]
        rows, keys = rows[best], keys[best]
    return [int(row) for row in rows[np.argsort(keys)[::-1]]]


def _mixed(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """splitmix64's finish over both."""
    mixed = hashes ^ np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def candidate(matrix: NodeMatrix, scored: Scored, row: int, tell: Tell, is_chosen: bool = False) -> Candidate:
    """A node with every factor's exact share; the score is their exactly rounded sum."""
    reasons = []
    for number, factor in enumerate(scored.weighing.factors):
        value = float(scored.values[number, row])
        share = float(scored.weighing.weights[number]) * float(scored.utilities[number, row])
        reasons.append(Reason(factor.name, value, factor.unit, share, tell(factor, row, value, is_chosen)))
    ordered = by_size(reasons)
    # Weights are rounded: their sum may exceed 1 by the last bit.
    return Candidate(matrix.ids[row], total(ordered), ordered)


def staleness(matrix: NodeMatrix, weighing: f.Weighing, rows: Sequence[int] | slice, now: int) -> float:
    """Age of the oldest feature or forecast that counted for these nodes, seconds, by event time; 0 when none did."""
    names = [f.SIGNAL_OF[factor.name] for factor in weighing.factors if factor.name in f.SIGNAL_OF]
    times = [matrix.time(name)[rows] for name in names]
    # fmin passes over NaN.
    oldest = float(np.fmin.reduce(np.concatenate([*times, np.array([float(now)])])))
    return max(0.0, (now - oldest) / 1e6)


def has_forecasts(matrix: NodeMatrix, among: NDArray[np.bool_]) -> bool:
    """Whether a forecast speaks for any of these nodes."""
    known = ~np.isnan(matrix.signal("cpu_forecast")) | ~np.isnan(matrix.signal("memory_forecast"))
    return bool((known & among).any())


def decide(
    matrix: NodeMatrix,
    members: Members,
    request: PlaceRequest,
    now: int,
    reserved_until: int,
    are_alerts_fresh: bool,
    tell: Tell,
) -> tuple[Decision, Mask]:
    """The decision for one request.

    Args:
        now: wall time, microseconds UTC.
        reserved_until: end of the reservation that the caller will make; not used for a shadow.
        are_alerts_fresh: False when the stream of alerts cannot be read at present.

    Returns:
        The decision: live, or `fallback` when no forecast speaks for any feasible node or alerts cannot be read;
        and the mask it rests on.
    """
    mask = evaluate(matrix, request.workload, members)
    scored = score_all(matrix, request.workload, request.profile)
    rows = best_rows(matrix, scored, mask.feasible, request.request_id, request.num_alternatives + 1)
    among = mask.feasible if rows else np.ones(len(matrix), dtype=np.bool_)
    is_informed = are_alerts_fresh and has_forecasts(matrix, among)
    mode: Mode = "shadow" if request.is_shadow else "live" if is_informed else "fallback"
    if not rows:
        return infeasible(request, mask, matrix, mode, now), mask
    chosen, *others = (candidate(matrix, scored, row, tell, is_chosen=number == 0) for number, row in enumerate(rows))
    decision = Decision(
        request.request_id,
        request.workload.workload_id,
        mode,
        now,
        chosen,
        tuple(others),
        node_version=matrix.infos[rows[0]].version,
        staleness_seconds=staleness(matrix, scored.weighing, rows[:1], now),
        reserved_until=0 if request.is_shadow else reserved_until,
    )
    return decision, mask


def infeasible(request: PlaceRequest, mask: Mask, matrix: NodeMatrix, mode: Mode, now: int, why: str = "") -> Decision:
    """The answer when nothing can hold it: what excluded how much, and what would help."""
    return Decision(
        request.request_id,
        request.workload.workload_id,
        mode,
        now,
        exclusions=mask.exclusions(),
        remedy=why or remedy(mask, request.workload, matrix),
    )
