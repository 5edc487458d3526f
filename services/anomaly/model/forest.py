"""scikit-learn's Isolation Forest over all features of an entity, fitted again and again in the background.

Letters: n vectors, F features, T trees.
"""

import functools
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import IsolationForest

from services.anomaly.model.abstract import Band, Features, clean
from services.anomaly.model.bank import Floats, Ints
from services.anomaly.model.parts import decode_part, encode_part
from services.common.errors import ArtifactMismatch

#: Features of an entity that are looked at: the first ones that come.
MAX_FEATURES = 64
#: Vectors of the window that are saved together: only the block that was written to changes.
BLOCK = 16
#: Values are scaled by the window to [0, 1] and held within +- this, so that single precision tells them apart.
MOST = 1e6
#: Vectors that walk down the trees together: as many as stay in a processor's cache.
CHUNK = 128

Singles = npt.NDArray[np.float32]


class Forest(NamedTuple):
    """A fitted forest as columns over the nodes of all trees, and what it was fitted on.

    Attributes:
        columns: which features it knows, (F,); `low`, `span`, `usual` of each: how they are scaled, and what a missing
            one counts as.
        roots: each tree's first node, (T,). A node's left child is the next one; a leaf's right child is itself.
        feature, limit, right: of each node; left is where the value is at most the limit.
        length: of each leaf, its depth and how much deeper its samples would on average have gone.
        depth: of the deepest tree.
        usual_length: of a path through as many samples as each tree had.
    """

    columns: Ints
    low: Floats
    span: Floats
    usual: Floats
    roots: Ints
    feature: npt.NDArray[np.int16]
    limit: Singles
    right: npt.NDArray[np.int32]
    length: Floats
    depth: int
    usual_length: float

    def score(self, vectors: Floats) -> Floats:
        """(n,) in [0, 1] of (n, all features), NaN for what is missing: as scikit-learn's `-score_samples`."""
        scores = [self._score(vectors[first : first + CHUNK]) for first in range(0, len(vectors), CHUNK)]
        return np.concatenate([np.zeros(0), *scores])

    def _score(self, vectors: Floats) -> Floats:
        scaled = _scaled(vectors[:, self.columns], self.low, self.span, self.usual)
        each = np.arange(len(scaled))[:, None]
        node = np.repeat(self.roots[None, :], len(scaled), axis=0)  # (n, T)
        for _ in range(self.depth):
            is_left = scaled[each, self.feature[node]] <= self.limit[node]
            node = np.where(is_left, node + 1, self.right[node])
        return np.asarray(2.0 ** (-self.length[node].mean(axis=1) / self.usual_length))

    @property
    def num_bytes(self) -> int:
        """Memory that it holds."""
        return sum(column.nbytes for column in self if isinstance(column, np.ndarray))


