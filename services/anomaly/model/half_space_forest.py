"""River's HalfSpaceTrees of many entities at once: the scores of `EntityTrees`, a few hundred times as fast.

Letters: E observations, F features, T trees.
"""

import hashlib
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import msgspec
import numpy as np
import river.tree.padded

from services.anomaly.model.abstract import LARGEST
from services.anomaly.model.bank import Bools, Floats, Ints, Rows
from services.anomaly.model.compiled import compiled
from services.anomaly.model.half_space_trees import NUM_TO_DRAW, ROOM
from services.anomaly.model.parts import decode_part, encode_part
from services.anomaly.model.slots import Slots
from services.common.errors import ArtifactMismatch

# River's function has no types.
_make_padded_tree: Any = river.tree.padded.make_padded_tree

T, HEIGHT, WINDOW, SEED = 10, 8, 100, 1
NUM_LEAVES = 1 << HEIGHT
NUM_INNER = NUM_LEAVES - 1
#: How often each leaf of each tree was reached in the window that runs, and in the one before.
MASSES: np.dtype[Any] = np.dtype([("now", "u1", (T * NUM_LEAVES,)), ("before", "u1", (T * NUM_LEAVES,))])


class Drawn(msgspec.Struct, array_like=True):
    """What the trees are drawn from; `digest` tells whether this River draws the same ones from it."""

    names: list[str]
    low: list[float]
    high: list[float]
    seed: int
    digest: bytes


class Looking(msgspec.Struct, array_like=True):
    """Limits of the features so far, before trees are drawn."""

    num: int
    limits: dict[str, tuple[float, float]]


class Leaves(msgspec.Struct, array_like=True):
    """How many observations the window holds, and the leaves that any of them reached: places and how often."""

    num: int
    places: bytes
    counts: bytes


class Trees:
    """One entity's.

    Attributes:
        limits: of each feature while it looks; then drawn ones, by name in order.
        place: where its trees begin among all that are drawn; -1 while it looks.
        slot: of its masses.
        num: observations seen while it looks, then those in the window that runs.
    """

    __slots__ = ("drawn", "features", "has_before", "high", "is_before_new", "limits", "low", "num", "place", "slot",
                 "slots", "version")  # fmt: skip

    def __init__(self) -> None:
        self.limits: dict[str, tuple[float, float]] = {}
        self.num = 0
        self.place = self.slot = -1
        self.has_before = self.is_before_new = False
        self.drawn = b""
        self.low = self.high = np.zeros(0)
        self.slots = self.features = np.zeros(0, np.int64)
        self.version = -1


