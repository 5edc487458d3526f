"""What people would have been told: alarms against labelled events, never step by step and never point-adjusted.

An alarm is right when it *begins* within a labelled window, and such a window is found; one that began before it,
however long it goes on, has found nothing. So an alarm that never ends finds at most one event.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from services.anomaly.train.labelled import Floats, Stream
from services.anomaly.train.ranking import Bools

#: An alarm that was made of a score ends when the score stayed at or below its line for so long.
QUIET_SECONDS = 3600.0
#: Thresholds tried for the precision at a recall: exceeded by these shares of all steps.
SHARES_TRIED = np.geomspace(1e-6, 0.5, 120)


class Counts(NamedTuple):
    """Of one or many streams. `right` alarms began within an event."""

    events: int
    found: int
    alarms: int
    right: int
    stream_days: float
    series_days: float

    @property
    def recall(self) -> float | None:
        """The share of events found; None without events."""
        return self.found / self.events if self.events else None

    @property
    def precision(self) -> float | None:
        """The share of alarms that are right; None without alarms."""
        return self.right / self.alarms if self.alarms else None


def begins(score: Floats, line: float, quiet_steps: int) -> Bools:
    """(S,): the first step above the line of each alarm; nearer than `quiet_steps` to the last one above it goes on."""
    above = np.flatnonzero(score > line)
    starts = np.zeros(len(score), dtype=bool)
    starts[above[np.diff(above, prepend=-quiet_steps - 1) > quiet_steps]] = True
    return starts


def count(streams: Sequence[Stream], alarms: Sequence[Bools]) -> Counts:
    """(S,) of each stream: at which steps an alarm begins."""
    events = found = right = num_alarms = 0
    for stream, starts in zip(streams, alarms, strict=True):
        events += len(stream.events)
        found += sum(bool(starts[first : last + 1].any()) for first, last in stream.events)
        num_alarms += int(starts.sum())
        right += int((starts & stream.label).sum())
    days = [stream.days for stream in streams]
    series = [stream.values.shape[1] for stream in streams]
    return Counts(events, found, num_alarms, right, sum(days), float(np.dot(days, series)))


def precision_at_recall(streams: Sequence[Stream], scores: Sequence[Floats], wanted: float) -> float | None:
    """The best share of right alarms at any one threshold for all streams that finds so many of the events.

    Some threshold of about a hundred is chosen by the labels here, so this ranks scores and promises nothing. None when
    none of them finds that many.
    """
    pooled = np.concatenate(scores)
    quiet = [stream.steps_of(QUIET_SECONDS) for stream in streams]
    best = None
    for line in np.unique(np.quantile(pooled, 1 - SHARES_TRIED)):
        alarms = [begins(score, float(line), steps) for score, steps in zip(scores, quiet, strict=True)]
        counts = count(streams, alarms)
        if counts.recall is not None and counts.recall >= wanted and counts.precision is not None:
            best = max(best or 0.0, counts.precision)
    return best