class EntityForest:
    """`sklearn.ensemble.IsolationForest` over the last `window` vectors: a second opinion on the whole.

    It is fitted again after each `refit_every` vectors, in a background thread shared by all (a fit takes it some 0.2
    seconds, so a thousand entities need `refit_every` scrapes to last longer than 200), and comes into use `delay`
    vectors later, waiting for the thread if it must: so the same vectors always get the same scores, however busy the
    machine.
    It forgets what is older than its window; a feature that is missing counts as its median.

    What is saved is the window (8 bytes a feature and vector, 336 vectors by default), and the forest in use is fitted
    from it again. In memory a forest takes another 18 bytes a node, some 140 KB by default.

    Args:
        threshold: the score that means something. A path of the usual length scores 0.5, one of half of it 0.71; of
            normal and even vectors one in a hundred scores above .60 to .62 (of a single feature above .73).
        num_trees: scikit-learn's `n_estimators`.
        sample: vectors to a tree, its `max_samples`.

    Source:
        Liu, Ting, Zhou. Isolation forest. ICDM 2008.
    """

    name = "isolation_forest"
    judges: Literal["each", "whole"] = "whole"

    def __init__(
        self,
        threshold: float = 0.65,
        window: int = 256,
        refit_every: int = 64,
        delay: int = 16,
        num_trees: int = 100,
        sample: int = 128,
        seed: int = 1,
    ) -> None:
        assert 0 < delay < refit_every, "a forest is in use before the next one is begun"
        self.threshold = threshold
        self._window, self._refit_every, self._delay = window, refit_every, delay
        self._fit = functools.partial(fit, num_trees=num_trees, sample=sample, seed=seed)
        self._num_kept = -(-(window + refit_every + delay) // BLOCK) * BLOCK
        self._begin([], 0, np.empty((self._num_kept, 0)))

    def _begin(self, names: Sequence[str], num: int, kept: Floats) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._num = num
        self._kept = kept
        last = num // self._refit_every * self._refit_every
        is_due = num - last >= self._delay
        self._used = self._fitted(last if is_due else last - self._refit_every)
        self._next = None if is_due else self._fitted(last)

    def _fitted(self, num: int) -> Future[Forest] | None:
        """The forest of the window as it was after `num` vectors, to be waited for; None where there were none."""
        if num <= 0:
            return None
        places = np.arange(max(0, num - self._window), num) % self._num_kept
        return _background().submit(self._fit, self._kept[places])

    def learn_one(self, x: Features) -> None:
        known = clean(x)
        if not known:
            return
        self._widen(known)
        self._kept[self._num % self._num_kept] = self._vectors([known])[0]
        self._num += 1
        since = self._num % self._refit_every
        if since == 0:
            self._next = self._fitted(self._num)
        elif since == self._delay and self._next is not None:
            self._next.result()
            self._used, self._next = self._next, None

    def _widen(self, known: Features) -> None:
        new = [name for name in known if name not in self._places][: MAX_FEATURES - len(self._places)]
        if new:
            self._places.update({name: len(self._places) + number for number, name in enumerate(new)})
            self._kept = np.hstack([self._kept, np.full((self._num_kept, len(new)), np.nan)])

    def _vectors(self, many: Sequence[Features]) -> Floats:
        vectors = np.full((len(many), len(self._places)), np.nan)
        for row, x in zip(vectors, many, strict=True):
            for name, value in x.items():
                if name in self._places:
                    row[self._places[name]] = value
        return vectors

    def score_one(self, x: Features) -> float:
        return self.score_many([x])[0]

    def score_many(self, many: Sequence[Features]) -> list[float]:
        """Scores of several observations at once, each as by itself; many at once are far cheaper."""
        if self._used is None:
            return [0.0] * len(many)
        vectors = self._vectors([clean(x) for x in many])
        forest = self._used.result()
        is_empty = np.isnan(vectors[:, forest.columns]).all(axis=1)
        scores: list[float] = np.where(is_empty, 0.0, forest.score(vectors)).tolist()
        return scores

    def score_each(self, x: Features) -> dict[str, float]:
        return {}

    def expected(self, feature: str) -> Band | None:
        return None

    def forget(self, features: Iterable[str]) -> None:
        """Nothing: the window forgets by itself."""

    @property
    def num_bytes(self) -> int:
        """Memory of the window and the forest in use."""
        return self._kept.nbytes + (self._used.result().num_bytes if self._used is not None else 0)

    def save(self) -> dict[str, bytes]:
        """The window in blocks, of which one changes with each vector."""
        num_blocks = -(-min(self._num, self._num_kept) // BLOCK)
        blocks = {
            f"block{number:02}": encode_part(
                self._kept[number * BLOCK : (number + 1) * BLOCK].astype("<f8").tobytes()
            )
            for number in range(num_blocks)
        }  # fmt: skip
        return {"names": encode_part(list(self._places)), "num": encode_part(self._num), **blocks}

    def load(self, parts: Mapping[str, bytes]) -> None:
        names, num = decode_part(parts, "names", list[str]), decode_part(parts, "num", int)
        kept = np.full((self._num_kept, len(names)), np.nan)
        for number in range(-(-min(num, self._num_kept) // BLOCK)):
            block = decode_part(parts, f"block{number:02}", bytes)
            if len(block) != BLOCK * len(names) * 8:
                raise ArtifactMismatch(
                    f"A saved block of {self.name} has {len(block)} bytes; wanted {BLOCK} vectors of {len(names)} "
                    "features: delete anomaly.state.v1 to learn anew."
                )
            kept[number * BLOCK : (number + 1) * BLOCK] = np.frombuffer(block, "<f8").reshape(BLOCK, len(names))
        self._begin(names, num, kept)


def fit(vectors: Floats, num_trees: int, sample: int, seed: int) -> Forest:
    """A forest of (n, F) vectors, NaN for what is missing; features that are missing in all are not looked at."""
    columns = np.flatnonzero(~np.isnan(vectors).all(axis=0))
    vectors = vectors[:, columns]
    low, high = np.nanmin(vectors, axis=0), np.nanmax(vectors, axis=0)
    span, usual = np.where(high > low, high - low, 1.0), np.nanmedian(vectors, axis=0)
    sample = min(sample, len(vectors))
    forest = IsolationForest(n_estimators=num_trees, max_samples=sample, random_state=seed)
    forest.fit(_scaled(vectors, low, span, usual))
    trees = [estimator.tree_ for estimator in forest.estimators_]
    starts = np.cumsum([0, *(tree.node_count for tree in trees)])
    return Forest(
        columns, low, span, usual, starts[:-1],
        np.concatenate([np.maximum(tree.feature, 0) for tree in trees]).astype(np.int16),
        np.concatenate([_limits(tree) for tree in trees]),
        np.concatenate([_right(tree) + start for tree, start in zip(trees, starts[:-1], strict=True)]).astype(np.int32),
        np.concatenate([_depths(tree) + _average_length(tree.n_node_samples) for tree in trees]),
        max(tree.max_depth for tree in trees), float(max(_average_length(np.array([sample]))[0], 1e-9)),
    )  # fmt: skip


def _scaled(vectors: Floats, low: Floats, span: Floats, usual: Floats) -> Singles:
    known = np.where(np.isnan(vectors), usual, vectors)
    with np.errstate(over="ignore"):
        scaled = (known - low) / span
    return np.clip(scaled, -MOST, MOST).astype(np.float32)


def _is_leaf(tree: Any) -> npt.NDArray[np.bool_]:
    return np.asarray(tree.children_left < 0)


def _limits(tree: Any) -> Singles:
    """scikit-learn compares single precision with double: the largest single at or below says the same.

    A leaf's is below everything, so that its way is always to the right: to itself.
    """
    limits = tree.threshold.astype(np.float32)
    limits = np.where(limits > tree.threshold, np.nextafter(limits, np.float32(-np.inf)), limits)
    return np.where(_is_leaf(tree), np.float32(-np.inf), limits)


def _right(tree: Any) -> Ints:
    return np.where(_is_leaf(tree), np.arange(tree.node_count), tree.children_right)


def _depths(tree: Any) -> Ints:
    """Of each node; children stand behind their parents, the left one next to it."""
    depths = np.zeros(tree.node_count, np.int64)
    for node in np.flatnonzero(~_is_leaf(tree)):
        assert tree.children_left[node] == node + 1, "scikit-learn builds trees depth first"
        depths[[node + 1, tree.children_right[node]]] = depths[node] + 1
    return depths


def _average_length(num: Ints) -> Floats:
    """Of an unsuccessful search in a binary tree of so many samples: formula 1 of the source."""
    many = np.maximum(num, 3).astype(np.float64)
    lengths = 2.0 * (np.log(many - 1.0) + np.euler_gamma) - 2.0 * (many - 1.0) / many
    return np.where(num <= 1, 0.0, np.where(num == 2, 1.0, lengths))


@functools.cache
def _background() -> ThreadPoolExecutor:
    """One thread for all entities: fitting must not take more than one core from judging."""
    return ThreadPoolExecutor(1, thread_name_prefix="forest")