class HalfSpaceForest:
    """All trees there are.

    Entities with as many features have the same trees: River draws them from the seed and the features' order alone.
    So they are drawn once for each number of features; an entity has its limits and its counts.
    """

    name = "half_space_trees"

    def __init__(self) -> None:
        self.masses = Slots(self.name, MASSES)
        self._places: dict[int, int] = {}
        self._digests: dict[int, bytes] = {}
        self._features = np.zeros(0, np.int64)
        self._thresholds = np.zeros(0)

    def place(self, num_features: int) -> int:
        """Where the trees over so many features begin in the columns of all trees; drawn when they are new."""
        place = self._places.get(num_features)
        if place is None:
            place = self._places[num_features] = len(self._features)
            features, thresholds = _drawn(num_features)
            self._digests[num_features] = hashlib.blake2b(
                features.astype("<i8").tobytes() + thresholds.astype("<f8").tobytes(), digest_size=16
            ).digest()
            self._features = np.concatenate([self._features, features])
            self._thresholds = np.concatenate([self._thresholds, thresholds])
        return place

    def look(self, trees: Trees, x: Mapping[str, float]) -> None:
        """An observation before the trees are drawn, which they then are if it was enough of them."""
        for name, value in x.items():
            low, high = trees.limits.get(name, (value, value))
            trees.limits[name] = min(low, value), max(high, value)
        trees.num += 1
        if trees.num >= NUM_TO_DRAW and trees.limits:
            limits = {name: _widened(*trees.limits[name]) for name in sorted(trees.limits)}
            self.draw(trees, limits)
            trees.num = 0

    def draw(self, trees: Trees, limits: Mapping[str, tuple[float, float]]) -> None:
        """Gives the entity its trees, with nothing in them."""
        trees.place = self.place(len(limits))
        trees.slot = int(self.masses.add(1)[0])
        trees.limits = dict(limits)
        trees.low = np.array([low for low, _ in limits.values()])
        trees.high = np.array([high for _, high in limits.values()])
        digest = self._digests[len(limits)]
        trees.drawn = encode_part(Drawn(list(limits), trees.low.tolist(), trees.high.tolist(), SEED, digest))
        trees.is_before_new = True

    def free(self, trees: Trees) -> None:
        """The entity is gone."""
        if trees.slot >= 0:
            self.masses.free(np.array([trees.slot]))

    def learn(self, who: Sequence[Trees], x: Floats) -> None:
        """Takes observations in, in this order.

        Args:
            who: (E,) whose each is; the same ones may come again.
            x: (E, F) scaled so that the limits are 0 and 1, NaN for what is missing, and beyond an entity's features.
        """
        each = {id(trees): (place, trees) for place, trees in enumerate(dict.fromkeys(who))}
        owners = np.array([each[id(trees)][0] for trees in who], np.int64)
        facts = np.array([(trees.place, trees.slot, trees.num) for _, trees in each.values()], np.int64).reshape(-1, 3)
        is_closed = np.zeros(len(each), bool)
        _count(self.masses.rows, owners, facts, x, self._features, self._thresholds, is_closed)
        for (_, trees), num, is_over in zip(each.values(), facts[:, 2].tolist(), is_closed.tolist(), strict=True):
            trees.num = num
            if is_over:
                trees.has_before = trees.is_before_new = True

    def _walk(self, begin: int, values: Floats, sums: Ints) -> list[int]:
        """The nodes from the root to the leaf; `sums` of observations in each node."""
        node, path = 0, [0]
        for _ in range(HEIGHT):
            value = values[self._features[begin + node]]
            if np.isnan(value):
                node = 2 * node + (2 if sums[2 * node + 1] < sums[2 * node + 2] else 1)
            else:
                node = 2 * node + (1 if value < self._thresholds[begin + node] else 2)
            path.append(node)
        return path

    def score(self, trees: Trees, x: Mapping[str, float]) -> float:
        """How anomalous an observation of finite values is; 0.0 while there is no whole window."""
        if not trees.has_before or not x:
            return 0.0
        values = np.array([x.get(name, np.nan) for name in trees.limits])
        values = (np.clip(values, -LARGEST, LARGEST) - trees.low) / (trees.high - trees.low)
        rows = self.masses.take(np.array([trees.slot]))
        now, before = (rows[field].reshape(T, NUM_LEAVES) for field in ("now", "before"))
        score = 0.0
        for tree in range(T):
            score += self._mass(trees.place + tree * NUM_INNER, values, _sums(now[tree]), _sums(before[tree]))
        return min(1.0, max(0.0, 1 - score / (T * WINDOW * (2 * NUM_LEAVES - 1))))

    def _mass(self, begin: int, values: Floats, now: Ints, before: Ints) -> float:
        score = 0.0
        for depth, node in enumerate(self._walk(begin, values, now)):
            score += float(before[node] << depth)
            if before[node] < 0.1 * WINDOW and depth < HEIGHT:
                break
        return score

    def save(self, all_trees: Sequence[Trees]) -> list[dict[str, bytes]]:
        """Each one's parts. `before` is there only when it is new."""
        saved = []
        slots = np.array([trees.slot for trees in all_trees if trees.slot >= 0], np.int64)
        windows = iter(_packed(self.masses.take(slots)["now"]) if len(slots) else ())
        for trees in all_trees:
            if trees.slot < 0:
                saved.append({"looking": encode_part(Looking(trees.num, trees.limits))})
                continue
            saved.append({"drawn": trees.drawn, "window": encode_part(Leaves(trees.num, *next(windows)))})
            if trees.is_before_new:
                trees.is_before_new = False
                [before] = _packed(self.masses.take(np.array([trees.slot]))["before"])
                saved[-1]["before"] = encode_part(Leaves(WINDOW * trees.has_before, *before))
        return saved

    def load(self, parts: Mapping[str, bytes]) -> Trees:
        """What `save` gave as one entity's.

        Raises:
            ArtifactMismatch: something else, or trees that this River does not draw.
        """
        trees = Trees()
        if "drawn" not in parts:
            looking = decode_part(parts, "looking", Looking)
            trees.num, trees.limits = looking.num, looking.limits
            return trees
        drawn = decode_part(parts, "drawn", Drawn)
        window, before = decode_part(parts, "window", Leaves), decode_part(parts, "before", Leaves)
        limits = zip(drawn.low, drawn.high, strict=True)
        self.draw(trees, dict(zip(drawn.names, limits, strict=True)))
        if trees.drawn != parts["drawn"]:
            self.free(trees)
            raise ArtifactMismatch(
                "This River draws other half-space trees than the one that wrote anomaly.state.v1; install that one, "
                "or let this detector learn anew."
            )
        rows = self.masses.take(np.array([trees.slot]))
        for field, held in (("now", window), ("before", before)):
            rows[field][0, np.frombuffer(held.places, "<u2")] = np.frombuffer(held.counts, np.uint8)
        self.masses.put(np.array([trees.slot]), rows)
        trees.num, trees.has_before, trees.is_before_new = window.num, before.num > 0, False
        return trees


