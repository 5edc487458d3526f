"""The service's two detectors by themselves, in the table and without its alert layer; each step scored, then learnt.

Settings are the same for all streams. The training part is learnt as it is, the lines are drawn on its second half.
Afterwards a step above the detector's learning line is remembered, but not learnt.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from services.anomaly.model.reconstruction import Reconstruction
from services.anomaly.model.seasonal_novelty import SeasonalNovelty
from services.anomaly.train.alarming import QUIET_SECONDS, begins
from services.anomaly.train.batch_rivals import Refractory
from services.anomaly.train.contenders import Judged, line_of
from services.anomaly.train.labelled import Floats, Stream

DAY_SECONDS = 86_400.0


class OnlineReconstruction:
    """`Reconstruction` of each stream, in a row of its own: the row `pca_online`."""

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        for stream in streams:
            surprise = surprises(stream)
            line = line_of(surprise[stream.num_train // 2 : stream.num_train])
            score = surprise[stream.num_train :]
            yield Judged(score, begins(score, line, stream.steps_of(QUIET_SECONDS)), line)


def surprises(stream: Stream) -> Floats:
    """(T + S,) of the stream's steps in their order, learnt where they are usual."""
    bank = Reconstruction(stream.values.shape[1])
    row, found = np.zeros(1, bank.dtype), np.zeros(len(stream.values))
    for place in range(len(stream.values)):
        step = stream.values[place : place + 1]
        bank.judge(row, step, is_normal=np.array([place < stream.num_train]))
        found[place] = row["surprise"][0]
    return found


class Seasonal:
    """`SeasonalNovelty` of each series, the farthest one, again only when worse than in the day before.

    The line is the detector's own and the same for all. All is learnt.
    """

    def judge(self, streams: Sequence[Stream]) -> Iterator[Judged]:
        for stream in streams:
            score = again_when_worse(stream, novelties(stream).max(axis=1))
            yield Judged(score, begins(score, SeasonalNovelty().line, stream.steps_of(QUIET_SECONDS)), None)


def novelties(stream: Stream) -> Floats:
    """(S, F)."""
    bank = SeasonalNovelty()
    rows, found = np.zeros(stream.values.shape[1], bank.dtype), np.zeros_like(stream.values)
    for place, (values, time) in enumerate(zip(stream.values, stream.times, strict=True)):
        times = np.full(len(values), time)
        found[place] = bank.novelty(rows, values, times)
        bank.learn(rows, values, times)
    return found[stream.num_train :]


def again_when_worse(stream: Stream, novelty: Floats) -> Floats:
    """(S,): 0 unless above all of the day before."""
    held = Refractory(_Given(), stream.steps_of(DAY_SECONDS))
    return held.score(novelty)


class _Given:
    """A detector whose scores are already there."""

    is_online = True

    def fit(self, train: Floats) -> None: ...

    def score(self, steps: Floats) -> Floats:
        return steps
