"""River's HalfSpaceTrees over many series, each with trees of its own masses and the same splits.

Letters: n series, T trees, H levels below the root, E pieces of the line.
"""

import random
import zlib
from typing import Any

import numpy as np
import river.tree.padded

from services.anomaly.model.bank import Bands, Floats, Ints, Micros, Rows
from services.anomaly.model.half_space_trees import NUM_TO_DRAW, ROOM

# River's function has no types.
_make_padded_tree: Any = river.tree.padded.make_padded_tree

#: River's: a node with a smaller share of the window is not looked into.
SMALL_SHARE = 0.1
#: River's: how much of a node's span stays free of splits on each side.
PADDING = 0.15
#: Integers up to here are exact in single precision.
EXACT = 2**24


class TreeBank:
    """`river.anomaly.HalfSpaceTrees` of one feature, with scores that are the same bits.

    With a single feature all splits of all trees cut one line into E pieces: a value is its piece, a node is a run of
    pieces, and its mass is how many of the last whole window's values fell there. So a row holds the pieces of the
    window that fills and, of the one before, how many values lie below each piece: 3,080 bytes with River's defaults,
    where River's own trees take a megabyte.

    Args:
        threshold: the score of River's that `score` makes 0.5. Of normal, even, exponential and wavy series half of
            the values score above .92 to .96 and one in a hundred above .985 to .997; what lies beyond all values
            about .996: among a single series' values these trees tell little apart.
        window: values to a window.
        limits: between which values lie; None takes the first NUM_TO_DRAW of a series and gives them room.
    """

    name = "half_space_trees_each"

    def __init__(
        self,
        threshold: float = 0.995,
        window: int = 250,
        num_trees: int = 10,
        height: int = 8,
        seed: int = 1,
        limits: tuple[float, float] | None = None,
    ) -> None:
        self._threshold, self._window, self._limits = threshold, window, limits
        self._edges, self._low, self._high = _paths(num_trees, height, seed)
        #: Rows of other splits are of another version: a River that draws other trees from the seed starts cold.
        self.version = zlib.crc32(self._low.tobytes(), zlib.crc32(self._edges.tobytes()))
        self._max_score = num_trees * window * (2 ** (height + 1) - 1)
        self._weights = np.repeat(2.0 ** np.arange(1, height + 1), num_trees)  # (H * T,)
        self._weights = self._weights.astype(np.float32 if self._max_score < EXACT else np.float64)
        self._num_trees = num_trees
        mass, piece = np.min_scalar_type(window), np.min_scalar_type(max(2**8, len(self._edges)))
        self._smallest = mass.type(np.ceil(SMALL_SHARE * window))
        self.dtype: np.dtype[Any] = np.dtype(
            [
                ("low", "f8"), ("high", "f8"), ("num", "i8"), ("num_looked", "i4"), ("recent", piece, (window,)),
                ("below", mass, (len(self._edges) + 2,)),
            ]
        )  # fmt: skip
        self.parts = {"recent": ("num", "recent"), "before": ("low", "high", "num_looked", "below")}

    def river_score(self, rows: Rows, values: Floats) -> Floats:
        """(n,) in [0, 1] as River's `score_one`, of the values as they lie between their limits."""
        is_known = rows["num"] >= self._window
        if not is_known.any():
            return np.zeros(len(rows))
        found = self._found(rows, self._pieces(rows, values))
        return np.where(is_known, 1 - found / self._max_score, 0.0)

    def _found(self, rows: Rows, pieces: Ints) -> Floats:
        """(n,): River's sum of masses, each times two to its depth, down to the first small node of each tree."""
        flat, starts, trees = *_flat(rows, "below"), self._num_trees
        low, high = self._low[pieces], self._high[pieces]  # (n, H * T)
        mass = np.take(flat, high + starts[:, None]) - np.take(flat, low + starts[:, None])
        # Masses fall along a path, so a node counts when its parent is not small; the first ones' parent is the root.
        is_counted = mass[:, :-trees] >= self._smallest
        mass[:, trees:] *= is_counted.view(np.uint8)
        return np.asarray(trees * self._window + (mass.astype(self._weights.dtype) @ self._weights).astype(np.float64))

    def _pieces(self, rows: Rows, values: Floats) -> Ints:
        low, high = (rows["low"], rows["high"]) if self._limits is None else self._limits
        # A series without limits yet divides by nothing: whatever comes of it is a piece, and nobody looks at it.
        with np.errstate(all="ignore"):
            scaled = (values - low) / (high - low)
        return np.searchsorted(self._edges, scaled, side="right")

    def score(self, rows: Rows, values: Floats, times: Micros) -> Floats:
        """0.5 where River's crosses the threshold, in proportion on both sides of it."""
        scores, line = self.river_score(rows, values), self._threshold
        above = 0.5 + 0.5 * (scores - line) / (1 - line)
        return np.clip(np.where(scores < line, 0.5 * scores / line, above), 0.0, 1.0)

    def bands(self, rows: Rows, times: Micros) -> Bands:
        """None at all: it knows where values lie, not where they end."""
        nothing = np.full(len(rows), np.nan)
        return Bands(nothing, nothing, nothing)

    def learn(self, rows: Rows, values: Floats, times: Micros) -> None:
        if self._limits is None:
            is_looking = rows["num_looked"] < NUM_TO_DRAW
            if is_looking.any():
                looking, rest = np.flatnonzero(is_looking), np.flatnonzero(~is_looking)
                looked, grown = rows[looking], rows[rest]
                _look(looked, values[looking])
                self._grow(grown, values[rest])
                rows[looking], rows[rest] = looked, grown
                return
        self._grow(rows, values)

    def _grow(self, rows: Rows, values: Floats) -> None:
        place = rows["num"] % self._window
        rows["recent"][np.arange(len(rows)), place] = self._pieces(rows, values)
        rows["num"] += 1
        full = np.flatnonzero(place == self._window - 1)
        if len(full):
            rows["below"][full] = _below(rows["recent"][full], rows["below"].shape[1])


