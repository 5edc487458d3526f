"""Windows in, surprises out: masks, micro-batches, and a cache, around whatever runs the network."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from services.logbert.core.sequences import Shape, complementary_masks
from services.logbert.core.words import NUM_FEATURES, Word
from services.logbert.model.vocabulary import Vocabulary

# Letters: N windows, K masks, B = N x K rows, T window length, F features of a text, V words of the vocabulary.

#: Windows that go through the network at once; more cost memory and gain nothing on a CPU.
MAX_WINDOWS = 64
#: Scored windows that are remembered, about 1 KB each.
CACHE_SIZE = 20_000

Floats = npt.NDArray[np.float32]


class Runtime(Protocol):
    """What runs the network. All of them give the same numbers within 1e-4; tests/unit/train shows it."""

    def log_probabilities(self, vectors: Floats, hidden: Floats, present: Floats) -> Floats:
        """How likely each word of the vocabulary is at each position.

        Args:
            vectors: (B, T, F) the words' texts; those of hidden positions are not looked at.
            hidden: (B, T) 1 where the word is to be guessed.
            present: (B, T) 1 where there is a word, 0 where a window is shorter.

        Returns:
            (B, T, V) natural logarithms.
        """
        ...


class Scored(NamedTuple):
    """A window as the network sees it: each word's surprise in nats, and the word it expected in its place."""

    surprises: tuple[float, ...]
    expected: tuple[int, ...]


class SequenceScorer:
    """Scores windows, each distinct one once. The same window gives the same numbers, alone or in a batch.

    Args:
        unseen: the surprise of a word that is not in the vocabulary; it is noticed wherever it stands.
        cache_size: how many windows are remembered; those not asked for longest go.

    Attributes:
        num_asked, num_run: windows asked for, and windows that went through the network.
    """

    def __init__(
        self, runtime: Runtime, vocabulary: Vocabulary, shape: Shape, unseen: float, cache_size: int = CACHE_SIZE
    ) -> None:
        self._runtime = runtime
        self._vocabulary = vocabulary
        self._shape = shape
        self._unseen = unseen
        self._cache_size = cache_size
        self._cache: OrderedDict[tuple[Word, ...], Scored | None] = OrderedDict()
        self.num_asked, self.num_run = 0, 0

    def prepare(self, windows: Iterable[tuple[Word, ...]]) -> None:
        """Takes all of these through the network together, so that asking for each costs nothing."""
        new = [window for window in dict.fromkeys(windows) if window and window not in self._cache]
        for begin in range(0, len(new), MAX_WINDOWS):
            part = new[begin : begin + MAX_WINDOWS]
            self.num_run += len(part)
            self._cache.update(zip(part, self._run(part), strict=True))
        while len(self._cache) > max(self._cache_size, len(new)):
            self._cache.popitem(last=False)

    def score(self, window: tuple[Word, ...]) -> Scored | None:
        """A window of 1 to T words; None where the network gives no finite number."""
        self.num_asked += 1
        if window not in self._cache:
            self.prepare([window])
        self._cache.move_to_end(window)
        return self._cache[window]

    def _run(self, windows: Sequence[tuple[Word, ...]]) -> list[Scored | None]:
        num_masks, length = self._shape.num_masks, self._shape.length
        masks = complementary_masks(length, num_masks)  # (K, T)
        vectors = np.zeros((len(windows), length, NUM_FEATURES), dtype=np.float32)  # (N, T, F)
        present = np.zeros((len(windows), length), dtype=np.float32)  # (N, T)
        for row, window in enumerate(windows):
            vectors[row, : len(window)] = [self._vocabulary.vector(word) for word in window]
            present[row, : len(window)] = 1.0
        present_BT = np.repeat(present, num_masks, axis=0)  # (B, T)
        hidden_BT = np.tile(masks, (len(windows), 1)).astype(np.float32) * present_BT  # (B, T)
        out = self._runtime.log_probabilities(np.repeat(vectors, num_masks, axis=0), hidden_BT, present_BT)
        out = out.reshape(len(windows), num_masks, length, -1)  # (N, K, T, V)
        guessed = out[:, np.argmax(masks, axis=0), np.arange(length)]  # (N, T, V): each where it was hidden
        return [self._scored(window, guessed[row]) for row, window in enumerate(windows)]

    def _scored(self, window: tuple[Word, ...], guessed: Floats) -> Scored | None:
        """One window from its (T, V) log probabilities, rounded so that a batch's last bits do not matter."""
        rows = guessed[: len(window)]
        if not np.isfinite(rows).all():
            return None
        surprises = tuple(
            self._unseen if isinstance(word, str) else round(min(-float(rows[place, word]), self._unseen), 3)
            for place, word in enumerate(window)
        )
        return Scored(surprises, tuple(int(number) for number in rows.argmax(axis=1)))