@compiled
def _count(
    masses: Rows, owners: Ints, facts: Ints, x: Floats, features: Ints, thresholds: Floats, is_closed: Bools
) -> None:
    """Counts the leaves that observations come to, in their order.

    A full window becomes the one before. Where a feature is missing an observation follows the more frequent branch, as
    River does.

    Args:
        owners: whose each observation is, a row of `facts`: where its trees begin, its slot, how many its window holds.
        is_closed: set to true for owners of whom a window was closed.
    """
    for number in range(len(owners)):
        owner = owners[number]
        row = masses[facts[owner, 1]]
        now = row.now
        for tree in range(T):
            begin, leaves, node = facts[owner, 0] + tree * NUM_INNER, tree * NUM_LEAVES, 0
            for depth in range(HEIGHT):
                value = x[number, features[begin + node]]
                is_left = value < thresholds[begin + node]
                if np.isnan(value):
                    half = NUM_LEAVES >> (depth + 1)
                    first = leaves + (node + 1 - (1 << depth)) * 2 * half
                    left = right = 0
                    for leaf in range(first, first + half):
                        left += now[leaf]
                        right += now[leaf + half]
                    is_left = left >= right
                node = 2 * node + 1 if is_left else 2 * node + 2
            now[leaves + node - NUM_INNER] += np.uint8(1)
        facts[owner, 2] += 1
        if facts[owner, 2] >= WINDOW:
            for leaf in range(T * NUM_LEAVES):
                row.before[leaf], now[leaf] = now[leaf], 0
            facts[owner, 2], is_closed[owner] = 0, True


def _drawn(num_features: int) -> tuple[Ints, Floats]:
    """Feature and threshold of each inner node, (T * NUM_INNER,): level by level, from left to right."""
    rng = Random(SEED)
    features, thresholds = [], []
    for _ in range(T):
        limits = {number: (0.0, 1.0) for number in range(num_features)}
        tree = _make_padded_tree(limits=limits, height=HEIGHT, padding=0.15, rng=rng, r_mass=0, l_mass=0)
        level = [tree]
        for _ in range(HEIGHT):
            features += [node.feature for node in level]
            thresholds += [node.threshold for node in level]
            level = [child for node in level for child in node.children]
    return np.array(features, np.int64), np.array(thresholds)


def _widened(low: float, high: float) -> tuple[float, float]:
    room = ROOM * (high - low) or max(abs(low), 1.0)
    return low - room, high + room


def _sums(leaves: "np.ndarray[Any, Any]") -> Ints:
    """Observations in each node of one tree, level by level: what reaches a leaf walked through all above it."""
    levels = [leaves.astype(np.int64)]
    while len(levels[0]) > 1:
        levels.insert(0, levels[0].reshape(-1, 2).sum(axis=1))
    return np.concatenate(levels)


def _packed(counts: "np.ndarray[Any, Any]") -> list[tuple[bytes, bytes]]:
    """Of each row, the places that are not 0 and what is there."""
    size = counts.shape[1]
    flat = np.ascontiguousarray(counts).reshape(-1)
    found = np.flatnonzero(flat != 0)
    held, written = flat[found].tobytes(), (found % size).astype("<u2").tobytes()
    ends = np.searchsorted(found, np.arange(1, len(counts) + 1) * size).tolist()
    begins = [0, *ends[:-1]]
    return [(written[2 * b : 2 * e], held[b:e]) for b, e in zip(begins, ends, strict=True)]
