"""What BERT must beat: guessing the most frequent word, and the most frequent one after the word before."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from services.logbert.core.words import Word

Window = tuple[Word, ...]


class Unigram:
    """How often each word is there at all."""

    def __init__(self, windows: Sequence[Window], num_words: int) -> None:
        self._counts = Counter(word for window in windows for word in window)
        self._total, self._num_words = sum(self._counts.values()), num_words

    def probability(self, word: Word, _: Word | None) -> float:
        """Add-one smoothed."""
        return (self._counts[word] + 1) / (self._total + self._num_words)

    def guess(self, _: Word | None) -> Word:
        """The most likely word."""
        return self._counts.most_common(1)[0][0]


class Bigram:
    """How often each word follows the one before it; falls back on how often it is there at all."""

    def __init__(self, windows: Sequence[Window], num_words: int) -> None:
        self._unigram = Unigram(windows, num_words)
        self._next: dict[Word | None, Counter[Word]] = defaultdict(Counter)
        for window in windows:
            for before, word in zip((None, *window), window, strict=False):
                self._next[before][word] += 1

    def probability(self, word: Word, before: Word | None) -> float:
        """Witten-Bell smoothed: as many units for the unseen as there were different followers."""
        counts = self._next[before]
        kinds, total = len(counts), sum(counts.values())
        back = self._unigram.probability(word, None)
        return (counts[word] + kinds * back) / (total + kinds) if total else back

    def guess(self, before: Word | None) -> Word:
        """The most likely word."""
        counts = self._next[before]
        return counts.most_common(1)[0][0] if counts else self._unigram.guess(before)


def measure(rival: Unigram | Bigram, windows: Sequence[Window]) -> dict[str, Any]:
    """Accuracy and nats a word, over the words that are in the vocabulary."""
    hits = num_words = 0
    nats = 0.0
    for window in windows:
        for before, word in zip((None, *window), window, strict=False):
            if isinstance(word, int):
                hits += rival.guess(before) == word
                nats -= math.log(rival.probability(word, before))
                num_words += 1
    return {"accuracy": round(hits / max(1, num_words), 4), "nats": round(nats / max(1, num_words), 4)}
