"""A small BERT for logbert's tests: a network that knows how frequent words are and looks at nothing else."""

import math
from collections.abc import Callable, Mapping

import numpy as np

from services.logbert.core.sequences import Calibration, Shape
from services.logbert.model.bert import Bert
from services.logbert.model.scorer import Floats, Runtime, SequenceScorer
from services.logbert.model.vocabulary import Entry, Vocabulary

SHAPE = Shape(length=4, gap_seconds=30.0, num_masks=2)
CALIBRATION = Calibration(mean=0.2, deviation=1.0, line=3.0, unseen=12.0)
#: Words of tests/unit/logbert/streams.py with how likely they are.
WORDS = {"all is well": 0.9, "it broke": 0.099, "odd thing": 0.001}


class Frequencies:
    """A runtime that gives each word its probability, wherever it stands. Counts what it is asked."""

    def __init__(self, probabilities: list[float]) -> None:
        self._row = np.array([math.log(share) for share in probabilities], dtype=np.float32)
        self.calls: list[int] = []
        self.hidden = np.zeros(0)

    def log_probabilities(self, vectors: Floats, hidden: Floats, present: Floats) -> Floats:
        self.calls.append(len(vectors))
        self.hidden = hidden
        return np.broadcast_to(self._row, (*hidden.shape, len(self._row))).copy()


class Broken(Frequencies):
    """A runtime that has lost its mind."""

    def log_probabilities(self, vectors: Floats, hidden: Floats, present: Floats) -> Floats:
        return super().log_probabilities(vectors, hidden, present) * np.float32("nan")


MakeRuntime = Callable[[list[float]], Runtime]


def make_vocabulary(*texts: str) -> Vocabulary:
    """Words by their texts."""
    return Vocabulary([Entry(text) for text in texts])


def make_bert(words: Mapping[str, float] = WORDS, kind: MakeRuntime = Frequencies, version: str = "v1") -> Bert:
    """A Bert that knows these words."""
    vocabulary = make_vocabulary(*words)
    scorer = SequenceScorer(kind(list(words.values())), vocabulary, SHAPE, CALIBRATION.unseen)
    return Bert(version, vocabulary, SHAPE, CALIBRATION, scorer)
