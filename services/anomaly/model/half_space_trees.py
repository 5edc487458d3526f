"""River's HalfSpaceTrees over all features of an entity together."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import msgspec
import river.anomaly
import river.tree.padded

from services.anomaly.model.abstract import Band, Features, clean
from services.anomaly.model.parts import decode_part, encode_part
from services.common.errors import ArtifactMismatch

# River's classes have types, some of its functions have none.
_HalfSpaceTrees: Any = river.anomaly.HalfSpaceTrees
_make_padded_tree: Any = river.tree.padded.make_padded_tree

#: Observations that tell which features there are and how far each goes, before the trees are drawn.
NUM_TO_DRAW = 24
#: The trees are drawn this much wider than what those observations showed, as a share of it, on each side.
ROOM = 0.5


class Drawn(msgspec.Struct, array_like=True):
    """What the trees are drawn from; `digest` tells whether this River draws the same ones from it."""

    limits: dict[str, tuple[float, float]]
    seed: int
    digest: bytes


class Window(msgspec.Struct, array_like=True):
    """How often each leaf of each tree was reached, and how many observations that were (1 for a whole window)."""

    num: int = 0
    counts: list[dict[int, int]] = msgspec.field(default_factory=list)


class EntityTrees:
    """`river.anomaly.HalfSpaceTrees` (10 trees of height 8) over features that are scaled by their first values.

    River draws the trees at the first observation and expects values in [0, 1]; here they are drawn when enough was
    seen to know the features and their limits, which are then 0 and 1. A feature that comes later is in no tree; one
    that is missing follows the more frequent branch, as River does.

    What is saved are the limits and the seed that the trees follow from, and each leaf's counts: the counts within the
    trees are their sums. A River that draws other trees from the same seed starts cold: it only advises.

    Source:
        Tan, Ting, Liu. Fast anomaly detection for streaming data. IJCAI 2011.
    """

    name = "half_space_trees"
    judges: Literal["each", "whole"] = "whole"

    def __init__(
        self, threshold: float = 0.97, window: int = 100, seed: int = 1, num_trees: int = 10, height: int = 8
    ) -> None:
        self.threshold = threshold
        self._window = window
        self._seed = seed
        self._num_trees = num_trees
        self._height = height
        self._num_seen = 0
        self._limits: dict[str, tuple[float, float]] = {}
        self._digest = b""
        self._model: Any = None
        self._leaves: list[list[Any]] = []
        self._before = encode_part(Window())

    def learn_one(self, x: Features) -> None:
        known = clean(x)
        if self._model is None:
            self._look(known)
        else:
            self._model.learn_one(self._scaled(known))
            if self._model.counter == 0:
                self._before = encode_part(Window(1, self._counts("r_mass")))

    def _look(self, known: Features) -> None:
        for name, value in known.items():
            low, high = self._limits.get(name, (value, value))
            self._limits[name] = min(low, value), max(high, value)
        self._num_seen += 1
        if self._num_seen >= NUM_TO_DRAW and self._limits:
            self._draw({name: _widened(low, high) for name, (low, high) in sorted(self._limits.items())})

    def _scaled(self, known: Features) -> dict[str, float]:
        limits = self._limits
        return {
            name: (value - limits[name][0]) / (limits[name][1] - limits[name][0])
            for name, value in known.items()
            if name in limits
        }

    def _draw(self, limits: dict[str, tuple[float, float]]) -> None:
        """Makes River's model and its trees, as its first `learn_one` would."""
        self._limits = limits
        self._model = model = _HalfSpaceTrees(self._num_trees, self._height, self._window, seed=self._seed)
        model.trees = [
            _make_padded_tree(
                limits={name: model.limits[name] for name in limits},
                height=self._height, padding=0.15, rng=model.rng, r_mass=0, l_mass=0,
            )
            for _ in range(self._num_trees)
        ]  # fmt: skip
        model._tree_nodes = [list(tree.iter_dfs()) for tree in model.trees]
        self._leaves = [list(tree.iter_leaves()) for tree in model.trees]
        self._digest = _digest(model)

    def score_one(self, x: Features) -> float:
        known = clean(x)
        if self._model is None or not known:
            return 0.0
        return min(1.0, max(0.0, float(self._model.score_one(self._scaled(known)))))

    def score_each(self, x: Features) -> dict[str, float]:
        return {}

    def expected(self, feature: str) -> Band | None:
        return None

    def forget(self, features: Iterable[str]) -> None:
        """Nothing: two windows forget by themselves."""

    def save(self) -> dict[str, bytes]:
        drawn = encode_part(Drawn(self._limits, self._seed, self._digest))
        window = Window(self._num_seen)
        if self._model is not None:
            window = Window(self._model.counter, self._counts("l_mass"))
        return {"drawn": drawn, "window": encode_part(window), "before": self._before}

    def _counts(self, mass: str) -> list[dict[int, int]]:
        """Of each tree, the leaves that anything has come to, by their place from left to right."""
        return [
            {place: count for place, leaf in enumerate(leaves) if (count := getattr(leaf, mass))}
            for leaves in self._leaves
        ]

    def load(self, parts: Mapping[str, bytes]) -> None:
        drawn = decode_part(parts, "drawn", Drawn)
        window, before = decode_part(parts, "window", Window), decode_part(parts, "before", Window)
        self._seed, self._model = drawn.seed, None
        self._limits, self._num_seen = drawn.limits, window.num
        self._before = parts["before"]
        if not drawn.digest:
            return
        self._draw(drawn.limits)
        if self._digest != drawn.digest:
            self._model, self._limits, self._num_seen, self._digest = None, {}, 0, b""
            self._before = encode_part(Window())
            raise ArtifactMismatch(
                "This River draws other half-space trees than the one that wrote anomaly.state.v1; install that one, "
                "or let this detector learn anew."
            )
        self._model.counter, self._model._first_window = window.num, not before.num
        self._fill(window.counts, "l_mass")
        if before.num:
            self._fill(before.counts, "r_mass")

    def _fill(self, counts: list[dict[int, int]], mass: str) -> None:
        for tree, leaves, row in zip(self._model.trees, self._leaves, counts, strict=True):
            for place, leaf in enumerate(leaves):
                setattr(leaf, mass, row.get(place, 0))
            _add_up(tree, mass)


def _widened(low: float, high: float) -> tuple[float, float]:
    room = ROOM * (high - low) or max(abs(low), 1.0)
    return low - room, high + room


def _walk(node: Any) -> Iterator[Any]:
    return (each for each in node.iter_dfs() if hasattr(each, "threshold"))


def _digest(model: Any) -> bytes:
    splits = [(str(node.feature), float(node.threshold)) for tree in model.trees for node in _walk(tree)]
    return hashlib.blake2b(msgspec.msgpack.encode(splits), digest_size=16).digest()


def _add_up(node: Any, mass: str) -> int:
    """A node's count is its leaves': every observation walks from the root to one of them."""
    if hasattr(node, "children"):
        setattr(node, mass, sum(_add_up(child, mass) for child in node.children))
    return int(getattr(node, mass))