def _flat(rows: Rows, field: str) -> tuple[Ints, Ints]:
    """A field's numbers with all else between them, if they can be seen so, and where each row's begin: no copy."""
    dtype, offset = rows.dtype[field].base, rows.dtype.fields[field][1]  # type: ignore[index]
    size = dtype.itemsize
    if rows.flags.c_contiguous and offset % size == 0 and rows.dtype.itemsize % size == 0:
        return rows.view(dtype), (offset + np.arange(len(rows)) * rows.dtype.itemsize) // size
    column = np.ascontiguousarray(rows[field])
    return column.reshape(-1), np.arange(len(rows)) * column.shape[1]


def _look(rows: Rows, values: Floats) -> None:
    """Values that only tell how far a series goes; the last of them gives it its limits."""
    is_first = rows["num_looked"] == 0
    rows["low"] = np.where(is_first, values, np.minimum(rows["low"], values))
    rows["high"] = np.where(is_first, values, np.maximum(rows["high"], values))
    rows["num_looked"] += 1
    done = rows["num_looked"] == NUM_TO_DRAW
    room = ROOM * (rows["high"] - rows["low"])
    room = np.where(done, np.where(room == 0, np.maximum(np.abs(rows["low"]), 1.0), room), 0.0)
    rows["low"] -= room
    rows["high"] += room


def _below(pieces: Ints, size: int) -> Ints:
    """(n, E + 1): how many of each row's pieces lie below each piece."""
    num = len(pieces)
    counts = np.bincount((pieces + np.arange(num)[:, None] * (size - 1)).reshape(-1), minlength=num * (size - 1))
    below = np.zeros((num, size), np.int64)
    np.cumsum(counts.reshape(num, size - 1), axis=1, out=below[:, 1:])
    return below


def _paths(num_trees: int, height: int, seed: int) -> tuple[Floats, Ints, Ints]:
    """River's trees as it draws them from this seed: the line's edges, (E - 1,) in order, and for each piece the first
    piece of each node on its way down, and the one behind its last: (E, H * T) each.
    """
    rng = random.Random(seed)
    trees = [
        _make_padded_tree({"x": (0.0, 1.0)}, height=height, padding=PADDING, rng=rng, r_mass=0, l_mass=0)
        for _ in range(num_trees)
    ]
    splits = [node.threshold for tree in trees for node in tree.iter_dfs() if hasattr(node, "threshold")]
    edges = np.unique(np.array(splits, np.float64))
    low, high = (np.zeros((len(edges) + 1, height, num_trees), np.int64) for _ in range(2))
    for place, tree in enumerate(trees):
        _walk(tree, 0, 0, len(edges) + 1, edges, low[:, :, place], high[:, :, place])
    return edges, low.reshape(len(low), -1), high.reshape(len(high), -1)


def _walk(node: Any, depth: int, first: int, end: int, edges: Floats, low: Ints, high: Ints) -> None:
    if depth:
        low[first:end, depth - 1], high[first:end, depth - 1] = first, end
    if hasattr(node, "children"):
        middle = int(np.searchsorted(edges, node.threshold)) + 1
        _walk(node.children[0], depth + 1, first, middle, edges, low, high)
        _walk(node.children[1], depth + 1, middle, end, edges, low, high)
