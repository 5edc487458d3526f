"""What enters the table of detectors, and how a line is drawn for those that only give scores.

A new detector needs `fit` and `score`, and one entry in benchmark.py. One that judges many streams at once, a bank
vectorised over series say, is a `Contender` itself.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from services.anomaly.train.alarming import QUIET_SECONDS, begins
from services.anomaly.train.labelled import Floats, Stream
from services.anomaly.train.ranking import Bools

#: The line lies above this share of the scores of the training part's second half.
LEVEL = 0.999


class Judged(NamedTuple):
    """What a contender says of one stream's judged part.

    Attributes:
        score: (S,) float64, finite, high is anomalous; only for ranking and for NAB's own threshold.
        alarms: (S,) bool, True where an alarm begins, decided without any label.
        line: what the score had to exceed; None where alarms are not made by a line.
    """

    score: Floats
    alarms: Bools
    line: float | None


class Contender(Protocol):
    """One row of the table."""

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        """One `Judged` a stream, in their order; may look at each stream's training part first, never at labels."""
        ...


class Detector(Protocol):
    """One detector for one stream.

    Attributes:
        is_online: `score` goes step by step, each scored and then learnt. Else it learns nothing.
    """

    is_online: bool

    def fit(self, train: Floats) -> None:
        """Learns (T, F) as normal; an online detector goes on from what it knew."""
        ...

    def score(self, steps: Floats) -> Floats:
        """(S,) of (S, F): one finite score a step, high is anomalous. They follow what was fitted or scored last."""
        ...


class EachStream:
    """A detector of its own for each stream, with a line drawn on the training part.

    The training part's first half is fitted and its second half scored; the line is the conformal quantile of those
    scores at `LEVEL`, the highest of them where they are too few for it. Then all of the training part is fitted. A
    score above the line is an alarm, which goes on until the score stayed at or below the line for an hour.
    """

    def __init__(self, make: Callable[[Stream], Detector]) -> None:
        self._make = make

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        for stream in streams:
            detector = self._make(stream)
            half = len(stream.train) // 2
            detector.fit(stream.train[:half])
            line = line_of(detector.score(stream.train[half:]))
            if not detector.is_online:
                detector = self._make(stream)
                detector.fit(stream.train)
            score = detector.score(stream.test)
            yield Judged(score, begins(score, line, stream.steps_of(QUIET_SECONDS)), line)


def line_of(scores: Floats, level: float = LEVEL) -> float:
    """The least of these scores that the share `level` of new ones like them does not exceed.

    Source:
        split conformal prediction: the ceil((n + 1) level)-th smallest of n. Steps that follow each other are no
        independent draws, so on metrics the share holds only roughly.
    """
    place = min(len(scores), math.ceil((len(scores) + 1) * level))
    return float(np.sort(scores)[place - 1])
