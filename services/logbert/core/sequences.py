"""Windows of words, their masks, and how surprising a window is. Pure; no model in here."""

import math
from collections.abc import Iterable, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from services.logbert.core.words import Word

SECOND = 1_000_000


class Shape(msgspec.Struct, frozen=True):
    """How a source's words are cut into windows; belongs to an artifact.

    Attributes:
        length: the most words in a window.
        gap_seconds: a longer pause between two of a source's events begins a new window.
        num_masks: how many passes a window is scored in, each hiding another part of it.
    """

    length: int = 24
    gap_seconds: float = 30.0
    num_masks: int = 4

    def is_gap(self, last_time: int, event_time: int) -> bool:
        """Whether an event comes too long after its source's last one to belong to the same window."""
        return event_time - last_time > self.gap_seconds * SECOND


def cut(
    shape: Shape, words: Iterable[tuple[int, Word]], begun: Sequence[Word] = (), last_time: int = 0
) -> tuple[list[tuple[Word, ...]], list[Word]]:
    """One source's (event_time, word) in order of arrival, as finished windows and the unfinished rest.

    Args:
        begun: the window that these words go on with; it ended at `last_time`.
    """
    finished: list[tuple[Word, ...]] = []
    window = list(begun)
    for event_time, word in words:
        if window and shape.is_gap(last_time, event_time):
            finished.append(tuple(window))
            window = []
        window.append(word)
        last_time = event_time
        if len(window) >= shape.length:
            finished.append(tuple(window))
            window = []
    return finished, window


def complementary_masks(length: int, num_masks: int) -> npt.NDArray[np.bool_]:
    """(num_masks, length) bool: which positions each pass hides. Every position is hidden in exactly one pass."""
    masks: npt.NDArray[np.bool_] = np.arange(length)[None, :] % num_masks == np.arange(num_masks)[:, None]
    return masks


class Calibration(msgspec.Struct, frozen=True):
    """What surprise is normal, in nats a word, as measured on the part of normal that training did not see.

    Attributes:
        mean, deviation: of single words' surprise.
        line: how many standard errors above the mean a window must lie to be anomalous.
        unseen: the surprise of a word that training never saw; no word counts for more.
    """

    mean: float
    deviation: float
    line: float
    unseen: float

    def excess(self, surprises: Sequence[float]) -> float:
        """By how many standard errors a window's mean surprise lies above the normal mean.

        The error shrinks with the root of the number of words, so that short windows count, and count for less.
        """
        mean = sum(min(value, self.unseen) for value in surprises) / len(surprises)
        return (mean - self.mean) * math.sqrt(len(surprises)) / self.deviation


def score_of(excess: float, line: float) -> float:
    """0 to 1; above one half exactly when the excess lies above the line, above two thirds from twice the line on."""
    above = max(0.0, excess)
    return round(above / (above + line), 4)
