"""One decision: mask, score, choose, say why. Changes nothing."""

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.placement.core import factors as f
from services.placement.core import node_factors
from services.placement.core.constraints import Mask, evaluate, remedy
from services.placement.core.decision import Candidate, Decision, Reason, by_size, total
from services.placement.core.groups import Members
from services.placement.core.matrix import Floats, NodeMatrix, node_hash
from services.placement.core.scores import ScoreBook, Scored
from services.placement.core.tell import tell_signal
from services.placement.core.workload import Mode, PlaceRequest

#: Scores that differ by less are equal: the node is then chosen by a hash of request and node.
TIE = 1e-9

#: Signals of nodes that a decision names one by one, and the reason that stands for the rest.
NUM_SIGNALS = 8
OTHER_SIGNALS = "other_signals"

#: (factor, row, value, whether it speaks for the chosen node) to words.
Tell = Callable[[f.Factor, int, float, bool], str]


def best_rows(
    matrix: NodeMatrix, scores: Floats, feasible: NDArray[np.bool_], request_id: str, number: int
) -> list[int]:
    """The `number` best feasible rows, best first.

    Equal scores are ordered by a hash of the request and the node's name: the same on every replica and after every
    restart, and different requests spread over equal nodes.
    """
    rows = np.flatnonzero(feasible)
    some = scores[rows]
    if len(rows) > number:
        # Whatever could be equal to the last of them is kept; of several thousand nodes these are few.
        last = np.partition(some, len(rows) - number)[len(rows) - number]
        near = np.flatnonzero(some >= last - 2 * TIE)
        rows, some = rows[near], some[near]
    steps = np.rint(some / TIE).astype(np.uint64)
    ties = _mixed(matrix.hashes[rows], node_hash(request_id))
    keys = (steps << np.uint64(33)) | (ties >> np.uint64(31))
    best: list[int] = rows[np.argsort(keys)[::-1][:number]].tolist()
    return best


def _mixed(hashes: NDArray[np.uint64], salt: int) -> NDArray[np.uint64]:
    """splitmix64's finish over both."""
    mixed = hashes ^ np.uint64(salt)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


class Nodes(Protocol):
    """A matrix, or what was kept of one."""

    ids: list[str]

    @property
    def node_values(self) -> Floats: ...


def candidates(
    matrix: Nodes,
    scored: Scored,
    rows: Sequence[int],
    tell: Tell,
    has_chosen: bool = False,
    num_signals: int = len(node_factors.SIGNALS),
) -> list[Candidate]:
    """Nodes with every factor's exact share; a score is their exactly rounded sum.

    Args:
        has_chosen: the first of them is the chosen one; its reasons say what it avoids.
        num_signals: signals of nodes that get reasons of their own; of more, those that set these nodes apart most, and
            one reason for the others together.
    """
    signals = _signal_reasons(matrix, scored, rows, num_signals)
    return [
        _candidate(matrix.ids[row], row, scored, tell, has_chosen and number == 0, signals[number])
        for number, row in enumerate(rows)
    ]


def _signal_reasons(matrix: Nodes, scored: Scored, rows: Sequence[int], most: int) -> list[list[Reason]]:
    """Of each node, what the signals that take part add."""
    counted = np.flatnonzero(scored.node_weights)
    if not len(counted) or not len(rows):
        return [[] for _ in rows]
    weights = scored.node_weights[counted]
    values = matrix.node_values[:, list(rows)]
    shares = weights[:, None] * node_factors.utilities(values)[counted]
    values = values[counted]
    others: list[list[Reason]] = [[] for _ in rows]
    if len(counted) > most:
        order = np.argsort(-_effect(shares, weights), kind="stable")
        named, rest = np.sort(order[:most]), order[most:]
        others = [[_together(len(rest), added)] for added in shares[rest].sum(axis=0).tolist()]
        counted, values, shares = counted[named], values[named], shares[named]
    signals = [node_factors.SIGNALS[number] for number in counted]
    return [
        [
            Reason(one.name, value, one.unit, share, tell_signal(one, value))
            for one, value, share in zip(signals, own, added, strict=True)
        ]
        + rest
        for own, added, rest in zip(values.T.tolist(), shares.T.tolist(), others, strict=True)
    ]


def _effect(shares: Floats, weights: Floats) -> Floats:
    """(A,) how far these nodes' shares of each signal lie apart; of one node alone, how far from silence."""
    if shares.shape[1] == 1:
        return np.abs(shares[:, 0] - weights * node_factors.NEUTRAL)
    apart: Floats = shares.max(axis=1) - shares.min(axis=1)
    return apart


def _together(number: int, share: float) -> Reason:
    return Reason(
        OTHER_SIGNALS, float(number), "signals", share, f"{number} more signals, which set these nodes apart less"
    )


def _candidate(node_id: str, row: int, scored: Scored, tell: Tell, is_chosen: bool, signals: list[Reason]) -> Candidate:
    weights, factors = scored.weighing.weights.tolist(), scored.weighing.factors
    values, utilities = scored.values[:, row].tolist(), scored.utilities[:, row].tolist()
    reasons = by_size(
        [
            Reason(factor.name, value, factor.unit, weight * utility, tell(factor, row, value, is_chosen))
            for factor, value, weight, utility in zip(factors, values, weights, utilities, strict=True)
        ]
        + signals
    )
    return Candidate(node_id, total(reasons), reasons)


def staleness(matrix: NodeMatrix, weighing: f.Weighing, rows: Sequence[int] | slice, now: int) -> float:
    """Age of the oldest feature or forecast that counted for these nodes, seconds, by event time; 0 when none did."""
    names = [f.SIGNAL_OF[factor.name] for factor in weighing.factors if factor.name in f.SIGNAL_OF]
    times = [matrix.node_times[rows], *(matrix.time(name)[rows] for name in names)]
    # fmin passes over NaN.
    oldest = float(np.fmin.reduce(np.concatenate([*times, np.array([float(now)])])))
    return max(0.0, (now - oldest) / 1e6)


def has_forecasts(matrix: NodeMatrix, among: NDArray[np.bool_], likely: Sequence[int] = ()) -> bool:
    """Whether a forecast speaks for any of these nodes; it speaks for the first of `likely`, or all are looked at."""
    for row in likely[:1]:
        if not math.isnan(matrix.signal("cpu_forecast")[row]) or not math.isnan(matrix.signal("memory_forecast")[row]):
            return True
    known = ~np.isnan(matrix.signal("cpu_forecast")) | ~np.isnan(matrix.signal("memory_forecast"))
    return bool((known & among).any())


def decide(
    matrix: NodeMatrix,
    members: Members,
    scores: ScoreBook,
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
    scored = scores.ask(request.workload, request.profile)
    rows = best_rows(matrix, scored.scores, mask.feasible, request.request_id, request.num_alternatives + 1)
    among = mask.feasible if rows else np.ones(len(matrix), dtype=np.bool_)
    is_informed = are_alerts_fresh and has_forecasts(matrix, among, rows)
    mode: Mode = "shadow" if request.is_shadow else "live" if is_informed else "fallback"
    if not rows:
        return infeasible(request, mask, matrix, mode, now), mask
    chosen, *others = candidates(matrix, scored, rows, tell, has_chosen=True, num_signals=NUM_SIGNALS)
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
