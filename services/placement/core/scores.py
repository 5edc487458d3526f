"""Scores of all nodes, remembered by what is asked for and brought up to date by row.

Orchestrators ask for the same sizes again and again, and one placement changes one row.
"""

from collections import OrderedDict
from typing import NamedTuple

import numpy as np

from services.placement.core import factors as f
from services.placement.core.matrix import Columns, Floats, NodeMatrix, Picked, Rows
from services.placement.core.workload import Profile, Workload

_MOST_REMEMBERED = 16
#: Above this share of touched rows all are computed anew: row by row costs more.
_WHOLE_SHARE = 0.25


class Scored(NamedTuple):
    """Scores of some nodes.

    Attributes:
        weighing: with the weights as they are while some signals of nodes take part.
        values, utilities: (F, n) of the factors that count in the profile.
        node_weights: (K,) of the signals of nodes.
        scores: (n,) 0..1, whether feasible or not.
    """

    weighing: f.Weighing
    values: Floats
    utilities: Floats
    scores: Floats
    node_weights: Floats


def score(nodes: Columns, workload: Workload, profile: Profile) -> Scored:
    """Scores of these nodes, with all that they are made of."""
    weighing = f.weighing(profile)
    node_weights = nodes.node_weights(weighing.number)
    weighing = weighing._replace(weights=weighing.weights * (1.0 - node_weights.sum()))
    values = f.values_of(weighing.factors, f.Asked(nodes, workload))
    utilities = f.utilities_of(weighing.factors, values, nodes)
    # Neither a matrix product nor a sum over an axis: their rounding depends on how many nodes there are.
    scores = nodes.node_scores(weighing.number).copy()
    for weight, row in zip(weighing.weights, utilities, strict=True):
        scores += weight * row
    return Scored(weighing, values, utilities, scores, node_weights)


class _Remembered:
    """One question's scores, as of a point in the matrix's history."""

    def __init__(self, scored: Scored) -> None:
        self.scored = scored
        self.generation = -1
        self.position = 0


class ScoreBook:
    """The scores of the questions asked last."""

    def __init__(self, matrix: NodeMatrix) -> None:
        self._matrix = matrix
        self._held: OrderedDict[tuple[object, ...], _Remembered] = OrderedDict()

    def ask(self, workload: Workload, profile: Profile) -> Scored:
        """Scores of all nodes, whether feasible or not. Not to be written to, nor kept beyond the next question."""
        key = (profile, *sorted(workload.requests.items()))
        held = self._held.get(key)
        if held is None or held.generation != self._matrix.generation:
            held = self._held[key] = _Remembered(score(self._matrix, workload, profile))
        else:
            self._update(held, workload, profile)
        held.generation, held.position = self._matrix.generation, len(self._matrix.touched)
        self._held.move_to_end(key)
        if len(self._held) > _MOST_REMEMBERED:
            self._held.popitem(last=False)
        return held.scored

    def _update(self, held: _Remembered, workload: Workload, profile: Profile) -> None:
        rows = set(self._matrix.touched[held.position :])
        if len(rows) > _WHOLE_SHARE * len(self._matrix):
            held.scored = score(self._matrix, workload, profile)
        elif rows:
            some = _picked(rows)
            new = score(Rows(self._matrix, some), workload, profile)
            held.scored.values[:, some] = new.values
            held.scored.utilities[:, some] = new.utilities
            held.scored.scores[some] = new.scores


def _picked(rows: set[int]) -> Picked:
    """Rows to pick from an array. One alone as a slice: what one placement changes is looked at without copying."""
    if len(rows) == 1:
        (row,) = rows
        return slice(row, row + 1)
    return np.fromiter(rows, dtype=np.intp, count=len(rows))
