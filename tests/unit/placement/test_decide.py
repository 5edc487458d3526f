"""Choosing among scored nodes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.placement.core.decide import TIE, best_rows
from services.placement.core.inventory import NodeInfo
from services.placement.core.matrix import NodeMatrix


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.1 + 4e-10, 0.1 + 1.6e-9, 0.5, 1.0]), st.booleans()), max_size=60),
    st.integers(1, 6),
    st.text(max_size=3),
)
def test_the_best_are_those_that_sorting_all_would_give(
    nodes: list[tuple[float, bool]], number: int, request_id: str
) -> None:
    """By score, those closer than a tie by the hash of request and node; however few are wanted."""
    matrix = NodeMatrix()
    for place in range(len(nodes)):
        matrix.put(NodeInfo(f"host:n{place}"))
    scores = np.array([score for score, _ in nodes])
    feasible = np.array([fits for _, fits in nodes], dtype=np.bool_)
    every = best_rows(matrix, scores, feasible, request_id, len(nodes) + 1)
    assert best_rows(matrix, scores, feasible, request_id, number) == every[:number]
    steps = [round(nodes[row][0] / TIE) for row in every]
    assert sorted(every) == np.flatnonzero(feasible).tolist()
    assert steps == sorted(steps, reverse=True)
